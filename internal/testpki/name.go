package testpki

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Attribute types of distinguished names (X.520) and the private extensions of cards, in dotted form.
const (
	OIDCommonName         = "2.5.4.3"
	OIDSurname            = "2.5.4.4"
	OIDCountry            = "2.5.4.6"
	OIDState              = "2.5.4.8"
	OIDOrganization       = "2.5.4.10"
	OIDOrganizationalUnit = "2.5.4.11"
	OIDTitle              = "2.5.4.12"
	OIDGivenName          = "2.5.4.42"
	OIDPseudonym          = "2.5.4.65"

	OIDCardType     = "1.2.250.1.71.1.2.2"
	OIDCardNumber   = "1.2.250.1.71.1.2.3"
	OIDCardCategory = "1.2.250.1.71.1.2.5"
	OIDProfession   = "1.2.250.1.71.1.2.7"
)

// Attribute is one type and value of a name, as it is to be encoded.
type Attribute struct {
	OID   string
	Tag   casn1.Tag
	Value []byte
}

// RDN is the set of attributes of one level. They are encoded in the order given, which DER forbids and cards do.
type RDN []Attribute

// UTF8 is an attribute with a UTF8String.
func UTF8(oid, value string) Attribute { return Attribute{oid, casn1.UTF8String, []byte(value)} }

// Printable is an attribute with a PrintableString.
func Printable(oid, value string) Attribute {
	return Attribute{oid, casn1.PrintableString, []byte(value)}
}

// T61 is an attribute with a T61String in Latin-1, as old cards have. The value holds no character above U+00FF.
func T61(oid, value string) Attribute {
	var latin1 []byte
	for _, r := range value {
		latin1 = append(latin1, byte(r))
	}
	return Attribute{oid, casn1.T61String, latin1}
}

// Name encodes a distinguished name.
func Name(rdns ...RDN) []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, rdn := range rdns {
			b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
				for _, a := range rdn {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oid(a.OID))
						b.AddASN1(a.Tag, func(b *cryptobyte.Builder) { b.AddBytes(a.Value) })
					})
				}
			})
		}
	})
	return b.BytesOrPanic() // lengths are computed: only an unencodable identifier, a programmer's error, fails
}

// Extension is a certificate extension, not critical.
func Extension(dotted string, value []byte) pkix.Extension {
	return pkix.Extension{Id: oid(dotted), Value: value}
}

// Replace sets an extension of a template, in place of the one of the same type; a nil value removes it.
func Replace(extensions []pkix.Extension, dotted string, value []byte) []pkix.Extension {
	rest := slices.DeleteFunc(slices.Clone(extensions), func(e pkix.Extension) bool { return e.Id.Equal(oid(dotted)) })
	if value == nil {
		return rest
	}
	return append(rest, Extension(dotted, value))
}

// oid parses a dotted identifier that a programmer wrote.
func oid(dotted string) asn1.ObjectIdentifier {
	var id asn1.ObjectIdentifier
	n, digits := 0, false
	for _, r := range dotted + "." {
		switch {
		case r >= '0' && r <= '9':
			n, digits = n*10+int(r-'0'), true
		case r == '.' && digits:
			id = append(id, n)
			n, digits = 0, false
		default:
			panic("testpki: not an object identifier: " + dotted)
		}
	}
	return id
}
