package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// openPSC opens a session of a new account with an identity at Pro Santé Connect, last seen at a time.
func openPSC(t *testing.T, s *store.Store, n int, seen, now time.Time) store.PSCSession {
	t.Helper()
	a, err := s.OpenAccount(t.Context(), store.Account{Subject: fmt.Sprintf("s%d", n), IDType: "RPPS", NationalID: fmt.Sprintf("8%011d", n)}, now)
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("session%d", n)
	hash, _ := token.Of(token.Session, token.New())
	v := store.Session{ID: id, Account: a, Method: "psc", Situation: `{"mode":"L"}`, AuthTime: now, CreatedAt: now, SeenAt: seen, ExpiresAt: now.Add(time.Hour)}
	if err := s.CreateSession(t.Context(), v, "auth.example.test", hash, token.Hash{}); err != nil {
		t.Fatal(err)
	}
	p := store.PSCSession{ID: id, Issuer: "https://psc.example", Sub: fmt.Sprintf("sub%d", n), SID: fmt.Sprintf("sid%d", n), Tokens: "sealed", Refreshed: now, Due: now}
	if err := s.LinkPSCSession(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got, err := s.SessionByToken(t.Context(), "auth.example.test", hash); err != nil || got.Situation != v.Situation {
		t.Errorf("situation = %q (%v), want %q", got.Situation, err, v.Situation)
	}
	return p
}

func TestEachSessionIsLeasedOnceHoweverManyAsk(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name, now := e.fresh(t), time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)
		s := open(t, name)
		for n := range 20 {
			openPSC(t, s, n, now.Add(time.Minute), now)
		}
		openPSC(t, s, 20, now, now) // nobody was there since
		later := now.Add(2 * time.Minute)
		var mu sync.Mutex
		taken := map[string]int{}
		var group sync.WaitGroup
		for range 4 {
			other := open(t, name)
			group.Go(func() {
				for range 10 {
					all, err := other.LeasePSC(t.Context(), 3, later, later.Add(time.Minute))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, v := range all {
						taken[v.ID]++
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		for id, times := range taken {
			if times != 1 {
				t.Errorf("%s was taken %d times", id, times)
			}
		}
		if len(taken) != 20 {
			t.Errorf("%d sessions were taken, want 20", len(taken))
		}
		if all, err := s.LeasePSC(t.Context(), 50, later.Add(time.Minute), later.Add(time.Hour)); err != nil || len(all) != 20 {
			t.Errorf("after their leases %d are taken (%v), want 20", len(all), err)
		}
	})
}

func TestRenewedAndPostponedSessionsAreNotDue(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		now := time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)
		renewed, postponed := openPSC(t, s, 1, now.Add(time.Minute), now), openPSC(t, s, 2, now.Add(time.Minute), now)
		renewed.Tokens, renewed.Refreshed, renewed.Due = "others", now.Add(2*time.Minute), now.Add(3*time.Minute)
		if err := s.RenewPSC(t.Context(), renewed); err != nil {
			t.Fatal(err)
		}
		if err := s.PostponePSC(t.Context(), postponed.ID, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if all, err := s.LeasePSC(t.Context(), 9, now.Add(4*time.Minute), now.Add(5*time.Minute)); err != nil || len(all) != 0 {
			t.Errorf("taken: %v, %v", all, err)
		}
		if got, err := s.PSCSession(t.Context(), renewed.ID); err != nil || got != renewed {
			t.Errorf("PSCSession = %+v, %v, want %+v", got, err, renewed)
		}
	})
}

func TestIdentityBelongsToOneAccount(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		now := time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)
		one, two := openPSC(t, s, 1, now, now), openPSC(t, s, 2, now, now)
		stolen := two
		stolen.Sub = one.Sub
		if err := s.LinkPSCSession(t.Context(), stolen); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("LinkPSCSession of another's identity = %v, want ErrNotFound", err)
		}
		if err := s.AddPSCSubject(t.Context(), one.Issuer, one.Sub, "s2"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("AddPSCSubject of another's identity = %v, want ErrNotFound", err)
		}
		if err := s.AddPSCSubject(t.Context(), one.Issuer, "new", "s1"); err != nil {
			t.Error(err)
		}
		if subject, err := s.PSCSubject(t.Context(), one.Issuer, "new"); err != nil || subject != "s1" {
			t.Errorf("PSCSubject = %q, %v", subject, err)
		}
		if _, err := s.PSCSubject(t.Context(), "https://other.example", "new"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("PSCSubject of another issuer = %v, want ErrNotFound", err)
		}
	})
}

func TestLogoutTokensAreTakenOnceAndNameOpenSessions(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		now := time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)
		v := openPSC(t, s, 1, now, now)
		openPSC(t, s, 2, now, now)
		if err := s.UsePSCLogout(t.Context(), v.Issuer, "jti", now); err != nil {
			t.Error(err)
		}
		if err := s.UsePSCLogout(t.Context(), v.Issuer, "jti", now); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("UsePSCLogout a second time = %v, want ErrNotFound", err)
		}
		for name, by := range map[string][2]string{"sid": {v.SID, ""}, "sub": {"", v.Sub}, "both": {v.SID, v.Sub}} {
			if ids, err := s.PSCSessionsOf(t.Context(), v.Issuer, by[0], by[1]); err != nil || len(ids) != 1 || ids[0] != v.ID {
				t.Errorf("by %s: %v, %v", name, ids, err)
			}
		}
		if ids, err := s.PSCSessionsOf(t.Context(), "https://other.example", v.SID, ""); err != nil || len(ids) != 0 {
			t.Errorf("of another issuer: %v, %v", ids, err)
		}
		if err := s.EndSession(t.Context(), v.ID, "logout", now); err != nil {
			t.Fatal(err)
		}
		if ids, err := s.PSCSessionsOf(t.Context(), v.Issuer, v.SID, ""); err != nil || len(ids) != 0 {
			t.Errorf("of a session that is over: %v, %v", ids, err)
		}
	})
}
