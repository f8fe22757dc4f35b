package store_test

import (
	"context"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// invited writes jeanne with her address, and an invitation that was sent to it.
func invited(t testing.TB, s *store.Store) store.Invitation {
	t.Helper()
	account(t, s)
	check(t, "SetAddress", s.SetAddress(t.Context(), "u-jeanne", "jeanne@example.fr", noon), nil)
	i := store.Invitation{
		Subject: "u-jeanne", Token: hash(t, token.Invite), Address: "jeanne@example.fr", MAC: "mac of a code", Tries: 5, Expires: noon.Add(24 * time.Hour),
	}
	check(t, "AddInvitation", s.AddInvitation(t.Context(), i), nil)
	return i
}

// An invitation sets one password, in the place of the one before and beside what else there is, however many ask at once.
func TestInvitationSetsAPasswordOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		i := invited(t, s)
		addFactor(t, s, factor("f-old", store.Password), 1)
		addFactor(t, s, factor("f-app", store.TOTP), 1)
		got, err := s.InvitationByToken(t.Context(), i.Token, noon)
		check(t, "InvitationByToken", err, nil)
		diff(t, "invitation", got, i)
		got, err = s.TryInvitation(t.Context(), i.Token, noon)
		check(t, "TryInvitation", err, nil)
		i.Tries = 4
		diff(t, "invitation after a try", got, i)
		once(t, func(ctx context.Context, n int) error {
			return s.UseInvitation(ctx, got, factor("f-new"+string(rune('A'+n)), store.Password), noon)
		})
		kinds := map[store.FactorKind]int{}
		for _, f := range factors(t, s) {
			kinds[f.Kind]++
			if f.ID == "f-old" {
				t.Error("the old password is there")
			}
		}
		diff(t, "factors", kinds, map[store.FactorKind]int{store.Password: 1, store.TOTP: 1})
		_, err = s.InvitationByToken(t.Context(), i.Token, noon)
		check(t, "InvitationByToken after its use", err, store.ErrNotFound)
	})
}

// Lesson D3: five tries, and fifty at once are five. One whose code was right is given back.
func TestD3InvitationHasFiveTries(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		i := invited(t, s)
		tried, err := s.TryInvitation(t.Context(), i.Token, noon)
		check(t, "TryInvitation", err, nil)
		check(t, "GiveInvitationTryBack", s.GiveInvitationTryBack(t.Context(), tried), nil)
		results := make(chan error, 50)
		for range cap(results) {
			go func() {
				_, err := s.TryInvitation(t.Context(), i.Token, noon)
				results <- err
			}()
		}
		good := 0
		for range cap(results) {
			if err := <-results; err == nil {
				good++
			} else {
				check(t, "a try", err, store.ErrNotFound)
			}
		}
		if good != 5 {
			t.Errorf("%d tries, want 5", good)
		}
		_, err = s.InvitationByToken(t.Context(), i.Token, noon)
		check(t, "InvitationByToken without a try", err, store.ErrNotFound)
	})
}

// Lessons D11 and D14: an invitation is bound to its account and to the address that it went to, and is good for a day.
func TestD11D14InvitationThatIsNoLongerGood(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, s *store.Store, i *store.Invitation, f *store.Factor)
		seen   bool // the account, and not the invitation, is what keeps it from being used
	}{
		"replaced": {change: func(t *testing.T, s *store.Store, i *store.Invitation, _ *store.Factor) {
			next := *i
			next.Token = hash(t, token.Invite)
			check(t, "AddInvitation", s.AddInvitation(t.Context(), next), nil)
		}},
		"withdrawn": {change: func(t *testing.T, s *store.Store, i *store.Invitation, _ *store.Factor) {
			check(t, "DropInvitation", s.DropInvitation(t.Context(), "u-jeanne"), nil)
			check(t, "DropInvitation again", s.DropInvitation(t.Context(), "u-jeanne"), store.ErrNotFound)
		}},
		"late": {change: func(t *testing.T, s *store.Store, i *store.Invitation, _ *store.Factor) {
			i.Expires = noon
			check(t, "AddInvitation", s.AddInvitation(t.Context(), *i), nil)
		}},
		"address forgotten": {change: func(t *testing.T, s *store.Store, i *store.Invitation, _ *store.Factor) {
			check(t, "ForgetAddress", s.ForgetAddress(t.Context(), "u-jeanne", noon), nil)
			check(t, "SetAddress", s.SetAddress(t.Context(), "u-jeanne", i.Address, noon), nil)
		}},
		"address changed": {seen: true, change: func(t *testing.T, s *store.Store, i *store.Invitation, _ *store.Factor) {
			check(t, "SetAddress", s.SetAddress(t.Context(), "u-jeanne", "jeanne@example.org", noon), nil)
		}},
		"disabled": {seen: true, change: func(t *testing.T, s *store.Store, i *store.Invitation, _ *store.Factor) {
			_, err := s.DisableAccount(t.Context(), "u-jeanne", noon)
			check(t, "DisableAccount", err, nil)
		}},
		"for another's password": {seen: true, change: func(_ *testing.T, _ *store.Store, _ *store.Invitation, f *store.Factor) { f.Subject = "u-paul" }},
		"for another factor":     {seen: true, change: func(_ *testing.T, _ *store.Store, _ *store.Invitation, f *store.Factor) { f.Kind = store.TOTP }},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store) {
				i := invited(t, s)
				f := factor("f-new", store.Password)
				tt.change(t, s, &i, &f)
				if _, err := s.InvitationByToken(t.Context(), i.Token, noon); (err == nil) != tt.seen {
					t.Errorf("InvitationByToken = %v", err)
				}
				if _, err := s.TryInvitation(t.Context(), i.Token, noon); (err == nil) != tt.seen {
					t.Errorf("TryInvitation = %v", err)
				}
				check(t, "UseInvitation", s.UseInvitation(t.Context(), i, f, noon), store.ErrNotFound)
				diff(t, "factors", factors(t, s), []store.Factor(nil))
			})
		})
	}
}

func TestSweepForgetsInvitations(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		i := invited(t, s)
		check(t, "Sweep", s.Sweep(t.Context(), i.Expires), nil)
		_, err := s.InvitationByToken(t.Context(), i.Token, noon)
		check(t, "InvitationByToken", err, nil)
		check(t, "Sweep", s.Sweep(t.Context(), i.Expires.Add(time.Millisecond)), nil)
		check(t, "DropInvitation of one that was swept", s.DropInvitation(t.Context(), "u-jeanne"), store.ErrNotFound)
	})
}
