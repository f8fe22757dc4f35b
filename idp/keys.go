package idp

import (
	"time"

	"github.com/gorilla/sessions"
)

// Keys are the keys that live with the process: of the cookies of logins in progress, and of assertions. A server that takes the place of
// another has the same, so that a login in progress goes on and services find the key of an assertion that they were just given. They are
// safe for concurrent use.
type Keys struct {
	cookies *sessions.CookieStore
	signer  *signer
}

// NewKeys makes keys for the auth host at origin. now is the clock.
func NewKeys(origin string, now func() time.Time) (*Keys, error) {
	sign, err := newSigner(origin, now)
	if err != nil {
		return nil, err
	}
	return &Keys{cookies: newCookieStore(), signer: sign}, nil
}
