package certs_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/certs"
)

// realAuthorities are the files of the nine certificates of IGC-Santé, with their names.
func realAuthorities() map[string]string {
	return map[string]string{
		"ACR_FORT_20130625.pem":                     "AC RACINE IGC-SANTE FORT",
		"ACR_STANDARD_20130625.pem":                 "AC RACINE IGC-SANTE STANDARD",
		"ACR_ELEMENTAIRE_20130625.pem":              "AC RACINE IGC-SANTE ELEMENTAIRE",
		"AC_FORT_PERSONNES_20130625.pem":            "AC IGC-SANTE FORT PERSONNES",
		"AC_FORT_ORGANISATIONS_20130625.pem":        "AC IGC-SANTE FORT ORGANISATIONS",
		"AC_STANDARD_PERSONNES_20130625.pem":        "AC IGC-SANTE STANDARD PERSONNES",
		"AC_STANDARD_ORGANISATIONS_20130625.pem":    "AC IGC-SANTE STANDARD ORGANISATIONS",
		"AC_ELEMENTAIRE_PERSONNES_20130625.pem":     "AC IGC-SANTE ELEMENTAIRE PERSONNES",
		"AC_ELEMENTAIRE_ORGANISATIONS_20130625.pem": "AC IGC-SANTE ELEMENTAIRE ORGANISATIONS",
	}
}

func TestPublishedAuthoritiesAreTheRealOnes(t *testing.T) {
	for file, want := range realAuthorities() {
		cert := realCertificate(t, file)
		if name, ok := certs.Published(cert); !ok || name != want {
			t.Errorf("Published(%s) = %q, %v; want %q", file, name, ok, want)
		}
	}
	if name, ok := certs.Published(must(t, production).FortRoot.Certificate); ok {
		t.Errorf("Published(an authority of the same name) = %q", name)
	}
}

func TestTrustOfTheRealAuthorities(t *testing.T) {
	dir := t.TempDir()
	for file := range realAuthorities() {
		data, err := os.ReadFile(filepath.Join(igc, file))
		if os.IsNotExist(err) {
			t.Skipf("the certificates of IGC-Santé are not in %s", igc)
		}
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, file, data)
	}
	trust, err := certs.LoadTrust(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ Root, IssuesCards, Published, Test bool }
	got := make(map[string]row)
	for _, a := range trust.Authorities() {
		got[a.Name] = row{a.Root, a.IssuesCards, a.Published, a.Test}
	}
	want := map[string]row{
		"AC RACINE IGC-SANTE FORT":               {Root: true, Published: true},
		"AC RACINE IGC-SANTE STANDARD":           {Root: true, Published: true},
		"AC RACINE IGC-SANTE ELEMENTAIRE":        {Root: true, Published: true},
		"AC IGC-SANTE FORT PERSONNES":            {IssuesCards: true, Published: true},
		"AC IGC-SANTE STANDARD PERSONNES":        {IssuesCards: true, Published: true},
		"AC IGC-SANTE ELEMENTAIRE PERSONNES":     {Published: true},
		"AC IGC-SANTE FORT ORGANISATIONS":        {Published: true},
		"AC IGC-SANTE STANDARD ORGANISATIONS":    {Published: true},
		"AC IGC-SANTE ELEMENTAIRE ORGANISATIONS": {Published: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("authorities (-want +got):\n%s", diff)
	}

	// Real authorities with real keys: whatever is not a card of theirs is refused.
	v := must(t, func() (*certs.Verifier, error) {
		return certs.NewVerifier(certs.Config{Trust: trust, AllowTest: true, InsecureSkipRevocation: true, Now: now})
	})
	for file := range realAuthorities() {
		wantReason(t, v, realCertificate(t, file), certs.ReasonUnknownIssuer)
	}
	for _, file := range []string{"cps-test-infirmier-sig.pem", "cpa-test-auth-STANDARD-PERSONNES-2600301752.pem", "cps2ter-test-medecin-auth.pem"} {
		wantReason(t, v, realCertificate(t, filepath.Join("test", file)), certs.ReasonUnknownIssuer)
	}
}

func TestHoldersOfRealTestCards(t *testing.T) {
	tests := []struct {
		file string
		want certs.Verdict
	}{
		{"cps-test-infirmier-sig.pem", certs.Verdict{
			Holder: certs.Holder{
				NationalID: "00B6087510", IDType: "ADELI", GivenName: "OLIVIER", FamilyName: "INFIRMCS ADELI8751",
				Title: "Infirmier", ProfessionCode: "60", CardType: "CPS", CardNumber: "2800636234", Test: true,
			},
			Serial:   "63daffcfc8034bdce06765d525029b44",
			Issuer:   "CN=TEST AC IGC-SANTE FORT PERSONNES,OU=IGC-SANTE TEST,OU=0002 187512751,O=ASIP-SANTE,C=FR",
			NotAfter: time.Date(2023, time.September, 15, 12, 20, 0, 0, time.UTC),
		}},
		{"cpa-test-auth-STANDARD-PERSONNES-2600301752.pem", certs.Verdict{
			Holder: certs.Holder{
				NationalID: "30B0057881/CPET0002", IDType: "FINESS", GivenName: "CHARLES", FamilyName: "ADMINISTRATIF-CH057880002",
				Title: "Personnel santé ou social", CardType: "CPE", CardNumber: "2600301752",
				StructureID: "10B0057881", StructureName: "HOPITAL DES 3 DAMES", Test: true,
			},
			Serial:   "6bc2874b9334bed19414e8eb4fb317d4",
			Issuer:   "CN=TEST AC IGC-SANTE STANDARD PERSONNES,OU=IGC-SANTE TEST,OU=0002 187512751,O=ASIP-SANTE,C=FR",
			NotAfter: time.Date(2020, time.March, 23, 15, 16, 43, 0, time.UTC),
		}},
		{"cps2ter-test-medecin-auth.pem", certs.Verdict{ // of the older hierarchy: its unit is a label, not a structure
			Holder: certs.Holder{
				NationalID: "00B1058110", IDType: "ADELI", GivenName: "MUMUMUMUMUMUMUMUMUMUMUMUMUM", FamilyName: "MAXIMAXIMAXIMAXIMAXIMAX5811",
				ProfessionCode: "10", CardType: "CPS", CardNumber: "2400241472", StructureName: "TEST", Test: true,
			},
			Serial:   "4c9717",
			Issuer:   "CN=TEST CLASSE-1,OU=TEST PROFESSIONNEL,O=TEST,C=FR",
			NotAfter: time.Date(2016, time.May, 31, 21, 59, 59, 0, time.UTC),
		}},
	}
	v := newVerifier(t, nil)
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			cert := realCertificate(t, filepath.Join("test", tt.file))
			got, err := v.Verify(cert.Raw)
			if reason := reasonOf(t, err); reason != certs.ReasonTestCard {
				t.Errorf("reason = %q, want test_card", reason)
			}
			sum := sha256.Sum256(cert.Raw)
			tt.want.Fingerprint = hex.EncodeToString(sum[:])
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

// The only hierarchy of tests that is at hand issues software certificates: it is read as one of tests, and issues no cards.
func TestTrustOfTheRealTestAuthorities(t *testing.T) {
	var authorities []*x509.Certificate
	for _, file := range []string{"TEST_ACR_ELEMENTAIRE.pem", "TEST_AC_ELEMENTAIRE_PERSONNES.pem", "TEST_AC_ELEMENTAIRE_ORGANISATIONS.pem"} {
		authorities = append(authorities, realCertificate(t, filepath.Join("test", file)))
	}
	if _, err := certs.NewTrust(authorities, nil); err == nil {
		t.Error("NewTrust found an authority that issues cards")
	}
	trust, err := certs.NewTrust(authorities, []string{"TEST AC IGC-SANTE ELEMENTAIRE PERSONNES"})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range trust.Authorities() {
		if !a.Test || a.Published {
			t.Errorf("%s: test %v, published %v; want true, false", a.Name, a.Test, a.Published)
		}
	}
}
