package proxy

import (
	"net/http"
	"strings"
)

// ownPrefix begins the names of the headers below, folded.
const ownPrefix = "x-authgw-"

// The headers that a service gets (● of the design). All begin with ownPrefix.
const (
	HeaderUser       = "X-Authgw-User"
	HeaderNationalID = "X-Authgw-National-Id"
	HeaderName       = "X-Authgw-Name"
	HeaderEmail      = "X-Authgw-Email"
	HeaderACR        = "X-Authgw-Acr"
	HeaderAssertion  = "X-Authgw-Assertion"
)

// cookiePrefix begins the names of the gateway's own cookies. They are neither sent to a service nor taken from one: a service that
// could set them could sign a person in as somebody else.
const cookiePrefix = "__host-authgw"

// strippedPrefixes and strippedNames are headers in which servers believe what a proxy says of the client: who they are, their
// certificate, their address, the URL that they asked for. From a client they are lies. Names are folded, see fold.
//
// A service that reads one of them although we set none of them would believe anybody, so they are removed on every route (B1, A12, B4).
func strippedPrefixes() []string {
	return []string{
		ownPrefix, "x-forwarded-", "x-original-", "x-auth-request-", "x-remote-", "x-webauth-", "x-ssl-", "ssl-client-", "x-client-cert",
		"client-cert", "x-envoy-", "remote-", "x-authenticated-", "x-rewrite-",
	}
}

func strippedNames() []string {
	return []string{
		"authorization", // the gateway's services know people by its own headers (B8)
		"forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip", "fastly-client-ip",
		"x-arr-clientcert", "x-arr-ssl", "x-user", "x-username", "x-userid", "x-email", "x-groups", "x-token-subject",
		"proxy", // would be HTTP_PROXY to a CGI program
	}
}

// fold makes names equal that some server takes for equal: CGI and WSGI turn "-" into "_", PHP turns "." and " " into it, and lighttpd
// everything that is neither letter nor digit (B2).
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		}
		return '-'
	}, name)
}

// stripper removes headers that are not the client's to say. It is built once and never written to.
type stripper struct {
	prefixes []string
	names    map[string]bool
}

func newStripper() stripper {
	s := stripper{prefixes: strippedPrefixes(), names: map[string]bool{}}
	for _, n := range strippedNames() {
		s.names[n] = true
	}
	return s
}

func (s stripper) matches(name string) bool {
	name = fold(name)
	if s.names[name] {
		return true
	}
	for _, p := range s.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func (s stripper) strip(h http.Header) {
	for name := range h {
		if s.matches(name) {
			delete(h, name)
		}
	}
}

// set writes the identity headers. What cannot stand in a header is not sent: an identity with a part missing is refused by a
// service that needs it, one with a line break in it would be two headers.
func (id Identity) set(h http.Header) {
	for _, f := range []struct{ name, value string }{
		{HeaderUser, id.User}, {HeaderNationalID, id.NationalID}, {HeaderName, id.Name},
		{HeaderEmail, id.Email}, {HeaderACR, id.ACR}, {HeaderAssertion, id.Assertion},
	} {
		if f.value != "" && !strings.ContainsFunc(f.value, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			h[f.name] = []string{f.value}
		}
	}
}

// Answer tells another proxy, in the header of an answer to it, what to send to the service with a request that has the header asked:
// the identity, and the cookies without the gateway's own.
func (id Identity) Answer(answer, asked http.Header) {
	id.set(answer)
	rest := http.Header{"Cookie": asked["Cookie"]}
	stripCookies(rest)
	if cookies := rest["Cookie"]; len(cookies) > 0 {
		answer["Cookie"] = cookies
	}
}

// Claims says whether a header has a name, in any spelling, that is for the gateway alone to send to a service.
func Claims(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(fold(name), ownPrefix) {
			return true
		}
	}
	return false
}

// stripCookies removes the gateway's own cookies from a Cookie header and leaves the others as they were written.
func stripCookies(h http.Header) {
	lines := h["Cookie"]
	if len(lines) == 0 {
		return
	}
	var kept []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			if part != "" && !ownCookie(part) {
				kept = append(kept, part)
			}
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = []string{strings.Join(kept, "; ")}
}

// stripSetCookies removes what a service sets under the gateway's own names.
func stripSetCookies(h http.Header) {
	lines := h["Set-Cookie"]
	kept := lines[:0]
	for _, line := range lines {
		if !ownCookie(strings.TrimSpace(line)) {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

// ownCookie says whether a cookie, as name=value, has a name of ours. Browsers compare the prefix __Host- without case
// (RFC 6265bis, section 5.7), so we do. A cookie without a name is sent as its value alone, which may look like one of ours.
func ownCookie(pair string) bool {
	pair = strings.TrimLeft(pair, "= \t")
	return len(pair) >= len(cookiePrefix) && strings.EqualFold(pair[:len(cookiePrefix)], cookiePrefix)
}
