package outbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/mailtest"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
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
		Host: "127.0.0.1", Port: s.Port, Roots: pki.ServerRoots(), User: c.User, Password: c.Password, Timeout: 30 * time.Second,
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

// patience bounds what a test waits for.
const patience = time.Minute

// clock is what time it is in a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// post is a queue on a database, with the mail server that it sends through.
type post struct {
	*world
	clock    *clock
	keys     *seal.Keys
	database string
	store    *store.Store
	outbox   *outbox.Outbox
	failures chan outbox.Failure
	log      *lines
}

func newKeys(t testing.TB, id string) *seal.Keys {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	k, err := seal.Parse([]byte(id + " " + base64.StdEncoding.EncodeToString(secret)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newPost has a queue that does not run yet, and the account u-jeanne.
func newPost(t *testing.T, database string) *post {
	t.Helper()
	p := &post{world: newWorld(t, mailtest.Config{}), clock: &clock{now: asked()}, keys: newKeys(t, "k1"), database: database, log: &lines{}}
	p.open(t)
	if _, err := p.store.OpenAccount(t.Context(), jeanne(), asked()); err != nil {
		t.Fatal(err)
	}
	return p
}

func onFile(t *testing.T) *post { return newPost(t, filepath.Join(t.TempDir(), "authgw.db")) }

// open opens the database and makes a queue on it, as a gateway that starts does.
func (p *post) open(t *testing.T) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(p.log, nil))
	st, err := store.Open(t.Context(), store.Config{Name: p.database, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	failures := make(chan outbox.Failure, 100)
	p.store, p.failures = st, failures
	p.outbox = outbox.New(outbox.Config{Store: st, Log: log, Now: p.clock.Now, Failed: func(f outbox.Failure) { failures <- f }})
	p.outbox.Use(p.sender(t), p.keys, []string{"mssante.fr"})
}

// run runs the queue until the test ends, or stop.
func (p *post) run(t *testing.T) (stop func()) {
	t.Helper()
	return run(t, p.outbox)
}

func jeanne() store.Account {
	return store.Account{Subject: "u-jeanne", IDType: "RPPS", NationalID: "99700218896", GivenName: "JEANNE", FamilyName: "MARTIN", Address: "jeanne@example.fr"}
}

func loginCode() mail.Notice {
	return mail.Notice{
		Kind: mail.LoginCode, Language: "fr", At: asked(), Source: "192.0.2.7", Browser: "Firefox 153, Linux", Service: "Messagerie",
		Code: "12345678", Valid: 10 * time.Minute,
	}
}

func recoveryUsed() mail.Notice {
	return mail.Notice{Kind: mail.RecoveryUsed, Language: "fr", At: asked(), Source: "192.0.2.7", Browser: "Firefox 153, Linux", Left: 9}
}

func (p *post) put(t *testing.T, n mail.Notice) {
	t.Helper()
	if err := p.outbox.Put(t.Context(), jeanne(), n); err != nil {
		t.Fatal(err)
	}
}

// fails waits for a failure.
func (p *post) fails(t *testing.T, want outbox.Failure) {
	t.Helper()
	select {
	case got := <-p.failures:
		if got != want {
			t.Fatalf("failure %q, want %q; log:\n%s", got, want, p.log)
		}
	case <-time.After(patience):
		t.Fatalf("no failure, want %q; log:\n%s", want, p.log)
	}
}

// waits waits until so many messages do.
func (p *post) waits(t *testing.T, want int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		n, err := p.outbox.Length(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages wait, want %d; log:\n%s", n, want, p.log)
		}
	}
}

// later lets time pass and the queue look.
func (p *post) later(d time.Duration) {
	p.clock.advance(d)
	p.outbox.Rouse()
}

// run runs a queue until the test ends, or stop.
func run(t *testing.T, o *outbox.Outbox) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

// private is in no log line.
func (p *post) private(t *testing.T) {
	t.Helper()
	for _, word := range []string{"jeanne@", "example.fr", "12345678", "1234 5678", "MARTIN"} {
		if strings.Contains(p.log.String(), word) {
			t.Errorf("the log shows %q:\n%s", word, p.log)
		}
	}
}

// row reads the queue behind its back.
func (p *post) row(t *testing.T, statement string, into ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", p.database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), statement).Scan(into...); err != nil {
		t.Fatal(err)
	}
}
