package oidc_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/token"
)

// F1: a redirect URI is one that was registered, character for character. Where it is not, the person is told, and the browser goes nowhere:
// not with an error either.
func TestF1RedirectURIIsOneOfTheClients(t *testing.T) {
	s := agenda()
	s.RedirectURIs = append(s.RedirectURIs, "https://agenda.example.test/cb?tenant=1")
	f := newFront(t, s)
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	wantCodeAt := func(uri string) {
		t.Helper()
		got := ask(b, "redirect_uri", uri)
		if to, err := url.Parse(got.Header.Get("Location")); err != nil || to.Host != "agenda.example.test" || to.Query().Get("code") == "" || to.Query().Get("tenant") != "1" {
			t.Errorf("%s: %d to %q", uri, got.Status, got.Header.Get("Location"))
		}
	}
	wantCodeAt("https://agenda.example.test/cb?tenant=1")
	for _, uri := range []string{
		"", "https://evil.example/callback", "http://agenda.example.test/callback", "https://agenda.example.test", "https://agenda.example.test/",
		frontCallback + "/", frontCallback + "/../other", frontCallback + "?x=1", frontCallback + "?", frontCallback + "#", frontCallback + "#x", frontCallback + "%2f", frontCallback + "/%2e%2e/x",
		"https://agenda.example.test:443/callback", "https://agenda.example.test./callback", "https://AGENDA.example.test/callback", "HTTPS://agenda.example.test/callback",
		"https://agenda.example.test/Callback", "https://agenda.example.test//callback", "https://agenda.example.test/./callback", "https://agenda.example.test/call%62ack",
		"https://user@agenda.example.test/callback", "https://agenda.example.test@evil.example/callback", "https://agenda.example.test%40evil.example/callback",
		"https://a@b@agenda.example.test/callback", `https://evil.example\@agenda.example.test/callback`, `https://agenda.example.test\.evil.example/callback`,
		"https://evil.example#@agenda.example.test/callback", "https://evil.example?@agenda.example.test/callback", "https://agenda.example.test.evil.example/callback",
		"https://sub.agenda.example.test/callback", "https://*.example.test/callback", "//agenda.example.test/callback", "/callback", "callback",
		"https://agenda.example.test/callback https://evil.example", " " + frontCallback, frontCallback + " ", frontCallback + "\t", frontCallback + "\n", frontCallback + "\r\nSet-Cookie: a=b", "https://agenda.example.test\x00.evil.example/callback",
		"javascript:alert(1)", "data:text/html,x", "https://agenda.example.test/cb?tenant=1&tenant=2", "https://agenda.example.test/cb?tenant=2", "https://agenda.example.test/cb",
		"https://xn--agenda-example.test/callback", "https://agenda。example.test/callback", "https://127.0.0.1/callback", "http://127.0.0.1/callback",
	} {
		for _, pairs := range [][]string{{"redirect_uri", uri}, {"redirect_uri", uri, "response_type", "token"}, {"redirect_uri", uri, "prompt", "none"}, {"redirect_uri", uri, "response_mode", "form_post"}} {
			got := ask(b, pairs...)
			wantPage(t, got, http.StatusBadRequest)
			if uri != "" && strings.Contains(got.Body, "evil.example") {
				t.Errorf("%q is on the page", uri)
			}
		}
	}
	for _, e := range f.Events(t, audit.AuthorizationRefused) {
		if strings.Contains(e.Detail, "evil") || e.Support == "" {
			t.Errorf("audit %+v: want a support code, and nothing of the request", e)
		}
	}
}

// RFC 6749, section 4.1.2.1: an unknown client is not answered, wherever it wants to be.
func TestUnknownClientIsNotAnswered(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	for _, id := range []string{"", "other", "AGENDA", "agenda ", "agenda\x00", "../agenda", strings.Repeat("a", 2000), "' OR 1=1 --"} {
		wantPage(t, ask(b, "client_id", id), http.StatusBadRequest)
	}
}

// RFC 6749, section 3.1: nothing is there twice. Of two, the one that is checked would not be the one that is used.
func TestParameterThatIsThereTwiceIsRefused(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	for name, more := range map[string]string{
		"redirect_uri":   "&redirect_uri=https%3A%2F%2Fevil.example%2F",
		"the same":       "&redirect_uri=" + url.QueryEscape(frontCallback),
		"client_id":      "&client_id=other",
		"state":          "&state=x",
		"code_challenge": "&code_challenge=" + hashOf("x"),
		"unknown":        "&x=1&x=2",
		"empty":          "&state=",
		"a semicolon":    "&a=1;b=2",
		"half an escape": "&a=%4",
		"no text":        "&a=%ff",
		"a line end":     "&a=%0d%0a",
		"NUL":            "&nonce2=%00",
		"very many":      strings.Repeat("&a", 100),
		"very long":      "&nonce2=" + strings.Repeat("n", 4000),
		"longer still":   "&a=" + strings.Repeat("n", 17<<10),
	} {
		t.Run(name, func(t *testing.T) {
			wantPage(t, b.Get("/oauth/authorize?"+request().Encode()+more), http.StatusBadRequest)
			wantPage(t, b.Get("/oauth/authorize?"+strings.TrimPrefix(more, "&")+"&"+request().Encode()), http.StatusBadRequest)
		})
	}
}

// F10: nobody is asked for what a request_uri names.
func TestF10RequestURIIsNotFetched(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan struct{}, 1)
	go func() { // ends when l is closed
		if c, err := l.Accept(); err == nil {
			asked <- struct{}{}
			c.Close()
		}
	}()
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	for _, uri := range []string{"http://" + l.Addr().String() + "/r.jwt", "https://" + l.Addr().String() + "/r.jwt#x"} {
		wantError(t, ask(b, "request_uri", uri), "request_uri_not_supported")
	}
	wantPage(t, ask(b, "request_uri", "urn:ietf:params:oauth:request_uri:"+token.New()), http.StatusBadRequest)
	wantPage(t, ask(b, "request_uri", "urn:ietf:params:oauth:request_uri:http://"+l.Addr().String()), http.StatusBadRequest)
	select {
	case <-asked:
		t.Error("somebody was asked for a request_uri")
	default:
	}
}

// Login CSRF: a request goes on in the browser that brought it. Somebody who is led to another's has no cookie of it, and signs in for the
// portal; the request is still there for its own.
func TestRequestIsItsBrowsersAlone(t *testing.T) {
	s := agenda()
	s.Consent = true
	f := newFront(t, s)
	attacker, victim := f.Browser(t, "127.0.0.2"), f.Browser(t, "127.0.0.3")
	wantLogin(t, attacker, ask(attacker))
	got := attacker.Post("/login/believed")
	resume := got.Location
	handle := strings.TrimPrefix(resume, "/oauth/resume?request=")

	victim.LogIn()
	for _, path := range []string{resume, "/oauth/consent?request=" + handle} {
		wantPage(t, victim.Get(path), http.StatusForbidden)
	}
	for _, answer := range []string{"agree", "refuse"} {
		wantPage(t, victim.Post("/oauth/consent", "request", handle, "answer", answer), http.StatusForbidden)
	}
	wantPage(t, victim.Post("/oauth/refuse", "request", handle), http.StatusForbidden)

	// One with a cookie of its own, from a request of its own.
	wantLogin(t, victim, ask(victim, "prompt", "login"))
	wantPage(t, victim.Get(resume), http.StatusForbidden)
	// Two cookies are none.
	both := victim.Do(http.MethodGet, resume, "", "", "Cookie", "__Host-authgw-asked="+victim.Cookie("__Host-authgw-asked")+"; __Host-authgw-asked="+attacker.Cookie("__Host-authgw-asked"))
	wantPage(t, both, http.StatusForbidden)

	if got := attacker.Get(resume); got.Status != http.StatusSeeOther || got.Location != "/oauth/consent?request="+handle {
		t.Errorf("its own browser: %d to %q", got.Status, got.Location)
	}
	// Another site's form agrees to nothing.
	got = attacker.Do(http.MethodPost, "/oauth/consent", "application/x-www-form-urlencoded", "request="+handle+"&answer=agree", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
	if got.Status != http.StatusForbidden {
		t.Errorf("a form of another site = %d", got.Status)
	}
	if n := len(f.Events(t, audit.AuthorizationGranted)); n != 0 {
		t.Errorf("%d codes were given", n)
	}
}

// E9, F2: a request is over after an hour, after its answer, and when the client is no longer what it was.
func TestRequestThatIsOverLeadsNowhere(t *testing.T) {
	f := newFront(t, agenda())
	begin := func(at string) (*idptest.Browser, string) {
		b := f.Browser(t, at)
		wantLogin(t, b, ask(b))
		return b, b.Post("/login/believed").Location
	}
	b, resume := begin("127.0.0.2")
	wantCode(t, b.Get(resume))
	wantPage(t, b.Get(resume), http.StatusForbidden)

	b, resume = begin("127.0.0.3")
	s := agenda()
	s.RedirectURIs = []string{"https://agenda.example.test/new"}
	f.have(t, s)
	wantPage(t, b.Get(resume), http.StatusForbidden)
	f.have(t)
	wantPage(t, b.Get(resume), http.StatusForbidden)
	f.have(t, agenda())
	wantCode(t, b.Get(resume))

	b, resume = begin("127.0.0.4")
	f.Advance(61 * time.Minute)
	wantPage(t, b.Get(resume), http.StatusForbidden)
	// The login page has forgotten it too: who signs in comes to the portal.
	if got := b.Get("/login"); strings.Contains(got.Body, "Agenda") {
		t.Error("the login page still says that the service asks")
	}
	if got := b.Post("/login/believed"); got.Location != "/" {
		t.Errorf("login leads to %q", got.Location)
	}
}

// C-lessons on redirects: where a login leads is the gateway's to say, whatever is written behind resume.
func TestResumeTakesNoOtherAddress(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	for _, path := range []string{
		"/oauth/resume", "/oauth/resume?request=", "/oauth/resume?request=https://evil.example", "/oauth/resume?request=" + strings.Repeat("A", 43),
		"/oauth/resume?redirect_uri=https://evil.example&request=" + token.New(), "/oauth/resume?request=%00", "/oauth/consent", "/oauth/consent?request=//evil.example",
	} {
		wantPage(t, b.Get(path), http.StatusForbidden)
	}
}

// Clickjacking: no page of the provider is shown in a frame of another site.
func TestPagesOfTheProviderAreNotFramed(t *testing.T) {
	s := agenda()
	s.Consent = true
	f := newFront(t, s)
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	got := ask(b)
	page := b.Get(b.Get(got.Location).Location)
	for name, got := range map[string]idptest.Answer{"consent": page, "refusal": ask(b, "client_id", "x"), "form post": ask(b, "response_mode", "form_post", "scope", "x")} {
		if !strings.Contains(got.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || got.Header.Get("X-Frame-Options") != "DENY" || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", name, got.Header)
		}
	}
	if !strings.Contains(page.Body, `value="agree"`) {
		t.Errorf("no consent page:\n%s", page.Body)
	}
}

// G10: who is not signed in cannot fill the database or the trail.
func TestG10RequestsThatAreKeptAreBounded(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	refused := 0
	for range 260 {
		switch got := ask(b); got.Status {
		case http.StatusSeeOther:
		case http.StatusTooManyRequests:
			refused++
			if got.Header.Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		default:
			t.Fatalf("%d", got.Status)
		}
	}
	if refused != 60 {
		t.Errorf("%d of 260 requests at one moment are refused, want 60", refused)
	}
	other := f.Browser(t, "127.0.0.3")
	for range 200 {
		wantPage(t, ask(other, "client_id", "x"), http.StatusBadRequest)
	}
	if n := len(f.Events(t, audit.AuthorizationRefused)); n != 100 {
		t.Errorf("%d refusals of one network are in the trail, want 100", n)
	}
}

// A request that goes on in many tabs at once is answered in one of them (F3: one code, for one grant).
func TestRequestIsAnsweredOnce(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	wantLogin(t, b, ask(b))
	resume := b.Post("/login/believed").Location
	codes := make(chan bool, 8)
	for range cap(codes) {
		go func() { // ends with its answer
			r := httptest.NewRequest(http.MethodGet, idptest.Origin+resume, nil)
			for _, name := range []string{"__Host-authgw", "__Host-authgw-asked"} {
				r.AddCookie(&http.Cookie{Name: name, Value: b.Cookie(name)})
			}
			w := httptest.NewRecorder()
			f.Handler.ServeHTTP(w, r)
			codes <- strings.Contains(w.Header().Get("Refresh"), "code=")
		}()
	}
	n := 0
	for range cap(codes) {
		if <-codes {
			n++
		}
	}
	if granted := len(f.Events(t, audit.AuthorizationGranted)); n != 1 || granted != 1 {
		t.Errorf("%d codes, %d in the trail, want one", n, granted)
	}
}
