package proxy_test

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/proxy"
)

// FuzzIdentityHeaders: whatever head a client sends, the service sees exactly the gateway's identity, no cookie of the gateway, and one
// address; and what it answers with the same headers does not speak for the gateway.
func FuzzIdentityHeaders(f *testing.F) {
	for _, seed := range []string{
		"X-Authgw-User: evil", "x_authgw.user: evil\r\nConnection: x-authgw-user", "Cookie: a=1; __Host-authgw=secret\r\nCookie: =__Host-authgw=secret",
		"Connection: X-Forwarded-For\r\nX-Forwarded-For: 10.0.0.1", "Trailer: X-Authgw-User\r\nTransfer-Encoding: chunked",
		"Set-Cookie: __Host-authgw=evil", "Authorization: Basic eA==", "Forwarded: for=10.0.0.1", "X!Authgw!User: evil", "TE: trailers\r\nTrailer: x",
	} {
		f.Add("GET", "/inbox?a=b", seed)
	}
	f.Add("POST", "//a%2Fb|c", "Content-Length: 0")
	var got *http.Request
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		for name, values := range r.Header {
			w.Header()[name] = values
		}
		w.Header().Add("Set-Cookie", r.Header.Get("Set-Cookie"))
	}))
	f.Cleanup(service.Close)
	u, err := url.Parse(service.URL)
	if err != nil {
		f.Fatal(err)
	}
	p, err := proxy.New(proxy.Config{Service: "mail", Origin: origin, Backend: u, Gate: &gate{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, head string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + head + "\r\n\r\n")))
		if err != nil {
			t.Skip("net/http refuses it before the proxy")
		}
		r.Body = http.NoBody
		r.ContentLength = 0
		r.RemoteAddr = "192.0.2.1:1234"
		got = nil
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if got == nil {
			return // refused, by the proxy or by the service's net/http
		}
		want := map[string][]string{}
		for _, h := range own {
			want[cgiName(h.name)] = []string{h.value}
		}
		seen := map[string][]string{}
		for name, values := range got.Header {
			if n := cgiName(name); strings.HasPrefix(n, "X_AUTHGW_") {
				seen[n] = append(seen[n], values...)
			}
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("identity (-want +got):\n%s", diff)
		}
		for name, values := range got.Header {
			switch n := cgiName(name); {
			case n == "X_FORWARDED_FOR" && (len(values) != 1 || values[0] != "192.0.2.1"),
				n == "FORWARDED", n == "X_REAL_IP", n == "AUTHORIZATION", strings.HasPrefix(n, "SSL_CLIENT_"), strings.HasPrefix(n, "X_ORIGINAL_"):
				t.Errorf("%s: %q reached the service", name, values)
			}
		}
		for _, c := range got.Cookies() {
			if strings.HasPrefix(strings.ToLower(c.Name), "__host-authgw") {
				t.Errorf("cookie %q reached the service", c.Name)
			}
		}
		res := w.Result()
		io.Copy(io.Discard, res.Body)
		for name := range res.Header {
			if strings.HasPrefix(cgiName(name), "X_AUTHGW_") {
				t.Errorf("%s reached the client", name)
			}
		}
		for _, c := range res.Header["Set-Cookie"] {
			if strings.HasPrefix(strings.ToLower(strings.TrimLeft(c, "= \t")), "__host-authgw") {
				t.Errorf("Set-Cookie %q reached the client", c)
			}
		}
	})
}
