package store_test

import (
	"context"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// waiting begins a login that goes from step to step.
func waiting(t testing.TB, s *store.Store) (handle token.Hash, l store.Login) {
	t.Helper()
	handle = hash(t, token.Handle)
	l = store.Login{Browser: hash(t, token.Browser), Method: "qr", Expires: noon.Add(2 * time.Minute), Progress: []byte("begun")}
	check(t, "CreateLogin", s.CreateLogin(t.Context(), handle, l, noon), nil)
	l, err := s.LoginByHandle(t.Context(), handle, "qr", noon)
	check(t, "LoginByHandle", err, nil)
	return handle, l
}

func TestLoginAdvancesFromStepToStep(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		handle, l := waiting(t, s)
		once(t, func(ctx context.Context, _ int) error { return s.AdvanceLogin(ctx, l, []byte("scanned"), true, noon) })
		check(t, "SettleWaiting from a step that is past", s.SettleWaiting(t.Context(), l, nil, noon, noon.Add(time.Minute)), store.ErrNotFound)
		l, err := s.LoginByHandle(t.Context(), handle, "qr", noon)
		if err != nil || string(l.Progress) != "scanned" {
			t.Fatalf("LoginByHandle = %q, %v, want the step", l.Progress, err)
		}
		check(t, "FinishLogin before it is settled", s.FinishLogin(t.Context(), l, true, noon), store.ErrNotFound)
		once(t, func(ctx context.Context, _ int) error {
			return s.SettleWaiting(ctx, l, []byte("proof"), noon, noon.Add(time.Minute))
		})
		check(t, "AdvanceLogin of a settled one", s.AdvanceLogin(t.Context(), l, []byte("x"), false, noon), store.ErrNotFound)
		check(t, "FinishLogin as if it were not settled", s.FinishLogin(t.Context(), l, false, noon), store.ErrNotFound)
		other := l
		other.Browser = hash(t, token.Browser)
		check(t, "FinishLogin by another browser", s.FinishLogin(t.Context(), other, true, noon), store.ErrNotFound)
		check(t, "FinishLogin late", s.FinishLogin(t.Context(), l, true, noon.Add(time.Minute)), store.ErrNotFound)
		settled, err := s.LoginOfBrowser(t.Context(), l.Browser, "qr", noon)
		if err != nil || !settled.Settled || string(settled.Outcome) != "proof" {
			t.Fatalf("LoginOfBrowser = %+v, %v, want it settled", settled, err)
		}
		once(t, func(ctx context.Context, _ int) error { return s.FinishLogin(ctx, settled, true, noon) })
		_, err = s.LoginByHandle(t.Context(), handle, "qr", noon)
		check(t, "LoginByHandle after its use", err, store.ErrNotFound)

		told, err := s.Changes(t.Context(), noon)
		check(t, "Changes", err, nil)
		if len(told) != 2 || told[0].Kind != store.LoginChanged || told[0].Ref != l.ID() || told[1].Ref != l.ID() {
			t.Errorf("changes = %+v, want the step and the settling", told)
		}
	})
}

func TestLoginThatIsDroppedIsOver(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		handle, l := waiting(t, s)
		for range 2 {
			check(t, "DropLogin", s.DropLogin(t.Context(), l, noon), nil)
		}
		_, err := s.LoginByHandle(t.Context(), handle, "qr", noon)
		check(t, "LoginByHandle", err, store.ErrNotFound)
		check(t, "AdvanceLogin", s.AdvanceLogin(t.Context(), l, nil, false, noon), store.ErrNotFound)
		check(t, "FinishLogin", s.FinishLogin(t.Context(), l, false, noon), store.ErrNotFound)
		told, err := s.Changes(t.Context(), noon)
		if err != nil || len(told) != 1 {
			t.Errorf("changes = %+v, %v, want one", told, err)
		}
	})
}
