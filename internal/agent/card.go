package agent

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// Errors of a card. An implementation wraps them, so that errors.Is finds them; the person is told by them, and anything
// else is shown as "the card software failed" with its text.
var (
	ErrNoService      = errors.New("the smart card service does not run")
	ErrNoReader       = errors.New("no card reader")
	ErrNoCard         = errors.New("no card in a reader")
	ErrNoCertificate  = errors.New("the card holds no authentication certificate")
	ErrPINIncorrect   = errors.New("wrong PIN")
	ErrPINLocked      = errors.New("the PIN is locked")
	ErrPINNotAccepted = errors.New("the card does not take a PIN of this form")
	ErrCardRemoved    = errors.New("the card was removed")
	ErrMechanism      = errors.New("the card cannot sign this way")
	ErrStalled        = errors.New("the card software did not answer in time")
	ErrCancelled      = errors.New("cancelled by the person")
)

// Cards reaches the cards of this workstation.
type Cards interface {
	// Open starts one use of the cards. Its errors are those of the list above. The caller closes what it returns.
	Open(ctx context.Context) (Use, error)
	// WaitRemoved returns nil once the card that token was read from is gone from its reader, or another is in its place.
	WaitRemoved(ctx context.Context, token TokenInfo) error
}

// Use is one use of the cards, for one login. It is not safe for concurrent use, but for Close, which may interrupt a
// call that does not come back.
type Use interface {
	// Tokens lists the tokens that hold an authentication certificate: never an empty list without an error
	// (ErrNoReader, ErrNoCard, ErrNoCertificate).
	Tokens(ctx context.Context) ([]Token, error)
	// Close forgets the PIN, resets the cards that were used, and releases them.
	Close() error
}

// Token is a card in a reader, with its authentication certificate.
type Token interface {
	Info() TokenInfo
	// Login gives the PIN to the card, once. With Info().PINPad the PIN is empty and the call waits for the reader's pad.
	// Errors: ErrPINIncorrect, ErrPINLocked, ErrPINNotAccepted, ErrCardRemoved, ErrCancelled, ErrStalled.
	Login(ctx context.Context, pin string) error
	// Keys lists the ways in which the token's key can sign, the preferred first. A way that turns out not to work fails
	// with ErrMechanism, and the caller tries the next one, without another Login.
	Keys() []Key
}

// TokenInfo describes a token, as it is now.
type TokenInfo struct {
	Reader      string
	Serial      string // of the card, as printed on it where the card says so
	Certificate *x509.Certificate
	PINPad      bool // the PIN is typed on the reader
	PINLast     bool // the next wrong PIN locks the card
	PINLow      bool // a wrong PIN was given since the last right one
	PINLocked   bool
	PINMin      int // digits; 4 for a CPS
	PINMax      int
}

// Key is one way to sign: what a TLS client may offer with it.
type Key struct {
	Name       string // for logs: "RSA-PSS"
	Signer     crypto.Signer
	Schemes    []tls.SignatureScheme
	MaxVersion uint16 // tls.VersionTLS13, or tls.VersionTLS12 where the card cannot do PSS
}
