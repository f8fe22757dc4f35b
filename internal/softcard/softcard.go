// Package softcard is a smart card in memory, for the demonstration and for tests.
//
// It behaves like a CPS in a reader: nothing is signed before the PIN was given, three wrong PINs lock it, closing a use
// forgets the PIN, and a card that was pulled out fails whatever was under way. It protects nothing: the key is in the
// memory of the process. A Card is safe for concurrent use; what Open returns is used by one goroutine, as any agent.Use.
package softcard

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"promess/authgw/internal/agent"
)

// tries is how many wrong PINs in a row a CPS takes before it locks itself.
const tries = 3

// Config describes a card. Certificate, Key and PIN are required.
type Config struct {
	Certificate *x509.Certificate
	Key         crypto.Signer // RSA, or ECDSA on P-256
	PIN         string        // digits; the card takes only PINs of this length
	PSS         bool          // an RSA card that signs PSS, as a CPS4; otherwise PKCS #1 v1.5 only, as a CPS3
	Reader      string        // default "Soft reader"
	Serial      string        // default: none
}

// Card is a card and its reader. It starts in the reader.
type Card struct {
	config Config

	mu      sync.Mutex
	left    int           // tries
	given   int           // PINs that were presented
	removed chan struct{} // closed when the card is pulled out; nil while it is out
	pin     *use          // whose PIN opened the card; nil: nobody's
}

var _ agent.Cards = (*Card)(nil)

// New returns a card in its reader.
func New(c Config) (*Card, error) {
	if c.Certificate == nil || c.Key == nil {
		return nil, errors.New("softcard: Certificate and Key are required")
	}
	if public, ok := c.Key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(c.Certificate.PublicKey) {
		return nil, errors.New("softcard: the key is not that of the certificate")
	}
	if !digits(c.PIN) {
		return nil, errors.New("softcard: the PIN is not made of digits")
	}
	if keys(c) == nil {
		return nil, fmt.Errorf("softcard: no card has a key of type %T", c.Key.Public())
	}
	if c.Reader == "" {
		c.Reader = "Soft reader"
	}
	return &Card{config: c, left: tries, removed: make(chan struct{})}, nil
}

// Remove pulls the card out of the reader. It does nothing when it is out.
func (c *Card) Remove() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removed != nil {
		close(c.removed)
		c.removed, c.pin = nil, nil
	}
}

// Insert puts the card back. Uses from before it was pulled out stay without it.
func (c *Card) Insert() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removed == nil {
		c.removed = make(chan struct{})
	}
}

// Presented says how many PINs, right or wrong, were given to the card.
func (c *Card) Presented() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.given
}

// LoggedIn says whether the card would sign now.
func (c *Card) LoggedIn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pin != nil
}

// Open begins a use of the card.
func (c *Card) Open(ctx context.Context) (agent.Use, error) {
	return &use{card: c}, ctx.Err()
}

// WaitRemoved waits until the card is out of the reader.
func (c *Card) WaitRemoved(ctx context.Context, _ agent.TokenInfo) error {
	c.mu.Lock()
	removed := c.removed
	c.mu.Unlock()
	if removed == nil {
		return nil
	}
	select {
	case <-removed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

// use is one use of the card.
type use struct {
	card   *Card
	closed bool // guarded by card.mu
}

func (u *use) Tokens(ctx context.Context) ([]agent.Token, error) {
	u.card.mu.Lock()
	defer u.card.mu.Unlock()
	switch {
	case u.closed:
		return nil, errClosed
	case u.card.removed == nil:
		return nil, agent.ErrNoCard
	}
	return []agent.Token{&token{use: u, removed: u.card.removed}}, ctx.Err()
}

// Close forgets the PIN of this use.
func (u *use) Close() error {
	u.card.mu.Lock()
	defer u.card.mu.Unlock()
	u.closed = true
	if u.card.pin == u {
		u.card.pin = nil
	}
	return nil
}

var (
	errClosed      = errors.New("softcard: the use is closed")
	errNotLoggedIn = errors.New("softcard: CKR_USER_NOT_LOGGED_IN")
)

// token is the card as one use has found it.
type token struct {
	use     *use
	removed chan struct{} // of the insertion in which it was found
}

// present says whether the card can still be spoken to; card.mu is held.
func (t *token) present() error {
	switch {
	case t.use.closed:
		return errClosed
	case t.use.card.removed != t.removed:
		return agent.ErrCardRemoved
	}
	return nil
}

func (t *token) Info() agent.TokenInfo {
	c := t.use.card
	c.mu.Lock()
	defer c.mu.Unlock()
	return agent.TokenInfo{
		Reader:      c.config.Reader,
		Serial:      c.config.Serial,
		Certificate: c.config.Certificate,
		PINLow:      c.left < tries,
		PINLast:     c.left == 1,
		PINLocked:   c.left == 0,
		PINMin:      len(c.config.PIN),
		PINMax:      len(c.config.PIN),
	}
}

func (t *token) Login(ctx context.Context, pin string) error {
	c := t.use.card
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := t.present(); err != nil {
		return err
	}
	c.given++
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case c.left == 0:
		return agent.ErrPINLocked
	case len(pin) != len(c.config.PIN):
		return agent.ErrPINNotAccepted // costs no try, unlike letters
	case subtle.ConstantTimeCompare([]byte(pin), []byte(c.config.PIN)) == 1:
		c.left, c.pin = tries, t.use
		return nil
	}
	c.left--
	c.pin = nil
	if c.left == 0 {
		return agent.ErrPINLocked
	}
	return agent.ErrPINIncorrect
}

func (t *token) Keys() []agent.Key {
	list := keys(t.use.card.config)
	for i := range list {
		list[i].Signer = &signer{token: t, name: list[i].Name}
	}
	return list
}

// ready says whether the card would sign for this use.
func (t *token) ready() error {
	c := t.use.card
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := t.present(); err != nil {
		return err
	}
	if c.pin != t.use {
		return errNotLoggedIn
	}
	return nil
}

// publicKey is what the certificate says; see agent.Key.
func (t *token) publicKey() crypto.PublicKey { return t.use.card.config.Certificate.PublicKey }

// isP256 says whether a key is the one elliptic curve that cards have.
func isP256(k *ecdsa.PublicKey) bool { return k.Curve == elliptic.P256() }

// isPSS says whether opts ask for PSS.
func isPSS(opts crypto.SignerOpts) bool {
	_, ok := opts.(*rsa.PSSOptions)
	return ok
}
