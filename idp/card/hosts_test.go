package card_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/token"
)

func TestBrowserWithItsOwnCard(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	key := &counting{Signer: must(t, cardKey)}
	cert.PrivateKey = key
	b := w.browser(t, &cert)
	for range 2 {
		before := key.signed.Load()
		p := b.send(http.MethodPost, auth+"/login/card/browser")
		if !strings.HasPrefix(p.location, browserHost+"/login/card/prove/") {
			t.Fatalf("leads to %d %s, want the browser card host", p.status, p.location)
		}
		proved := b.get(p.location)
		code, ok := strings.CutPrefix(proved.location, auth+cardwire.CallbackPath)
		if !ok || proved.status != http.StatusSeeOther {
			t.Fatalf("proof leads to %d %s, want the callback", proved.status, proved.location)
		}
		b.callback(code)
		b.wantSignedIn(true)
		if n := key.signed.Load() - before; n != 1 { // A29: at the second login too
			t.Errorf("signatures = %d, want 1", n)
		}
		// The handle is used up, and the answer leads to the page that says so.
		again := b.get(p.location)
		if again.location != auth+cardwire.CallbackPath+"unknown" {
			t.Errorf("the same proof again leads to %s", again.location)
		}
		b.send(http.MethodPost, auth+"/logout")
		b.wantUnknown(b.callback("unknown"))
	}
}

// The browser card host speaks TLS 1.2 only, where a browser's card signs in the handshake; the agent's host speaks both.
func TestA27VersionsOfTheCardHosts(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name     string
		max, got uint16
	}{
		{"browser-card.example.test", tls.VersionTLS13, tls.VersionTLS12},
		{"card.example.test", tls.VersionTLS13, tls.VersionTLS13},
		{"card.example.test", tls.VersionTLS12, tls.VersionTLS12},
	} {
		conn, err := tls.Dial("tcp", w.address, &tls.Config{ServerName: test.name, MaxVersion: test.max, RootCAs: w.pki.ServerRoots(), Time: start})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().Version; got != test.got {
			t.Errorf("%s = %s, want %s", test.name, tls.VersionName(got), tls.VersionName(test.got))
		}
		conn.Close()
		if test.max == tls.VersionTLS13 {
			_, err := tls.Dial("tcp", w.address, &tls.Config{ServerName: test.name, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10, RootCAs: w.pki.ServerRoots()})
			if err == nil {
				t.Errorf("%s speaks TLS 1.1", test.name)
			}
		}
	}
}

func TestBrowserWithoutACardIsTold(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t, nil)
	p := b.get(b.get(b.send(http.MethodPost, auth+"/login/card/browser").location).location)
	if p.status != http.StatusForbidden || !strings.Contains(p.body, "Aucune carte présentée") {
		t.Errorf("page = %d %q", p.status, heading(p.body))
	}
	if e := w.events(t, audit.LoginRefused); len(e) != 1 || e[0].Reason != "none" {
		t.Errorf("audit = %+v, want none", e)
	}
	b.wantSignedIn(false)
}

// A relayed link of the browser card host: the victim's card settles the attacker's login, and the code goes to the victim's browser,
// where it is refused and burnt.
func TestRelayOverTheBrowserCardHost(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	attacker, victim := w.browser(t, nil), w.browser(t, &cert)
	link := attacker.send(http.MethodPost, auth+"/login/card/browser").location
	proved := victim.get(link, "Sec-Fetch-Site", "cross-site")
	code := strings.TrimPrefix(proved.location, auth+cardwire.CallbackPath)
	victim.wantUnknown(victim.callback(code))
	attacker.wantUnknown(attacker.callback(code))
	if e := w.events(t, audit.LoginRefused); len(e) != 2 || e[0].Reason != "other_browser" || e[1].Reason != "code_unknown" {
		t.Errorf("audit = %+v, want other_browser, then code_unknown", e)
	}
}

// The card hosts have nothing but the proof, and leave nothing to a second request on the connection.
func TestCardHostsShowNothing(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t, nil)
	for _, path := range []string{"/", "/login", "/login/card/prove", "/static/style.css", "/oauth/keys"} {
		if p := b.get(cardHost + path); p.status != http.StatusNotFound && p.status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s%s = %d, want 404", cardHost, path, p.status)
		}
		if p := b.get(browserHost + path); p.location != auth+"/login" {
			t.Errorf("GET %s%s = %d %s, want the login page", browserHost, path, p.status, p.location)
		}
	}
	for _, handle := range []string{"x", token.New(), token.New()[1:]} {
		if p := b.get(browserHost + "/login/card/prove/" + handle); p.location != auth+cardwire.CallbackPath+"unknown" {
			t.Errorf("an unknown handle leads to %d %s", p.status, p.location)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, browserHost+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if !answer.Close || answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("answer closes = %t, headers %v; want the connection closed, no-store, no-referrer", answer.Close, answer.Header)
	}
}

// B10 on the browser card host: the browser is sent back and told, not left with an error of its own.
func TestB10BrowserCardHostWithoutDatabase(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b := w.browser(t, &cert)
	link := b.send(http.MethodPost, auth+"/login/card/browser").location
	w.store.Close()
	if p := b.get(link); p.location != auth+cardwire.CallbackPath+"unknown" {
		t.Errorf("leads to %d %s", p.status, p.location)
	}
}

// Agents' requests that are none get a word in JSON and the right status.
func TestAgentRequestsThatAreNone(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	a := w.agent(t, &cert, 0)
	handle := token.New()
	object := `{"handle":"` + handle + `"}`
	for _, test := range []struct {
		name, body string
		status     int
		word       string
	}{
		{"a handle that is not known", object, http.StatusNotFound, "login_unknown"},
		{"no body", "", http.StatusBadRequest, "bad_request"},
		{"not JSON", "handle=x", http.StatusBadRequest, "bad_request"},
		{"half an object", `{"handle":"`, http.StatusBadRequest, "bad_request"},
		{"an unknown field", `{"handle":"` + handle + `","admin":true}`, http.StatusBadRequest, "bad_request"},
		{"two objects", object + object, http.StatusBadRequest, "bad_request"},
		{"an object and more", object + "x", http.StatusBadRequest, "bad_request"},
		{"a list", "[" + object + "]", http.StatusBadRequest, "bad_request"},
		{"another type", `{"handle":1}`, http.StatusBadRequest, "bad_request"},
		{"null", `null`, http.StatusNotFound, "login_unknown"},
		{"an empty object", `{}`, http.StatusNotFound, "login_unknown"},
		{"a large handle", `{"handle":"` + strings.Repeat("a", 8000) + `"}`, http.StatusNotFound, "login_unknown"},
		{"deep nesting", strings.Repeat("[", 8000), http.StatusBadRequest, "bad_request"},
	} {
		for _, address := range []string{auth + cardwire.FetchPath, cardHost + cardwire.ProvePath} {
			if status, word := a.post(address, strings.NewReader(test.body), &struct{}{}); status != test.status || word != test.word {
				t.Errorf("%s to %s = %d %q, want %d %q", test.name, address, status, word, test.status, test.word)
			}
		}
	}
	large := `{"handle":"` + strings.Repeat("a", cardwire.MaxBody) + `"}`
	if status, word := a.post(auth+cardwire.FetchPath, strings.NewReader(large), &struct{}{}); status != http.StatusRequestEntityTooLarge || word != "too_large" {
		t.Errorf("too large = %d %q, want 413 too_large", status, word)
	}
	// Without a length the limit shows only while reading.
	if status, word := a.post(cardHost+cardwire.ProvePath, struct{ *strings.Reader }{strings.NewReader(large)}, &struct{}{}); status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large on the card host = %d %q, want 413", status, word)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		b := w.browser(t, nil)
		for _, path := range []string{cardwire.FetchPath, cardwire.WatchPath} {
			if p := b.send(method, auth+path); p.status != http.StatusMethodNotAllowed && p.status != http.StatusNotFound && p.status != http.StatusForbidden {
				t.Errorf("%s %s = %d, want a refusal", method, path, p.status)
			}
		}
	}
}

// A body that does not come is given up after 10 s, with a status that says so.
func TestSlowBodyTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, address := range map[string]string{"auth host": auth + cardwire.FetchPath, "card host": cardHost + cardwire.ProvePath} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := &stalled{head: strings.NewReader(`{"handle":"`), end: make(chan struct{})}
			defer close(body.end)
			status, word := w.agent(t, nil, 0).post(address, body, &struct{}{})
			if status != http.StatusRequestTimeout || word != "timeout" {
				t.Errorf("answer = %d %q, want 408 timeout", status, word)
			}
		})
	}
}

// stalled is a body of which only the head ever comes.
type stalled struct {
	head *strings.Reader
	end  chan struct{}
}

func (s *stalled) Read(p []byte) (int, error) {
	if s.head.Len() > 0 {
		return s.head.Read(p)
	}
	<-s.end
	return 0, http.ErrAbortHandler
}
