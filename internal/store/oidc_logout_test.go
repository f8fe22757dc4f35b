package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

var take = store.LogoutsToTake{Lease: 30 * time.Second, Most: 10, Each: 4}

func taken(t testing.TB, s *store.Store, how store.LogoutsToTake, now time.Time) []store.QueuedLogout {
	t.Helper()
	all, err := s.TakeLogouts(t.Context(), how, now)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// whom names the clients and sessions of logouts, in order.
func whom(all []store.QueuedLogout) []string {
	var names []string
	for _, v := range all {
		names = append(names, v.Client+" "+v.SID)
	}
	slices.Sort(names)
	return names
}

// Each way in which a session ends has its clients told: those that have used their code, by the name that they know the session by.
func TestEachEndOfASessionHasItsClientsTold(t *testing.T) {
	ends := map[string]func(ctx context.Context, s *store.Store, a store.Account) error{
		"one session": func(ctx context.Context, s *store.Store, _ store.Account) error {
			return s.EndSession(ctx, "s-1", "card_removed", noon)
		},
		"all of a person's": func(ctx context.Context, s *store.Store, a store.Account) error {
			_, err := s.EndSessionsOf(ctx, a.Subject, "", "reset", noon)
			return err
		},
		"the account is disabled": func(ctx context.Context, s *store.Store, a store.Account) error {
			_, err := s.DisableAccount(ctx, a.Subject, noon)
			return err
		},
		"its time is over": func(ctx context.Context, s *store.Store, _ store.Account) error {
			_, err := s.EndExpired(ctx, noon.Add(24*time.Hour), noon)
			return err
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store) {
				a := account(t, s)
				session(t, s, "s-1", a)
				exchanged(t, s, "g-1", "agenda", "s-1")
				exchanged(t, s, "g-2", "agenda", "s-1") // a second login of the same client is the same to it
				exchanged(t, s, "g-3", "dossier", "s-1")
				if err := end(t.Context(), s, a); err != nil {
					t.Fatal(err)
				}
				all := taken(t, s, take, noon)
				diff(t, "told", whom(all), []string{"agenda s-1", "dossier s-1"})
				for _, v := range all {
					if v.Subject != a.Subject || v.Tries != 1 || !v.Created.Equal(noon) || !v.Expires.Equal(noon.Add(24*time.Hour)) {
						t.Errorf("logout %+v", v)
					}
				}
			})
		})
	}
}

// A logout that was taken is nobody else's until its lease is over, on another gateway too.
func TestALogoutIsTakenByOne(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		one, other := open(t, name), open(t, name)
		session(t, one, "s-1", account(t, one))
		exchanged(t, one, "g-1", "agenda", "s-1")
		check(t, "EndSession", one.EndSession(t.Context(), "s-1", "logout", noon), nil)
		first := taken(t, one, take, noon)
		if len(first) != 1 {
			t.Fatalf("%d taken, want 1", len(first))
		}
		diff(t, "within the lease", whom(taken(t, other, take, noon.Add(take.Lease-time.Millisecond))), []string(nil))
		second := taken(t, other, take, noon.Add(take.Lease))
		if len(second) != 1 || second[0].Tries != 2 {
			t.Fatalf("after the lease: %+v, want it for the second time", second)
		}
		check(t, "postponed by whose lease is over", one.PostponeLogout(t.Context(), first[0], noon), nil)
		diff(t, "after that", whom(taken(t, one, take, noon.Add(take.Lease))), []string(nil))
		check(t, "postponed", other.PostponeLogout(t.Context(), second[0], noon.Add(time.Hour)), nil)
		diff(t, "before it is due", whom(taken(t, one, take, noon.Add(59*time.Minute))), []string(nil))
		diff(t, "when it is due", whom(taken(t, one, take, noon.Add(time.Hour))), []string{"agenda s-1"})
		check(t, "told", one.RemoveLogout(t.Context(), first[0].ID), nil)
		n, err := one.CountLogouts(t.Context())
		if err != nil || n != 0 {
			t.Errorf("%d wait, %v", n, err)
		}
	})
}

// Of a client that has many a few are taken at a time, and of those to be left alone none.
func TestNoClientHoldsUpOthers(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		a := account(t, s)
		for i := range 8 {
			id := fmt.Sprintf("s-%d", i)
			session(t, s, id, a)
			exchanged(t, s, "g-"+id, "dead", id)
			check(t, "EndSession", s.EndSession(t.Context(), id, "logout", noon.Add(time.Duration(i))), nil)
		}
		session(t, s, "s-x", a)
		exchanged(t, s, "g-x", "agenda", "s-x")
		check(t, "EndSession", s.EndSession(t.Context(), "s-x", "logout", noon.Add(time.Minute)), nil)
		how := take
		how.Most = 5
		now := noon.Add(time.Minute)
		got := whom(taken(t, s, how, now))
		if len(got) != 5 || got[0] != "agenda s-x" {
			t.Errorf("taken %v, want that of agenda and four of dead", got)
		}
		how.Except = []string{"dead"}
		diff(t, "but for dead", whom(taken(t, s, how, now)), []string(nil))
		how.Except = []string{"agenda"}
		if got := whom(taken(t, s, how, now)); len(got) != 4 {
			t.Errorf("the rest %v, want four of dead", got)
		}
	})
}

// What clients know a session by stays when another session takes its place.
func TestSessionNames(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		a := account(t, s)
		session(t, s, "s-1", a)
		session(t, s, "s-2", a)
		exchanged(t, s, "g-1", "agenda", "s-1")
		check(t, "MoveGrants", s.MoveGrants(t.Context(), "s-1", "s-2", noon), nil)
		exchanged(t, s, "g-3", "agenda", "s-2")
		got, err := s.SessionNames(t.Context(), "s-2", 10)
		check(t, "SessionNames", err, nil)
		diff(t, "names", got, []store.SessionName{{Client: "agenda", SID: "s-1"}, {Client: "agenda", SID: "s-2"}})
		got, err = s.SessionNames(t.Context(), "s-2", 1)
		check(t, "SessionNames", err, nil)
		diff(t, "the first", len(got), 1)
	})
}

func TestADepartureIsUsedOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		h, browser := hash(t, token.Leave), hash(t, token.Browser)
		q := store.Request{Client: "agenda", Body: []byte(`{"uri":"x"}`), Created: noon, Expires: noon.Add(time.Minute)}
		check(t, "AddRequest", s.AddRequest(t.Context(), h, q), nil)
		_, err := s.RequestOfBrowser(t.Context(), h, browser, noon)
		check(t, "as a login's", err, store.ErrNotFound)
		got, err := s.TakeDeparture(t.Context(), h, noon)
		check(t, "TakeDeparture", err, nil)
		diff(t, "departure", got, q)
		_, err = s.TakeDeparture(t.Context(), h, noon)
		check(t, "again", err, store.ErrNotFound)
		check(t, "AddRequest", s.AddRequest(t.Context(), h, q), nil)
		_, err = s.TakeDeparture(t.Context(), h, q.Expires)
		check(t, "late", err, store.ErrNotFound)
		q.Browser = browser
		check(t, "AddRequest", s.AddRequest(t.Context(), h, q), nil)
		_, err = s.TakeDeparture(t.Context(), h, noon)
		check(t, "a login's", err, store.ErrNotFound)
	})
}
