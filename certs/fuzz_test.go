package certs_test

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"promess/authgw/certs"
	"promess/authgw/internal/testpki"
)

// seed is a certificate, its authority, and whether it is accepted.
type seed struct {
	cert     *x509.Certificate
	issuer   *testpki.Authority
	accepted bool
}

func seeds(t testing.TB) []seed {
	t.Helper()
	p := must(t, production)
	return []seed{
		{card(t, testpki.Card{}), p.FortPersonnes, true},
		{card(t, testpki.Card{Profession: 10, Order: "SCG", T61: true, FamilyName: "LEFÈVRE"}), p.FortPersonnes, true},
		{card(t, testpki.Card{Kind: testpki.CPE}), p.StandardPersonnes, true},
		{card(t, testpki.Card{Kind: testpki.CPA, NationalID: "3750100018/000000018", Pseudonym: "EMPLOYE000000018"}), p.StandardPersonnes, false},
		{card(t, change(func(c *x509.Certificate) { testpki.SetCategory(c, 0x03) })), p.FortPersonnes, false},
		{card(t, change(func(c *x509.Certificate) { c.ExtKeyUsage = nil })), p.FortPersonnes, false},
		{must(t, func() (*x509.Certificate, error) { return p.Signature(testpki.Card{}, publicKey(t)) }), p.FortPersonnes, false},
	}
}

// FuzzVerify: whatever the bytes, Verify answers; it accepts none that an authority did not sign; and of what an authority did
// sign, however odd, it accepts only what crypto/x509 accepts for TLS clients, with one holder that cannot be read as another (A22, A23).
//
// Keys are new in each process of the fuzzer, so its input is not a certificate but a change to one: with is written over the bytes from
// at on, before the authority signs (resign) or after. A which beyond the seeds gives Verify the bytes as they are.
func FuzzVerify(f *testing.F) {
	v, all := newVerifier(f, nil), seeds(f)
	roots, intermediates := pools(f)
	for which, s := range all {
		f.Add(uint8(which), uint16(0), []byte(nil), false)
		f.Add(uint8(which), uint16(0), []byte(nil), true)
		f.Add(uint8(which), uint16(len(s.cert.Raw)/2), []byte{0x30, 0x80}, false)
		for _, mark := range []string{"\x06\x03\x55\x04\x03\x0c", "\x06\x03\x55\x04\x04\x0c", "\x55\x1d\x0f", "\x55\x1d\x25", "\x81\x7a\x01\x47\x01\x02\x05"} {
			if at := bytes.Index(s.cert.RawTBSCertificate, []byte(mark)); at >= 0 {
				f.Add(uint8(which), uint16(at+len(mark)), []byte{0}, true)
			}
		}
	}
	f.Add(uint8(255), uint16(0), []byte("\x30\x03\x02\x01\x00"), false)

	f.Fuzz(func(t *testing.T, which uint8, at uint16, with []byte, resign bool) {
		der := with
		switch {
		case int(which) >= len(all):
		case resign:
			s := all[which]
			der = must(t, func() ([]byte, error) { return s.issuer.Sign(overwrite(s.cert.RawTBSCertificate, at, with)) })
		default:
			der = overwrite(all[which].cert.Raw, at, with)
		}
		verdict, err := v.Verify(der)
		if err != nil {
			reasonOf(t, err) // is one
			return
		}
		signed := slices.ContainsFunc(all, func(s seed) bool { return s.accepted && bytes.Equal(s.cert.Raw, der) })
		if !signed && !(resign && int(which) < len(all)) {
			t.Fatalf("accepted: %x", der)
		}
		cert := must(t, func() (*x509.Certificate, error) { return x509.ParseCertificate(der) })
		_, err = cert.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: intermediates, CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err != nil || cert.IsCA || cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 || !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
			t.Errorf("accepted, though not for TLS clients (%v): %x", err, der)
		}
		checkHolder(t, cert, verdict.Holder)
	})
}

// overwrite returns a copy of der with the bytes from at on replaced.
func overwrite(der []byte, at uint16, with []byte) []byte {
	changed := bytes.Clone(der)
	copy(changed[int(at)%len(changed):], with)
	return changed
}

// checkHolder compares a holder with what crypto/x509 reads.
func checkHolder(t testing.TB, cert *x509.Certificate, h certs.Holder) {
	t.Helper()
	var names []string
	for _, a := range cert.Subject.Names {
		if a.Type.String() == testpki.OIDCommonName {
			names = append(names, a.Value.(string))
		}
	}
	if len(names) != 1 || names[0] != h.NationalID {
		t.Errorf("national id %q of a subject with the common names %q", h.NationalID, names)
	}
	if h.IDType == "" || h.CardType == "" || h.Test || h.Service {
		t.Errorf("accepted holder %+v", h)
	}
	if strings.ContainsFunc(h.NationalID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		t.Errorf("national id %q", h.NationalID)
	}
	for _, text := range []string{h.GivenName, h.FamilyName, h.Title, h.CardNumber, h.StructureID, h.StructureName, h.ProfessionCode} {
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\n\u202e") {
			t.Errorf("text %q", text)
		}
	}
}

// pools are the production hierarchy as crypto/x509 takes it.
func pools(t testing.TB) (roots, intermediates *x509.CertPool) {
	t.Helper()
	roots, intermediates = x509.NewCertPool(), x509.NewCertPool()
	for _, a := range must(t, production).Authorities() {
		if a.Parent == nil {
			roots.AddCert(a.Certificate)
		} else {
			intermediates.AddCert(a.Certificate)
		}
	}
	return roots, intermediates
}
