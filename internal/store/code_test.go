package store_test

import (
	"context"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// limits of the tests: a message each half minute, three an hour.
var limits = store.CodeLimits{Interval: 30 * time.Second, Round: time.Hour, Most: 3}

func code(sent time.Time) store.Code {
	return store.Code{
		Purpose: store.ForAddress, Subject: "u-jeanne", Holder: "s-1", Address: "jeanne@example.fr", MAC: "mac of " + sent.String(), Tries: 5, Sent: sent, Expires: sent.Add(10 * time.Minute),
	}
}

// addCode fails unless a code has to wait so long; with zero it is added.
func addCode(t testing.TB, s *store.Store, c store.Code, want time.Duration) {
	t.Helper()
	if wait, err := s.AddCode(t.Context(), c, limits); err != nil || wait != want {
		t.Fatalf("AddCode at %v = %v, %v, want %v", c.Sent, wait, err, want)
	}
}

func TestCodeProvesItsAddressOnce(t *testing.T) { each(t, testCodeProvesItsAddressOnce) }

func testCodeProvesItsAddressOnce(t *testing.T, s *store.Store) {
	account(t, s)
	c := code(noon)
	addCode(t, s, c, 0)
	got, err := s.CodeOf(t.Context(), store.ForAddress, "u-jeanne", "s-1")
	check(t, "CodeOf", err, nil)
	diff(t, "code", got, c)

	tried, err := s.TryCode(t.Context(), store.ForAddress, "u-jeanne", "s-1", noon.Add(time.Minute))
	check(t, "TryCode", err, nil)
	c.Tries = 4
	diff(t, "code after a try", tried, c)
	once(t, func(ctx context.Context, _ int) error { return s.UseAddressCode(ctx, tried, noon.Add(time.Minute)) })

	a, err := s.AccountBySubject(t.Context(), "u-jeanne")
	check(t, "AccountBySubject", err, nil)
	if a.Address != "jeanne@example.fr" {
		t.Errorf("address = %q, want that of the code", a.Address)
	}
	_, err = s.TryCode(t.Context(), store.ForAddress, "u-jeanne", "s-1", noon.Add(time.Minute))
	check(t, "TryCode after its use", err, store.ErrNotFound)
	changes, err := s.Changes(t.Context(), noon)
	check(t, "Changes", err, nil)
	if len(changes) != 1 || changes[0].Kind != store.AccountChanged || changes[0].Ref != "u-jeanne" {
		t.Errorf("changes = %+v, want the account's", changes)
	}
}

// Lesson D3: bound to its session, five tries, ten minutes.
func TestD3CodeThatIsNoLongerGood(t *testing.T) {
	for _, tt := range []struct {
		name             string
		subject, session string
		at               time.Time
	}{
		{"of another session", "u-jeanne", "s-2", noon},
		{"of another account", "u-paul", "s-1", noon},
		{"late", "u-jeanne", "s-1", noon.Add(10 * time.Minute)},
		{"of a session without a name", "u-jeanne", "", noon},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store) {
				account(t, s)
				addCode(t, s, code(noon), 0)
				_, err := s.TryCode(t.Context(), store.ForAddress, tt.subject, tt.session, tt.at)
				check(t, "TryCode", err, store.ErrNotFound)
				c := code(noon)
				c.Subject, c.Holder = tt.subject, tt.session
				check(t, "UseAddressCode", s.UseAddressCode(t.Context(), c, tt.at), store.ErrNotFound)
				a, err := s.AccountBySubject(t.Context(), "u-jeanne")
				if err != nil || a.Address != "" {
					t.Errorf("address = %q, %v, want none", a.Address, err)
				}
			})
		})
	}
}

func TestD3FiftyTriesAtOnceAreFive(t *testing.T) { each(t, testD3FiftyTriesAtOnceAreFive) }

func testD3FiftyTriesAtOnceAreFive(t *testing.T, s *store.Store) {
	account(t, s)
	addCode(t, s, code(noon), 0)
	results := make(chan error, 50)
	for range cap(results) {
		go func() {
			_, err := s.TryCode(t.Context(), store.ForAddress, "u-jeanne", "s-1", noon)
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
	// The sixth is too late, though it be right: what was tried before it is lost.
	check(t, "UseAddressCode of an older code", s.UseAddressCode(t.Context(), code(noon.Add(time.Second)), noon), store.ErrNotFound)
}

func TestNewCodeTakesThePlaceOfTheOld(t *testing.T) { each(t, testNewCodeTakesThePlaceOfTheOld) }

func testNewCodeTakesThePlaceOfTheOld(t *testing.T, s *store.Store) {
	account(t, s)
	old, next := code(noon), code(noon.Add(30*time.Second))
	addCode(t, s, old, 0)
	next.Address, next.Holder = "other@example.fr", "s-2"
	addCode(t, s, next, 0)
	check(t, "UseAddressCode of the old", s.UseAddressCode(t.Context(), old, next.Sent), store.ErrNotFound)
	check(t, "UseAddressCode of the new", s.UseAddressCode(t.Context(), next, next.Sent), nil)
}

func TestMessagesAreFew(t *testing.T) { each(t, testMessagesAreFew) }

func testMessagesAreFew(t *testing.T, s *store.Store) {
	account(t, s)
	addCode(t, s, code(noon), 0)
	addCode(t, s, code(noon.Add(30*time.Second-time.Millisecond)), time.Second)
	second := code(noon.Add(30 * time.Second))
	addCode(t, s, second, 0)
	check(t, "UseAddressCode", s.UseAddressCode(t.Context(), second, second.Sent), nil)
	addCode(t, s, code(noon.Add(31*time.Second)), 29*time.Second) // a code that was used counts
	addCode(t, s, code(noon.Add(2*time.Minute)), 0)
	addCode(t, s, code(noon.Add(59*time.Minute)), time.Minute) // the fourth in the hour
	addCode(t, s, code(noon.Add(time.Hour)), 0)
	addCode(t, s, code(noon.Add(time.Hour+time.Minute)), 0)
}

func TestOneOfTwoCodesAtOnceIsSent(t *testing.T) { each(t, testOneOfTwoCodesAtOnceIsSent) }

func testOneOfTwoCodesAtOnceIsSent(t *testing.T, s *store.Store) {
	account(t, s)
	once(t, func(ctx context.Context, i int) error {
		c := code(noon.Add(time.Duration(i) * time.Millisecond))
		wait, err := s.AddCode(ctx, c, limits)
		if err == nil && wait > 0 {
			err = store.ErrNotFound
		}
		return err
	})
}

// A login goes on for as long as its code; one that is over gets none, and one that must wait for another goes on no longer.
func TestLoginLivesAsLongAsItsCode(t *testing.T) { each(t, testLoginLivesAsLongAsItsCode) }

func testLoginLivesAsLongAsItsCode(t *testing.T, s *store.Store) {
	account(t, s)
	login := store.Login{Browser: hash(t, token.Browser), Method: "otp", Expires: noon.Add(10 * time.Minute), Progress: []byte("p")}
	login.Handle = hash(t, token.Handle)
	check(t, "CreateLogin", s.CreateLogin(t.Context(), login.Handle, login, noon), nil)
	add := func(at time.Time, wantWait time.Duration, want error) {
		t.Helper()
		c := code(at)
		c.Purpose, c.Holder = store.ForLogin, login.ID()
		wait, err := s.AddLoginCode(t.Context(), c, limits, login)
		check(t, "AddLoginCode", err, want)
		if wait != wantWait {
			t.Errorf("AddLoginCode at %v waits %v, want %v", at, wait, wantWait)
		}
	}
	until := func(end time.Time) {
		t.Helper()
		l, err := s.LoginOfBrowser(t.Context(), login.Browser, "otp", end.Add(-time.Millisecond))
		check(t, "LoginOfBrowser", err, nil)
		if !l.Expires.Equal(end) {
			t.Errorf("the login ends at %v, want %v", l.Expires, end)
		}
	}
	sent := noon.Add(9 * time.Minute)
	add(sent, 0, nil)
	until(sent.Add(10 * time.Minute))
	add(sent.Add(20*time.Second), 10*time.Second, nil)
	until(sent.Add(10 * time.Minute))
	add(sent.Add(10*time.Minute), 0, store.ErrNotFound)
	c, err := s.CodeOf(t.Context(), store.ForLogin, "u-jeanne", login.ID())
	check(t, "CodeOf", err, nil)
	if !c.Sent.Equal(sent) {
		t.Errorf("the code is of %v, want that of %v", c.Sent, sent)
	}
	add(sent.Add(5*time.Minute), 0, nil)
	check(t, "FinishLogin", s.FinishLogin(t.Context(), login, false, sent.Add(6*time.Minute)), nil)
	add(sent.Add(7*time.Minute), 0, store.ErrNotFound)
}

func TestCodeThatCouldNotBeSentIsWorthless(t *testing.T) {
	each(t, testCodeThatCouldNotBeSentIsWorthless)
}

func testCodeThatCouldNotBeSentIsWorthless(t *testing.T, s *store.Store) {
	account(t, s)
	c := code(noon)
	addCode(t, s, c, 0)
	check(t, "DropCode", s.DropCode(t.Context(), c), nil)
	_, err := s.CodeOf(t.Context(), store.ForAddress, "u-jeanne", "s-1")
	check(t, "CodeOf", err, store.ErrNotFound)
	check(t, "UseAddressCode", s.UseAddressCode(t.Context(), c, noon), store.ErrNotFound)
	addCode(t, s, code(noon.Add(time.Second)), 0) // at once
	// Dropping a code late does not touch the one that took its place.
	check(t, "DropCode", s.DropCode(t.Context(), c), nil)
	_, err = s.CodeOf(t.Context(), store.ForAddress, "u-jeanne", "s-1")
	check(t, "CodeOf", err, nil)
}

func TestSealProofOfAnIdIsKept(t *testing.T) { each(t, testSealProofOfAnIdIsKept) }

func testSealProofOfAnIdIsKept(t *testing.T, s *store.Store) {
	for _, proof := range []string{"first", "second"} {
		check(t, "AddSealProof", s.AddSealProof(t.Context(), "k1", []byte(proof)), nil)
	}
	check(t, "AddSealProof", s.AddSealProof(t.Context(), "k2", []byte("other")), nil)
	got, err := s.SealProofs(t.Context())
	check(t, "SealProofs", err, nil)
	diff(t, "proofs", got, map[string][]byte{"k1": []byte("first"), "k2": []byte("other")})
}
