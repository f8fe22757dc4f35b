package outbox_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/store"
)

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
	for range 30 {
		p.put(t, loginCode()) // notices that wait keep nobody from signing in
	}
	p.waits(t, 11) // a code takes the place of the one before it
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
