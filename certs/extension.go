package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Private extensions of cards, arc 1.2.250.1.71.1.2 (GIP-CPS, kept by ANS).
const (
	oidCardType     = "1.2.250.1.71.1.2.2"
	oidCardNumber   = "1.2.250.1.71.1.2.3"
	oidCardCategory = "1.2.250.1.71.1.2.5"
	oidProfession   = "1.2.250.1.71.1.2.7"
)

// category is the kind of thing that holds the key (ANS nomenclature G01). The high bit marks tests.
type category struct {
	code    byte
	present bool
}

const (
	categoryCard     = 0x00
	categoryModule   = 0x02
	categorySoftware = 0x03
	categoryTest     = 0x80 // bit
)

func (c category) test() bool { return c.present && c.code&categoryTest != 0 }

// is compares without regard to the test bit.
func (c category) is(code byte) bool { return c.present && c.code&^categoryTest == code }

// cardExtensions is what the private extensions of a certificate say. An absent one leaves its zero value.
type cardExtensions struct {
	category   category
	cardType   string // CPS, CPF, CPE, CPA; empty: absent, or of a type that we do not know
	number     string
	profession string
}

// parseExtensions reads the private extensions. crypto/x509 has refused a certificate that has one of them twice.
func parseExtensions(cert *x509.Certificate) (cardExtensions, error) {
	var e cardExtensions
	for _, extension := range cert.Extensions {
		oid := extension.Id.String()
		if err := e.set(oid, extension.Value); err != nil {
			return e, fmt.Errorf("extension %s: %w", oid, err)
		}
	}
	return e, nil
}

func (e *cardExtensions) set(oid string, value cryptobyte.String) error {
	switch oid {
	case oidCardCategory:
		var content cryptobyte.String
		if !value.ReadASN1(&content, asn1.OCTET_STRING) || !value.Empty() || len(content) != 1 {
			return errors.New("not an OCTET STRING of one byte")
		}
		e.category = category{content[0], true}
	case oidCardType:
		code, err := parseInteger(value)
		e.cardType = cardTypeName(code)
		return err
	case oidProfession:
		code, err := parseInteger(value)
		e.profession = strconv.FormatInt(code, 10)
		return err
	case oidCardNumber:
		var content cryptobyte.String
		if !value.ReadASN1(&content, asn1.PrintableString) || !value.Empty() {
			return errors.New("not a PrintableString")
		}
		text, err := decodeText(asn1.PrintableString, content)
		// Issuer of the card, a slash, number of the card: the number alone is what is printed on it.
		e.number = text[strings.LastIndexByte(text, '/')+1:]
		return err
	}
	return nil
}

// parseInteger reads an INTEGER that is a code, so neither negative nor large.
func parseInteger(value cryptobyte.String) (int64, error) {
	var n int64
	if !value.ReadASN1Integer(&n) || !value.Empty() || n < 0 || n > 1<<16 {
		return -1, errors.New("not an INTEGER that can be a code")
	}
	return n, nil
}

// cardTypeName gives the name of a card type (ANS nomenclature G02). CDE and CDA, cards of directors, are of the types 2 and 3 too.
func cardTypeName(code int64) string {
	switch code {
	case 0:
		return "CPS"
	case 1:
		return "CPF"
	case 2:
		return "CPE"
	case 3:
		return "CPA"
	default:
		return ""
	}
}
