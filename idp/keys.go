package idp

import (
	"sync/atomic"
	"time"

	"github.com/gorilla/sessions"

	"promess/authgw/internal/keyring"
)

// Keys are what the ring's keys are used for here: the cookies of logins in progress, and assertions. A server that takes the place of another
// has the same, so that services are not given an assertion for each. They are safe for concurrent use.
type Keys struct {
	ring    *keyring.Ring
	signer  *signer
	cookies atomic.Pointer[cookieStore]
}

// cookieStore seals cookies with keys for as long as these are the ring's.
type cookieStore struct {
	keys *keyring.CookieKeys
	*sessions.CookieStore
}

// NewKeys returns the use of a ring by the auth host at origin. now is the clock.
func NewKeys(origin string, ring *keyring.Ring, now func() time.Time) *Keys {
	return &Keys{ring: ring, signer: newSigner(origin, ring, now)}
}

// cookieStore returns what new cookies are sealed by, and older ones opened.
func (k *Keys) cookieStore() *sessions.CookieStore {
	keys := k.ring.Cookies()
	c := k.cookies.Load()
	if c == nil || c.keys != keys {
		c = &cookieStore{keys, newCookieStore(keys.Pairs())}
		k.cookies.Store(c)
	}
	return c.CookieStore
}
