package certs_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/certs"
	"promess/authgw/internal/testpki"
)

func change(f func(*x509.Certificate)) testpki.Card { return testpki.Card{Change: f} }

func TestVerifyAcceptsEveryKindOfCardOfAPerson(t *testing.T) {
	v := newVerifier(t, nil)
	for kind, name := range map[testpki.Kind]string{testpki.CPS: "CPS", testpki.CPF: "CPF", testpki.CPE: "CPE", testpki.CPA: "CPA"} {
		t.Run(name, func(t *testing.T) {
			cert := card(t, testpki.Card{Kind: kind})
			verdict, err := v.Verify(cert.Raw)
			if err != nil {
				t.Fatal(err)
			}
			if verdict.Holder.CardType != name {
				t.Errorf("card type = %q, want %q", verdict.Holder.CardType, name)
			}
		})
	}
}

func TestVerdictTellsTheCertificate(t *testing.T) {
	cert := card(t, testpki.Card{})
	got, err := newVerifier(t, nil).Verify(cert.Raw)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.Raw)
	want := certs.Verdict{
		Holder: certs.Holder{
			NationalID: "899700218896", IDType: "RPPS", GivenName: "JEANNE", FamilyName: "MARTIN",
			Title: "Médecin", CardType: "CPS", CardNumber: "2800636234",
		},
		Serial:      cert.SerialNumber.Text(16),
		Issuer:      "CN=AC IGC-SANTE FORT PERSONNES,OU=IGC-SANTE,OU=0002 187512751,O=ASIP-SANTE,C=FR",
		Fingerprint: hex.EncodeToString(sum[:]),
		NotAfter:    cert.NotAfter,
		Until:       now().AddDate(0, 0, 7), // the lists end before the card
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}

func TestVerifyRefusesWithItsReason(t *testing.T) {
	p := must(t, production)
	v := newVerifier(t, nil)
	tests := []struct {
		name string
		card testpki.Card
		want certs.Reason
	}{
		{"test category", change(func(c *x509.Certificate) { testpki.SetCategory(c, 0x80) }), certs.ReasonTestCard},
		{"test software category", change(func(c *x509.Certificate) { testpki.SetCategory(c, 0x83) }), certs.ReasonTestCard},
		{"software", change(func(c *x509.Certificate) { testpki.SetCategory(c, 0x03) }), certs.ReasonSoftwareCertificate},
		{
			"software of the authority that issues software",
			testpki.Card{Issuer: p.ElementairePersonnes, Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0x03) }},
			certs.ReasonSoftwareCertificate,
		},
		{"card of the authority that issues software", testpki.Card{Issuer: p.ElementairePersonnes}, certs.ReasonUnknownIssuer},
		{"card of an authority for organisations", testpki.Card{Issuer: p.FortOrganisations}, certs.ReasonUnknownIssuer},
		{"card of a root", testpki.Card{Issuer: p.FortRoot}, certs.ReasonUnknownIssuer},
		{"security module", change(func(c *x509.Certificate) { testpki.SetCategory(c, 0x02) }), certs.ReasonUnsupportedCardType},
		{"unknown category", change(func(c *x509.Certificate) { testpki.SetCategory(c, 0x01) }), certs.ReasonUnsupportedCardType},
		{"no category", change(func(c *x509.Certificate) { testpki.Drop(c, testpki.OIDCardCategory) }), certs.ReasonUnsupportedCardType},
		{"no card type", change(func(c *x509.Certificate) { testpki.Drop(c, testpki.OIDCardType) }), certs.ReasonUnsupportedCardType},
		{"unknown card type", change(func(c *x509.Certificate) { testpki.SetType(c, 4) }), certs.ReasonUnsupportedCardType},
		{"card of a service", testpki.Card{Kind: testpki.CPE, NationalID: "3750100018/000000018", Pseudonym: "EMPLOYE000000018"}, certs.ReasonUnsupportedCardType},
		{"national id of no known type", testpki.Card{NationalID: "700218896"}, certs.ReasonUnsupportedCardType},
		{"national id with a space", testpki.Card{NationalID: "8 99700218896"}, certs.ReasonUnsupportedCardType},
		{"national id with a letter outside ASCII", testpki.Card{NationalID: "89970021889б"}, certs.ReasonUnsupportedCardType},
		{"begins tomorrow", testpki.Card{NotBefore: now().AddDate(0, 0, 1)}, certs.ReasonNotYetValid},
		{"ended yesterday", testpki.Card{NotBefore: now().AddDate(-3, 0, -1), NotAfter: now().AddDate(0, 0, -1)}, certs.ReasonExpired},
		{"no keyUsage", change(func(c *x509.Certificate) { c.KeyUsage = 0 }), certs.ReasonWrongUsage},
		{"keyUsage of encryption", change(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), certs.ReasonWrongUsage},
		{"critical extension of unknown meaning", change(func(c *x509.Certificate) {
			e := testpki.Extension("1.2.250.1.71.99", []byte{5, 0})
			e.Critical = true
			c.ExtraExtensions = append(c.ExtraExtensions, e)
		}), certs.ReasonMalformed},
		{"category that is no OCTET STRING", change(func(c *x509.Certificate) {
			c.ExtraExtensions = testpki.Replace(c.ExtraExtensions, testpki.OIDCardCategory, []byte{2, 1, 0})
		}), certs.ReasonMalformed},
		{"category of two bytes", change(func(c *x509.Certificate) {
			c.ExtraExtensions = testpki.Replace(c.ExtraExtensions, testpki.OIDCardCategory, []byte{4, 2, 0, 0x80})
		}), certs.ReasonMalformed},
		{"card type with something after it", change(func(c *x509.Certificate) {
			c.ExtraExtensions = testpki.Replace(c.ExtraExtensions, testpki.OIDCardType, []byte{2, 1, 0, 5, 0})
		}), certs.ReasonMalformed},
		{"profession below zero", change(func(c *x509.Certificate) {
			c.ExtraExtensions = testpki.Replace(c.ExtraExtensions, testpki.OIDProfession, []byte{2, 1, 0xff})
		}), certs.ReasonMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantReason(t, v, card(t, tt.card), tt.want) })
	}
	t.Run("signature certificate of a card", func(t *testing.T) {
		cert := must(t, func() (*x509.Certificate, error) { return p.Signature(testpki.Card{}, publicKey(t)) })
		wantReason(t, v, cert, certs.ReasonWrongUsage)
	})
	t.Run("no certificate", func(t *testing.T) {
		verdict, err := v.Verify(nil)
		if got := reasonOf(t, err); got != certs.ReasonNone {
			t.Errorf("reason = %q, want none", got)
		}
		if diff := cmp.Diff(certs.Verdict{}, verdict); diff != "" {
			t.Errorf("verdict is not empty: %s", diff)
		}
	})
}

// A8: crypto/x509 takes a certificate without extended key usage, or with "any", as fit for clients. We do not.
func TestExtendedKeyUsageMustNameClients_A8(t *testing.T) {
	v := newVerifier(t, nil)
	tests := []struct {
		name string
		ekus []x509.ExtKeyUsage
		want certs.Reason
	}{
		{"client", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, ""},
		{"server and client", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, ""},
		{"server", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, certs.ReasonWrongUsage},
		{"mail", []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}, certs.ReasonWrongUsage},
		{"code signing", []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, certs.ReasonWrongUsage},
		{"any", []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, certs.ReasonWrongUsage},
		{"none beside smart card logon", nil, certs.ReasonWrongUsage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantReason(t, v, card(t, change(func(c *x509.Certificate) { c.ExtKeyUsage = tt.ekus })), tt.want)
		})
	}
	t.Run("no extension at all", func(t *testing.T) {
		none := func(c *x509.Certificate) { c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, nil }
		wantReason(t, v, card(t, change(none)), certs.ReasonWrongUsage)
	})
	t.Run("an authority that may only issue for mail", func(t *testing.T) {
		root := newAuthority(t, "AC RACINE", nil, nil)
		mail := newAuthority(t, "AC IGC-SANTE FORT PERSONNES", root, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
		})
		v := newVerifier(t, func(c *certs.Config) { c.Trust, c.InsecureSkipRevocation = newTrust(t, nil, root, mail), true })
		wantReason(t, v, card(t, testpki.Card{Issuer: mail}), certs.ReasonWrongUsage)
	})
}

// A9: the clock moves past each end, of the certificate and of an authority above it.
func TestValidityIsThatOfNow_A9(t *testing.T) {
	begin, end := now().AddDate(0, 0, -1), now().AddDate(1, 0, 0)
	person := testpki.Card{NotBefore: begin, NotAfter: end}
	early := testpki.Card{NotBefore: now().AddDate(-5, 0, 0), NotAfter: end}  // the authorities began 3 years ago
	late := testpki.Card{NotBefore: begin, NotAfter: now().AddDate(20, 0, 0)} // and end in 17 years
	tests := []struct {
		name string
		card testpki.Card
		at   time.Time
		want certs.Reason
	}{
		{"a second before", person, begin.Add(-time.Second), certs.ReasonNotYetValid},
		{"the first moment", person, begin, ""},
		{"the last moment", person, end, ""},
		{"a second after", person, end.Add(time.Second), certs.ReasonExpired},
		{"long before", person, now().AddDate(-50, 0, 0), certs.ReasonNotYetValid},
		{"long after", person, now().AddDate(50, 0, 0), certs.ReasonExpired},
		{"an authority has not begun", early, now().AddDate(-4, 0, 0), certs.ReasonNotYetValid},
		{"an authority has ended", late, now().AddDate(18, 0, 0), certs.ReasonExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, func(c *certs.Config) {
				c.Now, c.CRLs, c.InsecureSkipRevocation = func() time.Time { return tt.at }, nil, true
			})
			wantReason(t, v, card(t, tt.card), tt.want)
		})
	}
}

// A10: the attacker has a card, and its key signs another certificate; or the operator pinned what is no authority.
func TestOnlyAuthoritiesIssue_A10(t *testing.T) {
	p := must(t, production)
	v := newVerifier(t, nil)
	leaf := newAuthority(t, "899700218896", p.FortPersonnes, func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false })

	t.Run("a card that issues cards", func(t *testing.T) {
		wantReason(t, v, card(t, testpki.Card{Issuer: leaf}), certs.ReasonUnknownIssuer)
	})
	t.Run("a card that was pinned as an authority", func(t *testing.T) {
		_, err := certs.NewTrust(append(p.Certificates(), leaf.Certificate), nil)
		if err == nil || !strings.Contains(err.Error(), "not of an authority") {
			t.Errorf("error = %v, want one that says it is not of an authority", err)
		}
	})
	t.Run("an authority below an authority for cards", func(t *testing.T) {
		below := newAuthority(t, "AC IGC-SANTE STANDARD PERSONNES", p.FortPersonnes, nil) // path length 0 forbids it
		v := newVerifier(t, func(c *certs.Config) {
			c.Trust, c.InsecureSkipRevocation = newTrust(t, nil, p.FortRoot, p.FortPersonnes, below), true
		})
		wantReason(t, v, card(t, testpki.Card{Issuer: below}), certs.ReasonUnknownIssuer)
	})
	t.Run("a card that says it is an authority", func(t *testing.T) {
		cert := card(t, change(func(c *x509.Certificate) { c.IsCA = true; c.KeyUsage |= x509.KeyUsageCertSign }))
		wantReason(t, v, cert, certs.ReasonWrongUsage)
	})
	t.Run("an authority of the trusted set as a card", func(t *testing.T) {
		for _, a := range p.Authorities() {
			wantReason(t, v, a.Certificate, certs.ReasonUnknownIssuer)
		}
	})
	t.Run("an authority with the right name and another key", func(t *testing.T) {
		twin := newAuthority(t, p.FortPersonnes.Name, p.FortRoot, func(c *x509.Certificate) { c.SubjectKeyId = p.FortPersonnes.Certificate.SubjectKeyId })
		wantReason(t, v, card(t, testpki.Card{Issuer: twin}), certs.ReasonUnknownIssuer)
	})
	t.Run("a certificate that signed itself", func(t *testing.T) {
		self := newAuthority(t, "899700218896", nil, nil)
		wantReason(t, v, self.Certificate, certs.ReasonUnknownIssuer)
	})
}

func TestTestCardsNeedTheirSwitch(t *testing.T) {
	p := must(t, testHierarchy)
	trust := newTrust(t, nil, p.Authorities()...)
	cert := issue(t, p, testpki.Card{}, publicKey(t))
	for allow, want := range map[bool]certs.Reason{false: certs.ReasonTestCard, true: ""} {
		v := newVerifier(t, func(c *certs.Config) { c.Trust, c.CRLs, c.AllowTest = trust, loadCRLs(t, trust, p), allow })
		wantReason(t, v, cert, want)
	}
	t.Run("a test authority that issues the category of production", func(t *testing.T) {
		cert := issue(t, p, testpki.Card{Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0) }}, publicKey(t))
		v := newVerifier(t, func(c *certs.Config) { c.Trust, c.CRLs = trust, loadCRLs(t, trust, p) })
		wantReason(t, v, cert, certs.ReasonTestCard)
	})
	t.Run("a test root above an authority with a name of production", func(t *testing.T) {
		below := newAuthority(t, "AC IGC-SANTE FORT PERSONNES", p.FortRoot, nil)
		cert := card(t, testpki.Card{Issuer: below})
		trust := newTrust(t, nil, p.FortRoot, below)
		v := newVerifier(t, func(c *certs.Config) { c.Trust, c.InsecureSkipRevocation = trust, true })
		wantReason(t, v, cert, certs.ReasonTestCard)
	})
}

func TestServiceCardsNeedTheirSwitch(t *testing.T) {
	cert := card(t, testpki.Card{Kind: testpki.CPE, NationalID: "3750100018/000000018", Pseudonym: "EMPLOYE000000018"})
	v := newVerifier(t, func(c *certs.Config) { c.AllowService = true })
	verdict, err := v.Verify(cert.Raw)
	if err != nil {
		t.Fatal(err)
	}
	want := certs.Holder{
		NationalID: "3750100018/000000018", IDType: "FINESS", Title: "Carte de service santé ou social", CardType: "CPE",
		CardNumber: "2800636234", StructureID: "10B0057881", StructureName: "HOPITAL DES 3 DAMES",
		Service: true, Pseudonym: "EMPLOYE000000018",
	}
	if diff := cmp.Diff(want, verdict.Holder); diff != "" {
		t.Errorf("holder (-want +got):\n%s", diff)
	}
}

// A19: a verdict that is kept ends with the first of the certificate, the authorities above it, and the lists.
func TestVerdictHasAnEnd_A19(t *testing.T) {
	p := must(t, production)
	tests := []struct {
		name       string
		card       testpki.Card
		leaf, root time.Time // nextUpdate of the two lists
		want       time.Time
	}{
		{"the card first", testpki.Card{NotAfter: now().Add(time.Hour)}, now().Add(2 * time.Hour), now().Add(3 * time.Hour), now().Add(time.Hour)},
		{"the list of the issuer first", testpki.Card{}, now().Add(2 * time.Hour), now().Add(3 * time.Hour), now().Add(2 * time.Hour)},
		{"the list of the root first", testpki.Card{}, now().Add(4 * time.Hour), now().Add(3 * time.Hour), now().Add(3 * time.Hour)},
		{"an authority first", testpki.Card{NotAfter: now().AddDate(30, 0, 0)}, now().AddDate(21, 0, 0), now().AddDate(22, 0, 0), p.FortPersonnes.Certificate.NotAfter},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, func(c *certs.Config) {
				c.CRLs = loadLists(t, c.Trust,
					listOf{p.FortPersonnes, testpki.CRL{NextUpdate: tt.leaf}}, listOf{p.FortRoot, testpki.CRL{NextUpdate: tt.root}})
			})
			verdict, err := v.Verify(card(t, tt.card).Raw)
			if err != nil {
				t.Fatal(err)
			}
			if !verdict.Until.Equal(tt.want) {
				t.Errorf("Until = %v, want %v", verdict.Until, tt.want)
			}
		})
	}
}

// A21: work has a bound. Sixty authorities of one name, and every pair of two more has signed the other.
func TestChainBuildingIsBounded_A21(t *testing.T) {
	p := must(t, production)
	authorities := []*testpki.Authority{p.FortRoot, p.FortPersonnes}
	var last *testpki.Authority
	for range 58 {
		last = newAuthority(t, "AC IGC-SANTE STANDARD PERSONNES", p.FortPersonnes, nil)
		authorities = append(authorities, last)
	}
	loop := newAuthority(t, "AC IGC-SANTE STANDARD PERSONNES", last, nil)
	v := newVerifier(t, func(c *certs.Config) { c.Trust = newTrust(t, nil, append(authorities, loop)...) })
	cert := card(t, testpki.Card{Issuer: loop})

	start := time.Now()
	wantReason(t, v, cert, certs.ReasonUnknownIssuer)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	t.Run("more authorities than a trust may have", func(t *testing.T) {
		var many []*x509.Certificate
		for range 65 {
			many = append(many, newAuthority(t, "AC RACINE", nil, nil).Certificate)
		}
		_, err := certs.NewTrust(many, nil)
		if err == nil || !strings.Contains(err.Error(), "65 authorities, more than 64") {
			t.Errorf("error = %v", err)
		}
	})
}

// A21, A22: keys that no card has are refused before anything uses them.
func TestKeysThatNoCardHas_A21_A22(t *testing.T) {
	p := must(t, production)
	v := newVerifier(t, nil)
	modulus := func(bits uint) crypto.PublicKey {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		key  crypto.PublicKey
		want certs.Reason
	}{
		{"RSA 2048", modulus(2048), ""},
		{"RSA 4096", modulus(4096), ""},
		{"P-256", ecKey(t, elliptic.P256()).Public(), ""},
		{"P-384", ecKey(t, elliptic.P384()).Public(), ""},
		{"RSA 1024", modulus(1024), certs.ReasonMalformed},
		{"RSA 2047", modulus(2047), certs.ReasonMalformed},
		{"RSA 4097", modulus(4097), certs.ReasonMalformed},
		{"RSA 65536", modulus(65536), certs.ReasonMalformed},
		{"P-224", ecKey(t, elliptic.P224()).Public(), certs.ReasonMalformed},
		{"P-521", ecKey(t, elliptic.P521()).Public(), certs.ReasonMalformed},
		{"Ed25519", edwards, certs.ReasonMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantReason(t, v, issue(t, p, testpki.Card{}, tt.key), tt.want) })
	}
}

// A22: whatever the bytes, Verify answers.
func TestMalformedCertificatesNeverPanic_A22(t *testing.T) {
	v := newVerifier(t, nil)
	good := card(t, testpki.Card{}).Raw
	tests := map[string][]byte{
		"one byte":         {0x30},
		"text":             []byte("-----BEGIN CERTIFICATE-----"),
		"cut short":        good[:len(good)-1],
		"something after":  append(append([]byte{}, good...), 0),
		"twice":            append(append([]byte{}, good...), good...),
		"too large":        append([]byte{0x30, 0x83, 1, 0, 0}, make([]byte, 1<<16)...),
		"lengths too long": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
	}
	for name, der := range tests {
		t.Run(name, func(t *testing.T) {
			verdict, err := v.Verify(der)
			if got := reasonOf(t, err); got != certs.ReasonMalformed {
				t.Errorf("reason = %q, want malformed", got)
			}
			sum := sha256.Sum256(der)
			if verdict.Fingerprint != hex.EncodeToString(sum[:]) {
				t.Errorf("fingerprint = %q", verdict.Fingerprint)
			}
		})
	}
	t.Run("too large, and good otherwise", func(t *testing.T) {
		cert := card(t, change(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, testpki.Extension("1.2.3.4", make([]byte, 16<<10)))
		}))
		wantReason(t, v, cert, certs.ReasonMalformed)
	})
	t.Run("every byte changed", func(t *testing.T) {
		for i := range good {
			der := append([]byte{}, good...)
			der[i] ^= 0x5a
			if _, err := v.Verify(der); err == nil {
				t.Errorf("accepted with byte %d changed", i)
			}
		}
	})
	t.Run("a key of unknown type", func(t *testing.T) {
		// rsaEncryption becomes 1.2.840.113549.1.1.99, the key of a certificate that crypto/x509 reads and cannot use.
		der := []byte(strings.Replace(string(good), "\x86\xf7\x0d\x01\x01\x01\x05\x00\x03", "\x86\xf7\x0d\x01\x01\x63\x05\x00\x03", 1))
		if cert, err := x509.ParseCertificate(der); err != nil || cert.PublicKey != nil {
			t.Fatalf("the certificate was not changed as meant: %v", err)
		}
		_, err := v.Verify(der)
		if got := reasonOf(t, err); got != certs.ReasonUnknownIssuer { // its signature is broken too
			t.Errorf("reason = %q", got)
		}
	})
}

func TestIssuersCanBeNamed(t *testing.T) {
	p := must(t, production)
	trust := newTrust(t, []string{p.StandardOrganisations.Name}, p.Authorities()...)
	v := newVerifier(t, func(c *certs.Config) { c.Trust = trust })
	wantReason(t, v, card(t, testpki.Card{Issuer: p.StandardOrganisations}), "")
	wantReason(t, v, card(t, testpki.Card{}), certs.ReasonUnknownIssuer) // the rule counts no more
}

func TestVerifierNeedsTrust(t *testing.T) {
	if _, err := certs.NewVerifier(certs.Config{}); err == nil {
		t.Error("a verifier without authorities was made")
	}
}

// The certificate of the peer's own making never becomes an error text: details hold nothing of the holder.
func TestRefusalsSayNothingOfTheHolder(t *testing.T) {
	v := newVerifier(t, nil)
	cert := card(t, testpki.Card{NationalID: "8SECRET", FamilyName: "SECRET", GivenName: "SECRET", NotBefore: now().AddDate(1, 0, 0)})
	verdict, err := v.Verify(cert.Raw)
	if err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("error = %v", err)
	}
	for _, logged := range []string{verdict.LogValue().String(), verdict.Holder.LogValue().String()} {
		if strings.Contains(logged, "SECRET") {
			t.Errorf("logged: %s", logged)
		}
	}
	if verdict.Holder.FamilyName != "SECRET" {
		t.Error("the verdict of a refusal does not hold what could be read")
	}
}
