package outbox_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/mailtest"
	"promess/authgw/internal/testpki"
)

var hierarchy = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true}) })

// world is a mail server with TLS, and how it is reached.
type world struct {
	server *mailtest.Server
	config mail.Config
}

func newWorld(t *testing.T, c mailtest.Config) *world {
	t.Helper()
	pki, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	if c.Certificate, err = pki.ServerCertificate("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	s := mailtest.Start(t, c)
	return &world{server: s, config: mail.Config{
		Host: "127.0.0.1", Port: s.Port, Roots: pki.ServerRoots(), User: c.User, Password: c.Password, Timeout: 10 * time.Second,
		From: "no-reply@promess.example", Product: "ProMess", Origin: "https://auth.promess.example", Now: asked,
	}}
}

func asked() time.Time { return time.Date(2026, time.March, 2, 12, 30, 0, 0, time.UTC) }

func (w *world) sender(t *testing.T) *mail.Sender {
	t.Helper()
	s, err := mail.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// closedPort is one that nobody listens on.
func closedPort() uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}
