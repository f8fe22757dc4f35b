package psctest_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// claimsOf reads a token without looking at its signature.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	return part(t, token, 1)
}

func part(t *testing.T, token string, i int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a token: %d parts", len(parts))
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(data, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// oauthCode returns the error code of a token endpoint, or "".
func oauthCode(err error) string {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return ""
	}
	return refused.ErrorCode
}

// logoutURL is where a relying party sends the browser to sign out.
func (p *party) logoutURL(who *identity, state string) string {
	q := url.Values{"id_token_hint": {who.rawID}, "post_logout_redirect_uri": {logoutURI}}
	if state != "" {
		q.Set("state", state)
	}
	return p.document["end_session_endpoint"].(string) + "?" + q.Encode()
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
