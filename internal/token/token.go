// Package token makes the secrets that the gateway hands out and recognises them again: session cookies, login handles,
// one-time codes.
//
// A token is 256 bits from crypto/rand in base64url, 43 characters. Only its hash is kept, and a hash says which kind of token
// it is of, so that a code can never pass for a session. The package keeps nothing.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// Kind separates the uses of tokens: the hash of one kind is never that of another.
type Kind string

// The kinds there are.
const (
	Session Kind = "session" // cookie of a session on one host
	Browser Kind = "browser" // binds a login to the browser that began it
	Handle  Kind = "handle"  // names a login to the agent
	Code    Kind = "code"    // brings the result of a login back through the browser
	Watch   Kind = "watch"   // lets an agent report that the card has gone
	Entry   Kind = "entry"   // carries a session from the auth host to a service host
	State   Kind = "state"   // binds an entry to the browser that asked
	Known   Kind = "known"   // recognises a browser that a person signed in with; opens nothing
	Phone   Kind = "phone"   // binds what a phone has claimed to its browser
	Invite  Kind = "invite"  // the link of an invitation; worth nothing without its code

	Request Kind = "request" // names what an OpenID Connect client asks, to the browser that brings it
	Refresh Kind = "refresh" // refresh token of a client
	Device  Kind = "device"  // device code of a client
	Secret  Kind = "secret"  // of a client
	Leave   Kind = "leave"   // names what is left to do when a sign-out has ended a session
)

// Len is the length of a token in characters.
const Len = 43

// Hash is what is kept of a token.
type Hash [sha256.Size]byte

// New returns a fresh token.
func New() string {
	var b [32]byte
	rand.Read(b[:]) // never fails, crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Of returns the hash of a token of a kind. ok is false when s is not 43 characters of canonical base64url: whatever it is,
// it is not a token, and no store is asked for it.
func Of(kind Kind, s string) (h Hash, ok bool) {
	if len(s) != Len {
		return h, false
	}
	var b [32]byte
	if n, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(s)); err != nil || n != len(b) {
		return h, false
	}
	m := make([]byte, 0, len(kind)+1+len(b))
	m = append(m, kind...)
	m = append(m, 0)
	m = append(m, b[:]...)
	return sha256.Sum256(m), true
}
