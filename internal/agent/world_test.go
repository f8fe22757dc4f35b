package agent_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/softcard"
	"promess/authgw/internal/web"
)

const (
	authHost = "connexion.example.test"
	cardHost = "carte.example.test"
	rightPIN = "4711"
	wrongPIN = "1234"
	theCode  = "codecodecodecodecodecodecodecodecodecodecod"
	theWatch = "watchwatchwatchwatchwatchwatchwatchwatchwat"
	// patience bounds what a slow machine may take; nothing waits that long unless it fails.
	patience = 30 * time.Second
)

// newCertificate makes a certificate for key, signed by the parent, or by itself.
func newCertificate(t *testing.T, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// cardKey is made once: RSA keys are slow to make.
var cardKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// newCardConfig describes the card of Jeanne Martin, as an authentication certificate of a CPS names her.
func newCardConfig(t *testing.T, key crypto.Signer) softcard.Config {
	t.Helper()
	if key == nil {
		k, err := cardKey()
		if err != nil {
			t.Fatal(err)
		}
		key = k
	}
	issuer := newECKey(t)
	cert := newCertificate(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "899700218896", ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{2, 5, 4, 42}, Value: "Jeanne"},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 4}, Value: "MARTIN"},
		}},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "TEST AC"}}, key.Public(), issuer)
	return softcard.Config{Certificate: cert, Key: key, PIN: rightPIN, Reader: "Reader 1", Serial: "2800636234"}
}

func newCard(t *testing.T, change func(*softcard.Config)) *softcard.Card {
	t.Helper()
	config := newCardConfig(t, nil)
	if change != nil {
		change(&config)
	}
	card, err := softcard.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return card
}

// gateway is the other side of cardwire, with a handler per path that a test may replace.
type gateway struct {
	roots *x509.CertPool
	addr  string

	mu      sync.Mutex
	serve   map[string]http.HandlerFunc
	proofs  []proof
	fetched int
	open    bool
	watched []string
	removed chan struct{} // closed at the first "removed"
}

type proof struct {
	version uint16
	serial  *big.Int
	handle  string
}

// newGateway listens on loopback with TLS. names are those of its certificate.
func newGateway(t *testing.T, names ...string) *gateway {
	t.Helper()
	if len(names) == 0 {
		names = []string{authHost, cardHost}
	}
	caKey, key := newECKey(t), newECKey(t)
	ca := newCertificate(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, caKey.Public(), caKey)
	leaf := newCertificate(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, key.Public(), caKey)
	g := &gateway{roots: x509.NewCertPool(), serve: map[string]http.HandlerFunc{}, open: true, removed: make(chan struct{})}
	g.roots.AddCert(ca)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}}
	asking := config.Clone()
	asking.ClientAuth = tls.RequireAnyClientCert
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == cardHost {
			return asking, nil
		}
		return nil, nil
	}
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = raw.Addr().String()
	srv := &http.Server{Handler: g, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(tls.NewListener(raw, config)) }()
	t.Cleanup(func() { srv.Close(); <-served })
	return g
}

func (g *gateway) handle(path string, h http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serve[path] = h
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	h := g.serve[r.URL.Path]
	g.mu.Unlock()
	switch {
	case h != nil:
		h(w, r)
	case r.URL.Path == cardwire.FetchPath && r.Host == authHost:
		g.mu.Lock()
		g.fetched++
		g.mu.Unlock()
		reply(w, http.StatusOK, cardwire.Fetched{ExpiresIn: 120})
	case r.URL.Path == cardwire.ProvePath && r.Host == cardHost:
		g.prove(w, r)
	case r.URL.Path == cardwire.WatchPath && r.Host == authHost:
		g.watch(w, r)
	default:
		reply(w, http.StatusNotFound, cardwire.Error{Error: "not_found"})
	}
}

func (g *gateway) prove(w http.ResponseWriter, r *http.Request) {
	var in cardwire.Prove
	json.NewDecoder(r.Body).Decode(&in)
	g.mu.Lock()
	g.proofs = append(g.proofs, proof{r.TLS.Version, r.TLS.PeerCertificates[0].SerialNumber, in.Handle})
	g.mu.Unlock()
	reply(w, http.StatusOK, cardwire.Proved{Code: theCode, Watch: theWatch})
}

func (g *gateway) watch(w http.ResponseWriter, r *http.Request) {
	var in cardwire.Watch
	json.NewDecoder(r.Body).Decode(&in)
	g.mu.Lock()
	g.watched = append(g.watched, in.Card)
	first := in.Card == cardwire.CardRemoved && g.open
	if first {
		g.open = false
		close(g.removed)
	}
	open := g.open
	g.mu.Unlock()
	if in.Card == cardwire.CardPresent && open {
		select { // held
		case <-g.removed:
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	}
	reply(w, http.StatusOK, cardwire.Watched{Open: open})
}

func (g *gateway) seen() []proof {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]proof(nil), g.proofs...)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// pages draws a page as JSON, for tests to read.
type pages struct{}

type drawn struct {
	Kind string
	Page json.RawMessage
}

func (pages) Render(w http.ResponseWriter, _ *http.Request, status int, page web.Page) {
	body, err := json.Marshal(page)
	if err != nil {
		panic(err)
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(drawn{Kind: strings.TrimPrefix(fmt.Sprintf("%T", page), "web."), Page: body})
}

func (pages) Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "asset") })
}

// lockedBuffer collects a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is an agent that runs, a gateway, and a browser.
type world struct {
	t    *testing.T
	gw   *gateway
	log  *lockedBuffer
	host string // of the agent
	stop func() // ends the agent and waits
}

// newWorld starts an agent. Its log, at debug level, is checked for secrets at the end of every test.
func newWorld(t *testing.T, cards agent.Cards, change func(*agent.Config, *gateway)) *world {
	t.Helper()
	gw := newGateway(t)
	log := &lockedBuffer{}
	config := agent.Config{
		Gateways: []agent.Gateway{{
			Name: "authgw", Title: "Hôpital", Origin: "https://" + authHost, Card: "https://" + cardHost, Roots: gw.roots, Dial: gw.addr,
		}},
		Cards: cards, Pages: pages{}, Version: "test",
		PINTimeout: patience, CardTimeout: patience, GatewayTimeout: patience,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&config, gw)
	}
	server, err := agent.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, ln) }()
	w := &world{t: t, gw: gw, log: log, host: ln.Addr().String()}
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve = %v, want nil", err)
			}
		case <-time.After(patience):
			t.Error("Serve did not end after its context")
		}
	})
	t.Cleanup(func() { w.stop(); w.checkLog() })
	return w
}

var theHandle = base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xA7}, 32))

func (w *world) checkLog() {
	w.t.Helper()
	for what, secret := range map[string]string{
		"PIN": rightPIN, "wrong PIN": wrongPIN, "handle": theHandle, "code": theCode, "watch token": theWatch, "name": "MARTIN", "id": "899700218896",
	} {
		// Four digits of a PIN occur in times and ports too: a PIN is looked for as a value.
		if len(secret) == 4 {
			secret = "=" + secret
		}
		if strings.Contains(w.log.String(), secret) {
			w.t.Errorf("the log holds the %s:\n%s", what, w.log)
		}
	}
}

// answer is what the browser got.
type answer struct {
	status   int
	location string
	kind     string // of page
	page     json.RawMessage
	header   http.Header
}

// text returns a field of the page.
func (a answer) text(field string) string {
	var m map[string]any
	json.Unmarshal(a.page, &m)
	return fmt.Sprint(m[field])
}

// browse sends a request as a browser's navigation, after change.
func (w *world) browse(method, path string, form url.Values, change func(*http.Request)) answer {
	w.t.Helper()
	req, err := http.NewRequest(method, "http://"+w.host+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	req.Header.Set("Sec-Fetch-Dest", "document")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if method == http.MethodPost {
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Origin", "http://"+w.host)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if change != nil {
		change(req)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, location: res.Header.Get("Location"), header: res.Header}
	var d drawn
	body, _ := io.ReadAll(res.Body)
	if json.Unmarshal(body, &d) == nil {
		a.kind, a.page = d.Kind, d.Page
	}
	return a
}

// start begins a login and returns the path of its page.
func (w *world) start() string {
	w.t.Helper()
	a := w.browse("GET", cardwire.StartPath+"authgw/"+theHandle, nil, nil)
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/s/") {
		w.t.Fatalf("start = %d %q %s, want 303 to /s/…", a.status, a.location, a.page)
	}
	return a.location
}

// until reloads the page, as its browser does, until it is of a kind ("redirect" for a redirect).
func (w *world) until(path, kind string) answer {
	w.t.Helper()
	var a answer
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		a = w.browse("GET", path, nil, nil)
		if a.kind == kind || (kind == "redirect" && a.status == http.StatusSeeOther) {
			return a
		}
		if a.kind == "AgentErrorPage" {
			break
		}
	}
	w.t.Fatalf("page = %d %s %s, want a %s\n%s", a.status, a.kind, a.page, kind, w.log)
	return a
}

func (w *world) givePIN(path, pin string) {
	w.t.Helper()
	a := w.browse("POST", path+"/pin", url.Values{"pin": {pin}}, nil)
	if a.status != http.StatusSeeOther || a.location != path {
		w.t.Fatalf("POST pin = %d %q, want 303 to %s", a.status, a.location, path)
	}
}

// failsWith waits for the error page and checks its word.
func (w *world) failsWith(path, code string) answer {
	w.t.Helper()
	a := w.until(path, "AgentErrorPage")
	if got := a.text("Code"); got != code {
		w.t.Errorf("error page = %q (%s), want %q\n%s", got, a.text("Detail"), code, w.log)
	}
	return a
}

// step reloads the status page until it is at a step and tells what it should, and nothing else, of Wrong and Last.
func (w *world) step(path, step string, told ...string) {
	w.t.Helper()
	var a answer
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		a = w.browse("GET", path, nil, nil)
		if a.kind == "AgentStatusPage" && a.text("Step") == step &&
			(a.text("Wrong") == "true") == slices.Contains(told, "Wrong") && (a.text("Last") == "true") == slices.Contains(told, "Last") {
			return
		}
	}
	w.t.Fatalf("page = %d %s %s, want step %s that tells %q\n%s", a.status, a.kind, a.page, step, told, w.log)
}
