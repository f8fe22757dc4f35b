package keyring_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/keyring"
)

// A rotation with overlap: whoever keeps the key set for as long as they may has the new key before it signs, and the old one until what it
// signed is over.
func TestRotationWithOverlap(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		keys, c := keyFile(t, line("k1")), newClock()
		a, b := open(t, database(t, name), keys, c), open(t, database(t, name), keys, c)
		signing(t, a, keyring.RS256)
		refresh(t, b)
		for _, alg := range []string{keyring.ES256, keyring.RS256} {
			start := c.now()
			before := sign(t, b, alg)
			kept := published(t, b) // by a service, a moment before
			done := rotate(t, a, alg, false)
			if want := start.Add(10 * time.Minute); !done.Active.Equal(want) { // twice the max-age of /oauth/keys
				t.Errorf("%s: the new key signs from %v, want %v", alg, done.Active, want)
			}
			refresh(t, b)
			fetched := published(t, b)
			for _, step := range []struct {
				at  time.Duration
				old bool // signs still
			}{{0, true}, {10*time.Minute - time.Second, true}, {10 * time.Minute, false}, {23 * time.Hour, false}} {
				c.advance(start.Add(step.at).Sub(c.now()))
				token := sign(t, b, alg)
				if got := signing(t, b, alg).ID == done.Old; got != step.old {
					t.Errorf("%s after %v: the old key signs: %t, want %t", alg, step.at, got, step.old)
				}
				if !verifies(t, fetched, token) || !verifies(t, published(t, a), token) {
					t.Errorf("%s after %v: what is signed is not verified by the set that was fetched after the rotation, and now", alg, step.at)
				}
				if step.old && !verifies(t, kept, token) {
					t.Errorf("%s after %v: what is signed is not verified by a set that was fetched before the rotation", alg, step.at)
				}
				if !verifies(t, published(t, b), before) {
					t.Errorf("%s after %v: what was signed before the rotation is not verified", alg, step.at)
				}
			}
			c.advance(start.Add(10*time.Minute + 24*time.Hour).Sub(c.now()))
			if verifies(t, published(t, a), before) || verifies(t, published(t, b), before) {
				t.Errorf("%s: the old key is published for longer than what it signed is good", alg)
			}
		}
	})
}

// A key that somebody else may have is withdrawn at once, on each gateway, with those before and after it.
func TestRotationAtOnceWithdraws(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		keys, c := keyFile(t, line("k1")), newClock()
		sa := database(t, name)
		a, b := open(t, sa, keys, c), open(t, database(t, name), keys, c)
		first := sign(t, a, keyring.ES256)
		rotate(t, a, keyring.ES256, false)
		c.advance(time.Hour)
		second := sign(t, a, keyring.ES256)
		next := rotate(t, a, keyring.ES256, false).ID
		refresh(t, b)

		done := rotate(t, a, keyring.ES256, true)
		if done.Old != next {
			t.Errorf("the new key takes the place of %q, want the newest, %q", done.Old, next)
		}
		refresh(t, b)
		for i, r := range []*keyring.Ring{a, b} {
			set := published(t, r)
			if verifies(t, set, first) || verifies(t, set, second) || len(set.Keys) != 1 || len(r.Public()) != 1 {
				t.Errorf("gateway %d still publishes withdrawn keys", i)
			}
			all, err := keyring.List(t.Context(), sa, c.now())
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range all {
				if want := map[bool]string{true: keyring.Current, false: keyring.Expired}[k.ID == done.ID]; k.Alg == keyring.ES256 && k.State != want {
					t.Errorf("the list says of %q that it is %q, want %q", k.ID, k.State, want)
				}
			}
			if token := sign(t, r, keyring.ES256); signing(t, r, keyring.ES256).ID != done.ID || !verifies(t, set, token) {
				t.Errorf("gateway %d does not sign with the new key at once", i)
			}
		}
	})
}

// The clocks of two gateways may be ten seconds apart: one that is behind withdraws at once too, and never has no key.
func TestRotationAtGatewaysWhoseClocksAreApart(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		keys, ahead := keyFile(t, line("k1")), newClock()
		behind := &clock{t: ahead.now().Add(-10 * time.Second)}
		a, b := open(t, database(t, name), keys, ahead), open(t, database(t, name), keys, behind)
		if signing(t, a, keyring.ES256).ID != signing(t, b, keyring.ES256).ID {
			t.Error("before a key is active by its own clock, a gateway signs with none or another")
		}
		done := rotate(t, a, keyring.ES256, true)
		refresh(t, b)
		if signing(t, b, keyring.ES256).ID != done.ID || len(b.Public()) != 1 {
			t.Error("the gateway whose clock is behind still has the withdrawn key")
		}
	})
}

func TestCookieKeysOverlap(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		c := newClock()
		r := open(t, database(t, name), keyFile(t, line("k1")), c)
		before := r.Cookies()
		refresh(t, r)
		if r.Cookies() != before {
			t.Error("the keys are others though they are the same")
		}
		rotate(t, r, keyring.Cookie, false)
		old := string(before.Pairs()[0])
		if now := r.Cookies().Pairs(); len(now) != 4 || string(now[0]) != old {
			t.Error("the new key is used at once, or is not there for cookies of a gateway whose clock is ahead")
		}
		c.advance(10 * time.Minute)
		if now := r.Cookies().Pairs(); len(now) != 4 || string(now[0]) == old || string(now[2]) != old {
			t.Error("after 10 minutes the new key is not used first, or the old one opens nothing more")
		}
		c.advance(24 * time.Hour)
		if now := r.Cookies().Pairs(); len(now) != 2 || string(now[0]) == old {
			t.Error("after a day the old key still opens cookies")
		}
		rotate(t, r, keyring.Cookie, true)
		if now := r.Cookies().Pairs(); len(now) != 2 {
			t.Error("a withdrawn key still opens cookies")
		}
	})
}

func TestRotationThatIsRefused(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		keys, c := keyFile(t, line("k1")), newClock()
		s := database(t, name)
		a, b := open(t, s, keys, c), open(t, database(t, name), keys, c)
		if _, err := a.Rotate(t.Context(), keyring.Pairwise, true); err == nil {
			t.Error("the secret of pairwise subjects is replaced")
		}
		if _, err := a.Rotate(t.Context(), keyring.RS256, true); !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("rotation of a key that is not there = %v, want ErrNoKey", err)
		}
		for _, alg := range []string{"", "HS256", "none"} {
			if _, err := a.Rotate(t.Context(), alg, true); err == nil {
				t.Errorf("a key for %q is made", alg)
			}
		}
		next := rotate(t, a, keyring.ES256, false)
		if _, err := b.Rotate(t.Context(), keyring.ES256, false); !errors.Is(err, keyring.ErrNext) || !strings.Contains(err.Error(), next.ID) {
			t.Errorf("a second rotation before the first is over = %v, want ErrNext and the key that waits", err)
		}

		// Of several at once, one is done.
		c.advance(time.Hour)
		won := make(chan error, 2)
		for _, r := range []*keyring.Ring{a, b} {
			go func() {
				_, err := r.Rotate(t.Context(), keyring.ES256, false)
				won <- err
			}()
		}
		if x, y := <-won, <-won; (x == nil) == (y == nil) {
			t.Errorf("of two rotations at once: %v and %v, want one done", x, y)
		}
		rows, err := s.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		newest := 0
		for _, row := range rows {
			if row.Alg == keyring.ES256 && row.Expires.IsZero() {
				newest++
			}
		}
		if newest != 1 {
			t.Errorf("%d newest keys of ES256, want 1", newest)
		}
	})

	memory, err := keyring.InMemory(newClock().now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := memory.Rotate(t.Context(), keyring.ES256, true); err == nil || !strings.Contains(err.Error(), "seal_keys") {
		t.Errorf("rotation of keys in memory = %v, want an error that says seal_keys", err)
	}
}

// What may be said of keys follows their life; what has long expired is swept.
func TestListFollowsTheLifeOfKeys(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		c, s := newClock(), database(t, name)
		r := open(t, s, keyFile(t, line("k1")), c)
		old := signing(t, r, keyring.ES256).ID
		done := rotate(t, r, keyring.ES256, false)
		want := func(when, oldState, newState string) {
			t.Helper()
			all, err := keyring.List(t.Context(), s, c.now())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, k := range all {
				got[k.ID] = k.State
			}
			if got[old] != oldState || got[done.ID] != newState {
				t.Errorf("%s: the old key is %q and the new %q, want %q and %q", when, got[old], got[done.ID], oldState, newState)
			}
		}
		want("at the rotation", keyring.Current, keyring.Next)
		c.advance(10 * time.Minute)
		want("after 10 minutes", keyring.Previous, keyring.Current)
		c.advance(24 * time.Hour)
		want("after a day", keyring.Expired, keyring.Current)
		if err := s.Sweep(t.Context(), c.now()); err != nil {
			t.Fatal(err)
		}
		want("not swept yet", keyring.Expired, keyring.Current)
		if err := s.Sweep(t.Context(), c.now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		want("swept", "", keyring.Current)
	})
}
