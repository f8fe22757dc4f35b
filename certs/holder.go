package certs

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"strings"
)

// Holder is who a card was made for, as its certificate says. Fields that the certificate leaves out are empty.
type Holder struct {
	NationalID     string `json:"national_id"` // with the digit of its type in front: "899700218896", "30B0057881/CPET0002"
	IDType         string `json:"id_type"`     // RPPS, ADELI, FINESS …: see idType
	GivenName      string `json:"given_name"`
	FamilyName     string `json:"family_name"`
	Title          string `json:"title"`           // a free label for people; programs use ProfessionCode
	ProfessionCode string `json:"profession_code"` // ANS nomenclature G15; only cards of professionals have one
	CardType       string `json:"card_type"`       // CPS, CPF, CPE or CPA
	CardNumber     string `json:"card_number"`
	StructureID    string `json:"structure_id"` // with the digit of its type in front: "10B0057881"
	StructureName  string `json:"structure_name"`
	Test           bool   `json:"test"` // a test card, or a card of a test authority

	Service   bool   `json:"-"` // the card of a service ("carte de service"), which names no person
	Pseudonym string `json:"-"` // of such a card
}

var _ slog.LogValuer = Holder{}

// LogValue keeps the holder out of logs: all of it is personal data.
func (h Holder) LogValue() slog.Value {
	return slog.StringValue("card holder (" + h.CardType + ")")
}

// parseHolder reads the holder from a subject and the card's extensions. The error means that reading would be guessing. When
// doubt is not empty, the holder can be read, but is none that a login can be built upon: it says why.
func parseHolder(subject dn, e cardExtensions) (h Holder, doubt string, err error) {
	one := func(oid string) string {
		values := subject.values(oid)
		if len(values) > 1 && err == nil {
			err = fmt.Errorf("%d attributes of type %s in the subject", len(values), oid)
		}
		return first(values)
	}
	name := one(oidCommonName)
	h = Holder{
		GivenName:      one(oidGivenName),
		FamilyName:     one(oidSurname),
		Title:          one(oidTitle),
		Pseudonym:      one(oidPseudonym),
		ProfessionCode: e.profession,
		CardType:       e.cardType,
		CardNumber:     e.number,
		Test:           e.category.test(),
	}
	if err != nil {
		return Holder{}, "", err
	}
	h.Service = h.FamilyName == ""
	if identifier(name) {
		h.NationalID, h.IDType = name, idType(name)
	}

	// Certificates of authorities and of servers have several units: not malformed, but no card.
	units, organizations := subject.values(oidOrganizationalUnit), subject.values(oidOrganization)
	if len(units) > 1 || len(organizations) > 1 {
		return h, "several structures", nil
	}
	h.StructureName = first(organizations)
	if unit := first(units); identifier(unit) { // not the label that cards of before 2013 had there
		h.StructureID = unit
	}
	if h.IDType == "" {
		return h, "no national identifier of a known type", nil
	}
	return h, "", nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// identifier tells whether a common name can be an identifier: visible ASCII without spaces, so that it has one spelling only and
// can go into a header as it is. Letters occur: Corsican departments (2A, 2B), test cards (0B).
func identifier(name string) bool {
	other := func(r rune) bool { return r <= ' ' || r > '~' }
	return len(name) >= 2 && !strings.ContainsFunc(name, other)
}

// IdentifierType names the type of a national identifier with the digit of its type in front, as for Holder.IDType; empty: it is none. Who
// learns of a person from somewhere else than a card finds the same person by it.
func IdentifierType(id string) string {
	if !identifier(id) {
		return ""
	}
	return idType(id)
}

// idType names the type of a PS_IdNat, which is its first character. Type 10, an address in MSSanté, is not told from type 1 by that
// character, and never seen on a card.
func idType(id string) string {
	switch id[0] {
	case '0':
		return "ADELI"
	case '1':
		return "ADELI_CABINET"
	case '2':
		return "DRASS"
	case '3':
		return "FINESS"
	case '4':
		return "SIREN"
	case '5':
		return "SIRET"
	case '6':
		return "RPPS_CABINET"
	case '8':
		return "RPPS"
	case '9':
		return "STUDENT"
	default:
		return ""
	}
}

// ReadHolder reads the holder of a certificate and believes it: for display, never for a decision.
func ReadHolder(cert *x509.Certificate) (Holder, error) {
	r, refusal := read(cert.Raw)
	if refusal != nil {
		return Holder{}, refusal
	}
	return r.holder, nil
}
