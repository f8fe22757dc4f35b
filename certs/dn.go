package certs

import (
	asn1oid "encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Attribute types of X.520 that cards use.
const (
	oidCommonName         = "2.5.4.3"
	oidSurname            = "2.5.4.4"
	oidOrganization       = "2.5.4.10"
	oidOrganizationalUnit = "2.5.4.11"
	oidTitle              = "2.5.4.12"
	oidGivenName          = "2.5.4.42"
	oidPseudonym          = "2.5.4.65"
)

// Bounds on a name. Those of cards have at most 9 attributes; RFC 5280, appendix A.1 allows 64 characters for most.
const (
	maxAttributes = 32
	maxValue      = 256 // bytes
)

// attribute is one type and value of a distinguished name.
type attribute struct {
	oid   string
	value string
}

// dn is the attributes of a distinguished name in the order of the encoding. Which of them share an RDN is not kept: cards put
// given name, common name and surname into one RDN, in any order, and nothing depends on it.
type dn []attribute

// parseDN reads a Name (RFC 5280, section 4.1.2.4) from its DER. Values are never split: a separator in one means nothing.
func parseDN(der []byte) (dn, error) {
	var name dn
	input := cryptobyte.String(der)
	var rdns cryptobyte.String
	if !input.ReadASN1(&rdns, asn1.SEQUENCE) || !input.Empty() {
		return nil, errors.New("not a sequence")
	}
	for !rdns.Empty() {
		var rdn cryptobyte.String
		if !rdns.ReadASN1(&rdn, asn1.SET) || rdn.Empty() {
			return nil, errors.New("a relative name is not a set of attributes")
		}
		for !rdn.Empty() {
			a, err := parseAttribute(&rdn)
			if err != nil {
				return nil, err
			}
			if name = append(name, a); len(name) > maxAttributes {
				return nil, fmt.Errorf("more than %d attributes", maxAttributes)
			}
		}
	}
	return name, nil
}

func parseAttribute(rdn *cryptobyte.String) (attribute, error) {
	var a, value cryptobyte.String
	var oid asn1oid.ObjectIdentifier
	var tag asn1.Tag
	if !rdn.ReadASN1(&a, asn1.SEQUENCE) || !a.ReadASN1ObjectIdentifier(&oid) || !a.ReadAnyASN1(&value, &tag) || !a.Empty() {
		return attribute{}, errors.New("an attribute is not a type and a value")
	}
	text, err := decodeText(tag, value)
	if err != nil {
		return attribute{}, fmt.Errorf("attribute %s: %w", oid, err)
	}
	return attribute{oid.String(), text}, nil
}

// decodeText reads a DirectoryString (RFC 5280, section 4.1.2.4) or an IA5String.
//
// T61String is read as Latin-1, which is what issuers wrote into it, GIP-CPS among them, whatever T.61 says; OpenSSL and Go read it
// the same way. UniversalString is refused: no card uses it.
func decodeText(tag asn1.Tag, value []byte) (string, error) {
	if len(value) > maxValue {
		return "", fmt.Errorf("value of %d bytes", len(value))
	}
	text := string(value)
	switch tag {
	case asn1.UTF8String:
		if !utf8.ValidString(text) {
			return "", errors.New("invalid UTF-8")
		}
	case asn1.PrintableString, asn1.IA5String, numericString:
		if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) {
			return "", errors.New("character outside ASCII")
		}
	case asn1.T61String:
		runes := make([]rune, len(value))
		for i, b := range value {
			runes[i] = rune(b)
		}
		text = string(runes)
	case bmpString:
		var ok bool
		if text, ok = decodeBMP(value); !ok {
			return "", errors.New("invalid BMPString")
		}
	default:
		return "", fmt.Errorf("value of ASN.1 type %d", tag)
	}
	if strings.ContainsFunc(text, invisible) {
		return "", errors.New("control or formatting character")
	}
	return text, nil
}

const (
	numericString = asn1.Tag(18)
	bmpString     = asn1.Tag(30)
)

// decodeBMP reads UTF-16 in big-endian order. BMP means that there are no surrogates.
func decodeBMP(value []byte) (string, bool) {
	if len(value)%2 != 0 {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(value); i += 2 {
		r := rune(value[i])<<8 | rune(value[i+1])
		if utf16.IsSurrogate(r) {
			return "", false
		}
		b.WriteRune(r)
	}
	return b.String(), true
}

// invisible tells characters that would make a name read as another, or break what it is written into: NUL and other controls,
// marks of direction and of zero width, line and paragraph separators.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// values returns all values of an attribute type.
func (n dn) values(oid string) []string {
	var values []string
	for _, a := range n {
		if a.oid == oid {
			values = append(values, a.value)
		}
	}
	return values
}

// testAuthority tells whether a name is that of an authority of the test hierarchy, or of the older one. Case and outer spaces
// are ignored here, to refuse more rather than less.
func (n dn) testAuthority() bool {
	for _, unit := range n.values(oidOrganizationalUnit) {
		if strings.EqualFold(strings.TrimSpace(unit), "IGC-SANTE TEST") {
			return true
		}
	}
	for _, name := range n.values(oidCommonName) {
		if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(name))+" ", "TEST ") {
			return true
		}
	}
	return false
}

// String writes the name as RFC 4514 does, last attribute first, with the short names of its section 3 and dotted identifiers for others.
func (n dn) String() string {
	parts := make([]string, 0, len(n))
	for i := len(n) - 1; i >= 0; i-- {
		parts = append(parts, shortName(n[i].oid)+"="+escape(n[i].value))
	}
	return strings.Join(parts, ",")
}

func shortName(oid string) string {
	switch oid {
	case oidCommonName:
		return "CN"
	case "2.5.4.6":
		return "C"
	case "2.5.4.8":
		return "ST"
	case oidOrganization:
		return "O"
	case oidOrganizationalUnit:
		return "OU"
	default:
		return oid
	}
}

// escape follows RFC 4514, section 2.4.
func escape(value string) string {
	var b strings.Builder
	for i, r := range value {
		edge := r == ' ' && (i == 0 || i == len(value)-1) || r == '#' && i == 0
		if edge || strings.ContainsRune(`"+,;<>\`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
