package idp_test

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
)

// derived stands for a key file.
func derived(secret string) func(string) []byte {
	return func(purpose string) []byte {
		sum := sha256.Sum256([]byte(secret + purpose))
		return sum[:]
	}
}

func keys(t *testing.T, now func() time.Time, derive func(string) []byte) *idp.Keys {
	t.Helper()
	k, err := idp.NewKeys(auth, now, derive)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Several gateways with one key file: a login that one began goes on at another, and a service that asks either for the keys can verify the
// assertions of both. With other keys, or none in common, neither is so.
func TestGatewaysThatShareTheirKeys(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b func(string) []byte
		same bool
	}{
		{"one key file", derived("k"), derived("k"), true},
		{"two key files", derived("k"), derived("l"), false},
		{"no key file", nil, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newWorldWith(t, func(c *idp.Config) { c.Keys = keys(t, c.Now, tt.a) })
			b := newWorldWith(t, func(c *idp.Config) { c.Keys = keys(t, c.Now, tt.b) })

			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, auth+"/login", nil)
			if err := a.idp.SaveBrowserState(w, r, idp.BrowserState{Service: "mail"}); err != nil {
				t.Fatal(err)
			}
			next := httptest.NewRequest(http.MethodGet, auth+"/login", nil)
			for _, c := range w.Result().Cookies() {
				next.AddCookie(c)
			}
			if got := b.idp.BrowserState(next).Service == "mail"; got != tt.same {
				t.Errorf("the other gateway reads the cookie: %t, want %t", got, tt.same)
			}

			assertion, err := a.idp.Assertion(store.Session{ID: "s1", Account: store.Account{Subject: "u1"}}, "mail")
			if err != nil {
				t.Fatal(err)
			}
			token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.ES256})
			if err != nil {
				t.Fatal(err)
			}
			var claims jwt.Claims
			set := b.keys(t)
			if got := token.Claims(&set, &claims) == nil; got != tt.same {
				t.Errorf("the other gateway's keys verify the assertion: %t, want %t", got, tt.same)
			}
		})
	}
}
