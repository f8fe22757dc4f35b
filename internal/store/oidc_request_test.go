package store_test

import (
	"context"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// asked writes a request and returns it with its handle.
func asked(t testing.TB, s *store.Store, browser token.Hash) (token.Hash, store.Request) {
	t.Helper()
	handle := hash(t, token.Request)
	q := store.Request{Client: "agenda", Browser: browser, Body: []byte(`{"state":"é"}`), Created: noon, Expires: noon.Add(time.Hour)}
	check(t, "AddRequest", s.AddRequest(t.Context(), handle, q), nil)
	return handle, q
}

// A request is its browser's alone, and answered once, however many ask.
func TestRequestBelongsToItsBrowser(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		browser, other := hash(t, token.Browser), hash(t, token.Browser)
		handle, q := asked(t, s, browser)
		got, err := s.RequestOfBrowser(t.Context(), handle, browser, noon)
		check(t, "RequestOfBrowser", err, nil)
		diff(t, "request", got, q)
		_, err = s.RequestOfBrowser(t.Context(), handle, other, noon)
		check(t, "RequestOfBrowser of another", err, store.ErrNotFound)
		_, err = s.RequestOfBrowser(t.Context(), handle, browser, q.Expires)
		check(t, "RequestOfBrowser when it is late", err, store.ErrNotFound)
		_, err = s.TakePushedRequest(t.Context(), handle, "agenda", noon)
		check(t, "TakePushedRequest of one that a browser has", err, store.ErrNotFound)
		check(t, "AnswerRequest by another", s.AnswerRequest(t.Context(), handle, other, noon), store.ErrNotFound)
		once(t, func(ctx context.Context, _ int) error { return s.AnswerRequest(ctx, handle, browser, noon) })
		_, err = s.RequestOfBrowser(t.Context(), handle, browser, noon)
		check(t, "RequestOfBrowser after the answer", err, store.ErrNotFound)
	})
}

// RFC 9126, section 4: a request_uri is good once, for the client that pushed it. No browser has it by guessing nothing.
func TestPushedRequestIsTakenOnceByItsClient(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		handle, q := asked(t, s, token.Hash{})
		_, err := s.RequestOfBrowser(t.Context(), handle, token.Hash{}, noon)
		check(t, "RequestOfBrowser of one that was pushed", err, store.ErrNotFound)
		check(t, "AnswerRequest of one that was pushed", s.AnswerRequest(t.Context(), handle, token.Hash{}, noon), store.ErrNotFound)
		once(t, func(ctx context.Context, _ int) error {
			got, err := s.TakePushedRequest(ctx, handle, "agenda", noon)
			if err == nil && string(got.Body) != string(q.Body) {
				t.Errorf("took %s, want %s", got.Body, q.Body)
			}
			return err
		})

		handle, _ = asked(t, s, token.Hash{})
		_, err = s.TakePushedRequest(t.Context(), handle, "mail", noon)
		check(t, "TakePushedRequest of another client", err, store.ErrNotFound)
		_, err = s.TakePushedRequest(t.Context(), handle, "agenda", noon)
		check(t, "TakePushedRequest after another client's", err, store.ErrNotFound)

		handle, q = asked(t, s, token.Hash{})
		_, err = s.TakePushedRequest(t.Context(), handle, "agenda", q.Expires)
		check(t, "TakePushedRequest when it is late", err, store.ErrNotFound)
	})
}

func TestSweepForgetsRequests(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		s := open(t, name)
		_, q := asked(t, s, hash(t, token.Browser))
		var n int
		check(t, "Sweep", s.Sweep(t.Context(), q.Expires), nil)
		if e.scan(t, name, "SELECT count(*) FROM oidc_requests", &n); n != 1 {
			t.Errorf("%d requests are left, want 1", n)
		}
		check(t, "Sweep", s.Sweep(t.Context(), q.Expires.Add(time.Millisecond)), nil)
		if e.scan(t, name, "SELECT count(*) FROM oidc_requests", &n); n != 0 {
			t.Errorf("%d requests are left, want none", n)
		}
	})
}

// What was agreed last is what counts; a person's consents are their own, and end with the account's record.
func TestConsentIsRemembered(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		account(t, s)
		_, err := s.ConsentTo(t.Context(), "u-jeanne", "agenda")
		check(t, "ConsentTo before", err, store.ErrNotFound)
		first := store.Consent{Client: "agenda", Scopes: []string{"openid", "profile"}, Agreed: noon}
		check(t, "Agree", s.Agree(t.Context(), "u-jeanne", first), nil)
		second := store.Consent{Client: "agenda", Scopes: []string{"openid"}, Agreed: noon.Add(time.Hour)}
		check(t, "Agree again", s.Agree(t.Context(), "u-jeanne", second), nil)
		mail := store.Consent{Client: "mail", Scopes: []string{"openid", "email"}, Agreed: noon}
		check(t, "Agree to another", s.Agree(t.Context(), "u-jeanne", mail), nil)
		got, err := s.ConsentTo(t.Context(), "u-jeanne", "agenda")
		check(t, "ConsentTo", err, nil)
		diff(t, "consent", got, second)
		all, err := s.Consents(t.Context(), "u-jeanne")
		check(t, "Consents", err, nil)
		diff(t, "consents", all, []store.Consent{second, mail})
		check(t, "Withdraw", s.Withdraw(t.Context(), "u-jeanne", "agenda", noon), nil)
		check(t, "Withdraw again", s.Withdraw(t.Context(), "u-jeanne", "agenda", noon), store.ErrNotFound)
		_, err = s.ConsentTo(t.Context(), "u-jeanne", "agenda")
		check(t, "ConsentTo after it was withdrawn", err, store.ErrNotFound)
		if err := s.Agree(t.Context(), "u-nobody", first); err == nil {
			t.Error("nobody agreed to something")
		}
	})
}
