package vhost_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/vhost"
)

// The hosts of a world. The service's certificate is a wildcard, so that "*.svc.test" and other names that it covers are known to be refused
// by the list of hosts and not for want of a certificate.
const (
	auth    = "auth.test"
	card    = "card.test"
	browser = "cardb.test"
	mail    = "mail.svc.test"
	service = "api.svc.test"

	patience = 20 * time.Second
)

// certificate makes a self-signed certificate that is good from 1999, for bubbles of testing/synctest begin in 2000.
func certificate(t testing.TB, until time.Time, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

var farFuture = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// log is what the server said. It is safe for concurrent use.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// world is a listener that runs.
type world struct {
	dial  func(ctx context.Context) (net.Conn, error)
	roots *x509.CertPool
	log   *log
	stop  func()     // ends it
	done  chan error // what Serve returned
}

// start runs a listener with these hosts on loopback until the test ends. Every host has h.
func start(t testing.TB, grace time.Duration, h http.Handler) *world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := startOn(t, l, grace, h)
	w.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	return w
}

func startOn(t testing.TB, l net.Listener, grace time.Duration, h http.Handler) *world {
	t.Helper()
	w := &world{roots: x509.NewCertPool(), log: &log{}, done: make(chan error, 1)}
	own, wild := certificate(t, farFuture, auth, card, browser), certificate(t, farFuture, "*.svc.test")
	w.roots.AddCert(own.Leaf)
	w.roots.AddCert(wild.Leaf)
	issuers := x509.NewCertPool()
	issuers.AddCert(certificate(t, farFuture, "AC of cards").Leaf)
	s, err := vhost.New(vhost.Config{
		Hosts: []vhost.Host{
			{Name: auth, Handler: h}, {Name: mail, Handler: h},
			{Name: card, Client: vhost.CardOfAgent, Handler: h}, {Name: browser, Client: vhost.CardOfBrowser, Handler: h},
			{Name: service, Client: vhost.AnyCertificate, Handler: h},
		},
		Certificates: []tls.Certificate{own, wild}, CardIssuers: issuers, PublicPort: 8443, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	w.stop = stop
	ended := make(chan struct{})
	go func() {
		w.done <- s.Serve(ctx, l, grace)
		close(ended)
	}()
	t.Cleanup(func() { stop(); <-ended })
	return w
}

// config returns the TLS rules of a client that asks for name.
func (w *world) config(name string, protos ...string) *tls.Config {
	return &tls.Config{RootCAs: w.roots, ServerName: name, NextProtos: protos}
}

// handshake connects. The connection ends with the test.
func (w *world) handshake(t testing.TB, c *tls.Config) (*tls.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	raw, err := w.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, c)
	return conn, conn.HandshakeContext(ctx)
}

// mustHandshake is handshake for a client that is let in.
func (w *world) mustHandshake(t testing.TB, c *tls.Config) *tls.Conn {
	t.Helper()
	conn, err := w.handshake(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// client returns a client whose connections all ask for name in the handshake, whatever host a URL has.
func (w *world) client(t testing.TB, name, proto string) *http.Client {
	t.Helper()
	tr := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx) },
		TLSClientConfig: w.config(name), DisableCompression: true, Protocols: new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(proto == "http/1.1")
	tr.Protocols.SetHTTP2(proto == "h2")
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func get(t testing.TB, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	res, err := c.Get(url)
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
