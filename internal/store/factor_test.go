package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"promess/authgw/internal/store"
)

func factor(id string, kind store.FactorKind) store.Factor {
	return store.Factor{ID: id, Subject: "u-jeanne", Kind: kind, Label: "téléphone", ACR: "two", Secret: "secret of " + id, Created: noon}
}

func addFactor(t testing.TB, s *store.Store, f store.Factor, most int, codes ...string) {
	t.Helper()
	if ok, err := s.AddFactor(t.Context(), f, codes, most); err != nil || !ok {
		t.Fatalf("AddFactor = %t, %v", ok, err)
	}
}

func factors(t testing.TB, s *store.Store) []store.Factor {
	t.Helper()
	all, err := s.Factors(t.Context(), "u-jeanne")
	check(t, "Factors", err, nil)
	return all
}

func TestFactorsComeBackAsTheyWere(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		seed, key := factor("f-1", store.TOTP), factor("f-2", store.Passkey)
		key.External, key.Counter, key.Created = "credential", 7, noon.Add(time.Second)
		addFactor(t, s, seed, 2)
		addFactor(t, s, key, 2)
		diff(t, "factors", factors(t, s), []store.Factor{seed, key})
		got, err := s.FactorByExternal(t.Context(), "credential")
		check(t, "FactorByExternal", err, nil)
		diff(t, "passkey", got, key)
		_, err = s.FactorByExternal(t.Context(), "") // which the seed has
		check(t, "FactorByExternal of nothing", err, store.ErrNotFound)

		check(t, "RemoveFactor of somebody else", s.RemoveFactor(t.Context(), "u-paul", "f-1"), store.ErrNotFound)
		once(t, func(ctx context.Context, _ int) error { return s.RemoveFactor(ctx, "u-jeanne", "f-1") })
		if n, err := s.RemoveFactors(t.Context(), "u-jeanne", store.Passkey); n != 1 || err != nil {
			t.Errorf("RemoveFactors = %d, %v, want the passkey", n, err)
		}
		diff(t, "factors", factors(t, s), []store.Factor(nil))
	})
}

func TestPasswordTakesThePlaceOfTheOneBefore(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		for _, id := range []string{"f-1", "f-2"} {
			addFactor(t, s, factor(id, store.Password), 1)
		}
		diff(t, "factors", factors(t, s), []store.Factor{factor("f-2", store.Password)})
		old := factor("f-1", store.Password)
		check(t, "UseFactor of the old", s.UseFactor(t.Context(), old, "new hash", noon), store.ErrNotFound)
		f := factor("f-2", store.Password)
		once(t, func(ctx context.Context, _ int) error { return s.UseFactor(ctx, f, "new hash", noon) })
		f.Secret, f.Used = "new hash", noon
		diff(t, "factors", factors(t, s), []store.Factor{f})
	})
}

func TestPersonHasNoMoreFactorsThanAllowed(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		results := make(chan bool)
		for _, id := range []string{"f-1", "f-2", "f-3", "f-4", "f-5", "f-6"} {
			go func() {
				ok, err := s.AddFactor(t.Context(), factor(id, store.TOTP), nil, 2)
				check(t, "AddFactor", err, nil)
				results <- ok
			}()
		}
		n := 0
		for range 6 {
			if <-results {
				n++
			}
		}
		if got := len(factors(t, s)); n != 2 || got != 2 {
			t.Errorf("%d were added, there are %d, want 2", n, got)
		}
	})
}

// D3: a time step, or a count, proves something once.
func TestD3CountIsUsedOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		addFactor(t, s, factor("f-1", store.TOTP), 1)
		once(t, func(ctx context.Context, _ int) error { return s.AdvanceFactor(ctx, "f-1", 59_000_001, noon) })
		check(t, "AdvanceFactor to the one before", s.AdvanceFactor(t.Context(), "f-1", 59_000_000, noon), store.ErrNotFound)
		check(t, "AdvanceFactor to the next", s.AdvanceFactor(t.Context(), "f-1", 59_000_002, noon.Add(time.Minute)), nil)
		if f := factors(t, s)[0]; f.Counter != 59_000_002 || !f.Used.Equal(noon.Add(time.Minute)) {
			t.Errorf("factor = %+v, want the last step and its time", f)
		}
	})
}

// D3: a recovery code is good once, and goes with its set.
func TestD3RecoveryCodeIsUsedOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		addFactor(t, s, factor("f-1", store.Recovery), 1, "mac-a", "mac-b", "mac-c")
		once(t, func(ctx context.Context, _ int) error {
			left, err := s.UseRecoveryCode(ctx, "f-1", "mac-b", noon)
			if err == nil && left != 2 {
				t.Errorf("left = %d, want 2", left)
			}
			return err
		})
		left, err := s.RecoveryCodes(t.Context(), "f-1")
		check(t, "RecoveryCodes", err, nil)
		diff(t, "codes", left, []string{"mac-a", "mac-c"})
		_, err = s.UseRecoveryCode(t.Context(), "f-1", "mac-x", noon)
		check(t, "UseRecoveryCode of another", err, store.ErrNotFound)
		if !factors(t, s)[0].Used.Equal(noon) {
			t.Error("its use was not noted")
		}

		addFactor(t, s, factor("f-2", store.Recovery), 1, "mac-a")
		_, err = s.UseRecoveryCode(t.Context(), "f-1", "mac-c", noon)
		check(t, "UseRecoveryCode of the set before", err, store.ErrNotFound)
		left, err = s.RecoveryCodes(t.Context(), "f-2")
		if err != nil || len(left) != 1 {
			t.Errorf("codes = %v, %v, want the new one alone", left, err)
		}
	})
}

// A set takes the place of the one that is meant, and of no other: of many at once the first stays, whole.
func TestSetOfCodesReplacesTheOneThatIsMeant(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		for _, instead := range []string{"", "0"} { // the first, and the one after it
			if instead != "" {
				instead = factors(t, s)[0].ID
			}
			once(t, func(ctx context.Context, i int) error {
				id := fmt.Sprintf("%s%d", instead, i)
				ok, err := s.ReplaceFactor(ctx, factor(id, store.Recovery), []string{"a of " + id, "b of " + id}, instead)
				if err == nil && !ok {
					return store.ErrNotFound
				}
				return err
			})
			all := factors(t, s)
			if len(all) != 1 || all[0].ID == instead {
				t.Fatalf("%d sets, want one that is new", len(all))
			}
			codes, err := s.RecoveryCodes(t.Context(), all[0].ID)
			check(t, "RecoveryCodes", err, nil)
			diff(t, "codes", codes, []string{"a of " + all[0].ID, "b of " + all[0].ID})
		}
		_, err := s.ReplaceFactor(t.Context(), store.Factor{ID: "x", Subject: "nobody", Kind: store.Recovery, Created: noon}, nil, "")
		check(t, "ReplaceFactor of nobody", err, store.ErrNotFound)
	})
}

func TestFactorNeedsAnAccount(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		_, err := s.AddFactor(t.Context(), factor("f-1", store.TOTP), nil, 1)
		check(t, "AddFactor", err, store.ErrNotFound)
	})
}

// D3: who seals a secret anew brings no step back that was used meanwhile.
func TestD3SealingAnewChangesTheSecretAlone(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		f := factor("f-1", store.TOTP)
		addFactor(t, s, f, 1)
		check(t, "AdvanceFactor", s.AdvanceFactor(t.Context(), "f-1", 59_000_001, noon), nil)
		once(t, func(ctx context.Context, _ int) error { return s.ResealFactor(ctx, f, "sealed anew") })
		f.Secret, f.Counter, f.Used = "sealed anew", 59_000_001, noon
		diff(t, "factors", factors(t, s), []store.Factor{f})
	})
}
