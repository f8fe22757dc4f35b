package certs_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"promess/authgw/certs"
	"promess/authgw/internal/testpki"
)

// named makes a card with a subject of the test's own.
func named(rdns ...testpki.RDN) testpki.Card {
	return change(func(c *x509.Certificate) { c.RawSubject = testpki.Name(rdns...) })
}

// commonName is a subject with one common name.
func commonName(tag casn1.Tag, value string) testpki.Card {
	return named(testpki.RDN{{OID: testpki.OIDCommonName, Tag: tag, Value: []byte(value)}, testpki.UTF8(testpki.OIDSurname, "MARTIN")})
}

const (
	bmpString = casn1.Tag(30)
	rpps      = "899700218896"
)

func TestHolderOfEveryKindOfSubject(t *testing.T) {
	v := newVerifier(t, func(c *certs.Config) { c.AllowService = true })
	nurse := testpki.Card{NationalID: "00B6087510", GivenName: "OLIVIER", FamilyName: "INFIRMCS ADELI8751", Title: "Infirmier", Profession: 60}
	nurseHolder := certs.Holder{
		NationalID: "00B6087510", IDType: "ADELI", GivenName: "OLIVIER", FamilyName: "INFIRMCS ADELI8751",
		Title: "Infirmier", ProfessionCode: "60", CardType: "CPS", CardNumber: "2800636234",
	}
	employee := testpki.Card{Kind: testpki.CPA, NationalID: "30B0057881/CPET0002", GivenName: "CHARLES", FamilyName: "ADMINISTRATIF-CH057880002"}
	employeeHolder := certs.Holder{
		NationalID: "30B0057881/CPET0002", IDType: "FINESS", GivenName: "CHARLES", FamilyName: "ADMINISTRATIF-CH057880002",
		Title: "Personnel santé ou social", CardType: "CPA", CardNumber: "2800636234", StructureID: "10B0057881", StructureName: "HOPITAL DES 3 DAMES",
	}
	tests := []struct {
		name string
		card testpki.Card
		want certs.Holder
	}{
		{"a professional, with letters in the identifier", nurse, nurseHolder},
		{"an employee, with a slash in the identifier", employee, employeeHolder},
	}
	for _, tt := range tests {
		for _, order := range []string{"GCS", "GSC", "CGS", "CSG", "SGC", "SCG"} {
			t.Run(tt.name+", attributes in the order "+order, func(t *testing.T) {
				tt.card.Order = order
				wantHolder(t, v, tt.card, tt.want)
			})
		}
	}
}

func wantHolder(t *testing.T, v *certs.Verifier, c testpki.Card, want certs.Holder) {
	t.Helper()
	cert := card(t, c)
	verdict, err := v.Verify(cert.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, verdict.Holder); diff != "" {
		t.Errorf("holder (-want +got):\n%s", diff)
	}
	read, err := certs.ReadHolder(cert)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(verdict.Holder, read); diff != "" {
		t.Errorf("ReadHolder (-Verify +ReadHolder):\n%s", diff)
	}
}

// Types of PS_IdNat: the first character. See the nomenclature of ANS.
func TestTypesOfNationalIdentifiers(t *testing.T) {
	v := newVerifier(t, nil)
	for id, want := range map[string]string{
		"0751234567":                  "ADELI",
		"02A1234567":                  "ADELI", // South Corsica
		"02B1234567":                  "ADELI",
		"00B6087510":                  "ADELI", // of a test card
		"1751234567/0001":             "ADELI_CABINET",
		"2751234567":                  "DRASS",
		"3750100018/000000018":        "FINESS",
		"32A0000012/000000018":        "FINESS",
		"4123456789/000000018":        "SIREN",
		"512345678900012/000000018":   "SIRET",
		"6" + rpps[1:] + "00/0000018": "RPPS_CABINET",
		rpps:                          "RPPS",
		"9ABC123":                     "STUDENT",
	} {
		verdict, err := v.Verify(card(t, testpki.Card{NationalID: id}).Raw)
		if err != nil || verdict.Holder.IDType != want || verdict.Holder.NationalID != id {
			t.Errorf("%s: %q of type %q (%v), want type %q", id, verdict.Holder.NationalID, verdict.Holder.IDType, err, want)
		}
	}
	for _, id := range []string{"7123456789", "A123456789", "8", "-899700218896", "é99700218896", "８99700218896"} {
		wantReason(t, v, card(t, testpki.Card{NationalID: id}), certs.ReasonUnsupportedCardType)
	}
}

func TestTextOfEveryEncoding(t *testing.T) {
	v := newVerifier(t, nil)
	tests := []struct {
		name  string
		tag   casn1.Tag
		value string
		want  string
	}{
		{"UTF-8", casn1.UTF8String, "LEFÈVRE-ŒUVRAY", "LEFÈVRE-ŒUVRAY"},
		{"T61String is Latin-1", casn1.T61String, "LEF\xc8VRE", "LEFÈVRE"},
		{"BMPString", bmpString, "\x00L\x01\x52\x00U", "LŒU"},
		{"PrintableString", casn1.PrintableString, "O'NEILL", "O'NEILL"},
		{"IA5String", casn1.IA5String, "M@RTIN", "M@RTIN"},
		{"spaces are kept", casn1.UTF8String, " LE  GOFF ", " LE  GOFF "},
		{"separators mean nothing", casn1.UTF8String, "A,CN=8+SN=B/CN=C;O=\"D\"\\2C", "A,CN=8+SN=B/CN=C;O=\"D\"\\2C"},
		{"combining characters are kept as they are", casn1.UTF8String, "E\u0301", "E\u0301"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := named(testpki.RDN{testpki.UTF8(testpki.OIDCommonName, rpps), {OID: testpki.OIDSurname, Tag: tt.tag, Value: []byte(tt.value)}})
			verdict, err := v.Verify(card(t, c).Raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := verdict.Holder.FamilyName; got != tt.want {
				t.Errorf("family name = %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("T61String and UTF8String of one name are one name", func(t *testing.T) {
		var names []string
		for _, t61 := range []bool{true, false} {
			verdict, err := v.Verify(card(t, testpki.Card{FamilyName: "LEFÈVRE", GivenName: "ZOÉ", T61: t61}).Raw)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, verdict.Holder.GivenName+" "+verdict.Holder.FamilyName)
		}
		if diff := cmp.Diff([]string{"ZOÉ LEFÈVRE", "ZOÉ LEFÈVRE"}, names); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
	})
}

// A23: nothing in a value shifts identity, and what could be read in two ways is not read at all.
func TestSubjectsThatCouldBeReadInTwoWays_A23(t *testing.T) {
	v := newVerifier(t, nil)
	cn := func(value string) testpki.RDN { return testpki.RDN{testpki.UTF8(testpki.OIDCommonName, value)} }
	surname := testpki.RDN{testpki.UTF8(testpki.OIDSurname, "MARTIN")}
	unit := func(value string) testpki.RDN { return testpki.RDN{testpki.UTF8(testpki.OIDOrganizationalUnit, value)} }
	tests := []struct {
		name string
		card testpki.Card
		want certs.Reason
	}{
		{"two common names", named(surname, cn(rpps), cn("899700218904")), certs.ReasonMalformed},
		{"two equal common names", named(surname, cn(rpps), cn(rpps)), certs.ReasonMalformed},
		{"two common names in one set", named(surname, append(cn(rpps), cn("899700218904")...)), certs.ReasonMalformed},
		{"two surnames", named(surname, surname, cn(rpps)), certs.ReasonMalformed},
		{"NUL", commonName(casn1.UTF8String, rpps+"\x00.example"), certs.ReasonMalformed},
		{"NUL in a BMPString", commonName(bmpString, "\x008\x00\x00\x009"), certs.ReasonMalformed},
		{"NUL at the end of a BMPString", commonName(bmpString, "\x008\x009\x00\x00"), certs.ReasonMalformed},
		{"newline", commonName(casn1.UTF8String, rpps+"\nX-Role: admin"), certs.ReasonMalformed},
		{"control of Latin-1", commonName(casn1.T61String, rpps+"\x85"), certs.ReasonMalformed},
		{"right-to-left override", commonName(casn1.UTF8String, "8\u202e698812007998"), certs.ReasonMalformed},
		{"right-to-left isolate", commonName(casn1.UTF8String, "8\u2067698812007998\u2069"), certs.ReasonMalformed},
		{"zero width space", commonName(casn1.UTF8String, "8\u200b99700218896"), certs.ReasonMalformed},
		{"byte order mark", commonName(casn1.UTF8String, "\ufeff"+rpps), certs.ReasonMalformed},
		{"line separator", commonName(casn1.UTF8String, rpps+"\u2028"), certs.ReasonMalformed},
		{"a value of 257 bytes", commonName(casn1.UTF8String, strings.Repeat("8", 257)), certs.ReasonMalformed},
		{"33 attributes", named(repeat(unit("8"), 33)...), certs.ReasonMalformed},
		{"an empty set", named(testpki.RDN{}, cn(rpps), surname), certs.ReasonMalformed},

		{"no common name", named(surname), certs.ReasonUnsupportedCardType},
		{"an empty name", named(), certs.ReasonUnsupportedCardType},
		{"an identifier in another attribute", named(surname, unit("CN="+rpps)), certs.ReasonUnsupportedCardType},
		{"text in front of the identifier", named(surname, cn("CN="+rpps)), certs.ReasonUnsupportedCardType},
		{"an empty common name", commonName(casn1.UTF8String, ""), certs.ReasonUnsupportedCardType},
		{"two structures", named(unit("10B0057881"), unit("10B0057882"), cn(rpps), surname[:1]), certs.ReasonUnsupportedCardType},
		{"no surname: nobody is named", named(cn(rpps)), certs.ReasonUnsupportedCardType},

		{"a common name in the value of another attribute", named(testpki.RDN{testpki.UTF8(testpki.OIDTitle, "CN=899700218904")}, cn(rpps), surname), ""},
		{"a comma, a plus and another common name in the surname", named(cn(rpps), testpki.RDN{testpki.UTF8(testpki.OIDSurname, "X,CN=8+CN=9/CN=0")}), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert := card(t, tt.card)
			wantReason(t, v, cert, tt.want)
			if tt.want == "" {
				verdict, _ := v.Verify(cert.Raw) // accepted a line above
				if got := verdict.Holder.NationalID; got != rpps {
					t.Errorf("national id = %q, want %q", got, rpps)
				}
			}
		})
	}
}

func repeat(rdn testpki.RDN, n int) []testpki.RDN {
	var rdns []testpki.RDN
	for range n {
		rdns = append(rdns, rdn)
	}
	return rdns
}

// A24, A25: two people stay two. Identifiers that differ in case, in a space or in leading zeros are different, or refused.
func TestIdentifiersAreNotFolded_A24_A25(t *testing.T) {
	v := newVerifier(t, nil)
	seen := make(map[[2]string]string)
	for _, id := range []string{"30B0057881/CPET0002", "30b0057881/CPET0002", "30B0057881/cpet0002", "30B0057881/CPET2", "3OB0057881/CPET0002", "30B0057881//CPET0002", "30B0057881/CPET0002/"} {
		verdict, err := v.Verify(card(t, testpki.Card{Kind: testpki.CPE, NationalID: id}).Raw)
		if err != nil {
			t.Fatal(err)
		}
		key := [2]string{verdict.Holder.IDType, verdict.Holder.NationalID}
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q are one person", id, other)
		}
		seen[key] = id
	}
	for _, id := range []string{" 30B0057881/CPET0002", "30B0057881/CPET0002 ", "30B0057881 /CPET0002", "30B0057881/CPET0002\u00a0"} {
		wantReason(t, v, card(t, testpki.Card{Kind: testpki.CPE, NationalID: id}), certs.ReasonUnsupportedCardType)
	}
	t.Run("names take no part", func(t *testing.T) {
		for _, name := range []string{"MARTIN", "DURAND"} {
			verdict, err := v.Verify(card(t, testpki.Card{FamilyName: name, GivenName: "X"}).Raw)
			if err != nil || verdict.Holder.NationalID != rpps || verdict.Holder.IDType != "RPPS" {
				t.Errorf("%s: %+v, %v", name, verdict.Holder, err)
			}
		}
	})
}

func TestCardNumberIsThatPrintedOnTheCard(t *testing.T) {
	v := newVerifier(t, nil)
	for text, want := range map[string]string{"8025000001/2800636234": "2800636234", "2800636234": "2800636234", "": "", "8025000001/": ""} {
		c := change(func(c *x509.Certificate) {
			c.ExtraExtensions = testpki.Replace(c.ExtraExtensions, testpki.OIDCardNumber, append([]byte{0x13, byte(len(text))}, text...))
		})
		verdict, err := v.Verify(card(t, c).Raw)
		if err != nil || verdict.Holder.CardNumber != want {
			t.Errorf("%q: card number %q (%v), want %q", text, verdict.Holder.CardNumber, err, want)
		}
	}
	for _, value := range []string{"\x0c\x01x", "\x13\x02x", "\x13\x01\xe9", "\x13\x01x\x05\x00", ""} {
		c := change(func(c *x509.Certificate) {
			c.ExtraExtensions = append(testpki.Replace(c.ExtraExtensions, testpki.OIDCardNumber, nil), testpki.Extension(testpki.OIDCardNumber, []byte(value)))
		})
		wantReason(t, v, card(t, c), certs.ReasonMalformed)
	}
}

func TestReadHolderOfWhatIsNoCard(t *testing.T) {
	if h, err := certs.ReadHolder(card(t, commonName(casn1.UTF8String, "8\x00"))); err == nil || h != (certs.Holder{}) {
		t.Errorf("ReadHolder = %+v, %v; want an error", h, err)
	}
	got, err := certs.ReadHolder(must(t, production).FortRoot.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if want := (certs.Holder{StructureName: "ASIP-SANTE"}); got.NationalID != want.NationalID || got.IDType != "" || got.CardType != "" {
		t.Errorf("ReadHolder of an authority = %+v", got)
	}
}
