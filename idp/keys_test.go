package idp_test

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/idp"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// sealKeys are those of a key file.
func sealKeys(t *testing.T) *seal.Keys {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	k, err := seal.Parse([]byte("k1 " + base64.StdEncoding.EncodeToString(secret)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ring opens the keys of a database; without a key file they are in memory.
func ring(t *testing.T, database string, k *seal.Keys, now func() time.Time) *keyring.Ring {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Name: database, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r, err := keyring.Open(t.Context(), s, k, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keyed is an auth host with the keys of a ring.
func keyed(t *testing.T, r *keyring.Ring) *world {
	return newWorldWith(t, func(c *idp.Config) { c.Keys = idp.NewKeys(auth, r, c.Now) })
}

// goesOn says whether a login that a began goes on at b.
func goesOn(t *testing.T, a, b *world) bool {
	t.Helper()
	return reads(b, begin(t, a))
}

// begin begins a login, and returns its cookies.
func begin(t *testing.T, w *world) []*http.Cookie {
	t.Helper()
	to := httptest.NewRecorder()
	if err := w.idp.SaveBrowserState(to, httptest.NewRequest(http.MethodGet, auth+"/login", nil), idp.BrowserState{Service: "mail"}); err != nil {
		t.Fatal(err)
	}
	return to.Result().Cookies()
}

func reads(w *world, cookies []*http.Cookie) bool {
	r := httptest.NewRequest(http.MethodGet, auth+"/login", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return w.idp.BrowserState(r).Service == "mail"
}

func (w *world) assertionFor(t *testing.T, session string) string {
	t.Helper()
	signed, err := w.idp.Assertion(store.Session{ID: session, Account: store.Account{Subject: "u1"}}, "mail")
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// verified says whether the keys that an auth host publishes verify an assertion.
func (w *world) verified(t *testing.T, assertion string) bool {
	t.Helper()
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	set := w.keys(t)
	return token.Claims(&set, &jwt.Claims{}) == nil
}

// Several gateways on one database: a login that one began goes on at another, and a service that asks either for the keys can verify the
// assertions of both. On two databases, or without a key file, neither is so.
func TestGatewaysThatShareTheirKeys(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		one, other, file := e.fresh(t), e.fresh(t), sealKeys(t)
		for _, tt := range []struct {
			name string
			a, b func() *keyring.Ring
			same bool
		}{
			{"one database", func() *keyring.Ring { return ring(t, one, file, start) }, func() *keyring.Ring { return ring(t, one, file, start) }, true},
			{"two databases", func() *keyring.Ring { return ring(t, one, file, start) }, func() *keyring.Ring { return ring(t, other, file, start) }, false},
			{"no key file", func() *keyring.Ring { return ring(t, e.fresh(t), nil, start) }, func() *keyring.Ring { return ring(t, e.fresh(t), nil, start) }, false},
		} {
			a, b := keyed(t, tt.a()), keyed(t, tt.b())
			if got := goesOn(t, a, b); got != tt.same {
				t.Errorf("%s: a login that one gateway began goes on at the other: %t, want %t", tt.name, got, tt.same)
			}
			if got := b.verified(t, a.assertionFor(t, "s1")); got != tt.same {
				t.Errorf("%s: the keys of the other gateway verify the assertion: %t, want %t", tt.name, got, tt.same)
			}
		}
	})
}

// After a compromise nothing that an old key made is given out or taken: an assertion that was kept, a login in progress.
func TestWithdrawnKeysSignAndOpenNothing(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		r := ring(t, e.fresh(t), sealKeys(t), start)
		w := keyed(t, r)
		cookies, before := begin(t, w), w.assertionFor(t, "s1")
		if w.assertionFor(t, "s1") != before {
			t.Fatal("the assertion is not kept, so this test says nothing")
		}
		for _, alg := range []string{keyring.ES256, keyring.Cookie} {
			if _, err := r.Rotate(t.Context(), alg, true); err != nil {
				t.Fatal(err)
			}
		}
		if w.verified(t, before) {
			t.Error("the keys still verify what the withdrawn key signed")
		}
		if after := w.assertionFor(t, "s1"); after == before || !w.verified(t, after) {
			t.Error("an assertion of the withdrawn key is still given out")
		}
		if reads(w, cookies) {
			t.Error("the withdrawn key still opens cookies")
		}
		if !goesOn(t, w, w) {
			t.Error("new logins do not go on")
		}
	})
}
