package outbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/mailtest"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

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

func TestQueuedNoticeIsSent(t *testing.T) {
	p := onFile(t)
	p.run(t)
	p.put(t, loginCode())
	m := p.server.Await(t, 1)
	if m.To != "jeanne@example.fr" || !m.TLS {
		t.Errorf("sent to %q, TLS %t", m.To, m.TLS)
	}
	p.waits(t, 0)
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

func TestQueuedNoticeThatIsRefusedForEverIsGivenUp(t *testing.T) {
	p := onFile(t)
	p.server.Refuse("jeanne@example.fr")
	p.run(t)
	p.put(t, recoveryUsed())
	p.fails(t, outbox.Refused)
	p.waits(t, 0)
	for _, word := range []string{"u-jeanne", "recovery_used", "code 550"} {
		if !strings.Contains(p.log.String(), word) {
			t.Errorf("the log has no %q:\n%s", word, p.log)
		}
	}
	p.private(t)
}

// RFC 5321, section 4.2.1: after 4yz a client tries again.
func TestQueuedNoticeIsTriedAgain(t *testing.T) {
	p := onFile(t)
	p.server.RefuseWith("jeanne@example.fr", 451)
	p.run(t)
	p.put(t, recoveryUsed())
	p.fails(t, outbox.Delayed)
	for _, d := range []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour} {
		p.waits(t, 1)
		p.later(d * 6 / 5) // the longest that chance makes of it
		p.fails(t, outbox.Delayed)
	}
	p.server.RefuseWith("jeanne@example.fr", 0)
	p.later(5 * time.Hour)
	if m := p.server.Await(t, 1); m.To != "jeanne@example.fr" {
		t.Errorf("sent to %q", m.To)
	}
	p.waits(t, 0)
	p.private(t)
}

// What is wrong before a recipient is named is wrong for everybody: an operator corrects it, and nothing is lost.
func TestNothingIsGivenUpForAWrongPassword(t *testing.T) {
	p := onFile(t)
	w := newWorld(t, mailtest.Config{User: "authgw", Password: "right"})
	w.config.Password = "wrong"
	p.outbox.Use(w.sender(t), p.keys, nil)
	p.run(t)
	p.put(t, recoveryUsed())
	p.fails(t, outbox.Delayed)
	w.config.Password = "right"
	p.outbox.Use(w.sender(t), p.keys, nil)
	p.later(time.Minute)
	w.server.Await(t, 1)
	p.waits(t, 0)
	p.private(t)
}

func TestQueuedNoticeOutlivesAServerThatIsDown(t *testing.T) {
	for _, tt := range []struct {
		name string
		down func(p *post) (up func())
	}{
		{"it closes each connection", func(p *post) func() { p.server.HangUp(); return p.server.Speak }},
		{"it takes the message and says nothing", func(p *post) func() { p.server.FallSilent(); return p.server.Speak }},
		{"nobody listens", func(p *post) func() {
			port := p.config.Port
			p.config.Port = closedPort()
			return func() { p.config.Port = port }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := onFile(t)
			up := tt.down(p)
			timeout := p.config.Timeout
			p.config.Timeout = 500 * time.Millisecond
			p.outbox.Use(p.sender(t), p.keys, nil)
			p.run(t)
			p.put(t, loginCode()) // does not wait for the server
			p.fails(t, outbox.Delayed)
			up()
			p.config.Timeout = timeout
			p.outbox.Use(p.sender(t), p.keys, nil)
			p.later(40 * time.Second)
			p.server.Await(t, 1)
			p.waits(t, 0)
			p.private(t)
		})
	}
}

func TestQueueOutlivesTheProgram(t *testing.T) {
	p := onFile(t)
	p.put(t, loginCode())
	p.store.Close()
	p.open(t)
	p.run(t)
	if m := p.server.Await(t, 1); !strings.Contains(m.Text, "1234 5678") {
		t.Errorf("another message was sent:\n%s", m.Text)
	}
	p.waits(t, 0)
}

// A gateway that stops while the server keeps it waiting gives the message back, and the next sends it at once.
func TestQueueThatStopsGivesBackWhatItIsSending(t *testing.T) {
	p := onFile(t)
	p.server.FallSilent()
	stop := p.run(t)
	p.put(t, loginCode())
	p.server.AwaitSilence(t)
	stop()
	p.store.Close()
	p.server.Speak()
	p.open(t)
	p.run(t)
	p.server.Await(t, 1)
	p.waits(t, 0)
}

func TestTwoQueuesSendEachMessageOnce(t *testing.T) {
	p := newPost(t, pgtest.Database(t))
	other := *p
	other.open(t)
	const accounts, each = 6, 8
	for i := range accounts {
		a := jeanne()
		a.Subject, a.NationalID, a.Address = fmt.Sprint("u-", i), fmt.Sprint("9970021", i), fmt.Sprintf("p%d@example.fr", i)
		if _, err := p.store.OpenAccount(t.Context(), a, asked()); err != nil {
			t.Fatal(err)
		}
		for k := range each {
			n := recoveryUsed()
			n.Left = k
			if err := p.outbox.Put(t.Context(), a, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.run(t)
	run(t, other.outbox)
	p.waits(t, 0)
	seen := map[string]int{}
	for i := range accounts * each {
		m := p.server.Await(t, i+1)
		seen[m.To+m.Text]++
	}
	if n := p.server.Count(); n != accounts*each || len(seen) != n {
		t.Errorf("%d messages, %d different, want %d of both", n, len(seen), accounts*each)
	}
}

// Lesson D3: a code is good for a time, and is not sent later.
func TestD3LateCodeIsNotSent(t *testing.T) {
	for _, tt := range []struct {
		name string
		late func(t *testing.T, p *post)
	}{
		{"it waited", func(t *testing.T, p *post) {
			p.put(t, loginCode())
			p.clock.advance(10 * time.Minute)
			p.run(t)
		}},
		{"it was tried", func(t *testing.T, p *post) {
			p.server.RefuseWith("jeanne@example.fr", 451)
			p.run(t)
			p.put(t, loginCode())
			p.fails(t, outbox.Delayed)
			p.server.RefuseWith("jeanne@example.fr", 0)
			p.waits(t, 1)
			p.later(10 * time.Minute)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := onFile(t)
			tt.late(t, p)
			p.fails(t, outbox.Expired)
			p.waits(t, 0)
			if n := p.server.Count(); n != 0 {
				t.Errorf("%d messages were sent", n)
			}
			if !strings.Contains(p.log.String(), "login_code") {
				t.Errorf("the log does not say what was given up:\n%s", p.log)
			}
			p.private(t)
		})
	}
}

func TestNothingIsSentWithTheWrongKeys(t *testing.T) {
	p := onFile(t)
	right := p.keys
	p.put(t, recoveryUsed())
	p.outbox.Use(p.sender(t), newKeys(t, "k2"), nil)
	p.run(t)
	p.fails(t, outbox.Unreadable)
	if !strings.Contains(p.log.String(), "seal_keys") || !strings.Contains(p.log.String(), "u-jeanne") {
		t.Errorf("the log does not say what to do:\n%s", p.log)
	}
	if n := p.server.Count(); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
	p.waits(t, 1)
	p.outbox.Use(p.sender(t), right, nil) // the operator gives the key back
	p.later(time.Minute)
	p.server.Await(t, 1)
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

func TestDatabaseShowsNothingOfAMessage(t *testing.T) {
	p := onFile(t)
	p.put(t, loginCode())
	var id, subject, sealed, rest string
	p.row(t, "SELECT id, subject, sealed, tries || ' ' || created_at || ' ' || next_at || ' ' || expires_at FROM mail_queue", &id, &subject, &sealed, &rest)
	for _, word := range []string{"jeanne@", "example.fr", "12345678", "login", "192.0.2.7", "Firefox"} {
		if strings.Contains(id+sealed+rest, word) {
			t.Errorf("the row shows %q", word)
		}
	}
	plain, err := p.keys.Open("mail", id, sealed)
	if err != nil || !strings.Contains(string(plain), "12345678") {
		t.Errorf("Open = %q, %v, want the message", plain, err)
	}
}

// Lesson D1: nobody who can write to the database has a message sent to somebody else, or one for another account.
func TestD1MessageThatWasMovedIsNotSent(t *testing.T) {
	p := onFile(t)
	p.put(t, recoveryUsed())
	var n int
	p.row(t, "UPDATE mail_queue SET id = 'm-moved' RETURNING 1", &n)
	p.run(t)
	p.fails(t, outbox.Unreadable)
	if n := p.server.Count(); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

// Lesson D1: a notice goes to the address of the record, whatever else it speaks of.
func TestD1NoticeGoesToTheAddressOfTheRecord(t *testing.T) {
	p := onFile(t)
	p.run(t)
	p.put(t, mail.Notice{Kind: mail.AddressChanged, At: asked(), Source: "192.0.2.7", Browser: "x@evil.example", NewAddress: "paul@evil.example"})
	m := p.server.Await(t, 1)
	if m.To != "jeanne@example.fr" || m.Header.Get("To") != "<jeanne@example.fr>" {
		t.Errorf("sent to %q, header %q", m.To, m.Header.Get("To"))
	}
	if strings.Contains(m.Text+m.HTML, "paul@") || !strings.Contains(m.Text, "p…@evil.example") {
		t.Errorf("the new address is not shown in part:\n%s", m.Text)
	}
}

// Lesson D2: what opens a mailbox does not go into it.
func TestD2WhatOpensAMailboxIsNotSentThere(t *testing.T) {
	p := onFile(t)
	var n int
	p.row(t, "INSERT INTO account_mailboxes (subject, address, kind, position) VALUES ('u-jeanne', 'Jeanne@Hopital.Example', 'nominative', 0) RETURNING 1", &n)
	invitation := mail.Notice{Kind: mail.Invitation, At: asked(), Path: "/activate/abc", Valid: 48 * time.Hour}
	for _, address := range []string{"jeanne@mssante.fr", "jeanne@cabinet.MSSante.fr", "other@hopital.example"} {
		a := jeanne()
		a.Address = address
		for _, n := range []mail.Notice{loginCode(), invitation} {
			if err := p.outbox.Put(t.Context(), a, n); !errors.Is(err, outbox.ErrProtected) {
				t.Errorf("Put of %s to %s = %v, want %v", n.Kind, address, err, outbox.ErrProtected)
			}
		}
		if err := p.outbox.Put(t.Context(), a, recoveryUsed()); err != nil {
			t.Errorf("Put of what opens nothing = %v", err)
		}
	}
	if err := p.outbox.Put(t.Context(), jeanne(), loginCode()); err != nil {
		t.Errorf("Put to an ordinary address = %v", err)
	}
}

func TestAccountIsNotFlooded(t *testing.T) {
	p := onFile(t)
	for range 10 {
		p.put(t, recoveryUsed())
	}
	if err := p.outbox.Put(t.Context(), jeanne(), recoveryUsed()); !errors.Is(err, outbox.ErrFull) {
		t.Errorf("Put of the eleventh notice = %v, want %v", err, outbox.ErrFull)
	}
	for range 10 {
		p.put(t, loginCode()) // notices that wait keep nobody from signing in
	}
	if err := p.outbox.Put(t.Context(), jeanne(), loginCode()); !errors.Is(err, outbox.ErrFull) {
		t.Errorf("Put of the eleventh code = %v, want %v", err, outbox.ErrFull)
	}
}

// A program that only puts needs no mail server; the gateway's queue finds what it has put.
func TestNoticeOfAnotherProcessIsSent(t *testing.T) {
	p := onFile(t)
	command := outbox.New(outbox.Config{Store: p.store, Log: slog.New(slog.DiscardHandler), Now: p.clock.Now})
	command.Use(nil, p.keys, nil)
	p.run(t)
	if err := command.Put(t.Context(), jeanne(), recoveryUsed()); err != nil {
		t.Fatal(err)
	}
	p.server.Await(t, 1) // within seconds, without a word
}

func TestWhatCannotBePut(t *testing.T) {
	p := onFile(t)
	for _, tt := range []struct {
		name   string
		change func(a *store.Account, n *mail.Notice)
		want   string
	}{
		{"no address", func(a *store.Account, _ *mail.Notice) { a.Address = "" }, outbox.ErrNoAddress.Error()},
		{"two addresses", func(a *store.Account, _ *mail.Notice) { a.Address = "a@example.fr,b@example.fr" }, outbox.ErrNoAddress.Error()},
		{"an account that is not there", func(a *store.Account, _ *mail.Notice) { a.Subject = "u-nobody" }, store.ErrNotFound.Error()},
		{"no kind", func(_ *store.Account, n *mail.Notice) { n.Kind = "" }, "kind that is not known"},
		{"the kind that a person waits for", func(_ *store.Account, n *mail.Notice) { n.Kind = "address_code" }, "kind that is not known"},
		{"no time", func(_ *store.Account, n *mail.Notice) { n.At = time.Time{} }, "no time"},
		{"a code of seven digits", func(_ *store.Account, n *mail.Notice) { n.Code = "1234567" }, "login_code"},
		{"a code that is good for ever", func(_ *store.Account, n *mail.Notice) { n.Valid = 0 }, "login_code"},
		{"a factor without words", func(_ *store.Account, n *mail.Notice) { n.Kind, n.Factor = mail.FactorAdded, "sms" }, "factor_added"},
		{"a new address that is none", func(_ *store.Account, n *mail.Notice) { n.Kind = mail.AddressChanged }, "address_changed"},
		{"fewer codes than none", func(_ *store.Account, n *mail.Notice) { n.Kind, n.Left = mail.RecoveryUsed, -1 }, "recovery_used"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, n := jeanne(), loginCode()
			tt.change(&a, &n)
			err := p.outbox.Put(t.Context(), a, n)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Put = %v, want an error with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "1234") {
				t.Errorf("the error shows the code: %v", err)
			}
		})
	}
	// Lesson B6: links lead to the gateway.
	for _, path := range []string{"", "activate", "//evil.example/activate", "https://evil.example/", "/\\evil.example", "/@evil.example", "/a\nb", "/a\"b", "/#a"} {
		err := p.outbox.Put(t.Context(), jeanne(), mail.Notice{Kind: mail.Invitation, At: asked(), Valid: 48 * time.Hour, Path: path})
		if err == nil {
			t.Errorf("Put of an invitation to %q", path)
		}
	}
	p.outbox.Use(nil, nil, nil)
	if err := p.outbox.Put(t.Context(), jeanne(), recoveryUsed()); !errors.Is(err, outbox.ErrOff) {
		t.Errorf("Put without keys = %v, want %v", err, outbox.ErrOff)
	}
	p.waits(t, 0)
}
