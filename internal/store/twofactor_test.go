package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// counted counts an attempt at two counters.
func counted(t *testing.T, s *store.Store) store.Attempt {
	t.Helper()
	counters := []store.Counter{counter("source"), counter("person")}
	return store.Attempt{Counters: counters, Turns: begin(t, s, noon, 0, counters...)}
}

// wantFailures wants a counter to allow as many further attempts as if so many had failed.
func wantFailures(t *testing.T, s *store.Store, c store.Counter, n int) {
	t.Helper()
	for range few.Free - n {
		begin(t, s, noon, 0, c)
	}
	begin(t, s, noon, 2*time.Second, c)
}

func TestRightPasswordBeginsTheLogin(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		f := factor("f-1", store.Password)
		addFactor(t, s, f, 1)
		l := store.Login{Browser: hash(t, token.Browser), Method: "otp", Expires: noon.Add(time.Minute), Progress: []byte("begun")}
		check(t, "AcceptPassword", s.AcceptPassword(t.Context(), counted(t, s), f, "new hash", hash(t, token.Handle), l, noon), nil)
		f.Secret, f.Used = "new hash", noon
		diff(t, "factors", factors(t, s), []store.Factor{f})
		got, err := s.LoginOfBrowser(t.Context(), l.Browser, "otp", noon)
		if err != nil || string(got.Progress) != "begun" {
			t.Errorf("LoginOfBrowser = %q, %v", got.Progress, err)
		}
		wantFailures(t, s, counter("source"), 0)
		wantFailures(t, s, counter("person"), 0)
	})
}

// A password that was changed meanwhile is wrong: there is no login, and the attempt has failed.
func TestPasswordThatWasChangedBeginsNothing(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		f := factor("f-1", store.Password)
		addFactor(t, s, f, 1)
		old := f
		old.Secret = "the hash before"
		l := store.Login{Browser: hash(t, token.Browser), Method: "otp", Expires: noon.Add(time.Minute)}
		check(t, "AcceptPassword", s.AcceptPassword(t.Context(), counted(t, s), old, "new hash", hash(t, token.Handle), l, noon), store.ErrNotFound)
		diff(t, "factors", factors(t, s), []store.Factor{f})
		_, err := s.LoginOfBrowser(t.Context(), l.Browser, "otp", noon)
		check(t, "LoginOfBrowser", err, store.ErrNotFound)
		wantFailures(t, s, counter("source"), 1)
		wantFailures(t, s, counter("person"), 1)
	})
}

// D3: of many requests with the same right code one completes the login. The others have done nothing: what they counted stays.
func TestD3LoginIsCompletedOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		addFactor(t, s, factor("f-1", store.TOTP), 1)
		_, l := waiting(t, s)
		begin(t, s, noon, 0, counter("source")) // a failure before, which may be of a guess at somebody else
		begin(t, s, noon, 0, counter("person")) // and one of the person's own
		a := counted(t, s)
		once(t, func(ctx context.Context, _ int) error {
			err := s.CompleteLogin(ctx, a, store.FactorStep{ID: "f-1", Counter: 59_000_001}, l, noon)
			if errors.Is(err, store.ErrUsed) {
				return store.ErrNotFound
			}
			return err
		})
		if f := factors(t, s)[0]; f.Counter != 59_000_001 || !f.Used.Equal(noon) {
			t.Errorf("factor = %+v, want the step and its time", f)
		}
		_, err := s.LoginByHandle(t.Context(), l.Handle, "qr", noon)
		check(t, "LoginByHandle", err, store.ErrNotFound)
		wantFailures(t, s, counter("source"), 1)
		wantFailures(t, s, counter("person"), 0)
	})
}

// D3: one code in many browsers at once, on two gateways: a step of an app completes one login, a recovery code is used up for one.
func TestD3CodeAtOnceOnTwoGatewaysCompletesOneLogin(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		gateways := []*store.Store{open(t, name), open(t, name)}
		account(t, gateways[0])
		addFactor(t, gateways[0], factor("f-1", store.TOTP), 1)
		addFactor(t, gateways[0], factor("f-2", store.Recovery), 1, "mac-a", "mac-b")
		var logins []store.Login
		for range 50 {
			_, l := waiting(t, gateways[0])
			logins = append(logins, l)
		}
		a := counted(t, gateways[0])
		once(t, func(ctx context.Context, i int) error {
			err := gateways[i%2].CompleteLogin(ctx, a, store.FactorStep{ID: "f-1", Counter: 59_000_001}, logins[i], noon)
			if errors.Is(err, store.ErrUsed) {
				return store.ErrNotFound
			}
			return err
		})
		once(t, func(ctx context.Context, i int) error {
			_, err := gateways[i%2].UseRecoveryCode(ctx, "f-2", "mac-b", noon)
			return err
		})
		open := 0 // logins that go on
		for i, l := range logins {
			if _, err := gateways[i%2].LoginByHandle(t.Context(), l.Handle, "qr", noon); err == nil {
				open++
			}
		}
		if open != len(logins)-1 {
			t.Errorf("%d logins are open, want all but one of %d", open, len(logins))
		}
	})
}

// D3: a step that was used opens no other login; and a login that is over uses no step up, nor does it give the attempt back.
func TestD3LoginIsCompletedWhollyOrNotAtAll(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		addFactor(t, s, factor("f-1", store.TOTP), 1)
		_, l := waiting(t, s)
		a := counted(t, s)
		check(t, "AdvanceFactor", s.AdvanceFactor(t.Context(), "f-1", 59_000_001, noon), nil)
		check(t, "CompleteLogin with a used step", s.CompleteLogin(t.Context(), a, store.FactorStep{ID: "f-1", Counter: 59_000_001}, l, noon), store.ErrUsed)
		_, err := s.LoginByHandle(t.Context(), l.Handle, "qr", noon)
		check(t, "LoginByHandle", err, nil)

		other := l
		other.Browser = hash(t, token.Browser)
		for name, l := range map[string]store.Login{"another browser's": other, "none": {}} {
			check(t, "CompleteLogin of "+name, s.CompleteLogin(t.Context(), a, store.FactorStep{ID: "f-1", Counter: 59_000_002}, l, noon), store.ErrNotFound)
		}
		check(t, "CompleteLogin late", s.CompleteLogin(t.Context(), a, store.FactorStep{ID: "f-1", Counter: 59_000_002}, l, l.Expires), store.ErrNotFound)
		if f := factors(t, s)[0]; f.Counter != 59_000_001 {
			t.Errorf("the step is %d, want that which was used", f.Counter)
		}
		wantFailures(t, s, counter("source"), 1)
		wantFailures(t, s, counter("person"), 1)
	})
}

// An attempt at a login is counted with its step, or neither is.
func TestAttemptAtALoginTakesItAStepOn(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		handle, l := waiting(t, s)
		c := counter("person")
		once(t, func(ctx context.Context, _ int) error {
			_, _, err := s.BeginLoginAttempt(ctx, []store.Counter{c}, l, []byte("one try less"), noon)
			return err
		})
		l, err := s.LoginByHandle(t.Context(), handle, "qr", noon)
		if err != nil || string(l.Progress) != "one try less" {
			t.Fatalf("LoginByHandle = %q, %v", l.Progress, err)
		}
		wantFailures(t, s, c, 1)
		turns, open, err := s.BeginLoginAttempt(t.Context(), []store.Counter{c}, l, []byte("two less"), noon)
		if turns != nil || !open.Equal(noon.Add(2*time.Second)) || err != nil {
			t.Errorf("BeginLoginAttempt = %v, %v, %v, want a wait of 2 s", turns, open, err)
		}
		l, err = s.LoginByHandle(t.Context(), handle, "qr", noon)
		if err != nil || string(l.Progress) != "one try less" {
			t.Errorf("who was turned away left the login at %q, %v", l.Progress, err)
		}
	})
}

// A browser is known to a person with the session, and not when there is none.
func TestSessionMakesItsBrowserKnown(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		a := account(t, s)
		b := store.KnownBrowser{Hash: hash(t, token.Known), Expires: noon.Add(time.Hour)}
		open := func(id string) error {
			v := store.Session{ID: id, Account: a, CreatedAt: noon, SeenAt: noon, ExpiresAt: noon.Add(time.Hour)}
			return s.CreateSession(t.Context(), v, "auth.test", hash(t, token.Session), token.Hash{}, b)
		}
		want := func(known bool) {
			t.Helper()
			if person, _, err := s.KnowsBrowser(t.Context(), b.Hash, a.Subject, noon); person != known || err != nil {
				t.Errorf("KnowsBrowser = %t, %v, want %t", person, err, known)
			}
		}
		_, err := s.DisableAccount(t.Context(), a.Subject, noon)
		check(t, "DisableAccount", err, nil)
		check(t, "CreateSession of a disabled account", open("s-1"), store.ErrNotFound)
		want(false)
		check(t, "EnableAccount", s.EnableAccount(t.Context(), a.Subject, noon), nil)
		check(t, "CreateSession", open("s-2"), nil)
		want(true)
	})
}

// What a transaction began is undone when it cannot go on, and the next is a transaction of its own.
func TestTransactionThatFailsLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		f := factor("f-1", store.Password)
		addFactor(t, s, f, 1)
		handle, l := waiting(t, s)
		for range 3 { // the handle is taken
			if err := s.AcceptPassword(t.Context(), counted(t, s), f, "new hash", handle, l, noon); err == nil {
				t.Fatal("AcceptPassword: two logins have one handle")
			}
			check(t, "ClearCounter", s.ClearCounter(t.Context(), "source"), nil)
			check(t, "ClearCounter", s.ClearCounter(t.Context(), "person"), nil)
		}
		diff(t, "factors", factors(t, s), []store.Factor{f})
		check(t, "AcceptPassword", s.AcceptPassword(t.Context(), counted(t, s), f, f.Secret, hash(t, token.Handle), l, noon), nil)
	})
}
