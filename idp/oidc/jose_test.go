package oidc_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/idp/oidc"
)

// F5, F6: a hint means somebody only when it is an ID token of ours, by the algorithm of the key that it names.
func TestF5F6HintsThatMeanNobody(t *testing.T) {
	b, k := newBackend(t, sqliteFile(t), nil), newKeys(t)
	good := b.exchange(t, "agenda", b.code(t, "agenda", b.session(t, "s1"), "openid")).wantTokens(t, "exchange").word("id_token")
	if who, err := b.provider.Hint(t.Context(), good); err != nil || who != "u-s1" {
		t.Fatalf("Hint of an ID token of ours = %q, %v, want u-s1", who, err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b.ring.JWKS(), &set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("JWKS = %v, %v", set, err)
	}
	public, err := json.Marshal(set.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	kid, claims := set.Keys[0].KeyID, payload(t, good)
	with := func(changes map[string]any) map[string]any { c := maps.Clone(claims); maps.Copy(c, changes); return c }
	nothing := func([]byte) []byte { return nil }
	parts := strings.Split(good, ".")
	for name, text := range map[string]string{
		"none":            raw(t, map[string]any{"alg": "none"}, claims, nothing),
		"none of our key": raw(t, map[string]any{"alg": "none", "kid": kid}, claims, nothing),
		"HS256 with our public key as the secret": raw(t, map[string]any{"alg": "HS256", "kid": kid}, claims, hs256(public)),
		"HS256 with all of them":                  raw(t, map[string]any{"alg": "HS256", "kid": kid}, claims, hs256(b.ring.JWKS())),
		"another key by our name":                 raw(t, map[string]any{"alg": "ES256", "kid": kid}, claims, es256(t, k.ec)),
		"another key in the header":               raw(t, map[string]any{"alg": "ES256", "kid": kid, "jwk": jose.JSONWebKey{Key: k.ec.Public()}}, claims, es256(t, k.ec)),
		"another algorithm by our name":           raw(t, map[string]any{"alg": "RS256", "kid": kid}, claims, rs256(t, k.rsa)),
		"no name of a key":                        raw(t, map[string]any{"alg": "ES256"}, claims, es256(t, k.ec)),
		"an unknown key":                          raw(t, map[string]any{"alg": "ES256", "kid": "x"}, claims, es256(t, k.ec)),
		"another person with our signature":       parts[0] + "." + strings.Split(raw(t, nil, with(map[string]any{"sub": "u-other"}), nothing), ".")[1] + "." + parts[2],
		"no signature":                            parts[0] + "." + parts[1] + ".",
		"truncated (E8)":                          good[:len(good)-2],
		"a JWE bomb (GO-2024-2631)":               bomb(t, k.rsa),
		"a JWE of a password (GO-2025-3485)":      pbes2(t),
		"many dots (CVE-2025-30204)":              strings.Repeat(".", 8000),
		"a huge one":                              strings.Repeat("a", 100_000) + ".b.c",
		"an access token":                         strings.Repeat("A", 43),
		"nothing":                                 "",
	} {
		if who, err := b.provider.Hint(t.Context(), text); err == nil {
			t.Errorf("%s means %q", name, who)
		}
	}
}

// FuzzAssertion: no text proves anything that the client's key has not signed.
func FuzzAssertion(f *testing.F) {
	k := newKeys(f)
	c := k.client("labo")
	now := time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)
	const issuer = "https://auth.example.test"
	good := raw(f, map[string]any{"alg": "ES256", "kid": "ec"}, map[string]any{
		"iss": "labo", "sub": "labo", "aud": issuer, "exp": now.Add(time.Minute).Unix(), "jti": "j",
	}, es256(f, k.ec))
	if !oidc.Proves(c, good, []string{issuer}, now) {
		f.Fatal("the good one proves nothing")
	}
	other := raw(f, map[string]any{"alg": "ES256", "kid": "ec"}, map[string]any{"iss": "labo", "sub": "labo"}, es256(f, k.other))
	for _, s := range []string{good, other, "", "..", good + ".", "{}", strings.Repeat(".", 100), strings.ReplaceAll(good, ".", "..")} {
		f.Add(s)
	}
	for _, s := range []string{good + "\n", strings.ReplaceAll(good, ".", ".\n"), good[:len(good)-1] + string(rune(good[len(good)-1]+1)), good + "="} {
		f.Add(s)
	}
	signed := good[:strings.LastIndex(good, ".")]
	f.Fuzz(func(t *testing.T, text string) {
		// Another signature of the same may be made of a good one (r, n-s); it says the same, under the same id.
		if oidc.Proves(c, text, []string{issuer}, now) && (!strings.HasPrefix(text, signed+".") || len(text) != len(good)) {
			t.Errorf("%q proves something", text)
		}
	})
}
