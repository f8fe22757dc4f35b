package oidc

import (
	"context"
	"errors"

	"github.com/go-jose/go-jose/v4"
	lib "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"promess/authgw/internal/keyring"
)

// hint verifies an ID token that was given out here, be it expired: it says whom somebody means, and opens nothing.
func (p *Provider) hint(ctx context.Context, token string) (*lib.IDTokenClaims, error) {
	if len(token) > maxHint {
		return nil, errors.New("verify ID token: it is too long")
	}
	v := op.NewIDTokenHintVerifier(p.Issuer, ringKeys{p.Ring}, op.WithSupportedIDTokenHintSigningAlgorithms(string(jose.ES256), string(jose.RS256)))
	claims, err := op.VerifyIDTokenHint[*lib.IDTokenClaims](ctx, token, v)
	if err != nil && !errors.As(err, &op.IDTokenHintExpiredError{}) {
		return nil, err
	}
	// Assertions for services and logout tokens are signed with the same keys. Each has a jti, which no ID token of ours has (RFC 8725, section 3.12).
	if claims != nil && claims.JWTID != "" {
		return nil, errors.New("verify ID token: it is a token for something else")
	}
	if claims == nil || claims.Subject == "" {
		return nil, errors.New("verify ID token: it names nobody")
	}
	if _, ok := claims.Claims["events"]; ok { // F14
		return nil, errors.New("verify ID token: it is a logout token")
	}
	return claims, nil
}

// ringKeys are the keys that signatures of our own are verified with, each for its own algorithm (F5).
type ringKeys struct{ ring *keyring.Ring }

// VerifySignature implements KeySet of the library.
func (k ringKeys) VerifySignature(_ context.Context, jws *jose.JSONWebSignature) ([]byte, error) {
	id, alg := lib.GetKeyIDAndAlg(jws)
	for _, key := range k.ring.Public() {
		if key.KeyID == id && key.Algorithm == alg && id != "" {
			return jws.Verify(&key)
		}
	}
	return nil, errors.New("verify signature: no such key")
}
