package idp_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/idp"
	"promess/authgw/internal/web"
)

const rota = "https://rota.example.test"

// newForwardWorld is a world with two more services: one behind another proxy, which is this machine, and one whose proxies are elsewhere.
func newForwardWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, func(c *idp.Config) {
		c.Services = append(c.Services, behindProxy(), idp.Service{
			Name: "far", Host: "far.example.test", Origin: "https://far.example.test", Title: "Loin", Home: "/",
			Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		})
	})
}

func behindProxy() idp.Service {
	return idp.Service{
		Name: "rota", Host: "rota.example.test", Origin: rota, Title: "Planning", Home: "/today", Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	}
}

// question is what a proxy asks about a page of the rota, with the cookies of a browser. Headers come in pairs and replace those; an
// empty value removes one.
func (b *browser) question(headers ...string) []string {
	return question("theme=dark; "+sessionCookie+"="+b.cookie(rota, sessionCookie), headers...)
}

func question(cookies string, headers ...string) []string {
	return append([]string{
		"X-Forwarded-Host", "rota.example.test", "X-Forwarded-Proto", "https", "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/day?x=1", "Cookie", cookies,
	}, headers...)
}

// verify asks, as the proxy does: without the browser's cookies of the auth host.
func (w *world) verify(t *testing.T, query string, headers []string) page {
	t.Helper()
	proxy := w.browser(t)
	proxy.client.Jar = nil
	return proxy.get(auth+"/auth/verify"+query, headers...)
}

// enterRota signs a browser in at the rota, through its own pages there.
func (b *browser) enterRota() {
	b.t.Helper()
	b.get(b.get(rota + "/.authgw/start?to=/day").location)
	p := b.post(auth + "/login/card")
	if p = b.get(p.location, "Sec-Fetch-Site", "same-site"); p.location != rota+"/day" {
		b.t.Fatalf("the login ends with %d at %q", p.status, p.location)
	}
}

func TestVerifyTellsTheProxyWhoItIs(t *testing.T) {
	w := newForwardWorld(t)
	b := w.browser(t)
	b.enterRota()
	p := w.verify(t, "", b.question())
	if p.status != http.StatusOK || p.body != "" {
		t.Fatalf("answer = %d %q", p.status, p.body)
	}
	want := map[string]string{"X-Authgw-National-Id": "899700218896", "X-Authgw-Name": "JEANNE MARTIN", "X-Authgw-Acr": idp.ACRHardware, "Cookie": "theme=dark", "Cache-Control": "no-store"}
	for name, value := range want {
		if got := p.header.Values(name); !slices.Equal(got, []string{value}) {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	assertion, err := jwt.ParseSigned(p.header.Get("X-Authgw-Assertion"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := assertion.UnsafeClaimsWithoutVerification(&claims); err != nil || !slices.Equal(claims.Audience, jwt.Audience{"rota"}) || claims.Subject != p.header.Get("X-Authgw-User") {
		t.Errorf("claims = %+v, %v", claims, err)
	}
	if len(p.header.Values("Set-Cookie")) != 0 {
		t.Error("it sets cookies")
	}
}

func TestVerifyOfARequestWithoutSession(t *testing.T) {
	w := newForwardWorld(t)
	start := rota + "/.authgw/start?to=" + url.QueryEscape("/day?x=1")
	for _, test := range []struct {
		name, query string
		headers     []string
		status      int
		want        string // in address, X-Authgw-Redirect or body
	}{
		{"a page goes to the login", "", nil, http.StatusSeeOther, start},
		{"a page, of a proxy that passes on 401 alone", "?redirect=no", nil, http.StatusUnauthorized, start},
		{"HEAD", "", []string{"X-Forwarded-Method", "HEAD"}, http.StatusSeeOther, start},
		{"a script", "", []string{"Sec-Fetch-Mode", "cors"}, http.StatusUnauthorized, `{"error":"login_required","login":"` + rota + `/today"}`},
		{"a form", "", []string{"X-Forwarded-Method", "POST"}, http.StatusUnauthorized, textOver},
		{"TRACE", "", []string{"X-Forwarded-Method", "TRACE"}, http.StatusMethodNotAllowed, "<"},
		{"another site as the path (F2)", "", []string{"X-Forwarded-Uri", "//evil.example/"}, http.StatusSeeOther, rota + "/.authgw/start?to=%2Ftoday"},
		{"an absolute address as the path", "", []string{"X-Forwarded-Uri", "https://evil.example/"}, http.StatusSeeOther, rota + "/.authgw/start?to=%2Ftoday"},
		{"a path that is too long", "", []string{"X-Forwarded-Uri", "/" + strings.Repeat("x", idp.MaxReturn)}, http.StatusSeeOther, rota + "/.authgw/start?to=%2Ftoday"},
		{"a WebSocket", "", []string{"Sec-Fetch-Mode", "websocket", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Origin", rota}, http.StatusUnauthorized, "login_required"},
		{"two sessions are nobody's (B9)", "", []string{"Cookie", sessionCookie + "=a; " + sessionCookie + "=b", "Sec-Fetch-Mode", "cors"}, http.StatusUnauthorized, "login_required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := w.verify(t, test.query, w.browser(t).question(test.headers...))
			if p.status != test.status || !strings.Contains(p.location+p.header.Get("X-Authgw-Redirect")+p.body, test.want) {
				t.Errorf("answer = %d %q %q %.200q, want %d with %q", p.status, p.location, p.header.Get("X-Authgw-Redirect"), p.body, test.status, test.want)
			}
			if p.status == http.StatusUnauthorized && strings.HasPrefix(p.body, "{") && p.header.Get("WWW-Authenticate") == "" {
				t.Error("a 401 without a challenge")
			}
			if got := p.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control = %q, want no-store", got)
			}
			if p.header.Get("X-Authgw-User") != "" || p.header.Get("X-Authgw-Assertion") != "" {
				t.Error("it tells of somebody")
			}
		})
	}
}

// B4, B5, C3: who may ask, and about what.
func TestVerifyAnswersDeclaredProxiesAlone(t *testing.T) {
	w := newForwardWorld(t)
	b := w.browser(t)
	b.enterRota()
	for _, test := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"the service", nil, http.StatusOK},
		{"its host in capitals", []string{"X-Forwarded-Host", "ROTA.example.TEST"}, http.StatusOK},
		{"its host with another port", []string{"X-Forwarded-Host", "rota.example.test:8443"}, http.StatusBadRequest},
		{"a host below it", []string{"X-Forwarded-Host", "x.rota.example.test"}, http.StatusBadRequest},
		{"its host with a dot", []string{"X-Forwarded-Host", "rota.example.test."}, http.StatusBadRequest},
		{"two hosts in one", []string{"X-Forwarded-Host", "rota.example.test, mail.example.test"}, http.StatusBadRequest},
		{"no host", []string{"X-Forwarded-Host", ""}, http.StatusBadRequest},
		{"a service that the gateway forwards to itself", []string{"X-Forwarded-Host", "mail.example.test"}, http.StatusBadRequest},
		{"the auth host", []string{"X-Forwarded-Host", "auth.example.test"}, http.StatusBadRequest},
		{"a service of another proxy", []string{"X-Forwarded-Host", "far.example.test"}, http.StatusBadRequest},
		{"a service of another proxy, whose address is claimed", []string{"X-Forwarded-Host", "far.example.test", "X-Forwarded-For", "192.0.2.1", "X-Real-Ip", "192.0.2.1"}, http.StatusBadRequest},
		{"in clear", []string{"X-Forwarded-Proto", "http"}, http.StatusBadRequest},
		{"no scheme", []string{"X-Forwarded-Proto", ""}, http.StatusBadRequest},
		{"no path", []string{"X-Forwarded-Uri", ""}, http.StatusBadRequest},
		{"no method", []string{"X-Forwarded-Method", ""}, http.StatusBadRequest},
		{"B2: a header of ours", []string{"X-Authgw-User", "somebody"}, http.StatusForbidden},
		{"B2: a header of ours in another spelling", []string{"X_authgw.User", "somebody"}, http.StatusForbidden},
		{"B2: a header of ours that is none yet", []string{"X-Authgw-Roles", "admin"}, http.StatusForbidden},
		{"B15: a WebSocket of the service's page", []string{"Sec-Websocket-Key", "x", "Origin", rota}, http.StatusOK},
		{"B15: a WebSocket of another page", []string{"Sec-Websocket-Key", "x", "Origin", mail}, http.StatusForbidden},
		{"B15: a WebSocket on HTTP/2 of another page", []string{"Sec-Websocket-Version", "13", "Origin", mail}, http.StatusForbidden},
		{"B15: a WebSocket of nobody's", []string{"Upgrade", "websocket"}, http.StatusForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := w.verify(t, "", b.question(test.headers...))
			if p.status != test.status || (p.header.Get("X-Authgw-User") != "") != (test.status == http.StatusOK) {
				t.Errorf("answer = %d %.200q, want %d", p.status, p.body, test.status)
			}
		})
	}
	t.Run("two hosts", func(t *testing.T) {
		r := asked(b.question())
		r.Header.Add("X-Forwarded-Host", "rota.example.test")
		rec := httptest.NewRecorder()
		w.idp.Handler(w.method).ServeHTTP(rec, r)
		if rec.Code != http.StatusBadRequest {
			t.Errorf("answer = %d, want 400", rec.Code)
		}
	})
}

func TestAsks(t *testing.T) {
	s := idp.Service{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8::7/128")}}
	for remote, want := range map[string]bool{
		"192.0.2.1:80": true, "192.0.2.15:80": true, "192.0.2.16:80": false, "[::ffff:192.0.2.1]:80": true, "[::ffff:192.0.2.16]:80": false,
		"[2001:db8::7]:80": true, "[2001:db8::8]:80": false, "[2001:db8::7%eth0]:80": true, "": false, "192.0.2.1": false, "@": false, "[::c000:201]:80": false,
	} {
		if got := idp.Asks(s, remote); got != want {
			t.Errorf("%q may ask = %t, want %t", remote, got, want)
		}
	}
	if idp.Asks(idp.Service{}, "127.0.0.1:80") {
		t.Error("somebody may ask about a service without proxies")
	}
}

func TestVerifyRefusesByTheRuleOfTheService(t *testing.T) {
	w := newForwardWorld(t)
	b := w.browser(t)
	b.enterRota()
	nurses := behindProxy()
	nurses.Rule = idp.Rule{Professions: []string{"60"}}
	c := w.idp.Config
	c.Services = []idp.Service{nurses}
	ruled, err := idp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		mode, want string
	}{"a page": {"navigate", "<h1"}, "a script": {"cors", `"service_not_allowed"`}} {
		r := asked(b.question("Accept", "text/html", "Sec-Fetch-Mode", test.mode))
		rec := httptest.NewRecorder()
		ruled.Handler().ServeHTTP(rec, r)
		if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), test.want) || rec.Header().Get("X-Authgw-User") != "" {
			t.Errorf("%s: %d %.200q", name, rec.Code, rec.Body)
		}
	}
}

// E3, E9, E6: a session is looked for each time.
func TestVerifyAfterTheSession(t *testing.T) {
	w := newForwardWorld(t)
	b := w.browser(t)
	b.enterRota()
	mailOnly := w.browser(t)
	if p, _ := mailOnly.follow(mailOnly.get(mail + "/a")); p.status != http.StatusOK {
		t.Fatal(p.status)
	}
	p := mailOnly.post(auth + "/login/card")
	mailOnly.follow(mailOnly.get(p.location, "Sec-Fetch-Site", "same-site"))
	other := mailOnly.question("Cookie", sessionCookie+"="+mailOnly.cookie(mail, sessionCookie))
	if p := w.verify(t, "", other); p.status != http.StatusSeeOther {
		t.Errorf("the token of another service's host = %d, want a redirect", p.status)
	}
	q := b.question()
	w.advance(31 * time.Minute)
	if p := w.verify(t, "", q); p.status != http.StatusSeeOther {
		t.Errorf("after 31 minutes = %d, want a redirect", p.status)
	}
	b = w.browser(t)
	b.enterRota()
	q = b.question()
	if p := w.verify(t, "", q); p.status != http.StatusOK {
		t.Fatalf("with a session = %d", p.status)
	}
	b.follow(b.post(auth + "/logout"))
	if b.cookie(rota, sessionCookie) != "" {
		t.Error("the tour has left the cookie")
	}
	if p := w.verify(t, "", q); p.status != http.StatusSeeOther {
		t.Errorf("after the sign-out = %d, want a redirect", p.status)
	}
}

// B10: what cannot be found out is refused.
func TestVerifyWithoutTheDatabase(t *testing.T) {
	w := newForwardWorld(t)
	b := w.browser(t)
	b.enterRota()
	q := b.question()
	w.store.Close()
	if p := w.verify(t, "", q); p.status != http.StatusServiceUnavailable || p.header.Get("X-Authgw-User") != "" {
		t.Errorf("answer = %d, want 503", p.status)
	}
}

// What a proxy shows when it does not pass on the gateway's answer.
func TestStart(t *testing.T) {
	w := newForwardWorld(t)
	for _, test := range []struct {
		name, address string
		headers       []string
		status        int
		want          string
	}{
		{"a page", rota + "/.authgw/start?to=%2Fday", nil, http.StatusSeeOther, auth + "/login?service=rota&state="},
		{"a script", rota + "/.authgw/start", []string{"Sec-Fetch-Mode", "cors"}, http.StatusUnauthorized, "login_required"},
		{"a form that Apache has made a GET of", rota + "/.authgw/start", []string{"Content-Type", "application/x-www-form-urlencoded"}, http.StatusUnauthorized, textOver},
		{"a service of the gateway's own proxy", mail + "/.authgw/start?to=%2Fday", nil, http.StatusNotFound, textNotFound},
		{"what is the service's", rota + "/day", nil, http.StatusNotFound, textNotFound},
		{"the auth host's page there", rota + "/auth/verify", nil, http.StatusNotFound, textNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			if p := w.browser(t).get(test.address, test.headers...); p.status != test.status || !strings.Contains(p.location+p.body, test.want) {
				t.Errorf("answer = %d %s %.200q, want %d with %q", p.status, p.location, p.body, test.status, test.want)
			}
		})
	}
	for path, want := range map[string]string{"/day?x=1": "/day?x=1", "//evil.example": "/today", `/\evil.example`: "/today", "https://evil.example": "/today", "": "/today"} {
		b := w.browser(t)
		b.get(b.get(rota + "/.authgw/start?to=" + url.QueryEscape(path)).location)
		p := b.post(auth + "/login/card")
		if p = b.get(p.location, "Sec-Fetch-Site", "same-site"); p.location != rota+want {
			t.Errorf("to=%q ends at %q, want %q (F2)", path, p.location, rota+want)
		}
		if p := b.get(rota + "/.authgw/start?to=" + url.QueryEscape(path)); p.location != rota+want {
			t.Errorf("to=%q with a session leads to %q, want %q (F2)", path, p.location, rota+want)
		}
	}
}

func TestWithoutOtherProxiesNobodyMayAsk(t *testing.T) {
	w := newWorld(t)
	w.verify(t, "", w.browser(t).question()).wantError(t, http.StatusNotFound, textNotFound)
}

// asked is a question of the proxy on this machine.
func asked(question []string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, auth+"/auth/verify", nil)
	r.RemoteAddr = "127.0.0.1:4711"
	for i := 0; i < len(question); i += 2 {
		r.Header.Set(question[i], question[i+1])
	}
	return r
}

// BenchmarkVerify is what one question about an open session costs the gateway, besides TLS and HTTP.
func BenchmarkVerify(b *testing.B) {
	m := join(b, filepath.Join(b.TempDir(), "authgw.db"), time.Now)
	_, session := m.open(b, "s1", time.Now())
	pages, err := web.NewPages(web.Site{Name: "ProMess"})
	if err != nil {
		b.Fatal(err)
	}
	service := behindProxy()
	service.Host = host
	s, err := idp.New(idp.Config{Host: "auth.example.test", Origin: auth, Services: []idp.Service{service}, Sessions: m.Sessions, Pages: pages, ServicePages: pages, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	r := asked(question(session.Header.Get("Cookie"), "X-Forwarded-Host", host))
	h := s.Handler()
	b.ReportAllocs()
	for b.Loop() {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			b.Fatalf("answer = %d %s", rec.Code, rec.Body)
		}
	}
}
