package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// maxCertificate bounds what is parsed. Certificates of cards have about 2.3 KB.
const maxCertificate = 16 << 10

// Config is what a Verifier is made of. Trust is required; the zero value of the others is the strict choice.
type Config struct {
	Trust *Trust
	CRLs  *CRLs // nil: none, so that every card is refused with revocation_unknown

	AllowTest    bool // accept test cards, and test authorities that Trust holds
	AllowService bool // accept cards that name a service and no person

	// InsecureSkipRevocation accepts a certificate whose issuer has no list in CRLs. A list that is there counts in full: what it
	// revokes is refused, and so is everything once it is outdated. It is allowed for a trial without network, and nowhere else.
	InsecureSkipRevocation bool

	Now func() time.Time // default time.Now
}

// Verifier judges certificates.
type Verifier struct {
	config Config
}

// NewVerifier returns a Verifier.
func NewVerifier(c Config) (*Verifier, error) {
	if c.Trust == nil {
		return nil, errors.New("verifier of cards: no trusted authorities were given")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{config: c}, nil
}

// Verdict is what is known of a certificate. It is a permission only when Verify returned it without an error.
type Verdict struct {
	Holder      Holder
	Serial      string    // hexadecimal, lower case, without separators
	Issuer      string    // as RFC 4514 writes names: CN=AC IGC-SANTE FORT PERSONNES,OU=IGC-SANTE,…
	Fingerprint string    // SHA-256 of the certificate, hexadecimal
	NotAfter    time.Time // of the certificate

	// Until is when an accepting verdict ends: whoever keeps one asks again after the first end among those of the certificate, the
	// authorities above it, and the revocation lists that were used (A19). It is zero in a refusal.
	Until time.Time
}

var _ slog.LogValuer = Verdict{}

// LogValue gives what tells one certificate from others, and nothing of the holder.
func (v Verdict) LogValue() slog.Value {
	return slog.GroupValue(slog.String("fingerprint", v.Fingerprint), slog.String("issuer", v.Issuer))
}

// Verify judges a certificate in DER. The error is a *Refusal; the Verdict then holds what could be read.
func (v *Verifier) Verify(der []byte) (Verdict, error) {
	c, refusal := read(der)
	verdict := c.verdict()
	if refusal != nil {
		return verdict, refusal
	}
	until, refusal := v.judge(c)
	if refusal != nil {
		return verdict, refusal
	}
	verdict.Until = until
	return verdict, nil
}

// card is a certificate that could be read.
type card struct {
	fingerprint string
	cert        *x509.Certificate
	issuer      dn
	extensions  cardExtensions
	holder      Holder
	doubt       string // why the holder is none to build a login upon; empty: no doubt
}

// read parses a certificate. What it returns beside a refusal is as far as it came.
func read(der []byte) (card, *Refusal) {
	if len(der) == 0 {
		return card{}, refuse(ReasonNone, "no certificate")
	}
	sum := sha256.Sum256(der)
	c := card{fingerprint: hex.EncodeToString(sum[:])}
	malformed := func(detail string, err error) (card, *Refusal) {
		return c, &Refusal{Reason: ReasonMalformed, Detail: detail, Err: err}
	}
	if len(der) > maxCertificate {
		return malformed("larger than 16 KiB", nil)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return malformed("not an X.509 certificate in DER", err)
	}
	c.cert = cert
	if len(cert.UnhandledCriticalExtensions) > 0 {
		return malformed("a critical extension of unknown meaning", nil)
	}
	if c.issuer, err = parseDN(cert.RawIssuer); err != nil {
		return malformed("issuer: not a readable name", err)
	}
	subject, err := parseDN(cert.RawSubject)
	if err != nil {
		return malformed("subject: not a readable name", err)
	}
	if c.extensions, err = parseExtensions(cert); err != nil {
		return malformed("card extensions: not readable", err)
	}
	if c.holder, c.doubt, err = parseHolder(subject, c.extensions); err != nil {
		return malformed("subject: an attribute that occurs several times", err)
	}
	c.holder.Test = c.holder.Test || c.issuer.testAuthority()
	return c, nil
}

func (c card) verdict() Verdict {
	v := Verdict{Holder: c.holder, Fingerprint: c.fingerprint}
	if c.cert != nil {
		v.Serial = hex.EncodeToString(c.cert.SerialNumber.Bytes())
		v.Issuer = c.issuer.String()
		v.NotAfter = c.cert.NotAfter
	}
	return v
}

// judge goes through the steps of the package comment from 3 on. One chain that passes them all is enough.
func (v *Verifier) judge(c card) (until time.Time, refusal *Refusal) {
	if c.holder.Test && !v.config.AllowTest { // 3
		return time.Time{}, refuse(ReasonTestCard, "a test card, or a card of a test authority")
	}
	now := v.config.Now()
	chains, usage, err := v.chains(c.cert, now)
	if err != nil { // 4
		return time.Time{}, &Refusal{ReasonUnknownIssuer, "no chain to a configured root", err}
	}
	for _, chain := range chains {
		until, r := v.judgeChain(c, chain, usage, now)
		if r == nil {
			return until, nil
		}
		if refusal == nil {
			refusal = r
		}
	}
	return time.Time{}, refusal
}

// chains returns the chains of a certificate to the configured roots; there is one at least when err is nil. usage tells whether
// these are chains for TLS clients (A8).
//
// They are built for the moment of the certificate's validity that is nearest to now, and for its first and last when no authority
// is valid then: so that what is expired is called expired, and not of an unknown issuer. Whoever calls checks the dates.
//
// The work is bounded whatever the certificate holds (A21): only configured authorities take part, 64 at most with keys of 4096 bits
// at most, and crypto/x509 stops after 100 signatures.
func (v *Verifier) chains(cert *x509.Certificate, now time.Time) (chains [][]*x509.Certificate, usage bool, err error) {
	for _, at := range []time.Time{nearest(cert, now), cert.NotBefore, cert.NotAfter} {
		options := x509.VerifyOptions{
			Roots:         v.config.Trust.roots, // never nil: those of the system would be used (A1)
			Intermediates: v.config.Trust.intermediates,
			CurrentTime:   at,
			KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		if chains, err = cert.Verify(options); err == nil {
			return chains, true, nil
		}
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage {
			// Only to tell who issued it, for the reason: usage is false, and nothing is accepted.
			options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
			if chains, err = cert.Verify(options); err == nil {
				return chains, false, nil
			}
		}
	}
	return nil, false, err
}

// nearest returns the moment of a certificate's validity that is nearest to now.
func nearest(cert *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.Before(cert.NotBefore):
		return cert.NotBefore
	case now.After(cert.NotAfter):
		return cert.NotAfter
	default:
		return now
	}
}

// judgeChain goes through the steps from 5 on. A chain is the certificate, the authorities above it, and a configured root.
func (v *Verifier) judgeChain(c card, chain []*x509.Certificate, usage bool, now time.Time) (time.Time, *Refusal) {
	if refusal := v.checkIssuer(c, chain); refusal != nil { // 5, 6, 7
		return time.Time{}, refusal
	}
	if refusal := checkUsage(c.cert, usage); refusal != nil { // 8
		return time.Time{}, refusal
	}
	if err := checkKey(c.cert.PublicKey); err != nil { // 9
		return time.Time{}, &Refusal{ReasonMalformed, err.Error(), err}
	}
	if refusal := v.checkCard(c); refusal != nil { // 10
		return time.Time{}, refusal
	}
	until, refusal := checkDates(chain, now) // 11
	if refusal != nil {
		return time.Time{}, refusal
	}
	listed, refusal := v.checkRevocation(chain, now) // 12, 13
	if refusal != nil {
		return time.Time{}, refusal
	}
	if !listed.IsZero() && listed.Before(until) {
		until = listed
	}
	return until, nil
}

func (v *Verifier) checkIssuer(c card, chain []*x509.Certificate) *Refusal {
	for _, authority := range chain[1:] {
		if name, err := parseDN(authority.RawSubject); err != nil || name.testAuthority() && !v.config.AllowTest {
			return refuse(ReasonTestCard, "a card of a test authority")
		}
	}
	switch {
	case c.extensions.category.is(categorySoftware):
		return refuse(ReasonSoftwareCertificate, "its category is software: the key is in a file")
	case c.extensions.category.is(categoryModule):
		return refuse(ReasonUnsupportedCardType, "its category is security module: the certificate of a machine")
	case len(chain) < 2: // a configured root itself
		return refuse(ReasonUnknownIssuer, "the certificate of an authority, not of a card")
	case !v.config.Trust.issuesCards(chain[1]):
		return refuse(ReasonUnknownIssuer, "its issuer is configured, but not as one that issues cards")
	}
	return nil
}

func checkUsage(cert *x509.Certificate, usage bool) *Refusal {
	switch {
	case cert.IsCA: // A10
		return refuse(ReasonWrongUsage, "the certificate of an authority")
	case cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return refuse(ReasonWrongUsage, "keyUsage is without digitalSignature: the signature certificate of a card, perhaps")
	case !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth): // crypto/x509 takes none, and any, for all
		return refuse(ReasonWrongUsage, "extended key usage is without clientAuth")
	case !usage:
		return refuse(ReasonWrongUsage, "an authority above it may not issue certificates for TLS clients")
	}
	return nil
}

func (v *Verifier) checkCard(c card) *Refusal {
	switch {
	case !c.extensions.category.is(categoryCard):
		return refuse(ReasonUnsupportedCardType, "its category is absent or unknown")
	case c.holder.CardType == "":
		return refuse(ReasonUnsupportedCardType, "its card type is absent or unknown")
	case c.doubt != "":
		return refuse(ReasonUnsupportedCardType, c.doubt)
	case c.holder.Service && !v.config.AllowService:
		return refuse(ReasonUnsupportedCardType, "the card of a service, which names no person")
	}
	return nil
}

// checkDates returns the first end of the chain (A9). RFC 5280, section 4.1.2.5: both bounds belong to the validity.
func checkDates(chain []*x509.Certificate, now time.Time) (until time.Time, refusal *Refusal) {
	for i, cert := range chain {
		whose := "the certificate"
		if i > 0 {
			whose = "an authority above it"
		}
		switch {
		case now.Before(cert.NotBefore):
			return time.Time{}, refuse(ReasonNotYetValid, whose+" is valid from "+cert.NotBefore.UTC().Format(time.RFC3339))
		case now.After(cert.NotAfter):
			return time.Time{}, refuse(ReasonExpired, whose+" was valid until "+cert.NotAfter.UTC().Format(time.RFC3339))
		}
		if until.IsZero() || cert.NotAfter.Before(until) {
			until = cert.NotAfter
		}
	}
	return until, nil
}

// checkRevocation asks for every certificate of the chain but the root, which no list can revoke (A20). It returns the first end
// of the lists that it used; zero when it used none. That one certificate is revoked counts more than that nothing is known of another.
func (v *Verifier) checkRevocation(chain []*x509.Certificate, now time.Time) (until time.Time, unknown *Refusal) {
	for i, cert := range chain[:len(chain)-1] {
		end, refusal := v.status(cert, chain[i+1], now)
		switch {
		case refusal != nil && refusal.Reason == ReasonRevoked:
			return time.Time{}, refusal
		case refusal != nil && unknown == nil:
			unknown = refusal
		case !end.IsZero() && (until.IsZero() || end.Before(until)):
			until = end
		}
	}
	return until, unknown
}

// status asks for one certificate, and returns the end of the list that answered.
func (v *Verifier) status(cert, issuer *x509.Certificate, now time.Time) (end time.Time, refusal *Refusal) {
	name := issuer.Subject.CommonName
	list := v.config.CRLs.of(issuer)
	if list == nil {
		if v.config.InsecureSkipRevocation {
			return time.Time{}, nil // asked for, and logged at every start: see Config
		}
		return time.Time{}, refuse(ReasonRevocationUnknown, "no revocation list of "+name) // A16, A17
	}
	if list.revokes(cert.SerialNumber) {
		return time.Time{}, refuse(ReasonRevoked, "on the revocation list of "+name)
	}
	if problem := list.problem(now); problem != "" {
		return time.Time{}, refuse(ReasonRevocationUnknown, "the revocation list of "+name+" "+problem)
	}
	return list.info.NextUpdate, nil
}
