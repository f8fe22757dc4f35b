package testpki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Kind is the type of a card.
type Kind int

// The kinds, with the codes of nomenclature G02.
const (
	CPS Kind = iota // health professional
	CPF             // health professional in training
	CPE             // employee of a structure
	CPA             // authorised person
)

// Card describes a card certificate. Its zero value is the authentication certificate of a CPS of nobody in particular.
type Card struct {
	Kind       Kind
	NationalID string // with its type in front: "899700218896", "30B0057881/CPET0002"; default by Kind
	GivenName  string // default JEANNE, when FamilyName and Pseudonym are empty too
	FamilyName string // default MARTIN, likewise
	Pseudonym  string // instead of the names: a "carte de service"
	Title      string // default by Kind
	Profession int    // code of G15; 0: none
	Number     string // default "2800636234"

	StructureID   string // with its type in front: "10B0057881"
	StructureName string

	Issuer              *Authority // default: FORT PERSONNES for CPS and CPF, STANDARD PERSONNES for CPE and CPA
	NotBefore, NotAfter time.Time  // default: a month ago, for three years
	Order               string     // of the attributes of the holder, letters of "GCS": given name, common name, surname; default GCS
	T61                 bool       // names in T61String, Latin-1, instead of UTF8String

	// Change, when set, may alter anything before the certificate is signed. SetCategory and SetType help.
	Change func(template *x509.Certificate)
}

// Authentication issues the certificate that a card logs in with.
func (p *PKI) Authentication(c Card, public crypto.PublicKey) (*x509.Certificate, error) {
	return p.issue(c, public, func(t *x509.Certificate, id string) {
		t.KeyUsage = x509.KeyUsageDigitalSignature
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		t.UnknownExtKeyUsage = append(t.UnknownExtKeyUsage, oid("1.3.6.1.4.1.311.20.2.2")) // smart card logon
		t.ExtraExtensions = append(t.ExtraExtensions, Extension("2.5.29.17", principalName(id+"@carte-cps.fr")))
	})
}

// Signature issues the certificate that a card signs documents with. It opens nothing.
func (p *PKI) Signature(c Card, public crypto.PublicKey) (*x509.Certificate, error) {
	return p.issue(c, public, func(t *x509.Certificate, _ string) {
		t.KeyUsage = x509.KeyUsageContentCommitment
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	})
}

func (p *PKI) issue(c Card, public crypto.PublicKey, purpose func(t *x509.Certificate, id string)) (*x509.Certificate, error) {
	c = p.withDefaults(c)
	if c.Issuer == nil {
		return nil, errors.New("issue card: no issuer: the hierarchy has no such authority")
	}
	template := &x509.Certificate{
		RawSubject:            c.subject(),
		NotBefore:             c.NotBefore,
		NotAfter:              c.NotAfter,
		BasicConstraintsValid: true,
		CRLDistributionPoints: []string{"http://igc-sante.esante.gouv.fr/CRL/of-no-use.crl"},
		OCSPServer:            []string{"http://ocsp.esante.gouv.fr"},
	}
	category := byte(0x00)
	if p.test {
		category = 0x80
	}
	purpose(template, c.NationalID)
	SetCategory(template, category)
	SetType(template, int64(c.Kind))
	template.ExtraExtensions = append(template.ExtraExtensions,
		Extension(OIDCardNumber, encode(casn1.PrintableString, []byte("8025000001/"+c.Number))))
	if c.Profession != 0 {
		template.ExtraExtensions = append(template.ExtraExtensions, Extension(OIDProfession, integer(int64(c.Profession))))
	}
	if c.Change != nil {
		c.Change(template)
	}
	cert, err := create(template, c.Issuer.Certificate, public, c.Issuer.key)
	if err != nil {
		return nil, fmt.Errorf("issue card: %w", err)
	}
	return cert, nil
}

// SetCategory sets the category of a card template (G01): 0x00 card, 0x02 module, 0x03 software; 0x80, 0x82, 0x83 for tests.
func SetCategory(t *x509.Certificate, category byte) {
	t.ExtraExtensions = Replace(t.ExtraExtensions, OIDCardCategory, encode(casn1.OCTET_STRING, []byte{category}))
}

// SetType sets the card type of a template (G02).
func SetType(t *x509.Certificate, code int64) {
	t.ExtraExtensions = Replace(t.ExtraExtensions, OIDCardType, integer(code))
}

// Drop removes an extension of a card template.
func Drop(t *x509.Certificate, dotted string) {
	t.ExtraExtensions = Replace(t.ExtraExtensions, dotted, nil)
}

// withDefaults fills what is empty.
func (p *PKI) withDefaults(c Card) Card {
	ids := [...]string{CPS: "899700218896", CPF: "899700218904", CPE: "30B0057881/CPET0002", CPA: "30B0057881/CPAT0003"}
	if c.NationalID == "" {
		c.NationalID = ids[c.Kind]
	}
	if c.GivenName == "" && c.FamilyName == "" && c.Pseudonym == "" {
		c.GivenName, c.FamilyName = "JEANNE", "MARTIN"
	}
	if c.Number == "" {
		c.Number = "2800636234"
	}
	if c.Title == "" {
		c.Title = p.defaultTitle(c)
	}
	if (c.Kind == CPE || c.Kind == CPA) && c.StructureID == "" {
		c.StructureID, c.StructureName = "10B0057881", "HOPITAL DES 3 DAMES"
	}
	if c.Issuer == nil {
		c.Issuer = p.FortPersonnes
		if c.Kind == CPE || c.Kind == CPA {
			c.Issuer = p.StandardPersonnes
		}
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = p.now().AddDate(0, -1, 0)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = c.NotBefore.AddDate(3, 0, 0)
	}
	if c.Order == "" {
		c.Order = "GCS"
	}
	return c
}

func (p *PKI) defaultTitle(c Card) string {
	switch {
	case c.Pseudonym != "":
		return "Carte de service santé ou social"
	case c.Kind == CPE || c.Kind == CPA:
		return "Personnel santé ou social"
	default:
		return "Médecin"
	}
}

// subject encodes the name of the holder: one level with several attributes for a person, two levels for a service.
func (c Card) subject() []byte {
	text := UTF8
	if c.T61 {
		text = T61
	}
	rdns := []RDN{{Printable(OIDCountry, "FR")}}
	if c.StructureID != "" {
		rdns = append(rdns, RDN{text(OIDState, "Paris (75)")}, RDN{text(OIDOrganization, c.StructureName)},
			RDN{text(OIDOrganizationalUnit, c.StructureID)})
	}
	rdns = append(rdns, RDN{text(OIDTitle, c.Title)})
	if c.Pseudonym != "" {
		return Name(append(rdns, RDN{text(OIDPseudonym, c.Pseudonym)}, RDN{text(OIDCommonName, c.NationalID)})...)
	}
	var holder RDN
	for _, letter := range c.Order {
		switch {
		case letter == 'G' && c.GivenName != "":
			holder = append(holder, text(OIDGivenName, c.GivenName))
		case letter == 'C':
			holder = append(holder, text(OIDCommonName, c.NationalID))
		case letter == 'S' && c.FamilyName != "":
			holder = append(holder, text(OIDSurname, c.FamilyName))
		}
	}
	return Name(append(rdns, holder)...)
}

// principalName is a subjectAltName with one otherName, the user principal name of smart card logon.
func principalName(name string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid("1.3.6.1.4.1.311.20.2.3"))
			b.AddASN1(casn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
			})
		})
	})
	return b.BytesOrPanic()
}

func encode(tag casn1.Tag, content []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(content) })
	return b.BytesOrPanic()
}

func integer(n int64) []byte {
	var b cryptobyte.Builder
	b.AddASN1Int64(n)
	return b.BytesOrPanic()
}
