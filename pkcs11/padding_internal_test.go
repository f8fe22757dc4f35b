package pkcs11

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"
)

// What is encoded here and signed bare must be what crypto/rsa verifies, whatever the remainder of the modulus' length by eight: with
// 2049 bits the encoding is a byte shorter than the modulus (RFC 8017, section 9.1.1).
func TestEncodePSSVerifiesForEveryLengthOfModulus(t *testing.T) {
	digest := sha256.Sum256([]byte("a TLS transcript"))
	for bits := 1024; bits <= 1032; bits++ {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := encodePSS(digest[:], key.N.BitLen())
		if err != nil {
			t.Fatalf("%d bits: %v", bits, err)
		}
		if got, want := len(encoded), (bits+7)/8; got != want {
			t.Errorf("%d bits: %d bytes, want %d", bits, got, want)
		}
		signature := new(big.Int).Exp(new(big.Int).SetBytes(encoded), key.D, key.N).FillBytes(make([]byte, key.Size()))
		if err := rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: pssSalt}); err != nil {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}

func TestEncodePSSRefuses(t *testing.T) {
	if _, err := encodePSS(make([]byte, 31), 2048); err == nil {
		t.Error("a digest of 31 bytes was encoded")
	}
	if _, err := encodePSS(make([]byte, 32), 521); err == nil { // RFC 8017, section 9.1.1, step 3
		t.Error("encoded for a modulus that is too short")
	}
}

// crypto/rsa has the same prefixes: a signature over prefix and digest, made bare, verifies there.
func TestDigestInfoIsThatOfTheStandardLibrary(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		digest := make([]byte, hash.Size())
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.Hash(0), append(digestInfo(hash), digest...))
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, hash, digest, signature); err != nil {
			t.Errorf("%v: %v", hash, err)
		}
	}
	if digestInfo(crypto.SHA1) != nil {
		t.Error("there is a prefix for SHA-1")
	}
}
