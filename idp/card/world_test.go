package card_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/certs"
	"promess/authgw/idp"
	"promess/authgw/idp/card"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/vhost"
	"promess/authgw/internal/web"
	"promess/authgw/proxy"
)

// The hosts of these tests. They resolve to the listener for the clients of these tests only.
const (
	auth        = "https://auth.example.test"
	cardHost    = "https://card.example.test"
	browserHost = "https://browser-card.example.test"
	mail        = "https://mail.example.test"
)

func start() time.Time { return time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC) }

// Made once: RSA keys are slow to make, and nothing changes them.
var (
	hierarchy = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true, Now: start}) })
	cardKey   = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
)

func must[T any](t testing.TB, f func() (T, error)) T {
	t.Helper()
	v, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

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

// world is a gateway with the card login and one service, on a real listener, store and hierarchy.
type world struct {
	*clock
	store    *store.Store
	idp      *idp.Server
	method   *card.Method
	verifier atomic.Pointer[certs.Verifier]
	audit    output
	log      output
	pki      *testpki.PKI
	address  string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{clock: &clock{at: start()}, pki: must(t, hierarchy)}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.store = must(t, func() (*store.Store, error) {
		return store.Open(t.Context(), store.Config{Name: filepath.Join(t.TempDir(), "authgw.db"), Log: log})
	})
	t.Cleanup(func() { w.store.Close() })
	w.revoke(t)
	w.idp = must(t, func() (*idp.Server, error) {
		return idp.New(idp.Config{
			Host: "auth.example.test", Origin: auth,
			Services: []idp.Service{{Name: "mail", Host: "mail.example.test", Origin: mail, Title: "Messagerie", Home: "/"}},
			Sessions: idp.NewSessions(idp.SessionsConfig{Store: w.store, Idle: 30 * time.Minute, Absolute: 4 * time.Hour, Now: w.now}), Store: w.store, Audit: audit.New(&w.audit, w.now),
			Pages:        newPages(t, web.Site{Name: "ProMess", Log: log}),
			ServicePages: newPages(t, web.Site{Name: "ProMess", Origin: auth, AssetsPath: idp.ServiceAssets, SignOut: idp.ServiceSignOut, Log: log}),
			Log:          log, Now: w.now, CreateAccounts: true,
		})
	})
	w.method = card.New(card.Config{
		Server: w.idp, Verifier: w.verifier.Load, Gateway: "test", AgentPort: 24780, BrowserOrigin: browserHost, EndOnRemoval: true,
		Store: w.store, Log: log, Now: w.now,
	})
	w.serve(t, log)
	return w
}

func newPages(t testing.TB, s web.Site) *web.Pages {
	t.Helper()
	return must(t, func() (*web.Pages, error) { return web.NewPages(s) })
}

// revoke puts new revocation lists in force.
func (w *world) revoke(t testing.TB, revoked ...*x509.Certificate) {
	t.Helper()
	trust := must(t, func() (*certs.Trust, error) { return certs.NewTrust(w.pki.Certificates(), nil) })
	files := must(t, func() ([]string, error) { return w.pki.WriteCRLs(t.TempDir(), revoked...) })
	w.verifier.Store(must(t, func() (*certs.Verifier, error) {
		lists, err := certs.LoadCRLs(trust, files)
		if err != nil {
			return nil, err
		}
		return certs.NewVerifier(certs.Config{Trust: trust, CRLs: lists, Now: w.now})
	}))
}

func (w *world) serve(t testing.TB, log *slog.Logger) {
	t.Helper()
	service := w.idp.Services[0]
	gate := w.idp.Gate(service)
	forward := must(t, func() (*proxy.Proxy, error) {
		return proxy.New(proxy.Config{Service: "mail", Origin: mail, Backend: newBackend(t), Gate: gate, Log: log})
	})
	cert := must(t, func() (tls.Certificate, error) { return w.pki.ServerCertificate("*.example.test") })
	server := must(t, func() (*vhost.Server, error) {
		return vhost.New(vhost.Config{
			Hosts: []vhost.Host{
				{Name: "auth.example.test", Handler: w.idp.Handler(w.method)},
				{Name: "card.example.test", Client: vhost.CardOfAgent, Handler: w.method.CardHost()},
				{Name: "browser-card.example.test", Client: vhost.CardOfBrowser, Handler: w.method.BrowserCardHost()},
				{Name: "mail.example.test", Handler: gate.Handler(forward)},
			},
			Certificates: []tls.Certificate{cert}, PublicPort: 443, Log: log,
		})
	})
	l := must(t, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })
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

func newBackend(t testing.TB) *url.URL {
	t.Helper()
	l := must(t, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the mailbox of "+r.Header.Get("X-Authgw-National-Id"))
	})}
	go server.Serve(l) // ends with Close
	t.Cleanup(func() { server.Close() })
	return &url.URL{Scheme: "http", Host: l.Addr().String()}
}

// card issues the certificate of a card, and returns it as a TLS client's.
func (w *world) card(t testing.TB, c testpki.Card) tls.Certificate {
	t.Helper()
	return withKey(t, must(t, func() (*x509.Certificate, error) { return w.pki.Authentication(c, must(t, cardKey).Public()) }))
}

func withKey(t testing.TB, cert *x509.Certificate) tls.Certificate {
	t.Helper()
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, Leaf: cert, PrivateKey: must(t, cardKey)}
}

// counting is a card's key that counts its signatures.
type counting struct {
	crypto.Signer
	signed atomic.Int32
}

func (c *counting) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	c.signed.Add(1)
	return c.Signer.Sign(r, digest, opts)
}

// transport reaches the listener of the world, whatever the name.
func (w *world) transport(t testing.TB, conf *tls.Config) *http.Transport {
	conf.RootCAs, conf.Time = w.pki.ServerRoots(), start
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.address)
		},
		TLSClientConfig: conf,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// agent is the other end of the agent's exchanges: it posts JSON.
type agent struct {
	t      testing.TB
	client *http.Client
}

// agent returns an agent with a card; nil: with an empty reader. Its TLS client knows version at most; 0: any.
func (w *world) agent(t testing.TB, cert *tls.Certificate, version uint16) *agent {
	t.Helper()
	conf := &tls.Config{MaxVersion: version}
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if cert == nil {
			return &tls.Certificate{}, nil
		}
		return cert, nil // whatever authorities the server names
	}
	return &agent{t: t, client: &http.Client{Transport: w.transport(t, conf), Timeout: 30 * time.Second}}
}

// post sends a body and reads a JSON answer into out. It returns the status and the error word.
func (a *agent) post(address string, body io.Reader, out any) (int, string) {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, address, body)
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := a.client.Do(r)
	if err != nil {
		a.t.Errorf("POST %s: %v", address, err)
		return 0, ""
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, cardwire.MaxBody))
	if err != nil {
		a.t.Errorf("POST %s: %v", address, err)
	}
	if answer.StatusCode != http.StatusOK {
		var e cardwire.Error
		if err := json.Unmarshal(data, &e); err != nil {
			return answer.StatusCode, "not JSON: " + string(data)
		}
		return answer.StatusCode, e.Error
	}
	if err := json.Unmarshal(data, out); err != nil {
		a.t.Errorf("POST %s: answer %q: %v", address, data, err)
	}
	return answer.StatusCode, ""
}

func (a *agent) call(address string, in, out any) (int, string) {
	a.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.post(address, bytes.NewReader(body), out)
}

func (a *agent) fetch(handle string) (int, string) {
	a.t.Helper()
	return a.call(auth+cardwire.FetchPath, cardwire.Fetch{Handle: handle, Version: "test"}, &cardwire.Fetched{})
}

func (a *agent) prove(handle string) (proved cardwire.Proved, status int, word string) {
	a.t.Helper()
	status, word = a.call(cardHost+cardwire.ProvePath, cardwire.Prove{Handle: handle}, &proved)
	return proved, status, word
}

// mustProve proves a login and wants a code for the browser.
func (a *agent) mustProve(handle string) cardwire.Proved {
	a.t.Helper()
	p, status, word := a.prove(handle)
	if status != http.StatusOK {
		a.t.Fatalf("prove = %d %s, want a code", status, word)
	}
	return p
}

func (a *agent) watch(token, state string) (open bool, status int) {
	a.t.Helper()
	var w cardwire.Watched
	status, _ = a.call(auth+cardwire.WatchPath, cardwire.Watch{Token: token, Card: state}, &w)
	return w.Open, status
}

// browser is a person's browser.
type browser struct {
	t      testing.TB
	client *http.Client
	jar    *cookiejar.Jar
}

// browser returns a new one, with its own access to a card when cert is not nil.
func (w *world) browser(t testing.TB, cert *tls.Certificate) *browser {
	t.Helper()
	conf := &tls.Config{}
	if cert != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	jar := must(t, func() (*cookiejar.Jar, error) { return cookiejar.New(nil) })
	return &browser{t: t, jar: jar, client: &http.Client{
		Transport: w.transport(t, conf), Jar: jar, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type page struct {
	status   int
	body     string
	location string
}

func (b *browser) send(method, address string, headers ...string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"} {
		r.Header.Set(k, v)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
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
	p := page{status: answer.StatusCode, body: string(data), location: answer.Header.Get("Location")}
	if strings.HasPrefix(p.location, "/") {
		p.location = r.URL.Scheme + "://" + r.URL.Host + p.location
	}
	return p
}

func (b *browser) get(address string, headers ...string) page {
	b.t.Helper()
	return b.send(http.MethodGet, address, headers...)
}

// begin begins a login and returns its handle.
func (b *browser) begin() string {
	b.t.Helper()
	p := b.send(http.MethodPost, auth+"/login/card")
	handle, ok := strings.CutPrefix(p.location, "http://127.0.0.1:24780/login/test/")
	if !ok || p.status != http.StatusSeeOther {
		b.t.Fatalf("login = %d %s, want a redirect to the agent", p.status, p.location)
	}
	return handle
}

func (b *browser) callback(code string) page {
	b.t.Helper()
	return b.get(auth+cardwire.CallbackPath+code, "Sec-Fetch-Site", "cross-site") // from the agent
}

// state is what the page beside the agent's is told.
func (b *browser) state() string {
	b.t.Helper()
	var s struct{ State string }
	p := b.get(auth+"/login/card/status", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty")
	if err := json.Unmarshal([]byte(p.body), &s); err != nil {
		b.t.Fatalf("status = %d %q", p.status, p.body)
	}
	return s.State
}

func (b *browser) wantSignedIn(want bool) {
	b.t.Helper()
	if got := b.get(auth+"/").status == http.StatusOK; got != want {
		b.t.Errorf("signed in = %t, want %t", got, want)
	}
}

// wantUnknown wants the page that says that a login is not good any more, and nobody signed in.
func (b *browser) wantUnknown(p page) {
	b.t.Helper()
	if p.status != http.StatusForbidden || !strings.Contains(p.body, "Cette connexion n’est plus valable") {
		b.t.Errorf("page = %d %.200s, want 403 and that the login is unknown", p.status, p.body)
	}
	b.wantSignedIn(false)
}

// logIn signs a card in and returns the agent's watch token.
func (w *world) logIn(t testing.TB, b *browser, a *agent) (watch string) {
	t.Helper()
	proved := a.mustProve(b.begin())
	if p := b.callback(proved.Code); p.status != http.StatusSeeOther {
		t.Fatalf("callback = %d %.200s, want a redirect", p.status, p.body)
	}
	b.wantSignedIn(true)
	return proved.Watch
}

// events returns the audit events of a kind.
func (w *world) events(t testing.TB, kind audit.Kind) []audit.Event {
	t.Helper()
	var found []audit.Event
	for line := range strings.Lines(w.audit.String()) {
		var e audit.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("audit line %q: %v", line, err)
		}
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// cookie returns the browser's session token of the auth host.
func (b *browser) cookie() string {
	for _, c := range b.jar.Cookies(&url.URL{Scheme: "https", Host: "auth.example.test", Path: "/"}) {
		if c.Name == "__Host-authgw" {
			return c.Value
		}
	}
	return ""
}
