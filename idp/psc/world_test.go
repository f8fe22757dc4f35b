package psc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/psc"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/vhost"
	"promess/authgw/internal/web"
)

const (
	authHost = "auth.example.test"
	auth     = "https://" + authHost
	mail     = "https://mail.example.test"
	clientID = "promess-essais"
	secret   = "un secret + des signes: %&=/ 1"
)

// installed is oidc-provider, which all tests of the package have one installation of. TestMain sets it.
var installed *psctest.NPM

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(standInVariable) != "" {
		if err := standIn(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "psc")
	if err == nil {
		defer os.RemoveAll(dir)
		installed, err = psctest.InstallNPMIn(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// onBoth runs a scenario before both stand-ins.
func onBoth(t *testing.T, scenario func(t *testing.T, k psctest.Kind)) {
	t.Helper()
	for _, k := range []psctest.Kind{psctest.Go{}, installed} {
		t.Run(k.String(), func(t *testing.T) { scenario(t, k) })
	}
}

var hierarchy = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true}) })

// clock is the real one, which tests move forward: the stand-ins have the real one.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// output is what is written, read while it is.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// world is an auth host with PSC as the only way in, before a stand-in.
type world struct {
	*clock
	psc        *psctest.Server
	method     *psc.Method
	idp        *idp.Server
	store      *store.Store
	database   string
	audit, log output
	address    string
	pki        *testpki.PKI
}

func newWorld(t testing.TB, changes ...func(*psc.Config)) *world {
	t.Helper()
	return newWorldBefore(t, psctest.Go{}, changes...)
}

// newWorldBefore makes one before a kind of stand-in.
func newWorldBefore(t testing.TB, k psctest.Kind, changes ...func(*psc.Config)) *world {
	t.Helper()
	return newWorldWith(t, standInOf(t, k), changes...)
}

// standInOf starts a stand-in of a kind, for one world or several.
func standInOf(t testing.TB, k psctest.Kind) *psctest.Server {
	t.Helper()
	pki, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	client := pscstub.Client{ID: clientID, Secret: secret, RedirectURIs: []string{auth + psc.CallbackPath}, LogoutURIs: []string{auth + psc.LogoutPath}}
	return k.Start(t, psctest.Config{PKI: pki, Clients: []pscstub.Client{client}})
}

// newWorldWith makes one before a stand-in that runs.
func newWorldWith(t testing.TB, standIn *psctest.Server, changes ...func(*psc.Config)) *world {
	t.Helper()
	pki, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{clock: &clock{}, psc: standIn, pki: pki, database: filepath.Join(t.TempDir(), "authgw.db")}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.store, err = store.Open(t.Context(), store.Config{Name: w.database, Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	hosts := w.psc.Hosts()
	pages, err := web.NewPages(web.Site{Name: "ProMess", FormAction: []string{mail, "https://" + hosts[0], "https://" + hosts[1]}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w.idp, err = idp.New(idp.Config{
		Host: authHost, Origin: auth,
		Services: []idp.Service{{Name: "mail", Host: "mail.example.test", Origin: mail, Title: "Messagerie", Home: "/inbox"}},
		Sessions: idp.NewSessions(idp.SessionsConfig{Store: w.store, Idle: 30 * time.Minute, Absolute: 8 * time.Hour, Now: w.now}),
		Store:    w.store, Audit: audit.New(&w.audit, w.now), Pages: pages, ServicePages: pages, Log: log, Now: w.now, CreateAccounts: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.Parse([]byte("k1 " + strings.Repeat("A", 43) + "=\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := psc.Config{
		Server: w.idp, Store: w.store, Keys: keys, Issuer: w.psc.Issuer(), Hosts: hosts, ClientID: clientID, Auth: psc.Basic, Secret: secret,
		Roots: w.psc.Roots(), ACR: []string{"eidas1", "eidas2", "eidas3"}, Scopes: []string{"openid", "scope_all"}, Timeout: 30 * time.Second,
		Log: log, Now: w.now,
	}
	for _, change := range changes {
		change(&c)
	}
	w.method = psc.New(c)
	w.serve(t, log)
	return w
}

func (w *world) serve(t testing.TB, log *slog.Logger) {
	t.Helper()
	cert, err := w.pki.ServerCertificate("*.example.test")
	if err != nil {
		t.Fatal(err)
	}
	gate := w.idp.Gate(w.idp.Services[0])
	service := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the service") })
	server, err := vhost.New(vhost.Config{
		Hosts:        []vhost.Host{{Name: authHost, Handler: w.idp.Handler(w.method)}, {Name: "mail.example.test", Handler: gate.Handler(service)}},
		Certificates: []tls.Certificate{cert}, PublicPort: 443, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l, time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

// browser is a person's browser, which goes to the gateway by its name and to the stand-in by its address.
type browser struct {
	t      testing.TB
	w      *world
	client *http.Client
}

func (w *world) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots()},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasSuffix(address, ".example.test:443") {
				address = w.address
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, w: w, client: &http.Client{
		Transport: transport, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is an answer.
type page struct {
	status   int
	body     string
	location string // where it sends the browser, by redirect or by refresh
}

func (b *browser) send(method, address string, form url.Values) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"} {
		r.Header.Set(k, v)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		b.t.Fatal(err)
	}
	p := page{status: answer.StatusCode, body: string(data), location: answer.Header.Get("Location")}
	if _, to, ok := strings.Cut(answer.Header.Get("Refresh"), "; url="); ok {
		p.location = to
	}
	if strings.HasPrefix(p.location, "/") {
		p.location = r.URL.Scheme + "://" + r.URL.Host + p.location
	}
	return p
}

func (b *browser) get(address string) page {
	b.t.Helper()
	return b.send(http.MethodGet, address, nil)
}

// toPSC presses the button, and returns where PSC is asked.
func (b *browser) toPSC() string {
	b.t.Helper()
	p := b.send(http.MethodPost, auth+"/login/psc", nil)
	if p.status != http.StatusSeeOther {
		b.t.Fatalf("the button leads to %d: %.600s\n%s", p.status, p.body, b.w.log.String())
	}
	return p.location
}

// returned presses the button, signs in there as a person, and returns where PSC sends the browser back to.
func (b *browser) returned(person string) string {
	b.t.Helper()
	return b.w.psc.Choose(b.t, b.client, b.toPSC(), person).String()
}

// logIn does all of it, and returns the answer to the return.
func (b *browser) logIn(person string) page {
	b.t.Helper()
	return b.get(b.returned(person))
}

func (b *browser) mustLogIn(person string) {
	b.t.Helper()
	if p := b.logIn(person); p.status != http.StatusSeeOther || p.location != auth+"/" {
		b.t.Fatalf("login = %d to %q, want the portal:\n%s\n%s", p.status, p.location, b.w.audit.String(), b.w.log.String())
	}
}

func (b *browser) wantSignedIn(want bool) {
	b.t.Helper()
	if got := b.get(auth+"/").status == http.StatusOK; got != want {
		b.t.Errorf("signed in = %t, want %t", got, want)
	}
}

// session returns the open session of a browser.
func (b *browser) session() store.Session {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, auth+"/", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	v, err := b.w.idp.Sessions.Find(r, authHost)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// wantRefused wants a page with a text of the French catalogue, no session, and the reason in the audit.
func (b *browser) wantRefused(p page, status int, text, reason string) {
	b.t.Helper()
	if p.status != status || !strings.Contains(p.body, text) {
		b.t.Errorf("page = %d to %q, want %d with %q:\n%.400s", p.status, p.location, status, text, p.body)
	}
	b.wantSignedIn(false)
	var last audit.Event
	for _, e := range b.w.events(b.t, audit.LoginRefused) {
		last = e
	}
	if last.Reason != reason {
		b.t.Errorf("audit says %q, want %q\n%s", last.Reason, reason, b.w.log.String())
	}
	// The code by which the help desk finds it, in groups that can be read aloud.
	if first, rest, ok := strings.Cut(last.Support, "-"); !ok || !strings.Contains(p.body, "<span>"+first+"</span> <span>"+rest+"</span>") {
		b.t.Errorf("the page does not show the support code %q of the audit", last.Support)
	}
}

// events returns the audit events of a kind.
func (w *world) events(t testing.TB, kind audit.Kind) []audit.Event {
	t.Helper()
	var found []audit.Event
	for line := range strings.Lines(w.audit.String()) {
		var e audit.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("audit line: %v", err)
		}
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// Texts of the French catalogue.
const (
	textRefused   = "Réponse de Pro Santé Connect refusée"
	textCancelled = "Identification abandonnée"
	textLevel     = "Identification trop faible"
	textIdentity  = "Identité non reconnue"
	textOther     = "Ce n’est plus la même personne"
	textUnknown   = "Cette connexion n’est plus valable"
	textDown      = "Pro Santé Connect ne répond pas en ce moment"
	textEnded     = "Votre session Pro Santé Connect a pris fin"
	textSignedOut = "Vous êtes déconnecté"
)
