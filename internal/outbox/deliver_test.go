package outbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/mailtest"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/pgtest"
)

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

// While the server is down, a person asks for another code. When it is back, the last message that comes is the one to copy from.
func TestCodeThatWasReplacedIsNotSent(t *testing.T) {
	for name, post := range map[string]func(t *testing.T) *post{
		"SQLite": onFile, "PostgreSQL": func(t *testing.T) *post { return newPost(t, pgtest.Database(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := post(t)
			p.server.HangUp()
			p.run(t)
			p.put(t, loginCode())
			p.fails(t, outbox.Delayed)
			p.put(t, recoveryUsed())
			p.fails(t, outbox.Delayed)
			invitation := mail.Notice{Kind: mail.Invitation, Language: "fr", At: asked(), Path: "/login/otp/invitation/a", Valid: 24 * time.Hour}
			p.put(t, invitation)
			p.fails(t, outbox.Delayed)
			p.clock.advance(time.Second)
			next := loginCode()
			next.Code = "87654321"
			p.put(t, next)
			p.fails(t, outbox.Delayed)
			p.waits(t, 3) // the notice, the invitation and one code
			p.server.Speak()
			p.later(3 * time.Minute)
			p.waits(t, 0)
			codes := ""
			for i := range 3 {
				m := p.server.Await(t, i+1)
				if strings.Contains(m.Subject, "code de connexion") {
					codes += m.Text
				}
			}
			if !strings.Contains(codes, "8765 4321") || strings.Contains(codes, "1234 5678") || p.server.Count() != 3 {
				t.Errorf("%d messages were sent, want 3; those with a code:\n%s", p.server.Count(), codes)
			}
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

// A gateway that is killed while it sends gives nothing back. Another takes the message over when the first can have it no longer.
func TestMessageOfAKilledGatewayIsSent(t *testing.T) {
	p := onFile(t)
	p.server.FallSilent()
	stop := p.run(t)
	p.put(t, loginCode())
	p.server.AwaitSilence(t)
	p.store.Close() // nothing is written from here on
	stop()
	p.server.Speak()
	p.open(t)
	var next int64
	p.row(t, "SELECT next_at FROM mail_queue", &next)
	// The sender's timeout, and twice what the database is given.
	if got, want := time.UnixMilli(next).UTC(), asked().Add(30*time.Second+2*10*time.Second); !got.Equal(want) {
		t.Errorf("another gateway may take it at %v, want %v", got, want)
	}
	p.run(t)
	p.later(51 * time.Second)
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

func TestTriesComeAtGrowingIntervals(t *testing.T) {
	for _, tt := range []struct {
		tries int
		life  time.Duration
		want  time.Duration // about
	}{
		{1, 48 * time.Hour, 30 * time.Second},
		{2, 48 * time.Hour, 2 * time.Minute},
		{3, 48 * time.Hour, 10 * time.Minute},
		{4, 48 * time.Hour, time.Hour},
		{5, 48 * time.Hour, 4 * time.Hour},
		{100, 48 * time.Hour, 4 * time.Hour},
		{1, 10 * time.Minute, 30 * time.Second},
		{3, 10 * time.Minute, 2 * time.Minute}, // a code is tried while it is good
	} {
		different := map[time.Duration]bool{}
		for range 200 {
			d := outbox.Delay(tt.tries, tt.life)
			if d < tt.want*4/5 || d > tt.want*6/5 {
				t.Fatalf("Delay(%d, %v) = %v, want %v and a fifth", tt.tries, tt.life, d, tt.want)
			}
			different[d] = true
		}
		if len(different) < 100 {
			t.Errorf("Delay(%d, %v) has %d values: what failed together is tried together", tt.tries, tt.life, len(different))
		}
	}
}
