package certs

import (
	"crypto/x509"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"promess/authgw/internal/testpki"
)

// FuzzParseDN: what we read as a name, the standard library reads too, as the same attributes in the same order.
func FuzzParseDN(f *testing.F) {
	for _, name := range dnSeeds() {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		name, err := parseDN(der)
		if err != nil {
			return
		}
		for _, a := range name {
			if !utf8.ValidString(a.value) || strings.ContainsFunc(a.value, invisible) {
				t.Errorf("value %q", a.value)
			}
		}
		want, err := standardNames(der)
		if err != nil {
			// Certificates were read by crypto/x509 before: that it is stricter about characters costs nothing.
			if text := err.Error(); strings.HasSuffix(text, "invalid PrintableString") || strings.HasSuffix(text, "invalid NumericString") ||
				strings.HasSuffix(text, "invalid BMPString") {
				return
			}
			t.Fatalf("read here, refused by crypto/x509: %v", err)
		}
		if diff := cmp.Diff(want, []attribute(name), cmp.AllowUnexported(attribute{})); diff != "" {
			t.Errorf("attributes (-crypto/x509 +here):\n%s", diff)
		}
	})
}

// standardNames has crypto/x509 read a name: as that of the issuer of an empty revocation list.
func standardNames(name []byte) ([]attribute, error) {
	algorithm := func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"))
		})
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			algorithm(b)
			b.AddBytes(name)
			b.AddASN1(asn1.UTCTime, func(b *cryptobyte.Builder) { b.AddBytes([]byte("261124120000Z")) })
		})
		algorithm(b)
		b.AddASN1BitString([]byte{0})
	})
	list, err := x509.ParseRevocationList(b.BytesOrPanic())
	if err != nil {
		return nil, err
	}
	var names []attribute
	for _, a := range list.Issuer.Names {
		names = append(names, attribute{a.Type.String(), a.Value.(string)})
	}
	return names, nil
}

func dnSeeds() [][]byte {
	type rdn = testpki.RDN
	utf8String := func(value string) rdn { return rdn{testpki.UTF8(testpki.OIDCommonName, value)} }
	other := func(tag asn1.Tag, value string) rdn {
		return rdn{testpki.Attribute{OID: testpki.OIDCommonName, Tag: tag, Value: []byte(value)}}
	}
	return [][]byte{
		testpki.Name(),
		testpki.Name(rdn{}),
		testpki.Name(rdn{testpki.Printable(testpki.OIDCountry, "FR")}, rdn{testpki.UTF8(testpki.OIDTitle, "Médecin")},
			rdn{testpki.UTF8(testpki.OIDGivenName, "ZOÉ"), testpki.UTF8(testpki.OIDCommonName, "30B0057881/CPET0002"), testpki.T61(testpki.OIDSurname, "LEFÈVRE")}),
		testpki.Name(utf8String("a"), utf8String("b")),
		testpki.Name(utf8String("nul\x00")),
		testpki.Name(utf8String("\u202egnp.exe")),
		testpki.Name(utf8String("\xff\xfe")),
		testpki.Name(other(asn1.IA5String, "a@b")),
		testpki.Name(other(asn1.PrintableString, "a*b@c")),
		testpki.Name(other(numericString, "123 4")),
		testpki.Name(other(bmpString, "\x00J\x00\xc9\x20\xac")),
		testpki.Name(other(bmpString, "\xd8\x00\xdc\x00")),
		testpki.Name(other(bmpString, "\x00a\x00\x00")),
		testpki.Name(other(asn1.OCTET_STRING, "x")),
	}
}

// A23: most of these crypto/x509 refuses before us, with the whole certificate.
func TestNamesThatAreNotRead_A23(t *testing.T) {
	value := func(tag asn1.Tag, value string) []byte {
		return testpki.Name(testpki.RDN{{OID: testpki.OIDCommonName, Tag: tag, Value: []byte(value)}})
	}
	for name, der := range map[string][]byte{
		"nothing":                         nil,
		"a set":                           {0x31, 0},
		"something after":                 {0x30, 0, 5, 0},
		"a sequence of sequences":         {0x30, 2, 0x30, 0},
		"an empty set":                    {0x30, 2, 0x31, 0},
		"an attribute without a value":    {0x30, 9, 0x31, 7, 0x30, 5, 6, 3, 0x55, 4, 3},
		"an attribute with two values":    {0x30, 13, 0x31, 11, 0x30, 9, 6, 3, 0x55, 4, 3, 12, 0, 12, 0},
		"invalid UTF-8":                   value(asn1.UTF8String, "8\xff"),
		"surrogates of UTF-8":             value(asn1.UTF8String, "8\xed\xa0\x80"),
		"surrogates of a BMPString":       value(bmpString, "\xd8\x3d\xde\x00"),
		"half a character of a BMPString": value(bmpString, "\x008\x00"),
		"UniversalString":                 value(asn1.Tag(28), "\x00\x00\x008"),
		"OCTET STRING":                    value(asn1.OCTET_STRING, "8"),
		"Latin-1 in a PrintableString":    value(asn1.PrintableString, "8\xe9"),
	} {
		if got, err := parseDN(der); err == nil || got != nil {
			t.Errorf("%s: parseDN = %v, %v; want an error", name, []attribute(got), err)
		}
	}
}

func TestNamesAsText(t *testing.T) {
	// RFC 4514, section 4, and its rules of section 2.4.
	tests := []struct {
		name dn
		want string
	}{
		{nil, ""},
		{dn{{"2.5.4.6", "FR"}, {oidOrganization, "ASIP-SANTE"}, {oidOrganizationalUnit, "IGC-SANTE"}, {oidCommonName, "AC"}}, "CN=AC,OU=IGC-SANTE,O=ASIP-SANTE,C=FR"},
		{dn{{oidCommonName, `Before, After + "q" \ <x>;`}}, `CN=Before\, After \+ \"q\" \\ \<x\>\;`},
		{dn{{oidCommonName, " edges "}}, `CN=\ edges\ `},
		{dn{{oidCommonName, " "}}, `CN=\ `},
		{dn{{oidCommonName, "#1 # 2"}}, `CN=\#1 # 2`},
		{dn{{"2.5.4.8", "Paris (75)"}, {oidTitle, "Médecin"}}, "2.5.4.12=Médecin,ST=Paris (75)"},
	}
	for _, tt := range tests {
		if got := tt.name.String(); got != tt.want {
			t.Errorf("%v = %q, want %q", []attribute(tt.name), got, tt.want)
		}
	}
}
