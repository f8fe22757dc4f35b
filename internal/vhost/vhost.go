// Package vhost is the TLS listener whose hosts are chosen by the name in the handshake.
//
// A host is a name, a handler, and what it asks of the client. The name in the handshake (SNI) alone chooses it: a handshake
// without a name, or with one that is not listed, is refused, and a request whose Host is not the name of its handshake gets 421.
// So no request reaches a host by another one's TLS rules. There is no default host. Hosts and certificates may be replaced while it
// serves. A Server is safe for concurrent use.
package vhost

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Client is what a host asks of the TLS client.
type Client int

const (
	// Anonymous asks for no certificate.
	Anonymous Client = iota
	// CardOfAgent asks for a certificate, of an agent: TLS 1.2 or 1.3, whichever the card can do. The handler judges it.
	CardOfAgent
	// CardOfBrowser asks for a certificate, of a browser: TLS 1.2 only, because browsers have no way to say in TLS 1.3 that a card
	// cannot do PSS, and silently send none.
	CardOfBrowser
	// AnyCertificate asks for a certificate, whoever has issued it, of a program that proves itself with one. The handler judges it.
	AnyCertificate
)

// Host is one name of the listener.
type Host struct {
	Name    string // lower case, no port
	Client  Client
	Handler http.Handler
}

// Config is what a Server is made of.
type Config struct {
	Hosts        []Host
	Certificates []tls.Certificate // each with its Leaf
	// CardIssuers are named to clients that are asked for a certificate, so that a browser offers the right one. They decide
	// nothing: the handler does.
	CardIssuers *x509.CertPool
	PublicPort  uint16 // the port that Host headers carry
	Log         *slog.Logger
	// HandshakeFailed is told of each handshake that failed, by a word: unknown_name, or handshake for
	// all else. May be nil.
	HandshakeFailed func(reason string)
}

// Limits of the listener. A handler may move the deadlines of its own request with http.ResponseController.
const (
	HeaderTimeout = 10 * time.Second // handshake, and each request's headers
	ReadTimeout   = 30 * time.Second // a request with its body
	WriteTimeout  = 60 * time.Second // an answer
	IdleTimeout   = 2 * time.Minute
	MaxHeader     = 32 << 10
)

// Server answers on a listener.
type Server struct {
	table   atomic.Pointer[table]
	none    *tls.Config
	failed  func(reason string)
	log     *slog.Logger
	http    *http.Server
	stopped atomic.Bool
	unknown sync.Map // connections whose name is unknown, until they are closed
}

// table is the hosts. It is not changed: a server that gets other hosts gets another table.
type table struct {
	hosts map[string]http.Handler
	tls   map[string]*tls.Config
	port  uint16
}

// New checks a configuration and returns its server.
func New(c Config) (*Server, error) {
	s := &Server{
		// No certificate: the handshake ends with unrecognized_name. And no tickets: all hosts share the keys of theirs (crypto/tls takes
		// them from the listener's configuration), and a resumption needs no certificate, so that one of a host would open any name (A3).
		none:   &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true},
		failed: c.HandshakeFailed,
		log:    c.Log,
	}
	t, err := newTable(c)
	if err != nil {
		return nil, err
	}
	s.table.Store(t)
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: HeaderTimeout,
		ReadTimeout:       ReadTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    MaxHeader,
		ConnState:         s.observe,
		// "OPTIONS *" is answered like any other request, by the host that it is for.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug), // strangers' broken handshakes
	}
	return s, nil
}

// Replace puts other hosts, certificates and issuers in the place of those of New, or changes nothing and says why. What follows is
// theirs: handshakes, and requests, those on connections that are open included. A request under way goes on as it began; an open
// connection keeps the certificate of its handshake. Of the rest of c, nothing is taken.
func (s *Server) Replace(c Config) error {
	t, err := newTable(c)
	if err == nil {
		s.table.Store(t)
	}
	return err
}

// Stopped says whether Serve accepts no connections any more.
func (s *Server) Stopped() bool { return s.stopped.Load() }

func newTable(c Config) (*table, error) {
	t := &table{hosts: map[string]http.Handler{}, tls: map[string]*tls.Config{}, port: c.PublicPort}
	for _, h := range c.Hosts {
		name := strings.ToLower(h.Name)
		if _, dup := t.hosts[name]; dup {
			return nil, fmt.Errorf("host %q is used twice", name)
		}
		conf, err := hostTLS(h, name, c)
		if err != nil {
			return nil, err
		}
		t.hosts[name], t.tls[name] = h.Handler, conf
	}
	return t, nil
}

// observe answers requests that do not come whole, and tells of connections that end before their handshake has.
func (s *Server) observe(c net.Conn, state http.ConnState) {
	conn, ok := c.(*tls.Conn)
	if !ok {
		return
	}
	answerLate(conn, state)
	if state != http.StateClosed || s.failed == nil {
		return
	}
	if _, unknown := s.unknown.LoadAndDelete(conn.NetConn()); unknown {
		s.failed("unknown_name")
	} else if !conn.ConnectionState().HandshakeComplete {
		s.failed("handshake")
	}
}

// hostTLS returns the TLS rules of one host.
func hostTLS(h Host, name string, c Config) (*tls.Config, error) {
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// MSSanté référentiel #2: ECDHE with AES-GCM. ChaCha20 is left to TLS 1.3, which has no list to choose from.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
	}
	for _, cert := range c.Certificates {
		if cert.Leaf == nil {
			return nil, errors.New("a server certificate comes without its parsed leaf")
		}
		if cert.Leaf.VerifyHostname(name) == nil {
			conf.Certificates = append(conf.Certificates, cert)
		}
	}
	if len(conf.Certificates) == 0 {
		return nil, fmt.Errorf("no server certificate covers host %q", name)
	}
	if h.Client == Anonymous {
		return conf, nil
	}

	// A card's signature counts for one connection: nothing is resumed (tickets carry certificates from one policy to
	// another), and HTTP/2 would share the connection between requests of several names.
	conf.SessionTicketsDisabled = true
	conf.NextProtos = []string{"http/1.1"}
	// The handler must be reached without a certificate, with an expired one, with anything: it tells the person why not.
	conf.ClientAuth = tls.RequestClientCert
	if h.Client != AnyCertificate {
		conf.ClientCAs = c.CardIssuers
	}
	if h.Client == CardOfBrowser {
		conf.MaxVersion = tls.VersionTLS12
	}
	return conf, nil
}

// Serve answers on l until ctx ends, then lets requests finish for at most grace.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	conf := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"}, // tells net/http to be ready for both; each host's own list decides
		GetConfigForClient: s.choose,
	}
	tl := tls.NewListener(listener{l}, conf)
	s.http.TLSConfig = conf
	// Shutdown forgets the connections that a handler has taken over (WebSockets); they end with this.
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	s.http.BaseContext = func(net.Listener) context.Context { return base }
	failed := make(chan error, 1)
	defer s.stopped.Store(true)
	go func() { failed <- s.http.Serve(tl) }() // ends with Shutdown or Close below
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.stopped.Store(true)
	patience, cancel := context.WithTimeout(base, grace)
	defer cancel()
	if err := s.http.Shutdown(patience); err != nil {
		s.log.Warn("requests were cut off at shutdown", "grace", grace)
		s.http.Close()
	}
	<-failed
	return nil
}

// choose finds the rules of the name in a handshake. Names compare without case (RFC 6066, section 3); crypto/tls has refused a
// trailing dot and addresses already.
func (s *Server) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if conf := s.table.Load().tls[strings.ToLower(hello.ServerName)]; conf != nil {
		return conf, nil
	}
	if s.failed != nil {
		s.unknown.Store(hello.Conn, true) // observe takes it out: each connection comes to its end
	}
	return s.none, nil
}

// transportSecurity is what every answer says of the way it came: RFC 6797, a year.
const transportSecurity = "max-age=31536000"

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				s.log.Error("a handler panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler) // net/http closes the connection
		}
	}()
	w.Header().Set("Strict-Transport-Security", transportSecurity)
	name := strings.ToLower(r.TLS.ServerName)
	table := s.table.Load()
	handler := table.hosts[name]
	if handler == nil { // the host has gone since the handshake
		w.Header().Set("Connection", "close")
		http.Error(w, "421 misdirected request", http.StatusMisdirectedRequest)
		return
	}
	if !table.isHost(r.Host, name) {
		// RFC 9110, section 7.4. Covers domain fronting and HTTP/2 connections that a browser shares between names.
		w.Header().Set("Connection", "close")
		http.Error(w, "421 misdirected request: this connection is for another name", http.StatusMisdirectedRequest)
		return
	}
	handler.ServeHTTP(w, r)
}

// isHost says whether a Host header is name, with the public port or without one.
func (t *table) isHost(host, name string) bool {
	host = strings.ToLower(host)
	return host == name || host == name+":"+strconv.Itoa(int(t.port))
}

// LimitBody has the body of each request read before its handler begins: max bytes at most, within timeout. Half a request gets a status and
// does nothing, whatever the handler would have made of half a body: one that has no need of it would act, and the failed read ends the
// context of the request, which is otherwise the sign of a client that has gone and needs no answer.
func LimitBody(max int64, timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > max {
			refuseBody(w, r, http.StatusRequestEntityTooLarge)
			return
		}
		if r.Body != http.NoBody {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout)) // not supported: the server's own deadline holds
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
			if err != nil {
				refuseBody(w, r, BodyError(err))
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		next.ServeHTTP(w, r)
	})
}

// refuseBody answers a program that sends JSON, as agents and phones do, with a word in JSON, and others with a line of text.
func refuseBody(w http.ResponseWriter, r *http.Request, status int) {
	word, text := "bad_request", "400 bad request: its body cannot be read"
	switch status {
	case http.StatusRequestEntityTooLarge:
		word, text = "too_large", "413 the request is too large"
	case http.StatusRequestTimeout:
		word, text = "timeout", "408 request timeout: the request did not come whole in time"
	}
	w.Header().Set("Connection", "close")
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, text, status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":"`+word+`"}`+"\n") // who has gone misses it
}

// BodyError returns the status that an error of reading a body deserves.
func BodyError(err error) int {
	var tooLarge *http.MaxBytesError
	var netErr net.Error
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &netErr) && netErr.Timeout():
		return http.StatusRequestTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		return http.StatusBadRequest
	}
	return http.StatusBadRequest
}
