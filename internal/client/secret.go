package client

import (
	"crypto/subtle"
	"errors"

	"promess/authgw/internal/token"
)

// NewSecret makes the secret of a client: 256 bits, to be shown once, and the hash, which is what is kept of it.
func NewSecret() (secret string, hash token.Hash) {
	secret = token.New()
	hash, _ = token.Of(token.Secret, secret) // a new token is one
	return secret, hash
}

// ErrSecret says that a text is not a secret as NewSecret makes them.
var ErrSecret = errors.New("43 characters of base64url, 256 bits from a generator of random numbers, expected, something else given")

// HashSecret returns the hash of a secret that somebody has written into a file. Less than 256 bits of chance could be guessed, so a text of
// another form is refused with ErrSecret.
func HashSecret(secret string) (token.Hash, error) {
	h, ok := token.Of(token.Secret, secret)
	if !ok {
		return h, ErrSecret
	}
	return h, nil
}

// ProvedBy says whether a secret is the client's. A truncated one is not (E8).
func (c *Client) ProvedBy(secret string) bool {
	h, ok := token.Of(token.Secret, secret)
	if !ok || c.Auth != SharedSecret {
		return false
	}
	proved := 0
	for _, own := range c.SecretHashes {
		proved |= subtle.ConstantTimeCompare(h[:], own[:])
	}
	return proved == 1
}
