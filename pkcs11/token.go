package pkcs11

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"time"
)

// Token is a card in a reader, as a PKCS#11 module shows it. Its flags are those of the last Tokens or Login; Login changes them,
// so they are not to be read meanwhile.
type Token struct {
	Slot         uint
	Reader       string // the name of PC/SC where there is one, else the module's name for the slot
	Label        string
	Model        string
	Manufacturer string
	Serial       string

	PINPad      bool // the PIN is typed on the reader
	PINCountLow bool // a wrong PIN was given since the last right one; modules are not reliable here
	PINFinalTry bool // the next wrong PIN locks the card
	PINLocked   bool
	MinPIN      int // digits, both ends included
	MaxPIN      int

	Certificates []Certificate // for authentication; at least one

	removable  bool // the slot is a reader
	mechanisms map[uint]bool
	module     *Module
	seat       *seat // where the card was when it was listed; nil when PC/SC does not know the reader
	mu         sync.Mutex
}

// Certificate is an authentication certificate of a token. ID (CKA_ID) ties it to its private key.
type Certificate struct {
	ID    []byte
	Label string
	Cert  *x509.Certificate
}

// Login gives the PIN to the card, once. A PIN that is not digits, or not of the token's length, is refused with ErrPINShape
// before the card sees it: letters would cost a try. With a PIN pad the PIN must be empty, and the call waits, up to
// Config.PadTimeout, for the person at the reader; without one it must not be empty.
//
// Errors: ErrPINShape, ErrPINIncorrect, ErrPINInvalid, ErrPINLocked, ErrPINExpired, ErrCancelled, ErrTokenRemoved, ErrStalled, or an
// *Error. After one of the PIN's errors the flags of t say how many tries are left, as far as the token tells.
func (t *Token) Login(ctx context.Context, pin string) error {
	if err := t.checkPIN(pin); err != nil {
		return fmt.Errorf("log in to the token: %w", err)
	}
	t.module.used(t)
	answer, err := t.module.call(ctx, t.timeout(), t, request{Op: opLogin, Slot: t.Slot, PIN: []byte(pin)})
	if answer.Token != nil {
		t.setFlags(answer.Token)
	}
	if err != nil {
		return fmt.Errorf("log in to the token: %w", err)
	}
	t.clearTries()
	return nil
}

// timeout is how long a call may take that may ask for the PIN: on a pad the person needs time.
func (t *Token) timeout() time.Duration {
	if t.pad() {
		return t.module.config.PadTimeout
	}
	return t.module.config.CallTimeout
}

func (t *Token) pad() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.PINPad
}

// clearTries: the right PIN gives all tries back, which OpenSC notices only with its next session.
func (t *Token) clearTries() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.PINCountLow, t.PINFinalTry, t.PINLocked = false, false, false
}

func (t *Token) checkPIN(pin string) error {
	if t.pad() {
		if pin != "" {
			return fmt.Errorf("%w: it is typed on the reader", ErrPINShape)
		}
		return nil
	}
	// The bytes count, not the runes: a card takes ASCII digits. An empty PIN would open the pad of some readers.
	if pin == "" || len(pin) < t.MinPIN || (t.MaxPIN > 0 && len(pin) > t.MaxPIN) {
		return fmt.Errorf("%w: %d to %d digits", ErrPINShape, t.MinPIN, t.MaxPIN)
	}
	for _, c := range []byte(pin) {
		if c < '0' || c > '9' {
			return fmt.Errorf("%w: %d to %d digits", ErrPINShape, t.MinPIN, t.MaxPIN)
		}
	}
	return nil
}

// WaitRemoved returns nil once the card that was listed is gone from its reader, even for an instant. It needs no open
// Module. ErrNoReader says that PC/SC does not know the reader of this token.
func (t *Token) WaitRemoved(ctx context.Context) error {
	if t.seat == nil {
		return fmt.Errorf("wait for the card's removal: %w", ErrNoReader)
	}
	return t.seat.waitRemoved(ctx)
}

func (t *Token) setFlags(w *wireToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.PINPad = w.Flags.pinPad()
	t.PINCountLow = w.Flags.countLow()
	t.PINFinalTry = w.Flags.finalTry()
	t.PINLocked = w.Flags.locked()
}

// newToken builds a Token from what the child listed, or returns nil when the token holds no certificate that accept takes.
func newToken(m *Module, w *wireToken, accept func(*x509.Certificate) bool) *Token {
	t := &Token{
		Slot: w.Slot, Reader: w.Reader, Label: w.Label, Model: w.Model, Manufacturer: w.Manufacturer, Serial: w.Serial,
		MinPIN: int(w.MinPIN), MaxPIN: int(w.MaxPIN), removable: w.Removable, mechanisms: map[uint]bool{}, module: m,
	}
	t.setFlags(w)
	for _, c := range w.Certificates {
		// A certificate that Go cannot parse is of no use to TLS either, and must not hide the others.
		cert, err := x509.ParseCertificate(c.DER)
		if err != nil || len(c.ID) == 0 || !accept(cert) {
			continue
		}
		t.Certificates = append(t.Certificates, Certificate{ID: bytes.Clone(c.ID), Label: c.Label, Cert: cert})
	}
	for _, m := range w.Mechanisms {
		t.mechanisms[m] = true
	}
	if len(t.Certificates) == 0 {
		return nil
	}
	return t
}

// AuthenticationCertificate reports whether a certificate is one to log in with: digitalSignature in its key usage and
// clientAuth in its extended key usage, both present (RFC 5280, sections 4.2.1.3 and 4.2.1.12). It is what Config.Accept is by
// default. The signature certificate of a CPS has neither, and tokens that are no health cards (Windows Hello) seldom do.
func AuthenticationCertificate(c *x509.Certificate) bool {
	if c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return false
	}
	for _, u := range c.ExtKeyUsage {
		if u == x509.ExtKeyUsageClientAuth {
			return true
		}
	}
	return false
}
