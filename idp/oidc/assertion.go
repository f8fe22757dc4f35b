package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
)

const (
	assertionLife = 5 * time.Minute  // at most: how long one has to be remembered
	assertionSkew = 30 * time.Second // by which the clocks of clients may differ
	maxJTI        = 256
)

// assertionAlgs are the algorithms that there are keys for. No symmetric one is among them, so that a public key is never taken for a secret (F5).
var assertionAlgs = []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256}

// assertion is what a client's JWT claims.
type assertion struct{ jwt.Claims }

// readAssertion verifies the signature of a JWT with a key of a client's, by the algorithm of that key and no other. The reason says why it
// does not count: a word for the audit. What is encrypted is no JWS and never opened (F6).
func readAssertion(c *client.Client, text string) (a assertion, reason string) {
	if len(text) > maxHint {
		return a, "too_long"
	}
	if !isCompact(text) {
		return a, "bad_assertion"
	}
	t, err := jwt.ParseSigned(text, assertionAlgs)
	if err != nil || len(t.Headers) != 1 {
		return a, "bad_assertion"
	}
	key, ok := keyOf(c, t.Headers[0].KeyID)
	switch {
	case !ok:
		return a, "other_key"
	case t.Headers[0].Algorithm != key.Alg:
		return a, "other_algorithm"
	case t.Claims(key.Public, &a) != nil:
		return a, "bad_signature"
	}
	return a, ""
}

// isCompact says whether a text is three parts of canonical base64url (RFC 7515, section 7.1). The library takes line feeds and other spellings of
// the last letter too.
func isCompact(text string) bool {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return false
		}
	}
	return len(parts) == 3
}

// keyOf returns the key that a header names. It may leave that out when there is one only (RFC 7515, section 4.1.4).
func keyOf(c *client.Client, id string) (client.Key, bool) {
	if id == "" && len(c.Keys) == 1 {
		for _, k := range c.Keys {
			return k, true
		}
	}
	k, ok := c.Keys[id]
	return k, ok
}

// wrong says why an assertion does not prove that it is a client's, for one of some audiences: a word for the audit; empty: it does.
func (a assertion) wrong(id string, audiences []string, now time.Time) string {
	switch {
	case a.Issuer != id || a.Subject != id:
		return "other_client"
	// All of them are us: one that is for somebody else too could be used by them.
	case len(a.Audience) == 0 || slices.ContainsFunc(a.Audience, func(s string) bool { return !slices.Contains(audiences, s) }):
		return "other_audience"
	case a.Expiry == nil || !now.Before(a.Expiry.Time().Add(assertionSkew)):
		return "expired"
	case a.Expiry.Time().After(now.Add(assertionLife + assertionSkew)):
		return "too_long_lived"
	case a.IssuedAt != nil && a.IssuedAt.Time().After(now.Add(assertionSkew)):
		return "not_yet_valid"
	case a.IssuedAt != nil && a.IssuedAt.Time().Before(now.Add(-assertionLife-assertionSkew)):
		return "too_old"
	case a.NotBefore != nil && a.NotBefore.Time().After(now.Add(assertionSkew)):
		return "not_yet_valid"
	case a.ID == "" || len(a.ID) > maxJTI:
		return "no_jti"
	}
	return ""
}

// errUsed says that an assertion was used before.
var errUsed = errors.New("used before")

// useAssertion notes an assertion for as long as it would be taken.
func (p *Provider) useAssertion(ctx context.Context, id string, a assertion) error {
	err := p.Store.UseAssertion(ctx, id, a.ID, a.Expiry.Time().Add(2*assertionSkew))
	if errors.Is(err, store.ErrNotFound) {
		return errUsed
	}
	return err
}

// issuerOf reads whom a JWT says to be from, so that it is known whose key is to verify that. Nothing else of it is believed.
func issuerOf(text string) string {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || len(text) > maxHint {
		return ""
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(body, &claims) != nil {
		return ""
	}
	return claims.Issuer
}
