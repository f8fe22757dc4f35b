package idp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/vhost"
	"promess/authgw/internal/web"
	"promess/authgw/proxy"
)

// The hosts of these tests. They resolve to the listener for the clients of these tests only.
const (
	auth   = "https://auth.example.test"
	mail   = "https://mail.example.test"
	agenda = "https://agenda.example.test"
)

// start is when all of this takes place.
func start() time.Time { return time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC) }

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// output keeps what is written, or fails.
type output struct {
	mu   sync.Mutex
	b    bytes.Buffer
	fail bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail {
		return 0, errors.New("the disk is full")
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) breakDown() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = true
}

// believer is a method that takes the word of the test for who somebody is.
type believer struct {
	server *idp.Server
	mu     sync.Mutex
	proof  idp.Proof
}

func (b *believer) Name() string { return "card" }

func (b *believer) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /login/card", func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		p := b.proof
		b.mu.Unlock()
		b.server.Succeed(w, r, p)
	})
}

func (b *believer) believe(p idp.Proof) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.proof = p
}

// martin is the proof of a person's card.
func martin() idp.Proof {
	return idp.Proof{
		Method: "card", ACR: idp.ACRHardware, AMR: []string{"sc", "pin", "mfa"}, Time: start(), Until: start().AddDate(1, 0, 0),
		IDType: "RPPS", NationalID: "899700218896", GivenName: "JEANNE", FamilyName: "MARTIN", Title: "Médecin", Profession: "10", CardType: "CPS",
		Fingerprint: strings.Repeat("ab", 32), Issuer: "CN=AC IGC-SANTE FORT PERSONNES",
	}
}

// world is an auth host with two services behind it, on a real listener, store and proxy.
type world struct {
	*clock
	idp     *idp.Server
	store   *store.Store
	method  *believer
	audit   output
	log     output
	backend *backend
	pki     *testpki.PKI
	address string
}

var hierarchy = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true, Now: start}) })

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, func(*idp.Config) {})
}

func newWorldWith(t *testing.T, change func(*idp.Config)) *world {
	t.Helper()
	return newWorldOn(t, sqlite(), change)
}

// newWorldOn makes one on a new database of an engine.
func newWorldOn(t *testing.T, e engine, changes ...func(*idp.Config)) *world {
	t.Helper()
	w := &world{clock: &clock{at: start()}, backend: newBackend(t)}
	var err error
	if w.pki, err = hierarchy(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.store, err = store.Open(t.Context(), store.Config{Name: e.fresh(t), Patience: e.patience, Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	pages, err := authPages()
	if err != nil {
		t.Fatal(err)
	}
	servicePages, err := servicePages()
	if err != nil {
		t.Fatal(err)
	}
	config := idp.Config{
		Host: "auth.example.test", Origin: auth,
		Services: []idp.Service{
			{Name: "mail", Host: "mail.example.test", Origin: mail, Title: "Messagerie", Home: "/inbox"},
			{Name: "agenda", Host: "agenda.example.test", Origin: agenda, Title: "Agenda", Home: "/"},
		},
		Sessions: idp.NewSessions(idp.SessionsConfig{Store: w.store, Idle: 30 * time.Minute, Absolute: 4 * time.Hour, Now: w.now}), Store: w.store, Audit: audit.New(&w.audit, w.now),
		Pages: pages, ServicePages: servicePages, Log: log, Now: w.now, CreateAccounts: true,
	}
	for _, change := range changes {
		change(&config)
	}
	if w.idp, err = idp.New(config); err != nil {
		t.Fatal(err)
	}
	w.method = &believer{server: w.idp}
	w.method.believe(martin())
	w.serve(t, log)
	return w
}

// Pages are parsed once: they are the same in every world. What they cannot draw is an answer of 500.
var (
	authPages    = sync.OnceValues(func() (*web.Pages, error) { return web.NewPages(web.Site{Name: "ProMess"}) })
	servicePages = sync.OnceValues(func() (*web.Pages, error) {
		return web.NewPages(web.Site{Name: "ProMess", Origin: auth, AssetsPath: idp.ServiceAssets, SignOut: idp.ServiceSignOut})
	})
)

// serve starts the listener, which ends with the test.
func (w *world) serve(t *testing.T, log *slog.Logger) {
	t.Helper()
	hosts := []vhost.Host{{Name: "auth.example.test", Handler: w.idp.Handler(w.method)}}
	for _, s := range w.idp.Services {
		gate := w.idp.Gate(s)
		if len(s.Proxies) > 0 {
			hosts = append(hosts, vhost.Host{Name: s.Host, Handler: gate.Handler(http.HandlerFunc(gate.NotHere))})
			continue
		}
		p, err := proxy.New(proxy.Config{Service: s.Name, Origin: s.Origin, Backend: w.backend.url, Gate: gate, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, vhost.Host{Name: s.Host, Handler: gate.Handler(p)})
	}
	cert, err := w.pki.ServerCertificate("*.example.test")
	if err != nil {
		t.Fatal(err)
	}
	server, err := vhost.New(vhost.Config{Hosts: hosts, Certificates: []tls.Certificate{cert}, PublicPort: 443, Log: log})
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

// backend is the service behind both service hosts. It keeps the requests that reach it.
type backend struct {
	url  *url.URL
	mu   sync.Mutex
	seen []*http.Request
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r)
		b.mu.Unlock()
		if r.URL.Path == "/events" { // open until the gateway closes it
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		io.WriteString(w, "the service")
	}))
	t.Cleanup(s.Close)
	b.url, _ = url.Parse(s.URL) // a test server's own address
	return b
}

// last returns the newest request that reached the service, or nil.
func (b *backend) last() *http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		return nil
	}
	return b.seen[len(b.seen)-1]
}

func (b *backend) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

// browser is a person's browser: cookies, and the headers of a navigation.
type browser struct {
	t      *testing.T
	client *http.Client
	jar    *cookiejar.Jar
}

func (w *world) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.address)
		},
		TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots(), Time: start},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, jar: jar, client: &http.Client{
		Transport: transport, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is an answer.
type page struct {
	status   int
	header   http.Header
	body     string
	location string // where the answer sends the browser, by redirect or by refresh
}

// navigation are the headers of a person who opens a page by its address.
var navigation = map[string]string{
	"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none", "Sec-Fetch-User": "?1",
}

// send sends one request. Headers come in pairs and replace those of a navigation; an empty value removes one.
func (b *browser) send(method, address string, body io.Reader, headers ...string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range navigation {
		r.Header.Set(k, v)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, address, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, address, err)
	}
	p := page{status: answer.StatusCode, header: answer.Header, body: string(data)}
	l := answer.Header.Get("Location")
	if _, to, ok := strings.Cut(answer.Header.Get("Refresh"), "; url="); ok {
		l = to
	}
	if l != "" {
		to, err := r.URL.Parse(l)
		if err != nil {
			b.t.Fatalf("%s %s leads to %q: %v", method, address, l, err)
		}
		p.location = to.String()
	}
	return p
}

func (b *browser) get(address string, headers ...string) page {
	b.t.Helper()
	return b.send(http.MethodGet, address, nil, headers...)
}

// post sends a form of the host's own page.
func (b *browser) post(address string, headers ...string) page {
	b.t.Helper()
	return b.send(http.MethodPost, address, strings.NewReader(""), append([]string{"Sec-Fetch-Site", "same-origin"}, headers...)...)
}

// follow goes where a page sends the browser, until there is nowhere to go, and returns the last address.
func (b *browser) follow(p page) (page, string) {
	b.t.Helper()
	last := ""
	for range 10 {
		if p.location == "" {
			return p, last
		}
		last = p.location
		p = b.get(last, "Sec-Fetch-Site", "same-site")
	}
	b.t.Fatalf("more than 10 redirects; the last is to %s", last)
	return page{}, ""
}

// logIn signs the person of the method in, and wants it to work.
func (b *browser) logIn() {
	b.t.Helper()
	if p := b.post(auth + "/login/card"); p.status != http.StatusSeeOther || p.location == auth+"/login" {
		b.t.Fatalf("login = %d %s, want a redirect to a page", p.status, p.location)
	}
}

// cookie returns the value of a cookie that the browser has for an address; empty when it has none.
func (b *browser) cookie(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(address, name, value string) {
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

const sessionCookie = "__Host-authgw"

// signedIn says whether the portal knows the browser.
func (b *browser) signedIn() bool {
	b.t.Helper()
	return b.get(auth+"/").status == http.StatusOK
}

func (b *browser) wantSignedIn(want bool) {
	b.t.Helper()
	if got := b.signedIn(); got != want {
		b.t.Errorf("signed in = %t, want %t", got, want)
	}
}

// wantError wants a page with a text of the French catalogue.
func (p page) wantError(t *testing.T, status int, text string) {
	t.Helper()
	if p.status != status || !strings.Contains(p.body, text) {
		t.Errorf("page = %d, want %d with %q:\n%.300s", p.status, status, text, p.body)
	}
}

// Texts of the French catalogue.
const (
	textUnknown     = "Cette connexion n’est plus valable"
	textUnavailable = "Service momentanément indisponible"
	textForbidden   = "Accès refusé"
	textOver        = "Votre session est terminée"
	textDisabled    = "Votre compte est désactivé"
	textSignedOut   = "Vous êtes déconnecté"
	textNotFound    = "Page introuvable"
)

// request is a request with the cookies that a browser has for the auth host.
func (w *world) request(b *browser) *http.Request {
	r := httptest.NewRequest(http.MethodGet, auth+"/", nil)
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: b.cookie(auth, sessionCookie)})
	return r
}

// find returns the session of a browser.
func (w *world) find(t *testing.T, b *browser) store.Session {
	t.Helper()
	v, err := w.idp.Sessions.Find(w.request(b), "auth.example.test")
	if err != nil {
		t.Fatal(err)
	}
	return v
}
