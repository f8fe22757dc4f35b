package idp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/gorilla/sessions"
)

// Keys are the keys that no database has: of the cookies of logins in progress, and of assertions. A server that takes the place of
// another has the same, so that a login in progress goes on and services find the key of an assertion that they were just given. They are
// safe for concurrent use.
type Keys struct {
	cookies *sessions.CookieStore
	signer  *signer
}

// NewKeys makes keys for the auth host at origin. now is the clock. derive returns 32 secret bytes for a purpose, the same on each of
// several gateways, which then read each other's cookies and show each other's assertion key; nil is for a single one, whose keys are
// new with each start.
func NewKeys(origin string, now func() time.Time, derive func(purpose string) []byte) (*Keys, error) {
	if derive == nil {
		derive = func(string) []byte {
			b := make([]byte, 32)
			rand.Read(b) // never fails
			return b
		}
	}
	key, err := assertionKey(derive)
	if err != nil {
		return nil, err
	}
	sign, err := newSigner(origin, key, now)
	if err != nil {
		return nil, err
	}
	return &Keys{cookies: newCookieStore(derive("login cookie, hash"), derive("login cookie, block")), signer: sign}, nil
}

// assertionKey makes a key on P-256 of derived bytes. One in 2^32 is no number of the curve: then the next is taken.
func assertionKey(derive func(purpose string) []byte) (*ecdsa.PrivateKey, error) {
	var err error
	for i := range 8 {
		var key *ecdsa.PrivateKey
		if key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), derive(fmt.Sprintf("assertion key, P-256, %d", i))); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("make assertion key: %w", err)
}
