package softcard_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/softcard"
)

var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newConfig(t *testing.T, key crypto.Signer) softcard.Config {
	t.Helper()
	if key == nil {
		k, err := rsaKey()
		if err != nil {
			t.Fatal(err)
		}
		key = k
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "card"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return softcard.Config{Certificate: cert, Key: key, PIN: "4711"}
}

// open returns a card, and one use and token of it.
func open(t *testing.T, change func(*softcard.Config)) (*softcard.Card, agent.Use, agent.Token) {
	t.Helper()
	config := newConfig(t, nil)
	if change != nil {
		change(&config)
	}
	card, err := softcard.New(config)
	if err != nil {
		t.Fatal(err)
	}
	use, err := card.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := use.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return card, use, tokens[0]
}

var digest = sha256.Sum256([]byte("message"))

func sign(token agent.Token) error {
	_, err := token.Keys()[0].Signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	return err
}

func TestSigningNeedsThePIN(t *testing.T) {
	card, use, token := open(t, nil)
	if err := sign(token); err == nil {
		t.Error("signed before the PIN")
	}
	if err := token.Login(t.Context(), "4711"); err != nil {
		t.Fatal(err)
	}
	if err := sign(token); err != nil {
		t.Errorf("sign after the PIN = %v", err)
	}
	second, _ := card.Open(t.Context())
	others, err := second.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(others[0]); err == nil {
		t.Error("another use signed without the PIN")
	}
	if err := use.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sign(token); err == nil || card.LoggedIn() {
		t.Error("signed after Close")
	}
}

func TestPINTries(t *testing.T) {
	card, _, token := open(t, nil)
	login := func(pin string, want error) {
		t.Helper()
		if err := token.Login(t.Context(), pin); !errors.Is(err, want) {
			t.Errorf("Login = %v, want %v", err, want)
		}
	}
	login("0000", agent.ErrPINIncorrect)
	login("47111", agent.ErrPINNotAccepted) // costs no try
	login("000a", agent.ErrPINIncorrect)    // letters do
	if info := token.Info(); !info.PINLast || !info.PINLow || info.PINLocked {
		t.Errorf("after two wrong PINs: %+v, want the last try", info)
	}
	login("4711", nil)
	if info := token.Info(); info.PINLast || info.PINLow {
		t.Errorf("after the right PIN: %+v, want all tries", info)
	}
	login("0000", agent.ErrPINIncorrect)
	login("0000", agent.ErrPINIncorrect)
	login("0000", agent.ErrPINLocked)
	login("4711", agent.ErrPINLocked)
	if !token.Info().PINLocked || card.Presented() != 8 {
		t.Errorf("locked = %v after %d PINs, want true after 8", token.Info().PINLocked, card.Presented())
	}
}

func TestRemoval(t *testing.T) {
	card, _, token := open(t, nil)
	if err := token.Login(t.Context(), "4711"); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- card.WaitRemoved(t.Context(), token.Info()) }()
	card.Remove()
	if err := <-gone; err != nil {
		t.Errorf("WaitRemoved = %v, want nil", err)
	}
	use, _ := card.Open(t.Context())
	if _, err := use.Tokens(t.Context()); !errors.Is(err, agent.ErrNoCard) {
		t.Errorf("Tokens without a card = %v, want ErrNoCard", err)
	}
	card.Insert()
	if err := sign(token); !errors.Is(err, agent.ErrCardRemoved) {
		t.Errorf("sign with the token of before = %v, want ErrCardRemoved", err)
	}
	if err := token.Login(t.Context(), "4711"); !errors.Is(err, agent.ErrCardRemoved) {
		t.Errorf("Login with the token of before = %v, want ErrCardRemoved", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := card.WaitRemoved(ctx, token.Info()); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitRemoved with the card in = %v, want context.Canceled", err)
	}
}

func TestKeys(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	for _, test := range []struct {
		name   string
		change func(*softcard.Config)
		opts   []crypto.SignerOpts // one per key, which it takes, the others not
	}{
		{"PKCS #1 only", nil, []crypto.SignerOpts{crypto.SHA256}},
		{"PSS first", func(c *softcard.Config) { c.PSS = true }, []crypto.SignerOpts{pss, crypto.SHA256}},
		{"P-256", func(c *softcard.Config) { *c = newConfig(t, ec) }, []crypto.SignerOpts{crypto.SHA256}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, token := open(t, test.change)
			if err := token.Login(t.Context(), "4711"); err != nil {
				t.Fatal(err)
			}
			keys := token.Keys()
			if len(keys) != len(test.opts) {
				t.Fatalf("%d keys, want %d", len(keys), len(test.opts))
			}
			for i, key := range keys {
				for j, opts := range append(test.opts, crypto.SHA1) {
					_, err := key.Signer.Sign(rand.Reader, digest[:], opts)
					if i == j && err != nil {
						t.Errorf("%s: %v", key.Name, err)
					}
					if i != j && !errors.Is(err, agent.ErrMechanism) {
						t.Errorf("%s signs in another way: %v, want ErrMechanism", key.Name, err)
					}
				}
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*softcard.Config)
		want   string
	}{
		{"no key", func(c *softcard.Config) { c.Key = nil }, "required"},
		{"no PIN", func(c *softcard.Config) { c.PIN = "" }, "not made of digits"},
		{"letters in the PIN", func(c *softcard.Config) { c.PIN = "12a4" }, "not made of digits"},
		{"the key of another certificate", func(c *softcard.Config) { c.Key = ed }, "not that of the certificate"},
		{"a key that no card has", func(c *softcard.Config) { *c = newConfig(t, ed) }, "no card has"},
		{"a curve that no card has", func(c *softcard.Config) { *c = newConfig(t, p384) }, "no card has"},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := newConfig(t, nil)
			test.change(&config)
			if _, err := softcard.New(config); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New = %v, want %q", err, test.want)
			}
		})
	}
}
