package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/gateway"
	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/testpki"
)

// A1: a file that is missing, empty or holds anything else stops the start, and is named. It never means those of the system.
func TestA1UnusableFilesStopTheStart(t *testing.T) {
	for _, kind := range []struct {
		name, file string
	}{
		{"server certificate", "server.pem"},
		{"server key", "server.key"},
		{"authorities of the backend", "backend.pem"},
		{"authority of cards", "trust/AC_IGC-SANTE_FORT_PERSONNES.pem"},
		{"revocation list", "crl/AC_IGC-SANTE_FORT_PERSONNES.crl"},
	} {
		for _, state := range []struct {
			name string
			data []byte // nil: the file is missing
		}{
			{"missing", nil},
			{"empty", []byte{}},
			{"garbage", []byte("\x30\x82\xff\xffthis is no certificate")},
			{"PEM of something else", []byte("-----BEGIN NOTE-----\nAAAA\n-----END NOTE-----\n")},
			{"cut off", []byte("-----BEGIN CERTIFICATE-----\nMIIB\n")},
		} {
			if state.data == nil && kind.name == "authority of cards" {
				continue // a directory without one of its files is a directory
			}
			t.Run(kind.name+" "+state.name, func(t *testing.T) {
				f := newFiles(t)
				name := kind.file
				if state.data == nil {
					if err := os.Remove(f.path(name)); err != nil {
						t.Fatal(err)
					}
				} else {
					f.write(t, name, state.data)
				}
				g, err := f.open(t, io.Discard, io.Discard)
				if err == nil {
					g.Close()
					t.Fatal("the gateway starts")
				}
				if !strings.Contains(err.Error(), name[strings.LastIndex(name, "/")+1:]) {
					t.Errorf("error = %q, want the name of %s in it", err, name)
				}
			})
		}
	}
	for name, change := range map[string]func(f *files){
		"no directory of authorities":  func(f *files) { f.config.Card.Trust = f.path("nowhere") },
		"a directory without any":      func(f *files) { f.config.Card.Trust = f.path("crl") },
		"an issuer that is not there":  func(f *files) { f.config.Card.Issuers = []string{"AC NOWHERE"} },
		"a certificate of other names": func(f *files) { f.config.Hosts.Card = "card.example.org" },
		"no certificate":               func(f *files) { f.config.TLS = nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiles(t)
			change(f)
			if g, err := f.open(t, io.Discard, io.Discard); err == nil {
				g.Close()
				t.Error("the gateway starts")
			}
		})
	}
}

// A16: the lists are in force from the first request on.
func TestA16RevokedCardIsRefusedRightAfterTheStart(t *testing.T) {
	f := newFiles(t)
	card := f.card(t, testpki.Card{})
	must(t, func() ([]string, error) { return f.pki.WriteCRLs(f.path("crl"), card.Leaf) })
	p := f.run(t).person(t, card)
	if status, body, _ := p.logIn(); status != http.StatusForbidden || !strings.Contains(body, "Votre carte est en opposition") {
		t.Errorf("login = %d %.200s, want the page of a revoked card", status, body)
	}
	p.wantSignedIn(false)
}

func TestNewRevocationListsComeIntoForce(t *testing.T) {
	f := newFiles(t)
	card := f.card(t, testpki.Card{})
	r := f.run(t)
	p := r.person(t, card)
	if status, _, _ := p.logIn(); status != http.StatusSeeOther {
		t.Fatalf("login = %d", status)
	}
	r.Refresh() // nothing has changed
	loaded := strings.Count(r.audit.String(), `"crl_loaded"`)
	if want := len(f.config.Card.CRLs); loaded != want {
		t.Errorf("lists in the audit = %d, want %d", loaded, want)
	}

	list := "crl/AC_IGC-SANTE_FORT_PERSONNES.crl"
	good, err := os.ReadFile(f.path(list))
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string][]byte{"garbage": []byte("garbage"), "empty": {}, "cut off": good[:len(good)-10]} {
		f.write(t, list, broken)
		r.Refresh()
		if !strings.Contains(r.log.String(), "new revocation lists refused, the old ones stay in force") {
			t.Errorf("%s: nothing in the log", name)
		}
		if status, body := r.get(t, "/readyz"); status != http.StatusOK || !strings.Contains(body, "the revocation lists on disk are refused") {
			t.Errorf("%s: readyz = %d %s, want a warning", name, status, body)
		}
		if status, _, _ := p.logIn(); status != http.StatusSeeOther {
			t.Errorf("%s: login = %d, want the old lists in force", name, status)
		}
	}
	if err := os.Remove(f.path(list)); err != nil {
		t.Fatal(err)
	}
	r.Refresh()
	if status, _, _ := p.logIn(); status != http.StatusSeeOther {
		t.Errorf("file removed: login = %d, want the old lists in force", status)
	}

	must(t, func() ([]string, error) { return f.pki.WriteCRLs(f.path("crl"), card.Leaf) })
	r.Refresh()
	if _, body := r.get(t, "/readyz"); strings.Contains(body, "refused") {
		t.Errorf("readyz still warns: %s", body)
	}
	if status, body, _ := p.logIn(); status != http.StatusForbidden || !strings.Contains(body, "en opposition") {
		t.Errorf("login with the new list = %d, want the page of a revoked card", status)
	}
}

// get asks the admin listener.
func (r *running) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(r.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(data)
}

// G3, G4: nobody administers over HTTP, so there is nobody to be raised, and nothing that a page in a browser on the server's own machine could have done.
// Commands do it, by whoever may read the configuration. The admin listener answers questions, and takes nothing.
func TestG3G4TheAdminListenerTakesNothing(t *testing.T) {
	r := newFiles(t).run(t)
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/config", "/load", "/reload", "/stop", "/users", "/clients", "/keys", "/sessions"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
			q := must(t, func() (*http.Request, error) {
				return http.NewRequest(method, r.admin+path, strings.NewReader(`{"role":"admin"}`))
			})
			q.Header.Set("Origin", "https://evil.example")
			answer := must(t, func() (*http.Response, error) { return client.Do(q) })
			answer.Body.Close()
			if answer.StatusCode != http.StatusMethodNotAllowed && answer.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s = %d, want a refusal", method, path, answer.StatusCode)
			}
			for name := range answer.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s: %s is sent, which lets pages of others read", method, path, name)
				}
			}
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	f := newFiles(t)
	r := f.run(t)
	if status, body := r.get(t, "/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz = %d %q", status, body)
	}
	if status, body := r.get(t, "/readyz"); status != http.StatusOK || body != `{"ready":true,"problems":[]}`+"\n" {
		t.Errorf("readyz = %d %q", status, body)
	}
	for _, path := range []string{"/", "/login", "/debug/pprof/", "/healthz/x"} { // G5
		if status, _ := r.get(t, path); status != http.StatusNotFound {
			t.Errorf("admin %s = %d, want 404", path, status)
		}
	}
	if err := r.CloseStore(); err != nil {
		t.Fatal(err)
	}
	if status, body := r.get(t, "/readyz"); status != http.StatusServiceUnavailable || body != `{"ready":false,"problems":["the database does not answer"]}`+"\n" {
		t.Errorf("readyz without the database = %d %q", status, body)
	}
	if status, _ := r.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("healthz without the database = %d, want 200: the process lives", status)
	}
}

// A17: a list that is outdated or missing does not stop the start, and everybody is told.
func TestReadinessTellsOfLists(t *testing.T) {
	f := newFiles(t)
	past := must(t, func() ([]byte, error) {
		return f.pki.CRL(f.pki.FortPersonnes, testpki.CRL{ThisUpdate: time.Now().AddDate(0, 0, -9), NextUpdate: time.Now().AddDate(0, 0, -2)})
	})
	f.write(t, "crl/AC_IGC-SANTE_FORT_PERSONNES.crl", past)
	f.config.Card.CRLs = []string{f.path("crl/AC_IGC-SANTE_FORT_PERSONNES.crl"), f.path("crl/AC_RACINE_IGC-SANTE_FORT.crl")}
	r := f.run(t)
	status, body := r.get(t, "/readyz")
	if status != http.StatusServiceUnavailable {
		t.Errorf("readyz = %d, want 503", status)
	}
	for _, want := range []string{
		"the revocation list of AC IGC-SANTE FORT PERSONNES was good until ",
		"no revocation list of AC IGC-SANTE STANDARD PERSONNES", "no revocation list of AC RACINE IGC-SANTE STANDARD",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("readyz does not say %q: %s", want, body)
		}
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	if strings.Contains(body, "RACINE IGC-SANTE FORT\"") {
		t.Errorf("readyz complains of a list that is good: %s", body)
	}
	p := r.person(t, f.card(t, testpki.Card{}))
	if status, body, _ := p.logIn(); status != http.StatusForbidden || !strings.Contains(body, "Vérification de la carte impossible") {
		t.Errorf("login = %d %.200s", status, body)
	}
}

// What lowers security is said at every start, in the log and in the audit.
func TestLoweredSecurityIsSaid(t *testing.T) {
	f := newFiles(t)
	f.config.Card.AllowTest, f.config.Card.InsecureSkipRevocation, f.config.Card.CRLs = true, true, nil
	r := f.run(t)
	if status, body := r.get(t, "/readyz"); status != http.StatusOK {
		t.Errorf("readyz = %d %s", status, body)
	}
	for _, want := range []string{"security is lowered", "card.allow_test", "card.insecure_skip_revocation"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	if !strings.Contains(r.audit.String(), `"revocation_skipped"`) {
		t.Error("the audit does not say that revocation is skipped")
	}
	p := r.person(t, f.card(t, testpki.Card{}))
	if status, _, _ := p.logIn(); status != http.StatusSeeOther {
		t.Errorf("login = %d", status)
	}
}

// No line of a whole login, at level debug, names the person or holds a secret.
func TestLogNamesNobody(t *testing.T) {
	f := newFiles(t)
	r := f.run(t)
	p := r.person(t, f.card(t, testpki.Card{GivenName: "ZOÉ", FamilyName: "QUERTIER", NationalID: "810001234567", Profession: 10}))
	if _, location, _ := p.visit(http.MethodGet, mail+"/folder/of-zoe"); !strings.HasPrefix(location, auth+"/login?") {
		t.Fatalf("service leads to %s", location)
	} else {
		p.visit(http.MethodGet, location)
	}
	status, _, secrets := p.logIn()
	if status != http.StatusSeeOther {
		t.Fatalf("login = %d", status)
	}
	_, entry, _ := p.visit(http.MethodGet, mail+"/folder/of-zoe")
	_, enter, _ := p.visit(http.MethodGet, entry)
	p.visit(http.MethodGet, enter)
	if _, _, body := p.visit(http.MethodGet, mail+"/"); body != "the mailbox of 810001234567" {
		t.Fatalf("service = %.100q", body)
	}
	secrets = append(secrets, p.cookies()...)
	p.visit(http.MethodPost, auth+"/logout")
	text := r.log.String() + r.audit.String()
	for _, secret := range append(secrets, "ZOÉ", "QUERTIER", "810001234567", "10001234567", "of-zoe", "2800636234", "PRIVATE KEY") {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log or the audit", secret)
		}
	}
	if !strings.Contains(text, `"session_ended"`) {
		t.Error("the audit is not the one of this login")
	}
}

func TestRunEndsThoughAnAgentWaits(t *testing.T) {
	f := newFiles(t)
	r := f.run(t)
	p := r.person(t, f.card(t, testpki.Card{}))
	_, _, secrets := p.logIn()
	sent, answered := make(chan struct{}), make(chan error, 1)
	wrote := sync.OnceFunc(func() { close(sent) })
	p.agent.Transport = traced{p.agent.Transport, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { wrote() }}}
	go func() {
		var w cardwire.Watched
		answered <- p.tell(auth+cardwire.WatchPath, cardwire.Watch{Token: secrets[2], Card: cardwire.CardPresent}, &w)
	}()
	select {
	case <-sent: // or it would come to a gateway that takes no connections any more
	case err := <-answered:
		t.Fatalf("the watch was not sent: %v", err)
	}
	select {
	case err := <-answered:
		t.Fatalf("the watch was answered at once: %v", err)
	case <-time.After(200 * time.Millisecond): // it is held: there is no event to wait for
	}
	begun := time.Now()
	r.cancel()
	select {
	case err := <-r.ended:
		r.ended <- err // for the cleanup
	case <-time.After(gateway.Grace):
		t.Fatal("Run has not ended within its grace")
	}
	if d := time.Since(begun); d > gateway.Grace/2 {
		t.Errorf("the end took %v", d)
	}
	if err := <-answered; err != nil {
		t.Errorf("the agent got no answer: %v", err)
	}
}

// traced is a transport that tells of what it does.
type traced struct {
	http.RoundTripper
	trace *httptrace.ClientTrace
}

func (t traced) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.RoundTripper.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), t.trace)))
}

// Two gateways on one database: what one opens the other knows, and what one ends is over on both.
func TestTwoGatewaysOnOneDatabase(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { testTwoGateways(t, newFiles(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		f := newFiles(t)
		f.config.Database = pgtest.Database(t)
		testTwoGateways(t, f)
	})
}

func testTwoGateways(t *testing.T, f *files) {
	one, two := f.run(t), f.run(t)
	p := one.person(t, f.card(t, testpki.Card{}))
	if status, _, _ := p.logIn(); status != http.StatusSeeOther {
		t.Fatalf("login = %d", status)
	}
	p.at = two
	p.wantSignedIn(true)
	if status, _, _ := p.visit(http.MethodPost, auth+"/logout"); status >= http.StatusBadRequest {
		t.Errorf("logout = %d", status)
	}
	p.at = one
	p.wantSignedIn(false)
}
