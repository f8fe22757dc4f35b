package vcard

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Config describes a card.
type Config struct {
	Cert  *x509.Certificate // slot 9A, PIV authentication
	Key   crypto.PrivateKey // its key: RSA-2048 or P-256
	PIN   string            // 4 to 8 digits; "1234" by default
	Tries int               // wrong PINs before it locks; 3 by default

	// SignatureCert and SignatureKey go to slot 9C, digital signature, when given.
	SignatureCert *x509.Certificate
	SignatureKey  crypto.PrivateKey

	// OnAPDU, when given, is called with the instruction byte of each complete command before the card acts on it, from the
	// goroutine that answers the reader. It may call Remove: then the card never answers.
	OnAPDU func(ins byte)
}

// Instructions, for OnAPDU.
const (
	InsVerify              byte = 0x20
	InsGeneralAuthenticate byte = 0x87
	InsSelect              byte = 0xA4
	InsGetResponse         byte = 0xC0
	InsGetData             byte = 0xCB
)

// Card is a card, in a reader or not. It keeps its PIN counter from one insertion to the next.
type Card struct {
	config Config
	guid   [16]byte
	keys   map[byte]crypto.PrivateKey // by key reference
	data   map[string][]byte          // data objects by tag

	mu         sync.Mutex
	conn       net.Conn      // to the reader, nil outside one
	gone       chan struct{} // closed when the goroutine of the insertion has ended
	left       int           // tries of the PIN
	verified   bool
	signatures int
	chain      []byte // data of chained commands so far
	rest       []byte // of an answer that did not fit
}

// New makes a card with an identity of its own.
func New(c Config) (*Card, error) {
	if c.PIN == "" {
		c.PIN = "1234"
	}
	if c.Tries == 0 {
		c.Tries = 3
	}
	if len(c.PIN) < 4 || len(c.PIN) > pinLength {
		return nil, errors.New("vcard: a PIN has 4 to 8 digits")
	}
	card := &Card{config: c, left: c.Tries, keys: map[byte]crypto.PrivateKey{}, data: map[string][]byte{}}
	rand.Read(card.guid[:])
	card.addObjects()
	if err := card.addKey(keyAuthentication, tagAuthentication, c.Cert, c.Key); err != nil {
		return nil, err
	}
	if c.SignatureCert != nil {
		if err := card.addKey(keySignature, tagSignature, c.SignatureCert, c.SignatureKey); err != nil {
			return nil, err
		}
	}
	return card, nil
}

func (c *Card) addKey(reference byte, tag string, cert *x509.Certificate, key crypto.PrivateKey) error {
	if cert == nil {
		return errors.New("vcard: a key needs its certificate")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() != 2048 {
			return fmt.Errorf("vcard: RSA of %d bits, not 2048", k.N.BitLen())
		}
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return fmt.Errorf("vcard: curve %s, not P-256", k.Curve.Params().Name)
		}
	default:
		return fmt.Errorf("vcard: a key of type %T", key)
	}
	c.keys[reference] = key
	c.data[tag] = certificateObject(cert.Raw)
	return nil
}

// TriesLeft is how many wrong PINs are left before the card locks; 0 when it is locked.
func (c *Card) TriesLeft() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// Verified reports whether the PIN was given since the last reset: whoever talks to the card can use its key now.
func (c *Card) Verified() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verified
}

// Signatures is how many signatures the card has made.
func (c *Card) Signatures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signatures
}

// reset is what a card does when it loses power or is reset.
func (c *Card) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verified, c.chain, c.rest = false, nil, nil
}

// verify handles VERIFY (SP 800-73-4 part 2, section 3.2.1). Without data it asks for the tries left.
func (c *Card) verify(p1, reference byte, pin []byte) status {
	if p1 != 0 || reference != pinReference {
		return swNoReference
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(pin) == 0 && c.verified:
		return swOK
	case c.left == 0:
		return swBlocked
	case len(pin) == 0:
		return swTries(c.left)
	case len(pin) != pinLength:
		return swWrongData // costs no try
	}
	want := padPIN(c.config.PIN)
	if subtle.ConstantTimeCompare(pin, want[:]) == 1 {
		c.left, c.verified = c.config.Tries, true
		return swOK
	}
	c.left--
	c.verified = false
	if c.left == 0 {
		return swBlocked
	}
	return swTries(c.left)
}

// pinLength is that of a PIV PIN, padded with FF.
const pinLength = 8

func padPIN(pin string) (padded [pinLength]byte) {
	for i := range padded {
		padded[i] = 0xFF
	}
	copy(padded[:], pin)
	return padded
}
