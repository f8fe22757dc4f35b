package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// noon is when the tests take place. Times are kept in milliseconds.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 123e6, time.UTC)

func open(t testing.TB, name string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), silent(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newStore(t testing.TB) *store.Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "authgw.db"))
}

// hash is that of a new token.
func hash(t testing.TB, kind token.Kind) token.Hash {
	t.Helper()
	h, ok := token.Of(kind, token.New())
	if !ok {
		t.Fatal("a new token is none")
	}
	return h
}

func jeanne() store.Account {
	return store.Account{Subject: "u-jeanne", IDType: "RPPS", NationalID: "99700218896", GivenName: "JEANNE", FamilyName: "MARTIN", Title: "Docteur", Profession: "10"}
}

// account writes jeanne.
func account(t testing.TB, s *store.Store) store.Account {
	t.Helper()
	a, err := s.OpenAccount(t.Context(), jeanne(), noon)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// session writes a session of an account, with a token for auth.test and a watch token.
func session(t testing.TB, s *store.Store, id string, a store.Account) (v store.Session, tok, watch token.Hash) {
	t.Helper()
	v = store.Session{
		ID: id, Account: a, Method: "card", ACR: "eidas3", AMR: []string{"sc", "pin", "mfa"}, AuthTime: noon, Fingerprint: "ab12", CardType: "CPS",
		CreatedAt: noon, SeenAt: noon, ExpiresAt: noon.Add(4 * time.Hour),
	}
	tok, watch = hash(t, token.Session), hash(t, token.Watch)
	if err := s.CreateSession(t.Context(), v, "auth.test", tok, watch); err != nil {
		t.Fatal(err)
	}
	return v, tok, watch
}

func check(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// once runs f in 50 goroutines at once and fails unless exactly one succeeds and the others find nothing.
func once(t *testing.T, f func(ctx context.Context, i int) error) {
	t.Helper()
	const n = 50
	begin, results := make(chan struct{}), make(chan error, n)
	for i := range n {
		go func() {
			<-begin
			results <- f(t.Context(), i)
		}()
	}
	close(begin)
	won := 0
	for range n {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, store.ErrNotFound):
			t.Errorf("who lost got %v, want %v", err, store.ErrNotFound)
		}
	}
	if won != 1 {
		t.Errorf("%d won, want 1", won)
	}
}

func diff(t testing.TB, what string, got, want any, opts ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, opts...); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
