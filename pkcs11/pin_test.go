package pkcs11_test

import (
	"crypto/x509"
	"errors"
	"testing"

	"promess/authgw/internal/vcard"
	"promess/authgw/pkcs11"
)

func TestPINOfTheWrongShapeNeverReachesTheCard(t *testing.T) {
	verifies := make(chan byte, 1000)
	card := newCard(t, newECDSA(t), func(c *vcard.Config) { c.OnAPDU = func(ins byte) { verifies <- ins } })
	inReader(t, card)
	token := oneToken(t, start(t, opensc(t)))
	for len(verifies) > 0 { // OpenSC asks for the tries left when it lists
		<-verifies
	}
	for _, pin := range []string{"", "123", "123456789", "12a4", "12 4", " 1234", "1234\n", "١٢٣٤", "12\x004", "-123"} {
		if err := token.Login(deadline(t), pin); !errors.Is(err, pkcs11.ErrPINShape) {
			t.Errorf("Login(%q) = %v, want ErrPINShape", pin, err)
		}
	}
	if len(verifies) > 0 {
		t.Errorf("the card got %d commands, want none", len(verifies))
	}
	if got := card.TriesLeft(); got != 3 {
		t.Errorf("tries left = %d, want 3", got)
	}
}

func TestWrongPINsUpToTheLock(t *testing.T) {
	card := newCard(t, newECDSA(t))
	inReader(t, card)
	token := oneToken(t, start(t, opensc(t)))
	if token.PINFinalTry || token.PINLocked || token.PINPad || token.MinPIN != 4 || token.MaxPIN != 8 {
		t.Errorf("flags of a fresh card = %+v, want none and 4 to 8 digits", token)
	}
	steps := []struct {
		want          error
		final, locked bool
	}{
		{pkcs11.ErrPINIncorrect, false, false},
		{pkcs11.ErrPINIncorrect, true, false},
		{nil, false, true}, // what a module answers to the PIN that locks varies; it is one of two
	}
	for i, step := range steps {
		err := token.Login(deadline(t), "9999")
		if step.want != nil && !errors.Is(err, step.want) {
			t.Errorf("wrong PIN %d: %v, want %v", i+1, err, step.want)
		}
		if !errors.Is(err, pkcs11.ErrPINIncorrect) && !errors.Is(err, pkcs11.ErrPINLocked) {
			t.Errorf("wrong PIN %d: %v, want a wrong or a locked PIN", i+1, err)
		}
		if got, want := card.TriesLeft(), 2-i; got != want {
			t.Errorf("after wrong PIN %d: %d tries left, want %d: one Login is one try", i+1, got, want)
		}
		if token.PINFinalTry != step.final || token.PINLocked != step.locked {
			t.Errorf("after wrong PIN %d: final %v, locked %v; want %v, %v", i+1, token.PINFinalTry, token.PINLocked, step.final, step.locked)
		}
	}
	if err := token.Login(deadline(t), "1234"); !errors.Is(err, pkcs11.ErrPINLocked) {
		t.Errorf("right PIN on a locked card: %v, want ErrPINLocked", err)
	}
	again := oneToken(t, start(t, opensc(t)))
	if !again.PINLocked {
		t.Errorf("a new listing does not show that the PIN is locked")
	}
}

func TestRightPINAfterWrongOnes(t *testing.T) {
	card := newCard(t, newECDSA(t))
	inReader(t, card)
	m := start(t, opensc(t))
	token := oneToken(t, m)
	for range 2 {
		if err := token.Login(deadline(t), "4321"); !errors.Is(err, pkcs11.ErrPINIncorrect) {
			t.Fatalf("Login: %v, want ErrPINIncorrect", err)
		}
	}
	// A new use of the card says, before it asks, that the try is the last.
	if err := m.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	token = oneToken(t, start(t, opensc(t)))
	if !token.PINFinalTry {
		t.Errorf("PINFinalTry = false with one try left")
	}
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatalf("Login: %v", err)
	}
	if token.PINFinalTry || card.TriesLeft() != 3 {
		t.Errorf("after the right PIN: final try %v, %d tries; want false, 3", token.PINFinalTry, card.TriesLeft())
	}
}

func TestSigningWithoutALogin(t *testing.T) {
	card := newCard(t, newECDSA(t))
	inReader(t, card)
	token := oneToken(t, start(t, opensc(t)))
	err := sign(token)
	if !errors.Is(err, pkcs11.ErrKeyNotFound) && !errors.Is(err, pkcs11.ErrNotLoggedIn) {
		t.Errorf("Sign = %v, want ErrKeyNotFound or ErrNotLoggedIn", err)
	}
	if card.Signatures() != 0 {
		t.Errorf("the card signed without a PIN")
	}
}

func TestSignatureCertificateIsNotListed(t *testing.T) {
	who := newECDSA(t)
	signature := certify(t, newECDSA(t).key, x509.KeyUsageContentCommitment)
	card := newCard(t, who, func(c *vcard.Config) { c.SignatureCert, c.SignatureKey = signature.cert, signature.key })
	inReader(t, card)
	token := oneToken(t, start(t, opensc(t)))
	if !token.Certificates[0].Cert.Equal(who.cert) {
		t.Errorf("the certificate listed is %v, want that of authentication", token.Certificates[0].Cert.KeyUsage)
	}
}

func TestCardWithoutAnAuthenticationCertificate(t *testing.T) {
	who := certify(t, newECDSA(t).key, x509.KeyUsageContentCommitment)
	inReader(t, newCard(t, who))
	if _, err := start(t, opensc(t)).Tokens(deadline(t)); !errors.Is(err, pkcs11.ErrNoCertificate) {
		t.Errorf("Tokens = %v, want ErrNoCertificate", err)
	}
}
