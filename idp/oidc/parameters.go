package oidc

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	// maxParameters bounds what a request says, in bytes: a client that has more to say is not one.
	maxParameters = 16 << 10
	// maxValue bounds one parameter; maxHint that which is a token.
	maxValue = 2 << 10
	maxHint  = 8 << 10
	// maxCount bounds how many there are.
	maxCount = 60
)

// malformed is why parameters are not read: a text of ours, without a piece of theirs.
type malformed string

func (m malformed) Error() string { return string(m) }

// parameters reads what a request says: the query of a GET, the body of a POST, and nothing else of it (B13). Nothing is there twice (RFC 6749,
// section 3.1), but what we do not know and others repeat; what has no value is not there. The error is malformed, or of the connection.
func parameters(r *http.Request) (url.Values, error) {
	text := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if text != "" {
			return nil, malformed("parameters in the address of a POST")
		}
		if err := isForm(r); err != nil {
			return nil, err
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, maxParameters+1))
		if err != nil {
			return nil, fmt.Errorf("read form: %w", err)
		}
		text = string(body)
	}
	return parseParameters(text)
}

// isForm refuses a body that says to be anything else.
func isForm(r *http.Request) error {
	kinds := r.Header.Values("Content-Type")
	if len(kinds) != 1 {
		return malformed("not one Content-Type")
	}
	kind, _, err := mime.ParseMediaType(kinds[0])
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return malformed("Content-Type is not application/x-www-form-urlencoded")
	}
	return nil
}

func parseParameters(text string) (url.Values, error) {
	if len(text) > maxParameters {
		return nil, malformed("more than 16 KiB of parameters")
	}
	if strings.Count(text, "&") >= maxCount {
		return nil, malformed("too many parameters")
	}
	all, err := url.ParseQuery(text)
	if err != nil {
		return nil, malformed("parameters that cannot be decoded")
	}
	for name, values := range all {
		if len(values) > 1 && name != "resource" && name != "audience" { // RFC 8707, RFC 8693: ignored here
			return nil, malformed("a parameter that is there twice")
		}
		if values[0] == "" {
			delete(all, name)
			continue
		}
		limit := maxValue
		if name == "id_token_hint" || name == "client_assertion" || name == "request" {
			limit = maxHint
		}
		for _, v := range values {
			if len(v) > limit {
				return nil, malformed("a parameter that is too long")
			}
			if !utf8.ValidString(v) || strings.ContainsFunc(v, func(c rune) bool { return c < 0x20 || c == 0x7f }) {
				return nil, malformed("a parameter with bytes that are no text")
			}
		}
	}
	return all, nil
}
