package gateway_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
	"promess/authgw/internal/testpki"
)

const (
	auth     = "https://auth.example.test"
	cardHost = "https://card.example.test"
	mail     = "https://mail.example.test"
)

// Made once: RSA keys are slow to make, and nothing changes them.
var (
	hierarchy = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true}) })
	cardKey   = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
)

func must[T any](t *testing.T, f func() (T, error)) T {
	t.Helper()
	v, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// output is what a program writes, read while it runs.
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

// files is a directory as an operator installs it, and the configuration that names its files.
type files struct {
	dir    string
	pki    *testpki.PKI
	config *config.Gateway
}

func newFiles(t *testing.T) *files {
	t.Helper()
	f := &files{dir: t.TempDir(), pki: must(t, hierarchy)}
	for _, dir := range []string{"trust", "crl"} {
		if err := os.Mkdir(f.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.pki.WriteTrust(f.path("trust")); err != nil {
		t.Fatal(err)
	}
	lists := must(t, func() ([]string, error) { return f.pki.WriteCRLs(f.path("crl")) })
	cert := must(t, func() (tls.Certificate, error) { return f.pki.ServerCertificate("*.example.test") })
	key := must(t, func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(cert.PrivateKey) })
	f.write(t, "server.pem", testpki.CertificatePEM(cert.Leaf))
	f.write(t, "server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	f.write(t, "backend.pem", testpki.CertificatePEM(f.pki.Server.Certificate))
	f.config = &config.Gateway{
		Name: "test", PublicPort: 443, AgentPort: 24780,
		Hosts: config.Hosts{Auth: "auth.example.test", Card: "card.example.test", BrowserCard: "cps.example.test"},
		TLS:   []config.KeyPair{{Cert: f.path("server.pem"), Key: f.path("server.key")}},
		Card:  config.Card{Trust: f.path("trust"), CRLs: lists, EndOnRemoval: true},
		Services: []config.Service{{
			Name: "mail", Host: "mail.example.test", Title: "Messagerie", Home: "/", Backend: newBackend(t), BackendCA: f.path("backend.pem"),
		}},
		Session: config.Session{Idle: 30 * time.Minute, Absolute: 4 * time.Hour}, DatabaseGrace: time.Minute,
		Accounts: config.Accounts{Create: true},
		Audit:    config.Audit{Required: true},
		Database: f.path("authgw.db"),
	}
	return f
}

func newBackend(t *testing.T) *url.URL {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the mailbox of "+r.Header.Get("X-Authgw-National-Id"))
	}))
	t.Cleanup(s.Close)
	return must(t, func() (*url.URL, error) { return url.Parse(s.URL) })
}

func (f *files) path(name string) string { return filepath.Join(f.dir, name) }

func (f *files) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(f.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// open makes a gateway of the files, as authgw serve does.
func (f *files) open(t *testing.T, audit, log io.Writer) (*gateway.Gateway, error) {
	t.Helper()
	m, err := gateway.LoadMaterials(f.config)
	if err != nil {
		return nil, err
	}
	return gateway.New(t.Context(), gateway.Config{
		Gateway: f.config, Materials: m, Audit: audit, Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
}

// running is a gateway that runs until the test ends, or stop.
type running struct {
	*gateway.Gateway
	files          *files
	address, admin string
	audit, log     output
	cancel         context.CancelFunc
	ended          chan error
}

func (f *files) run(t *testing.T) *running {
	t.Helper()
	r := &running{files: f, ended: make(chan error, 1)}
	r.Gateway = must(t, func() (*gateway.Gateway, error) { return f.open(t, &r.audit, &r.log) })
	r.start(t)
	return r
}

// start runs the gateway until the test ends, or stop.
func (r *running) start(t *testing.T) {
	t.Helper()
	l := must(t, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })
	admin := must(t, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })
	r.address, r.admin = l.Addr().String(), "http://"+admin.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.Run(ctx, l, admin) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-r.ended:
			if err != nil {
				t.Errorf("Run = %v", err)
			}
		case <-time.After(2 * gateway.Grace):
			t.Error("Run has not ended")
		}
	})
}

// card issues a card, as a TLS client's certificate.
func (f *files) card(t *testing.T, c testpki.Card) *tls.Certificate {
	t.Helper()
	cert := must(t, func() (*x509.Certificate, error) { return f.pki.Authentication(c, must(t, cardKey).Public()) })
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, Leaf: cert, PrivateKey: must(t, cardKey)}
}

// person is somebody at a workstation: a browser, and an agent with a card.
type person struct {
	t      *testing.T
	at     *running // the gateway that the names lead to
	client *http.Client
	agent  *http.Client
}

func (r *running) person(t *testing.T, card *tls.Certificate) *person {
	t.Helper()
	p := &person{t: t, at: r}
	transport := func(c *tls.Config) *http.Transport {
		c.RootCAs = r.files.pki.ServerRoots()
		tr := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.at.address)
		}}
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	}
	p.client = &http.Client{
		Transport: transport(&tls.Config{}), Jar: must(t, func() (*cookiejar.Jar, error) { return cookiejar.New(nil) }), Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p.agent = &http.Client{Timeout: 30 * time.Second, Transport: transport(&tls.Config{
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return card, nil },
	})}
	return p
}

// visit opens a page or sends a form, and returns the status, where it leads, and the body.
func (p *person) visit(method, address string) (status int, location, body string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for k, v := range map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"} {
		r.Header.Set(k, v)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, address, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Location"), string(data)
}

// tell is one exchange of the agent.
func (p *person) tell(address string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := p.agent.Post(address, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(io.LimitReader(answer.Body, cardwire.MaxBody)).Decode(out)
}

// logIn uses the card, and returns the page that the browser sees and the secrets that were exchanged.
func (p *person) logIn() (status int, body string, secrets []string) {
	p.t.Helper()
	_, location, _ := p.visit(http.MethodPost, auth+"/login/card")
	handle := location[strings.LastIndex(location, "/")+1:]
	var proved cardwire.Proved
	if err := p.tell(cardHost+cardwire.ProvePath, cardwire.Prove{Handle: handle}, &proved); err != nil || proved.Code == "" {
		p.t.Fatalf("prove = %+v, %v", proved, err)
	}
	status, _, body = p.visit(http.MethodGet, auth+cardwire.CallbackPath+proved.Code)
	secrets = []string{handle, proved.Code}
	if proved.Watch != "" {
		secrets = append(secrets, proved.Watch)
	}
	return status, body, secrets
}

func (p *person) wantSignedIn(want bool) {
	p.t.Helper()
	status, _, _ := p.visit(http.MethodGet, auth+"/")
	if got := status == http.StatusOK; got != want {
		p.t.Errorf("signed in = %t (%d), want %t", got, status, want)
	}
}

func (p *person) cookies() []string {
	var all []string
	for _, host := range []string{auth, mail} {
		u, err := url.Parse(host)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, c := range p.client.Jar.Cookies(u) {
			all = append(all, c.Value)
		}
	}
	return all
}
