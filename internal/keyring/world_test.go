package keyring_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/internal/keyring"
	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// each runs a test on each engine whose databases several gateways may open at once, with the name of an empty one.
func each(t *testing.T, test func(t *testing.T, database string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "authgw.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, pgtest.Database(t)) })
}

// clock is that of all gateways of a test.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func database(t testing.TB, name string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Name: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// line is a line of a key file.
func line(id string) string {
	secret := make([]byte, 32)
	rand.Read(secret)
	return id + " " + base64.StdEncoding.EncodeToString(secret) + "\n"
}

func keyFile(t testing.TB, lines ...string) *seal.Keys {
	t.Helper()
	k, err := seal.Parse([]byte(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// open opens the ring of a gateway.
func open(t testing.TB, s *store.Store, k *seal.Keys, c *clock) *keyring.Ring {
	t.Helper()
	r, err := keyring.Open(t.Context(), s, k, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func refresh(t testing.TB, r *keyring.Ring) {
	t.Helper()
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func signing(t testing.TB, r *keyring.Ring, alg string) keyring.Key {
	t.Helper()
	k, err := r.Signing(t.Context(), alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign makes a token with the key that signs now.
func sign(t testing.TB, r *keyring.Ring, alg string) string {
	t.Helper()
	k := signing(t, r, alg)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Alg), Key: jose.JSONWebKey{Key: k.Signer, KeyID: k.ID}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(jwt.Claims{Issuer: "https://auth.example.test", Subject: "u-jeanne"}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// published reads the key set, as a service does.
func published(t testing.TB, r *keyring.Ring) jose.JSONWebKeySet {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(r.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// verifies says whether a key set verifies a token: the key of its id, with the algorithm that the set says.
func verifies(t testing.TB, set jose.JSONWebKeySet, token string) bool {
	t.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	keys := set.Key(parsed.Headers[0].KeyID)
	return len(keys) == 1 && keys[0].Algorithm == parsed.Headers[0].Algorithm && parsed.Claims(keys[0].Key, &jwt.Claims{}) == nil
}

func rotate(t testing.TB, r *keyring.Ring, alg string, atOnce bool) keyring.Rotation {
	t.Helper()
	done, err := r.Rotate(t.Context(), alg, atOnce)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
