package certs_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"promess/authgw/certs"
	"promess/authgw/internal/testpki"
)

// now is when all of this takes place.
func now() time.Time { return time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC) }

// Hierarchies and keys are made once: RSA keys are slow to make, and nothing changes them.
var (
	production    = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{Now: now}) })
	testHierarchy = sync.OnceValues(func() (*testpki.PKI, error) {
		return testpki.New(testpki.Config{Test: true, CardsOnly: true, Now: now})
	})
	cardKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
)

// must ends the test on an error: must(t)(f()) is not Go, so it takes the function.
func must[T any](t testing.TB, f func() (T, error)) T {
	t.Helper()
	v, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func publicKey(t testing.TB) crypto.PublicKey { return must(t, cardKey).Public() }

// card issues an authentication certificate of the production hierarchy.
func card(t testing.TB, c testpki.Card) *x509.Certificate {
	t.Helper()
	return issue(t, must(t, production), c, publicKey(t))
}

func issue(t testing.TB, p *testpki.PKI, c testpki.Card, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	return must(t, func() (*x509.Certificate, error) { return p.Authentication(c, public) })
}

func newAuthority(t testing.TB, name string, parent *testpki.Authority, change func(*x509.Certificate)) *testpki.Authority {
	t.Helper()
	p := must(t, production)
	return must(t, func() (*testpki.Authority, error) { return p.NewAuthority(name, parent, change) })
}

func newTrust(t testing.TB, issuers []string, authorities ...*testpki.Authority) *certs.Trust {
	t.Helper()
	var certificates []*x509.Certificate
	for _, a := range authorities {
		certificates = append(certificates, a.Certificate)
	}
	return must(t, func() (*certs.Trust, error) { return certs.NewTrust(certificates, issuers) })
}

// loadCRLs loads one empty list of each authority of a hierarchy, with those of revoked that are its own.
func loadCRLs(t testing.TB, trust *certs.Trust, p *testpki.PKI, revoked ...*x509.Certificate) *certs.CRLs {
	t.Helper()
	files := must(t, func() ([]string, error) { return p.WriteCRLs(t.TempDir(), revoked...) })
	return must(t, func() (*certs.CRLs, error) { return certs.LoadCRLs(trust, files) })
}

// newVerifier makes a verifier of the production hierarchy in good order, that change may alter.
func newVerifier(t testing.TB, change func(*certs.Config)) *certs.Verifier {
	t.Helper()
	p := must(t, production)
	trust := newTrust(t, nil, p.Authorities()...)
	c := certs.Config{Trust: trust, CRLs: loadCRLs(t, trust, p), Now: now}
	if change != nil {
		change(&c)
	}
	return must(t, func() (*certs.Verifier, error) { return certs.NewVerifier(c) })
}

// reasonOf returns the reason of an error of Verify; empty when it accepted.
func reasonOf(t testing.TB, err error) certs.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	var refusal *certs.Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("error of type %T, want *certs.Refusal: %v", err, err)
	}
	return refusal.Reason
}

func wantReason(t testing.TB, v *certs.Verifier, cert *x509.Certificate, want certs.Reason) {
	t.Helper()
	verdict, err := v.Verify(cert.Raw)
	if got := reasonOf(t, err); got != want {
		t.Errorf("reason = %q (%v), want %q", got, err, want)
	}
	if accepted := !verdict.Until.IsZero(); accepted != (want == "") {
		t.Errorf("Until = %v with reason %q", verdict.Until, want)
	}
}

func writeFile(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	return must(t, func() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(curve, rand.Reader) })
}

// igc is where the certificates of IGC-Santé lie, which are not part of this repository.
const igc = "../../shared/igc"

// realCertificate reads one of them, and skips the test where they are not at hand.
func realCertificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(igc, name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("the certificates of IGC-Santé are not in %s", igc)
	}
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	return must(t, func() (*x509.Certificate, error) { return x509.ParseCertificate(block.Bytes) })
}
