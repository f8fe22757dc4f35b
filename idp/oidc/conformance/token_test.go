package conformance

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/idptest"
)

// keys are those that discovery leads to.
func (s *suite) keys(t *testing.T) jose.JSONWebKeySet {
	t.Helper()
	a := s.get(t, s.endpoint(t, "jwks_uri"))
	var all jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.body), &all); err != nil || a.status != http.StatusOK {
		t.Fatalf("jwks_uri = %d %s: %v", a.status, a.body, err)
	}
	return all
}

// opened verifies the signature of a JWT of the provider, by the one key that its header names, and returns its header and its claims.
func (s *suite) opened(t *testing.T, text, alg string) (jose.Header, map[string]any) {
	t.Helper()
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	h := jws.Signatures[0].Header
	set := s.keys(t)
	keys := set.Key(h.KeyID)
	if h.KeyID == "" || len(keys) != 1 || keys[0].Use != "sig" || keys[0].Algorithm != alg {
		t.Fatalf("header %+v: want the kid of one key for %s, there are %d", h, alg, len(keys))
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	return h, parsed(payload)
}

// verify wants an ID token to be as OpenID Connect Core 1.0, section 3.1.3.7, says, and returns its claims. nonce is what was sent; empty: none.
func (p *party) verify(t *testing.T, text, nonce, access string) map[string]any {
	t.Helper()
	_, c := p.opened(t, text, p.alg)
	number := func(name string) time.Time {
		n, ok := c[name].(float64)
		if !ok || n != float64(int64(n)) {
			t.Errorf("%s = %v, want a number of seconds", name, c[name])
		}
		return time.Unix(int64(n), 0)
	}
	if c["iss"] != idptest.Origin {
		t.Errorf("iss = %v", c["iss"])
	}
	if list, ok := c["aud"].([]any); c["aud"] != p.id && (!ok || len(list) != 1 || list[0] != p.id) {
		t.Errorf("aud = %v, want %s alone", c["aud"], p.id)
	}
	if azp, ok := c["azp"]; ok && azp != p.id {
		t.Errorf("azp = %v", azp)
	}
	if age := time.Since(number("iat")); age < -time.Minute || age > 5*time.Minute {
		t.Errorf("iat is %v ago", age)
	}
	if left := time.Until(number("exp")); left <= 0 || left > 24*time.Hour {
		t.Errorf("exp is in %v", left)
	}
	if number("auth_time").After(time.Now().Add(time.Hour)) { // the tests let hours pass
		t.Errorf("auth_time = %v", c["auth_time"])
	}
	if got, ok := c["nonce"]; ok != (nonce != "") || ok && got != nonce {
		t.Errorf("nonce = %v, want %q", got, nonce)
	}
	sum := sha256.Sum256([]byte(access))
	if c["at_hash"] != base64.RawURLEncoding.EncodeToString(sum[:16]) {
		t.Errorf("at_hash = %v", c["at_hash"])
	}
	sub, _ := c["sub"].(string)
	if sub == "" || len(sub) > 255 {
		t.Errorf("sub = %v", c["sub"])
	}
	if acr, ok := c["acr"].(string); !ok || acr == "" {
		t.Errorf("acr = %v", c["acr"])
	}
	return c
}

// assertion proves whose a request is, with changed claims in pairs; nil takes one away (OpenID Connect Core 1.0, section 9).
func (p *party) assertion(t *testing.T, changes ...any) string {
	t.Helper()
	now := p.Now()
	claims := map[string]any{"iss": p.id, "sub": p.id, "aud": idptest.Origin, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for i := 0; i < len(changes); i += 2 {
		name := changes[i].(string)
		claims[name] = changes[i+1]
		if changes[i+1] == nil {
			delete(claims, name)
		}
	}
	signer, err := jose.NewSigner(*p.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return signedBy(t, signer, claims)
}
