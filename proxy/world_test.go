package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/vhost"
	"promess/authgw/proxy"
)

const (
	host   = "mail.test"
	origin = "https://mail.test"
	// patience bounds every wait of a test; nothing waits that long unless it fails.
	patience = 30 * time.Second
)

// jeanne is who is signed in unless a test says otherwise. Her name has letters that Latin-1 and UTF-8 write differently.
func jeanne() proxy.Identity {
	return proxy.Identity{
		User: "u-7Q2", NationalID: "899700218896", Name: "Dr Zoë MARTIN", Email: "zoe.martin@medecin.mssante.fr", ACR: "eidas2",
		Assertion: "aaa.bbb.ccc",
	}
}

// gate is a door that a test holds open. Its zero value lets jeanne in.
type gate struct {
	identify func(r *http.Request) (proxy.Identity, error)

	mu       sync.Mutex
	refusals []proxy.Refusal
	observed []observation
}

// observation is what the proxy told of a request.
type observation struct {
	status int
	took   time.Duration
}

func (g *gate) observe(status int, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.observed = append(g.observed, observation{status, took})
}

func (g *gate) observations() []observation {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]observation(nil), g.observed...)
}

var _ proxy.Gate = (*gate)(nil)

func (g *gate) Identify(r *http.Request) (proxy.Identity, error) {
	if g.identify == nil {
		return jeanne(), nil
	}
	return g.identify(r)
}

// statuses are those of the comments on proxy.Refusal.
var statuses = map[proxy.Refusal]int{
	proxy.NoSession: 401, proxy.Unavailable: 503, proxy.Forbidden: 403, proxy.NotAllowed: 405, proxy.Stalled: 408,
	proxy.BackendDown: 502, proxy.BackendSlow: 504,
}

func (g *gate) Refuse(w http.ResponseWriter, r *http.Request, why proxy.Refusal) {
	g.mu.Lock()
	g.refusals = append(g.refusals, why)
	g.mu.Unlock()
	if r.Body != nil && r.Body != http.NoBody {
		w.Header().Set("Connection", "close")
	}
	http.Error(w, "refused", statuses[why])
}

func (g *gate) refused() []proxy.Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]proxy.Refusal(nil), g.refusals...)
}

// world is a client, the listener with one service host, and the way to a service.
type world struct {
	gate  *gate
	proxy *proxy.Proxy
	dial  func(ctx context.Context) (net.Conn, error)
	roots *x509.CertPool
}

// newWorld forwards to the service at backend.
func newWorld(t testing.TB, g *gate, backend string) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldOn(t, g, backend, l)
	w.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	return w
}

// newWorldOn is newWorld with its listener given. It stops with the test.
func newWorldOn(t testing.TB, g *gate, backend string, l net.Listener) *world {
	t.Helper()
	u, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	p, err := proxy.New(proxy.Config{Service: "mail", Origin: origin, Backend: u, Gate: g, Log: log, Observe: g.observe})
	if err != nil {
		t.Fatal(err)
	}
	cert, roots := certificate(t)
	server, err := vhost.New(vhost.Config{
		Hosts: []vhost.Host{{Name: host, Handler: p}}, Certificates: []tls.Certificate{cert}, PublicPort: 443, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, 0) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.TestOnlyTransport().CloseIdleConnections()
	})
	return &world{gate: g, proxy: p, roots: roots}
}

// certificate makes a certificate for host, good at any time a test may say it is.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// client returns a browser that speaks one version of HTTP and follows no redirects.
func (w *world) client(t testing.TB, proto string) *http.Client {
	t.Helper()
	tr := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx) },
		TLSClientConfig:    &tls.Config{RootCAs: w.roots, ServerName: host},
		DisableCompression: true,
		Protocols:          new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(proto == "http/1.1")
	tr.Protocols.SetHTTP2(proto == "h2")
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// protocols are what the listener speaks: a rule holds on each (A2).
var protocols = []string{"http/1.1", "h2"}

// open returns a TLS connection on which a test writes what it likes.
func (w *world) open(t testing.TB) *tls.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	raw, err := w.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{RootCAs: w.roots, ServerName: host, NextProtos: []string{"http/1.1"}})
	t.Cleanup(func() { conn.Close() })
	if err := conn.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// send writes raw bytes on a connection of its own and returns the answers, until the other side closes: the last request that is
// let through must ask for it.
func (w *world) send(t testing.TB, raw string) []*http.Response {
	t.Helper()
	conn := w.open(t)
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	var all []*http.Response
	for br := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("read the answer: %v", err)
			}
			return all
		}
		body, _ := io.ReadAll(res.Body)
		res.Body = io.NopCloser(bytes.NewReader(body))
		all = append(all, res)
	}
}

// do sends a request and returns the answer with its body.
func do(t testing.TB, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(req.Context(), patience)
	defer cancel()
	res, err := c.Do(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func request(t testing.TB, method, path string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, origin+path, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// message is a request as the service got it, byte for byte.
type message struct {
	raw  string // head and body
	line string // the request line
	head []field
	body string
}

type field struct{ name, value string }

// values returns the values under exactly this name.
func (m message) values(name string) []string {
	var all []string
	for _, f := range m.head {
		if f.name == name {
			all = append(all, f.value)
		}
	}
	return all
}

// recorder is a service that notes what it gets and answers 200, or what answer says.
type recorder struct {
	url    string
	answer string

	mu   sync.Mutex
	got  []message
	rest string // what was no request
}

const plainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{url: "http://" + l.Addr().String(), answer: plainAnswer}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			conns.Go(func() { defer stop(); r.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return r
}

func (r *recorder) serve(conn net.Conn) {
	defer conn.Close()
	var raw bytes.Buffer
	br := bufio.NewReader(io.TeeReader(conn, &raw))
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			r.mu.Lock()
			r.rest += raw.String()
			r.mu.Unlock()
			return
		}
		body, err := io.ReadAll(req.Body)
		m := message{raw: raw.String(), body: string(body)}
		raw.Reset()
		head, _, _ := strings.Cut(m.raw, "\r\n\r\n")
		for i, line := range strings.Split(head, "\r\n") {
			if i == 0 {
				m.line = line
				continue
			}
			name, value, _ := strings.Cut(line, ": ")
			m.head = append(m.head, field{name, value})
		}
		r.mu.Lock()
		if err == nil {
			r.got = append(r.got, m)
		} else {
			r.rest += m.raw
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
		answer := r.answer
		if req.Method == http.MethodHead {
			answer, _, _ = strings.Cut(answer, "ok")
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// messages returns the whole requests that came.
func (r *recorder) messages() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]message(nil), r.got...)
}

// only returns the one request that came.
func (r *recorder) only(t testing.TB) message {
	t.Helper()
	all := r.messages()
	if len(all) != 1 {
		t.Fatalf("the service got %d requests, want 1: %q", len(all), all)
	}
	return all[0]
}
