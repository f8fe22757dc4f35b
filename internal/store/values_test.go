package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// What comes in comes out: letters of every length, quotes, times to the millisecond, in any zone, and their absence.
func TestValuesComeBackAsTheyWere(t *testing.T) { each(t, testValuesComeBackAsTheyWere) }

func testValuesComeBackAsTheyWere(t *testing.T, s *store.Store) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	paris := time.FixedZone("CET", 3600)
	a := store.Account{
		Subject: "u-é", IDType: "RPPS", NationalID: "1 OR 1=1 --", GivenName: "Zoë 'Anne'", FamilyName: `L’Hôpital ?1 $1 \ "%_`,
		Title: "医師 🩺 \u0301", Profession: "",
	}
	_, err := s.OpenAccount(ctx, a, noon)
	must(err)
	got, err := s.AccountBySubject(ctx, a.Subject)
	must(err)
	diff(t, "account", got, a)

	must(s.SetRegistered(ctx, a.Subject, noon.In(paris)))
	must(s.SetRegistered(ctx, a.Subject, noon.Add(time.Hour))) // the first time counts
	must(s.SetAddress(ctx, a.Subject, "zoë@exämple.fr", noon))
	a.Registered, a.Address = noon, "zoë@exämple.fr"
	got, err = s.AccountByNationalID(ctx, a.IDType, a.NationalID)
	must(err)
	diff(t, "account with address and registration", got, a)

	v := store.Session{
		ID: "s-é", Account: a, Method: "card", ACR: "eidas3", AMR: []string{"sc", "pin", "mfa"}, AuthTime: time.UnixMilli(0).UTC(),
		Source: "2001:db8::1", Browser: "Firefox – “privé”", CreatedAt: noon, SeenAt: noon.Add(time.Millisecond), ExpiresAt: time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	tok := hash(t, token.Session)
	must(s.CreateSession(ctx, v, "auth.test", tok, token.Hash{}))
	session, err := s.SessionByToken(ctx, "auth.test", tok)
	must(err)
	diff(t, "session", session, v)

	tok[0]++ // any bytes are a hash, zero and 255 too
	for i := range tok {
		tok[i] = byte(255 * (i % 2))
	}
	must(s.AddEntry(ctx, v.ID, "mail.test", tok, tok, noon.Add(time.Minute)))
	session, err = s.UseEntry(ctx, "mail.test", tok, tok, tok, noon)
	must(err)
	diff(t, "session of an entry", session, v)
}

// A text that a database cannot hold is refused, or held as it is: never cut, which would make it another's.
func TestTextsAreNeverCut(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for i, id := range []string{"1\x002", "\xff", strings.Repeat("9", 10_000)} {
			a := jeanne()
			a.Subject, a.NationalID = fmt.Sprint("u-", i), id
			if got, err := s.OpenAccount(t.Context(), a, noon); err == nil {
				diff(t, "account", got, a)
			}
			if got, err := s.AccountByNationalID(t.Context(), a.IDType, id); err == nil && got.NationalID != id {
				t.Errorf("account of %.20q = that of %.20q", id, got.NationalID)
			}
		}
		for _, id := range []string{"1", "\ufffd"} {
			if _, err := s.AccountByNationalID(t.Context(), "RPPS", id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("account of %q = %v, want %v", id, err, store.ErrNotFound)
			}
		}
	})
}

func TestStructures(t *testing.T) { each(t, testStructures) }

func testStructures(t *testing.T, s *store.Store) {
	ctx := t.Context()
	a := account(t, s)
	for _, v := range []store.Structure{{"30000", "CHU"}, {"10000", "Cabinet"}, {"30000", "CHU de Nantes"}} {
		if err := s.AddStructure(ctx, a.Subject, v.ID, v.Name, noon); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.StructuresOf(ctx, a.Subject)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "structures, with the newest names", got, []store.Structure{{"10000", "Cabinet"}, {"30000", "CHU de Nantes"}})
	if err := s.AddStructure(ctx, "u-nobody", "1", "CHU", noon); err == nil {
		t.Error("nobody works in a structure")
	}
	if got, err := s.StructuresOf(ctx, "u-nobody"); err != nil || len(got) != 0 {
		t.Errorf("structures of nobody = %v, %v", got, err)
	}
}

// A person sees the sessions that are open, and no others.
func TestSessionsOf(t *testing.T) { each(t, testSessionsOf) }

func testSessionsOf(t *testing.T, s *store.Store) {
	ctx := t.Context()
	a := account(t, s)
	other := jeanne()
	other.Subject, other.NationalID = "u-other", "2"
	if _, err := s.OpenAccount(ctx, other, noon); err != nil {
		t.Fatal(err)
	}
	const idle = 30 * time.Minute
	add := func(id string, change func(*store.Session)) {
		v := store.Session{ID: id, Account: a, CreatedAt: noon, SeenAt: noon, ExpiresAt: noon.Add(time.Hour)}
		change(&v)
		if err := s.CreateSession(ctx, v, "auth.test", hash(t, token.Session), token.Hash{}); err != nil {
			t.Fatal(err)
		}
	}
	add("first", func(v *store.Session) { v.CreatedAt = noon.Add(-time.Minute) })
	add("second", func(*store.Session) {})
	add("ended", func(*store.Session) {})
	add("over", func(v *store.Session) { v.ExpiresAt = noon })
	add("idle", func(v *store.Session) { v.SeenAt = noon.Add(-idle) })
	add("another's", func(v *store.Session) { v.Account = other })
	if err := s.EndSession(ctx, "ended", "logout", noon); err != nil {
		t.Fatal(err)
	}
	see := func(what string, want ...string) {
		t.Helper()
		all, err := s.SessionsOf(ctx, a.Subject, idle, noon)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, v := range all {
			ids = append(ids, v.ID)
		}
		diff(t, what, ids, want)
	}
	see("open sessions, the newest first", "second", "first")
	if err := s.TouchSessions(ctx, map[string]time.Time{"idle": noon.Add(-time.Minute), "ended": noon, "unknown": noon}); err != nil {
		t.Fatal(err)
	}
	if err := s.EndSession(ctx, "first", "logout", noon); err != nil {
		t.Fatal(err)
	}
	all, err := s.SessionsOf(ctx, a.Subject, idle, noon)
	if err != nil || len(all) != 2 {
		t.Errorf("sessions = %d, %v, want the second and the one that was seen", len(all), err)
	}
	if _, err := s.DisableAccount(ctx, a.Subject, noon); err != nil {
		t.Fatal(err)
	}
	see("sessions of who is disabled")
}

// Sign-out goes round the hosts that a session was opened on, after it has ended.
func TestSessionHosts(t *testing.T) { each(t, testSessionHosts) }

func testSessionHosts(t *testing.T, s *store.Store) {
	ctx := t.Context()
	session(t, s, "s-1", account(t, s))
	for _, host := range []string{"mail.test", "docs.test", "mail.test"} {
		code, state := hash(t, token.Entry), hash(t, token.State)
		if err := s.AddEntry(ctx, "s-1", host, code, state, noon.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.UseEntry(ctx, host, code, state, hash(t, token.Session), noon); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.EndSession(ctx, "s-1", "logout", noon); err != nil {
		t.Fatal(err)
	}
	got, err := s.SessionHosts(ctx, "s-1")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "hosts", got, []string{"auth.test", "docs.test", "mail.test"})
	if got, err := s.SessionHosts(ctx, "s-unknown"); err != nil || len(got) != 0 {
		t.Errorf("hosts of no session = %v, %v", got, err)
	}
}
