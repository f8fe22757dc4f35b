package pkcs11

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
)

func TestRawSignatureOfWrongLength(t *testing.T) {
	for _, n := range []int{0, 1, 63} {
		if der, err := asn1Signature(make([]byte, n)); !errors.Is(err, ErrWrongSignature) {
			t.Errorf("%d bytes: %x, %v; want ErrWrongSignature", n, der, err)
		}
	}
}

// The halves may begin with zeros, or with a high bit that INTEGER takes for a sign: crypto/ecdsa must read the same numbers.
func TestRawSignatureBecomesThatOfTheStandardLibrary(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := make([]byte, 32)
	seen := make(map[byte]bool) // of r: a sign bit, none
	for i := 0; i < 1000 && len(seen) < 2; i++ {
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			t.Fatal(err)
		}
		raw := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		der, err := asn1Signature(bytes.Clone(raw))
		if err != nil || !ecdsa.VerifyASN1(&key.PublicKey, digest, der) {
			t.Fatalf("%x became %x (%v), which does not verify", raw, der, err)
		}
		seen[raw[0]>>7] = true
	}
}
