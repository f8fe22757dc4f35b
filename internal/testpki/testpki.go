// Package testpki makes certificate hierarchies shaped like IGC-Santé, for the demonstration and for tests: authorities, card
// certificates, revocation lists, and certificates of TLS servers under an authority of their own.
//
// Its keys are made at run time and live in memory only: nothing here writes one, and nothing that it makes is worth trusting.
// A PKI does not change after New and is safe for concurrent use.
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/sync/errgroup"
)

// Config says what hierarchy to make. The zero value is a whole one, with the names of production.
type Config struct {
	Test      bool             // names and card categories of the test hierarchy: "TEST AC IGC-SANTE FORT PERSONNES"
	CardsOnly bool             // only the two chains that issue cards: FORT and STANDARD, PERSONNES. Four RSA keys instead of nine
	Now       func() time.Time // default time.Now
}

// PKI is a hierarchy. Fields that CardsOnly leaves out are nil.
type PKI struct {
	FortRoot, StandardRoot, ElementaireRoot                            *Authority
	FortPersonnes, StandardPersonnes, ElementairePersonnes             *Authority
	FortOrganisations, StandardOrganisations, ElementaireOrganisations *Authority
	Server                                                             *Authority // of TLS servers; no part of the hierarchy above

	test bool
	now  func() time.Time
}

// Authority is an authority and, unexported, its key.
type Authority struct {
	Name        string // common name
	Certificate *x509.Certificate
	Parent      *Authority // nil for a root

	key crypto.Signer
}

// New makes a hierarchy. The keys, which are most of the time it takes, are made in parallel.
func New(c Config) (*PKI, error) {
	p := &PKI{test: c.Test, now: c.Now}
	if p.now == nil {
		p.now = time.Now
	}
	p.plan(c.CardsOnly)
	var g errgroup.Group
	for _, a := range p.Authorities() {
		g.Go(func() (err error) {
			a.key, err = rsa.GenerateKey(rand.Reader, 2048)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("make keys of authorities: %w", err)
	}
	for _, a := range p.Authorities() {
		if err := a.complete(p.template(a)); err != nil {
			return nil, fmt.Errorf("make authority %q: %w", a.Name, err)
		}
	}
	return p, p.makeServerAuthority()
}

// plan names the authorities.
func (p *PKI) plan(cardsOnly bool) {
	prefix := ""
	if p.test {
		prefix = "TEST "
	}
	root := func(level string) *Authority { return &Authority{Name: prefix + "AC RACINE IGC-SANTE " + level} }
	child := func(parent *Authority, level, domain string) *Authority {
		return &Authority{Name: prefix + "AC IGC-SANTE " + level + " " + domain, Parent: parent}
	}
	p.FortRoot, p.StandardRoot = root("FORT"), root("STANDARD")
	p.FortPersonnes = child(p.FortRoot, "FORT", "PERSONNES")
	p.StandardPersonnes = child(p.StandardRoot, "STANDARD", "PERSONNES")
	if cardsOnly {
		return
	}
	p.ElementaireRoot = root("ELEMENTAIRE")
	p.ElementairePersonnes = child(p.ElementaireRoot, "ELEMENTAIRE", "PERSONNES")
	p.FortOrganisations = child(p.FortRoot, "FORT", "ORGANISATIONS")
	p.StandardOrganisations = child(p.StandardRoot, "STANDARD", "ORGANISATIONS")
	p.ElementaireOrganisations = child(p.ElementaireRoot, "ELEMENTAIRE", "ORGANISATIONS")
}

// Authorities returns those of the hierarchy, roots first. The authority of TLS servers is not one of them.
func (p *PKI) Authorities() []*Authority {
	var made []*Authority
	for _, a := range []*Authority{
		p.FortRoot, p.StandardRoot, p.ElementaireRoot,
		p.FortPersonnes, p.StandardPersonnes, p.ElementairePersonnes,
		p.FortOrganisations, p.StandardOrganisations, p.ElementaireOrganisations,
	} {
		if a != nil {
			made = append(made, a)
		}
	}
	return made
}

// template describes an authority with the dates, lengths and usages of those of 2013.
func (p *PKI) template(a *Authority) *x509.Certificate {
	template := &x509.Certificate{
		RawSubject:            p.authorityName(a.Name),
		NotBefore:             p.now().AddDate(-3, 0, 0),
		NotAfter:              p.now().AddDate(17, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if a.Parent != nil {
		template.MaxPathLenZero = true
		template.NotAfter = template.NotAfter.AddDate(0, 0, -1)
	}
	return template
}

// NewAuthority makes one more authority, no part of the hierarchy: for tests of what an authority must not do. Its parent is nil for a
// root, its key is on P-256, and change, when set, may alter anything before the certificate is signed.
func (p *PKI) NewAuthority(name string, parent *Authority, change func(template *x509.Certificate)) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of authority: %w", err)
	}
	a := &Authority{Name: name, Parent: parent, key: key}
	template := p.template(a)
	if change != nil {
		change(template)
	}
	if err := a.complete(template); err != nil {
		return nil, fmt.Errorf("make authority %q: %w", name, err)
	}
	return a, nil
}

// complete signs the certificate of an authority by its parent, or by itself.
func (a *Authority) complete(template *x509.Certificate) (err error) {
	parent, key := template, a.key
	if a.Parent != nil {
		parent, key = a.Parent.Certificate, a.Parent.key
	}
	a.Certificate, err = create(template, parent, a.key.Public(), key)
	return err
}

// Sign makes a certificate of an encoded TBSCertificate, whatever that holds, which must name SHA-256 with the authority's key as its
// algorithm: for tests of what becomes of certificates that no authority would write.
func (a *Authority) Sign(tbs []byte) ([]byte, error) {
	digest := sha256.Sum256(tbs)
	signature, err := a.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign as %q: %w", a.Name, err)
	}
	algorithm := oid("1.2.840.113549.1.1.11")
	if _, ok := a.key.(*ecdsa.PrivateKey); ok {
		algorithm = oid("1.2.840.10045.4.3.2")
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(algorithm)
			if _, ok := a.key.(*rsa.PrivateKey); ok {
				b.AddASN1NULL()
			}
		})
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

// authorityName is C=FR, O=ASIP-SANTE, OU=0002 187512751, OU=IGC-SANTE, CN=…
func (p *PKI) authorityName(name string) []byte {
	unit := "IGC-SANTE"
	if p.test {
		unit += " TEST"
	}
	return Name(
		RDN{Printable(OIDCountry, "FR")},
		RDN{UTF8(OIDOrganization, "ASIP-SANTE")},
		RDN{UTF8(OIDOrganizationalUnit, "0002 187512751")},
		RDN{UTF8(OIDOrganizationalUnit, unit)},
		RDN{UTF8(OIDCommonName, name)},
	)
}

// makeServerAuthority makes the authority of TLS servers.
func (p *PKI) makeServerAuthority() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key of server authority: %w", err)
	}
	p.Server = &Authority{Name: "authgw server authority for tests", key: key}
	return p.Server.complete(&x509.Certificate{
		Subject:               pkix.Name{CommonName: p.Server.Name},
		NotBefore:             p.now().Add(-time.Hour),
		NotAfter:              p.now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	})
}

// create signs a certificate and reads it back. A serial number of 16 bytes is made where the template has none.
func create(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	if template.SerialNumber == nil {
		template.SerialNumber = newSerial()
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x3f | 0x40 // positive, and always 16 bytes long
	return new(big.Int).SetBytes(b[:])
}
