package pkcs11_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"testing"

	"promess/authgw/pkcs11"
)

func TestSignaturesVerify(t *testing.T) {
	tests := []struct {
		name string
		who  func(testing.TB) identity
		mode pkcs11.Mode
		opts crypto.SignerOpts
	}{
		{"RSA, PSS in the token", newRSA, pkcs11.ModePSS, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}},
		{"RSA, PSS encoded here", newRSA, pkcs11.ModeRawPSS, &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}},
		{"RSA, PKCS #1 v1.5 with SHA-256", newRSA, pkcs11.ModePKCS1, crypto.SHA256},
		{"P-256", newECDSA, pkcs11.ModeECDSA, crypto.SHA256},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			who := test.who(t)
			card := newCard(t, who)
			inReader(t, card)
			token := oneToken(t, start(t, opensc(t)))
			if err := token.Login(deadline(t), "1234"); err != nil {
				t.Fatalf("Login: %v", err)
			}
			signer, err := token.Signer(token.Certificates[0], test.mode)
			if err != nil {
				t.Fatalf("Signer: %v; the modes are %v", err, token.Modes(token.Certificates[0]))
			}
			digest := sha256.Sum256([]byte("a TLS transcript"))
			signature, err := signer.Sign(nil, digest[:], test.opts)
			if err != nil {
				t.Fatalf("Sign: %v", err)
			}
			if err := verify(who.cert.PublicKey, digest[:], signature, test.opts); err != nil {
				t.Errorf("the signature does not verify: %v", err)
			}
			if got := card.Signatures(); got != 1 {
				t.Errorf("the card signed %d times, want 1", got)
			}
		})
	}
}

// verify checks a signature with Go's own cryptography.
func verify(key crypto.PublicKey, digest, signature []byte, opts crypto.SignerOpts) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if _, pss := opts.(*rsa.PSSOptions); pss {
			return rsa.VerifyPSS(key, opts.HashFunc(), digest, signature, &rsa.PSSOptions{SaltLength: 32})
		}
		return rsa.VerifyPKCS1v15(key, opts.HashFunc(), digest, signature)
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(key, digest, signature) {
			return errors.New("ECDSA verification failed")
		}
	}
	return nil
}
