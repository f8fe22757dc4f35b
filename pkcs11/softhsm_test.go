package pkcs11_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	bindings "github.com/miekg/pkcs11"

	"promess/authgw/pkcs11"
)

// SoftHSM is a token that is no card: kinds of keys that PIV cards lack, several keys, no reader in PC/SC.

// softHSM makes a token with the PIN 123456 and the keys of who, and returns the module.
func softHSM(t *testing.T, who ...identity) string {
	t.Helper()
	module := installed(t, "softhsm2", "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib*/*/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "soft", "--pin", "123456", "--so-pin", "12345678").CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util (Debian package softhsm2): %v\n%s", err, out)
	}
	ctx := bindings.New(module)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("fill the token: %v", err)
		}
	}
	check(ctx.Initialize())
	defer ctx.Destroy()
	defer ctx.Finalize()
	slots, err := ctx.GetSlotList(true)
	check(err)
	session, err := ctx.OpenSession(slots[0], bindings.CKF_SERIAL_SESSION|bindings.CKF_RW_SESSION)
	check(err)
	check(ctx.Login(session, bindings.CKU_USER, "123456"))
	for i, w := range who {
		id := []byte{byte(i + 1)}
		_, err := ctx.CreateObject(session, []*bindings.Attribute{
			bindings.NewAttribute(bindings.CKA_CLASS, bindings.CKO_CERTIFICATE), bindings.NewAttribute(bindings.CKA_CERTIFICATE_TYPE, bindings.CKC_X_509),
			bindings.NewAttribute(bindings.CKA_TOKEN, true), bindings.NewAttribute(bindings.CKA_PRIVATE, false), bindings.NewAttribute(bindings.CKA_ID, id),
			bindings.NewAttribute(bindings.CKA_SUBJECT, w.cert.RawSubject), bindings.NewAttribute(bindings.CKA_VALUE, w.cert.Raw),
		})
		check(err)
		_, err = ctx.CreateObject(session, append(privateKey(t, w.key), bindings.NewAttribute(bindings.CKA_ID, id)))
		check(err)
	}
	return module
}

// privateKey is a key as C_CreateObject takes it.
func privateKey(t *testing.T, key crypto.Signer) []*bindings.Attribute {
	t.Helper()
	common := []*bindings.Attribute{
		bindings.NewAttribute(bindings.CKA_CLASS, bindings.CKO_PRIVATE_KEY), bindings.NewAttribute(bindings.CKA_TOKEN, true),
		bindings.NewAttribute(bindings.CKA_PRIVATE, true), bindings.NewAttribute(bindings.CKA_SENSITIVE, true), bindings.NewAttribute(bindings.CKA_SIGN, true),
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return append(common, bindings.NewAttribute(bindings.CKA_KEY_TYPE, bindings.CKK_RSA),
			bindings.NewAttribute(bindings.CKA_MODULUS, k.N.Bytes()), bindings.NewAttribute(bindings.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
			bindings.NewAttribute(bindings.CKA_PRIVATE_EXPONENT, k.D.Bytes()),
			bindings.NewAttribute(bindings.CKA_PRIME_1, k.Primes[0].Bytes()), bindings.NewAttribute(bindings.CKA_PRIME_2, k.Primes[1].Bytes()),
			bindings.NewAttribute(bindings.CKA_EXPONENT_1, k.Precomputed.Dp.Bytes()), bindings.NewAttribute(bindings.CKA_EXPONENT_2, k.Precomputed.Dq.Bytes()),
			bindings.NewAttribute(bindings.CKA_COEFFICIENT, k.Precomputed.Qinv.Bytes()))
	case *ecdsa.PrivateKey:
		curve := map[elliptic.Curve]string{ // named curves of RFC 5480, section 2.1.1.1
			elliptic.P256(): "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
			elliptic.P384(): "\x06\x05\x2b\x81\x04\x00\x22",
			elliptic.P521(): "\x06\x05\x2b\x81\x04\x00\x23",
		}[k.Curve]
		secret, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return append(common, bindings.NewAttribute(bindings.CKA_KEY_TYPE, bindings.CKK_EC),
			bindings.NewAttribute(bindings.CKA_EC_PARAMS, []byte(curve)), bindings.NewAttribute(bindings.CKA_VALUE, secret))
	}
	t.Fatalf("a key of type %T", key)
	return nil
}

func newRSAOf(t *testing.T, bits int) identity {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return certify(t, key, x509.KeyUsageDigitalSignature, x509.ExtKeyUsageClientAuth)
}

func newECDSAOn(t *testing.T, curve elliptic.Curve) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return certify(t, key, x509.KeyUsageDigitalSignature, x509.ExtKeyUsageClientAuth)
}

func TestSeveralKeysInOneToken(t *testing.T) {
	who := []identity{newRSAOf(t, 2048), newRSAOf(t, 3072), newECDSAOn(t, elliptic.P256()), newECDSAOn(t, elliptic.P384()), newECDSAOn(t, elliptic.P521())}
	tokens, err := start(t, softHSM(t, who...)).Tokens(deadline(t))
	if err != nil || len(tokens) != 1 || len(tokens[0].Certificates) != len(who) {
		t.Fatalf("Tokens = %+v, %v; want 1 with %d certificates", tokens, err, len(who))
	}
	token := tokens[0]
	if err := token.Login(deadline(t), "654321"); !errors.Is(err, pkcs11.ErrPINIncorrect) {
		t.Errorf("Login with a wrong PIN = %v, want ErrPINIncorrect", err)
	}
	if err := token.Login(deadline(t), "123456"); err != nil {
		t.Fatal(err)
	}
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	signs := map[pkcs11.Mode][]crypto.SignerOpts{
		pkcs11.ModePSS:    {pss},
		pkcs11.ModeRawPSS: {pss},
		pkcs11.ModePKCS1:  {crypto.SHA256, crypto.SHA384, crypto.SHA512},
		pkcs11.ModeECDSA:  {crypto.SHA256, crypto.SHA384, crypto.SHA512},
	}
	var wait sync.WaitGroup // from several goroutines at once
	for _, c := range token.Certificates {
		for _, mode := range token.Modes(c) {
			for _, opts := range signs[mode] {
				wait.Go(func() { signAndVerify(t, token, c, mode, opts) })
			}
		}
	}
	wait.Wait()
}

// signAndVerify signs with one key, mode and hash. A key on a curve signs with the hash of the curve's size only.
func signAndVerify(t *testing.T, token *pkcs11.Token, c pkcs11.Certificate, mode pkcs11.Mode, opts crypto.SignerOpts) {
	signer, err := token.Signer(c, mode)
	if err != nil {
		t.Errorf("Signer: %v", err)
		return
	}
	digest := make([]byte, opts.HashFunc().Size())
	rand.Read(digest)
	signature, err := signer.Sign(nil, digest, opts)
	if key, ok := c.Cert.PublicKey.(*ecdsa.PublicKey); ok {
		of := map[elliptic.Curve]crypto.Hash{elliptic.P256(): crypto.SHA256, elliptic.P384(): crypto.SHA384, elliptic.P521(): crypto.SHA512}
		if of[key.Curve] != opts.HashFunc() {
			if !errors.Is(err, pkcs11.ErrMechanism) {
				t.Errorf("Sign on %s with %v = %v, want ErrMechanism", key.Curve.Params().Name, opts, err)
			}
			return
		}
	}
	if err != nil {
		t.Errorf("Sign with %v and %v: %v", mode, opts.HashFunc(), err)
		return
	}
	if err := verify(c.Cert.PublicKey, digest, signature, opts); err != nil {
		t.Errorf("the signature with %v and %v does not verify: %v", mode, opts.HashFunc(), err)
	}
}

func TestSignerRefusesWhatItsModeIsNot(t *testing.T) {
	token := oneToken(t, start(t, softHSM(t, newRSAOf(t, 2048))))
	if err := token.Login(deadline(t), "123456"); err != nil {
		t.Fatal(err)
	}
	pss := func(salt int) crypto.SignerOpts { return &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256} }
	tests := []struct {
		name string
		mode pkcs11.Mode
		opts crypto.SignerOpts
	}{
		{"SHA-1", pkcs11.ModePKCS1, crypto.SHA1},
		{"no hash", pkcs11.ModePKCS1, crypto.Hash(0)},
		{"nothing", pkcs11.ModePKCS1, nil},
		{"PSS with a PKCS #1 signer", pkcs11.ModePKCS1, pss(32)},
		{"PKCS #1 with a PSS signer", pkcs11.ModePSS, crypto.SHA256},
		{"PKCS #1 with a raw PSS signer", pkcs11.ModeRawPSS, crypto.SHA256},
		{"PSS with SHA-384", pkcs11.ModePSS, &rsa.PSSOptions{SaltLength: 48, Hash: crypto.SHA384}},
		{"PSS with a short salt", pkcs11.ModePSS, pss(20)},
		{"PSS without a salt", pkcs11.ModeRawPSS, pss(1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signer, err := token.Signer(token.Certificates[0], test.mode)
			if err != nil {
				t.Fatal(err)
			}
			digest := make([]byte, 32)
			if test.opts != nil {
				digest = make([]byte, max(test.opts.HashFunc(), crypto.SHA1).Size())
			}
			if _, err := signer.Sign(nil, digest, test.opts); !errors.Is(err, pkcs11.ErrMechanism) {
				t.Errorf("Sign = %v, want ErrMechanism", err)
			}
		})
	}
	t.Run("a digest of another length", func(t *testing.T) {
		signer, err := token.Signer(token.Certificates[0], pkcs11.ModePKCS1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signer.Sign(nil, make([]byte, 31), crypto.SHA256); err == nil {
			t.Error("Sign = nil")
		}
	})
}
