package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/proxy"
)

// B2: what some server takes for a header of ours is known as one, and nothing else is.
func TestB2ClaimedIdentity(t *testing.T) {
	for name, want := range map[string]bool{
		"X-Authgw-User": true, "x-authgw-user": true, "X_Authgw_User": true, "X.Authgw.User": true, "X!Authgw~User": true, "X Authgw User": true, "X-Authgw-Anything": true,
		"X-Authgw": false, "Authgw-User": false, "X-Authgwen": false, "Y-X-Authgw-User": false, "Cookie": false,
	} {
		if got := proxy.Claims(http.Header{"Accept": {"*/*"}, name: {""}}); got != want {
			t.Errorf("%q claims an identity = %t, want %t", name, got, want)
		}
	}
}

// Another proxy gets what our own sends to a service, and no cookie of ours (B8).
func TestAnswerToAnotherProxy(t *testing.T) {
	id := proxy.Identity{User: "u1", NationalID: "899700218896", Name: "JEANNE\r\nX-Authgw-Acr: high", ACR: "low", Assertion: "a.b.c"}
	identity := func(cookies ...string) http.Header {
		h := http.Header{"X-Authgw-User": {"u1"}, "X-Authgw-National-Id": {"899700218896"}, "X-Authgw-Acr": {"low"}, "X-Authgw-Assertion": {"a.b.c"}}
		if len(cookies) > 0 {
			h["Cookie"] = cookies
		}
		return h
	}
	for _, test := range []struct {
		name    string
		cookies []string
		want    http.Header
	}{
		{"no cookies", nil, identity()},
		{"ours alone", []string{"__Host-authgw=x; __HOST-AUTHGW-login=y"}, identity()},
		{"ours among others, in two lines", []string{"a=1; __Host-authgw=x", "b=2; =__Host-authgw=z"}, identity("a=1; b=2")},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := http.Header{"Cookie": test.cookies, "X-Authgw-Email": {"somebody@example.org"}}
			answer := http.Header{}
			id.Answer(answer, asked)
			if diff := cmp.Diff(test.want, answer); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if got := asked["Cookie"]; len(got) != len(test.cookies) {
				t.Errorf("the request has the cookies %q now", got)
			}
		})
	}
}

// B15: RFC 6455, section 10.2.
func TestB15WebSocketAllowed(t *testing.T) {
	for _, test := range []struct {
		name    string
		headers http.Header
		want    bool
	}{
		{"no WebSocket, of another page", http.Header{"Origin": {"https://evil.example"}}, true},
		{"of the service's page", http.Header{"Sec-Websocket-Key": {"x"}, "Origin": {origin}}, true},
		{"of another page", http.Header{"Sec-Websocket-Key": {"x"}, "Origin": {"https://evil.example"}}, false},
		{"of no page", http.Header{"Sec-Websocket-Key": {"x"}}, false},
		{"of two pages", http.Header{"Sec-Websocket-Key": {"x"}, "Origin": {origin, "https://evil.example"}}, false},
		{"on HTTP/2", http.Header{"Sec-Websocket-Version": {"13"}, "Origin": {"https://evil.example"}}, false},
		{"with its Upgrade", http.Header{"Upgrade": {"websocket"}, "Origin": {"https://evil.example"}}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, origin+"/", nil)
		r.Header = test.headers
		if got := proxy.WebSocketAllowed(r, origin); got != test.want {
			t.Errorf("%s: allowed = %t, want %t", test.name, got, test.want)
		}
	}
}
