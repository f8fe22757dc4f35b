package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"promess/authgw/internal/store"
)

// Of the tests: three messages for an account, five in all.
var mailLimits = store.MailLimits{Account: 3, All: 5}

const mailLease = time.Minute

func letter(id string, created time.Time) store.QueuedMail {
	return store.QueuedMail{ID: id, Subject: "u-jeanne", Sealed: "sealed " + id, Created: created, Expires: created.Add(10 * time.Minute)}
}

func addMail(t testing.TB, s *store.Store, m store.QueuedMail, want bool) {
	t.Helper()
	if ok, err := s.AddMail(t.Context(), m, mailLimits); err != nil || ok != want {
		t.Fatalf("AddMail(%s) = %t, %v, want %t", m.ID, ok, err, want)
	}
}

// takeMail takes up to ten messages and fails unless they are those of ids.
func takeMail(t testing.TB, s *store.Store, at time.Time, ids ...string) []store.QueuedMail {
	t.Helper()
	all, err := s.TakeMail(t.Context(), at, mailLease, 10)
	check(t, "TakeMail", err, nil)
	got := map[string]bool{}
	for _, m := range all {
		got[m.ID] = true
	}
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	diff(t, "mail taken", got, want)
	return all
}

func countMail(t testing.TB, s *store.Store, want int) {
	t.Helper()
	if n, err := s.CountMail(t.Context()); err != nil || n != want {
		t.Errorf("CountMail = %d, %v, want %d", n, err, want)
	}
}

func TestMailIsKeptUntilItIsRemoved(t *testing.T) { each(t, testMailIsKeptUntilItIsRemoved) }

func testMailIsKeptUntilItIsRemoved(t *testing.T, s *store.Store) {
	account(t, s)
	takeMail(t, s, noon)
	addMail(t, s, letter("m-1", noon), true)
	countMail(t, s, 1)
	got := takeMail(t, s, noon, "m-1")
	want := letter("m-1", noon)
	want.Tries = 1
	diff(t, "mail", got, []store.QueuedMail{want})

	check(t, "PostponeMail", s.PostponeMail(t.Context(), got[0], noon.Add(30*time.Second)), nil)
	takeMail(t, s, noon.Add(30*time.Second-time.Millisecond))
	got = takeMail(t, s, noon.Add(30*time.Second), "m-1")
	want.Tries = 2
	diff(t, "mail after a try", got, []store.QueuedMail{want})
	check(t, "RemoveMail", s.RemoveMail(t.Context(), "m-1"), nil)
	check(t, "RemoveMail of what is not there", s.RemoveMail(t.Context(), "m-1"), nil)
	takeMail(t, s, noon.Add(time.Hour))
	countMail(t, s, 0)
}

func TestMailWhoseSenderIsGoneIsTakenUpByAnother(t *testing.T) {
	each(t, testMailWhoseSenderIsGoneIsTakenUpByAnother)
}

func testMailWhoseSenderIsGoneIsTakenUpByAnother(t *testing.T, s *store.Store) {
	account(t, s)
	addMail(t, s, letter("m-1", noon), true)
	gone := takeMail(t, s, noon, "m-1")[0]
	takeMail(t, s, noon.Add(mailLease-time.Millisecond))
	other := takeMail(t, s, noon.Add(mailLease), "m-1")[0]
	if other.Tries != 2 {
		t.Errorf("tries = %d, want 2: what ends the gateway that sends it counts", other.Tries)
	}
	// The one that was late is not heard any more, or a third would send it at once.
	check(t, "PostponeMail by the one before", s.PostponeMail(t.Context(), gone, noon), nil)
	takeMail(t, s, noon.Add(2*mailLease-time.Millisecond))
}

func TestMailThatExpiresFirstIsTakenFirst(t *testing.T) {
	each(t, testMailThatExpiresFirstIsTakenFirst)
}

func testMailThatExpiresFirstIsTakenFirst(t *testing.T, s *store.Store) {
	account(t, s)
	for i, life := range []time.Duration{48 * time.Hour, 10 * time.Minute, 24 * time.Hour} {
		m := letter(fmt.Sprint("m-", i), noon)
		m.Expires = noon.Add(life)
		addMail(t, s, m, true)
	}
	for _, want := range []string{"m-1", "m-2", "m-0"} {
		got, err := s.TakeMail(t.Context(), noon, mailLease, 1)
		check(t, "TakeMail", err, nil)
		if len(got) != 1 || got[0].ID != want {
			t.Errorf("taken: %v, want %s", got, want)
		}
	}
}

func TestWaitingMailIsBounded(t *testing.T) { each(t, testWaitingMailIsBounded) }

func testWaitingMailIsBounded(t *testing.T, s *store.Store) {
	account(t, s)
	paul := jeanne()
	paul.Subject, paul.NationalID = "u-paul", "99700218904"
	if _, err := s.OpenAccount(t.Context(), paul, noon); err != nil {
		t.Fatal(err)
	}
	toPaul := func(id string) store.QueuedMail {
		m := letter(id, noon)
		m.Subject = "u-paul"
		return m
	}
	for _, id := range []string{"m-1", "m-2", "m-3"} {
		addMail(t, s, letter(id, noon), true)
	}
	addMail(t, s, letter("m-4", noon), false) // the fourth of Jeanne
	addMail(t, s, toPaul("m-5"), true)
	addMail(t, s, toPaul("m-6"), true)
	addMail(t, s, toPaul("m-7"), false) // the sixth in all
	check(t, "RemoveMail", s.RemoveMail(t.Context(), "m-1"), nil)
	addMail(t, s, letter("m-8", noon), true)

	nobody := letter("m-9", noon)
	nobody.Subject = "u-nobody"
	_, err := s.AddMail(t.Context(), nobody, mailLimits)
	check(t, "AddMail for nobody", err, store.ErrNotFound)
}

func TestFiftyMessagesAtOnceForAnAccountAreAsManyAsMayBe(t *testing.T) {
	each(t, testFiftyMessagesAtOnce)
}

func testFiftyMessagesAtOnce(t *testing.T, s *store.Store) {
	account(t, s)
	type result struct {
		ok  bool
		err error
	}
	results := make(chan result, 50)
	for i := range cap(results) {
		go func() {
			ok, err := s.AddMail(t.Context(), letter(fmt.Sprint("m-", i), noon), mailLimits)
			results <- result{ok, err}
		}()
	}
	added := 0
	for range cap(results) {
		r := <-results
		check(t, "AddMail", r.err, nil)
		if r.ok {
			added++
		}
	}
	if added != mailLimits.Account {
		t.Errorf("%d messages added, want %d", added, mailLimits.Account)
	}
	countMail(t, s, added)
}

// Of several gateways on one database, one sends each message.
func TestMailIsTakenOnce(t *testing.T) { eachShared(t, testMailIsTakenOnce) }

func testMailIsTakenOnce(t *testing.T, e engine) {
	name := e.fresh(t)
	stores := []*store.Store{open(t, name), open(t, name), open(t, name)}
	account(t, stores[0])
	const n = 60
	for i := range n {
		if ok, err := stores[0].AddMail(t.Context(), letter(fmt.Sprint("m-", i), noon), store.MailLimits{Account: n, All: n}); !ok || err != nil {
			t.Fatalf("AddMail = %t, %v", ok, err)
		}
	}
	type batch struct {
		all []store.QueuedMail
		err error
	}
	taken := make(chan batch, 6*n)
	for i := range 6 {
		go func() { // ends when there is nothing left; PostgreSQL may skip what another is taking, so each looks until all is taken
			s := stores[i%len(stores)]
			for range n {
				all, err := s.TakeMail(context.WithoutCancel(t.Context()), noon, mailLease, 4)
				taken <- batch{all, err}
				if err != nil {
					return
				}
			}
		}()
	}
	times := map[string]int{}
	for range 6 * n {
		b := <-taken
		if b.err != nil {
			t.Fatal(b.err)
		}
		if len(b.all) > 4 {
			t.Errorf("%d messages taken at once, want at most 4", len(b.all))
		}
		for _, m := range b.all {
			times[m.ID]++
		}
	}
	for id, k := range times {
		if k != 1 {
			t.Errorf("%s was taken %d times", id, k)
		}
	}
	if len(times) != n {
		t.Errorf("%d messages were taken, want %d", len(times), n)
	}
}

func TestLateMailIsGivenOutAndSweptInTheEnd(t *testing.T) {
	each(t, testLateMailIsGivenOutAndSweptInTheEnd)
}

func testLateMailIsGivenOutAndSweptInTheEnd(t *testing.T, s *store.Store) {
	account(t, s)
	m := letter("m-1", noon)
	addMail(t, s, m, true)
	takeMail(t, s, m.Expires.Add(time.Hour), "m-1") // whoever takes it says that it is too late
	check(t, "Sweep", s.Sweep(t.Context(), m.Expires), nil)
	countMail(t, s, 1)
	check(t, "Sweep", s.Sweep(t.Context(), m.Expires.Add(time.Millisecond)), nil)
	countMail(t, s, 0)
}
