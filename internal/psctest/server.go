package psctest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/testpki"
)

// patience bounds everything that a test waits for here.
const patience = time.Minute

// Config is what a test needs of a stand-in.
type Config struct {
	PKI     *testpki.PKI // whose ServerRoots the relying party and the browser trust
	Clients []pscstub.Client
	People  []pscstub.Person // default: pscstub.People()
}

// Kind is a stand-in: Go, or what NPM returns.
type Kind interface {
	// String names it in the names of tests.
	String() string
	// Start runs one until the end of the test.
	Start(tb testing.TB, c Config) *Server
}

// core is a provider behind the front, which has answered before Start returns.
type core interface {
	start(tb testing.TB, c pscstub.Config) http.Handler
}

// Server is a stand-in that runs.
type Server struct {
	config   pscstub.Config
	roots    *x509.CertPool
	core     http.Handler
	original *rsa.PrivateKey // of the core
	other    *rsa.PrivateKey // of nobody
	done     chan struct{}   // closed at the end

	mu      sync.Mutex
	quirks  Quirks
	keys    []*rsa.PrivateKey // published; the first signs
	count   map[Endpoint]int
	busy    map[Endpoint]int
	peak    map[Endpoint]int
	issued  []map[string]any
	hints   map[string]string    // from ID tokens that the front signed to those of the core
	given   []string             // tokens of every kind
	changed map[string]*identity // of access tokens, by the token
}

// identity is somebody else whom an access token is about.
type identity struct {
	person *pscstub.Person
	sub    string
}

// remembered bounds what a Server keeps of the tokens that pass.
const remembered = 10_000

func start(tb testing.TB, c Config, k core) *Server {
	tb.Helper()
	if c.People == nil {
		c.People = pscstub.People()
	}
	certificate, err := c.PKI.ServerCertificate("127.0.0.1", "localhost")
	if err != nil {
		tb.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	s := &Server{
		config: pscstub.Config{
			Issuer: "https://127.0.0.1:" + port + pscstub.Path, Wallet: "https://localhost:" + port + pscstub.WalletPath,
			Clients: c.Clients, People: c.People,
		},
		roots: c.PKI.ServerRoots(), original: newKey(tb), other: newKey(tb), done: make(chan struct{}),
		count: map[Endpoint]int{}, busy: map[Endpoint]int{}, peak: map[Endpoint]int{},
		hints: map[string]string{}, changed: map[string]*identity{},
	}
	s.config.Key = s.original
	s.keys = []*rsa.PrivateKey{s.original}
	s.core = k.start(tb, s.config)
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: patience, ReadTimeout: patience, IdleTimeout: patience, ErrorLog: log.New(io.Discard, "", 0),
		// No write time-out: a fault lasts as long as the client waits.
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12},
	}
	served := make(chan struct{})
	go func() { // ends with the server, in the cleanup below
		defer close(served)
		_ = server.ServeTLS(listener, "", "")
	}()
	tb.Cleanup(func() {
		close(s.done)
		server.Close()
		<-served
	})
	return s
}

func newKey(tb testing.TB) *rsa.PrivateKey {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// Issuer is the issuer's URL. Its host is another one than the wallet's.
func (s *Server) Issuer() string { return s.config.Issuer }

// DiscoveryURL is where the discovery document is, and nowhere else.
func (s *Server) DiscoveryURL() string { return s.config.Issuer + pscstub.DiscoveryPath }

// Hosts returns the hosts of the issuer and the wallet, with their port.
func (s *Server) Hosts() []string {
	_, port, _ := net.SplitHostPort(s.config.Issuer[len("https://") : len(s.config.Issuer)-len(pscstub.Path)])
	return []string{"127.0.0.1:" + port, "localhost:" + port}
}

// Roots returns the authority of both hosts.
func (s *Server) Roots() *x509.CertPool { return s.roots }

// Person returns one of the persons of the stand-in.
func (s *Server) Person(tb testing.TB, key string) pscstub.Person {
	tb.Helper()
	p := s.person(key)
	if p == nil {
		tb.Fatalf("psctest: no person %q", key)
	}
	return *p
}

func (s *Server) person(key string) *pscstub.Person {
	for i := range s.config.People {
		if s.config.People[i].Key == key {
			return &s.config.People[i]
		}
	}
	return nil
}

// Set replaces the quirks.
func (s *Server) Set(q Quirks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quirks = q
}

// Quirks returns the quirks that are set.
func (s *Server) Quirks() Quirks {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quirks
}

// RotateKey has everything signed by a new key from now on. The old one is published no longer.
func (s *Server) RotateKey(tb testing.TB) {
	tb.Helper()
	key := newKey(tb)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = []*rsa.PrivateKey{key}
}

// Requests returns how many requests an endpoint has had.
func (s *Server) Requests(e Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[e]
}

// Busy returns how many requests an endpoint is answering.
func (s *Server) Busy(e Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy[e]
}

// Peak returns how many requests an endpoint has answered at the same time, at most.
func (s *Server) Peak(e Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak[e]
}

// Tokens returns all tokens that were given out.
func (s *Server) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.given...)
}

// IDTokens returns the claims of the ID tokens that were given out, oldest first, as the relying party has them.
func (s *Server) IDTokens() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]map[string]any(nil), s.issued...)
}
