package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cpu is what the process has spent, user and system.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serve answers a request without a network, which the benchmarks are not about.
func (b *backend) serve(tb testing.TB, r *http.Request) *httptest.ResponseRecorder {
	tb.Helper()
	w := httptest.NewRecorder()
	b.http.Config.Handler.ServeHTTP(w, r)
	return w
}

func formRequest(path string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// tokenRequest is one for a code.
func tokenRequest(code string) *http.Request {
	return formRequest("/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
		"client_id": {"agenda"}, "client_secret": {secretOf("agenda")},
	})
}

// BenchmarkIntrospect asks about tokens that are in memory, a thousand of them, with the client's secret: everything but the network. The issue
// wants 10,000 a second of one core.
func BenchmarkIntrospect(b *testing.B) {
	g := newBackend(b, sqliteFile(b), nil)
	v := g.session(b, "s1")
	var forms []string
	for range 1000 {
		w := g.serve(b, tokenRequest(g.code(b, "agenda", v, "openid", "profile")))
		form := url.Values{"client_id": {"agenda"}, "client_secret": {secretOf("agenda")}, "token": {word(b, w, "access_token")}}.Encode()
		forms = append(forms, form)
	}
	ask := func(i int) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/oauth/introspect", strings.NewReader(forms[i%len(forms)]))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return g.serve(b, r)
	}
	for i := range forms {
		ask(i)
	}
	b.ReportAllocs()
	before, n := cpu(b), 0
	for b.Loop() {
		if w := ask(n); !strings.Contains(w.Body.String(), `"active":true`) {
			b.Fatal(w.Body)
		}
		n++
	}
	spent := cpu(b) - before
	b.ReportMetric(float64(spent.Microseconds())/float64(n), "cpu-µs/op")
	b.ReportMetric(float64(n)/spent.Seconds(), "per-cpu-s")
}

// word is a member of an answer.
func word(tb testing.TB, w *httptest.ResponseRecorder, name string) string {
	tb.Helper()
	_, rest, found := strings.Cut(w.Body.String(), `"`+name+`":"`)
	text, _, _ := strings.Cut(rest, `"`)
	if !found || w.Code != http.StatusOK {
		tb.Fatalf("%d %s: no %s", w.Code, w.Body, name)
	}
	return text
}

// BenchmarkTokenIssue exchanges codes for an access, a refresh and an ID token by ES256: the client's secret, the code, its verifier, the
// session, which is in memory since the browser came, the database, which is a file, and the signature. The grants are written before. The
// issue bounds cpu-µs/op at 300.
func BenchmarkTokenIssue(b *testing.B) {
	g := newBackend(b, sqliteFile(b), nil)
	v := g.session(b, "s1")
	v.ID = "s2"
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: "__Host-authgw", Value: g.write(b, v)})
	if _, err := g.sessions.Find(r, strings.TrimPrefix(g.issuer, "https://")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var spent time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		r := tokenRequest(g.code(b, "agenda", v, "openid", "profile", "offline_access"))
		b.StartTimer()
		before := cpu(b) // the timer costs something too
		w := g.serve(b, r)
		spent += cpu(b) - before
		b.StopTimer()
		word(b, w, "id_token")
		n++
		b.StartTimer()
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(n), "cpu-µs/op")
}

// BenchmarkCodeFlow is a login at a client by a person who has a session: authorize, token and userinfo, everything but the network.
func BenchmarkCodeFlow(b *testing.B) {
	g := newBackend(b, sqliteFile(b), nil)
	v := g.session(b, "s1")
	v.ID = "s2"
	cookie := g.write(b, v)
	q := url.Values{
		"client_id": {"agenda"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile email"}, "state": {"x"}, "nonce": {"n"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}.Encode()
	b.ReportAllocs()
	before, n := cpu(b), 0
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, "/oauth/authorize?"+q, nil)
		r.AddCookie(&http.Cookie{Name: "__Host-authgw", Value: cookie})
		w := g.serve(b, r)
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil || to.Query().Get("code") == "" {
			b.Fatalf("%d %s: no code", w.Code, w.Header().Get("Location"))
		}
		w = g.serve(b, tokenRequest(to.Query().Get("code")))
		r = httptest.NewRequest(http.MethodGet, "/oauth/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+word(b, w, "access_token"))
		if w = g.serve(b, r); w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
		n++
	}
	spent := cpu(b) - before
	b.ReportMetric(float64(spent.Microseconds())/float64(n), "cpu-µs/op")
	b.ReportMetric(3*float64(n)/spent.Seconds(), "requests/cpu-s")
}
