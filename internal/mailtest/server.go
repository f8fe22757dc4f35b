// Package mailtest is a mail server for tests: a real SMTP server on loopback that keeps what it is given and delivers nothing.
//
// It can refuse, fall silent and offer no TLS, as servers do. It decides nothing about what a message should say. Its methods may be
// called at once.
package mailtest

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"promess/authgw/internal/postbox"
)

// patience bounds every wait.
const patience = time.Minute

// Config is how the server behaves.
type Config struct {
	Certificate    tls.Certificate // empty: no TLS is offered
	ImplicitTLS    bool            // TLS from the first byte
	OldTLS         bool            // no TLS newer than 1.1
	User, Password string          // asked for, unless empty
}

// Server is a running server.
type Server struct {
	Port   uint16
	config Config

	mu      sync.Mutex
	all     []Message
	refused map[string]int // SMTP codes
	gone    bool           // connections are closed before a word
	silent  chan struct{}  // not nil: no message is answered until it is closed
	held    chan struct{}  // gets a word for each message that is not answered
	arrived chan struct{}  // is closed with the next message
}

// Message is what a client sent.
type Message struct {
	postbox.Message
	From, To string // of the envelope
	TLS      bool
	User     string
}

// Start starts a server that ends with the test.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Port: uint16(l.Addr().(*net.TCPAddr).Port), config: c, refused: map[string]int{}, arrived: make(chan struct{}), held: make(chan struct{}, 100)}
	server := smtp.NewServer(smtp.BackendFunc(func(conn *smtp.Conn) (smtp.Session, error) { return &session{server: s, conn: conn}, nil }))
	server.Domain = "mail.test"
	server.ReadTimeout, server.WriteTimeout = patience, patience
	server.MaxMessageBytes, server.MaxRecipients = 1<<20, 10
	server.ErrorLog = log.New(io.Discard, "", 0)
	if len(c.Certificate.Certificate) > 0 {
		config := &tls.Config{Certificates: []tls.Certificate{c.Certificate}}
		if c.OldTLS {
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}
		if c.ImplicitTLS {
			l = tls.NewListener(l, config)
		} else {
			server.TLSConfig = config
		}
	}
	l = &door{l, s}
	ended := make(chan struct{})
	go func() { // ends with Close
		defer close(ended)
		_ = server.Serve(l) // its error is that of the closed listener
	}()
	t.Cleanup(func() {
		s.Speak()
		l.Close() // the server knows its listener only once it has begun
		server.Close()
		<-ended
	})
	return s
}

// Refuse makes the server refuse a recipient from now on, for ever.
func (s *Server) Refuse(address string) { s.RefuseWith(address, 550) }

// RefuseWith makes the server answer a recipient with a code from now on; with zero it takes them again.
func (s *Server) RefuseWith(address string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[address] = code
}

// HangUp makes the server close each connection before a word, as what stands before a server that is down does, until Speak.
func (s *Server) HangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}

// door is the listener of a server.
type door struct {
	net.Listener
	server *Server
}

func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		d.server.mu.Lock()
		gone := d.server.gone
		d.server.mu.Unlock()
		if !gone {
			return c, nil
		}
		c.Close()
	}
}

// FallSilent makes the server answer no message until Speak.
func (s *Server) FallSilent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = make(chan struct{})
	for len(s.held) > 0 {
		<-s.held // of a silence before
	}
}

// AwaitSilence returns once another message came since FallSilent that is not answered.
func (s *Server) AwaitSilence(t testing.TB) {
	t.Helper()
	select {
	case <-s.held:
	case <-time.After(patience):
		t.Fatalf("no message after %v", patience)
	}
}

// Speak undoes FallSilent and HangUp.
func (s *Server) Speak() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = false
	if s.silent != nil {
		close(s.silent)
		s.silent = nil
	}
}

// Count returns how many messages there were.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// Await returns the n-th message, from 1, once it is there.
func (s *Server) Await(t testing.TB, n int) Message {
	t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		all, arrived := s.all, s.arrived
		s.mu.Unlock()
		if len(all) >= n {
			return all[n-1]
		}
		select {
		case <-arrived:
		case <-timeout:
			t.Fatalf("%d messages after %v, want %d", len(all), patience, n)
		}
	}
}

func (s *Server) keep(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, m)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// session is one connection.
type session struct {
	server   *Server
	conn     *smtp.Conn
	user     string
	from, to string
}

var _ smtp.AuthSession = (*session)(nil)

func (s *session) AuthMechanisms() []string {
	if s.server.config.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if c := s.server.config; user != c.User || password != c.Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.config.User != "" && s.user == "" {
		return smtp.ErrAuthRequired
	}
	s.from, s.to = from, ""
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	code := s.server.refused[to]
	s.server.mu.Unlock()
	if code != 0 {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "no mail for " + to}
	}
	if s.to != "" {
		return errors.New("one recipient only")
	}
	s.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	silent := s.server.silent
	s.server.mu.Unlock()
	if silent != nil {
		select {
		case s.server.held <- struct{}{}:
		default: // nobody counts so many
		}
		select {
		case <-silent:
		case <-time.After(patience):
		}
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try again later"}
	}
	read, err := postbox.Parse(raw)
	if err != nil {
		return err
	}
	m := Message{Message: read, From: s.from, To: s.to, User: s.user}
	_, m.TLS = s.conn.TLSConnectionState()
	if s.server.config.ImplicitTLS {
		m.TLS = true
	}
	s.server.keep(m)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
