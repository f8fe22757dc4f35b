package certs

import (
	"bytes"
	"crypto/x509"
	asn1oid "encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Extensions of lists and of their entries (RFC 5280, sections 5.2 and 5.3).
const (
	oidCRLNumber         = "2.5.29.20"
	oidReasonCode        = "2.5.29.21"
	oidDeltaCRL          = "2.5.29.27"
	oidDistributionPoint = "2.5.29.28" // issuingDistributionPoint
	oidCertificateIssuer = "2.5.29.29"
	oidAuthorityKeyID    = "2.5.29.35"
	maxSerial            = 32 // bytes; RFC 5280 allows 20
	maxCRLNumber         = 32 // bytes
)

// crl is a list whose frame was read. Everything is a part of the file: nothing is copied, and entries are walked, not kept, because
// x509.ParseRevocationList takes 0.8 s and 400 MB for half a million of them.
type crl struct {
	signed     []byte // TBSCertList
	algorithm  x509.SignatureAlgorithm
	signature  []byte
	issuer     []byte // Name
	thisUpdate time.Time
	nextUpdate time.Time // zero: absent
	entries    cryptobyte.String
	number     *big.Int
	keyID      []byte // authorityKeyIdentifier; nil: absent
}

// parseCRL reads the frame of a CertificateList (RFC 5280, section 5.1).
func parseCRL(der []byte) (*crl, error) {
	var l crl
	var outer, tbs, algorithm cryptobyte.String
	input := cryptobyte.String(der)
	if !input.ReadASN1(&outer, asn1.SEQUENCE) || !input.Empty() ||
		!outer.ReadASN1Element(&tbs, asn1.SEQUENCE) ||
		!outer.ReadASN1Element(&algorithm, asn1.SEQUENCE) ||
		!outer.ReadASN1BitStringAsBytes(&l.signature) || !outer.Empty() {
		return nil, errors.New("not a revocation list in PEM or DER")
	}
	var err error
	if l.algorithm, err = parseAlgorithm(algorithm); err != nil {
		return nil, err
	}
	l.signed = tbs
	return &l, l.parseTBS(tbs, algorithm)
}

func (l *crl) parseTBS(tbs, outerAlgorithm cryptobyte.String) error {
	var algorithm, issuer cryptobyte.String
	var version int64
	if !tbs.ReadASN1(&tbs, asn1.SEQUENCE) || !tbs.ReadASN1Integer(&version) || version != 1 {
		return errors.New("not a revocation list of version 2")
	}
	if !tbs.ReadASN1Element(&algorithm, asn1.SEQUENCE) || !tbs.ReadASN1Element(&issuer, asn1.SEQUENCE) {
		return errors.New("no algorithm or issuer in the list")
	}
	if !bytes.Equal(algorithm, outerAlgorithm) { // RFC 5280, section 5.1.1.2
		return errors.New("the two algorithms of the list differ")
	}
	l.issuer = issuer
	if !readTime(&tbs, &l.thisUpdate) {
		return errors.New("no date in the list")
	}
	if next := (tbs.PeekASN1Tag(asn1.UTCTime) || tbs.PeekASN1Tag(asn1.GeneralizedTime)); next && !readTime(&tbs, &l.nextUpdate) {
		return errors.New("nextUpdate of the list is not a date")
	}
	if tbs.PeekASN1Tag(asn1.SEQUENCE) && !tbs.ReadASN1(&l.entries, asn1.SEQUENCE) {
		return errors.New("entries of the list are cut short")
	}
	var wrapped cryptobyte.String
	var present bool
	if !tbs.ReadOptionalASN1(&wrapped, &present, asn1.Tag(0).Constructed().ContextSpecific()) || !tbs.Empty() {
		return errors.New("something after the entries of the list")
	}
	if !present {
		return nil
	}
	var extensions cryptobyte.String
	if !wrapped.ReadASN1(&extensions, asn1.SEQUENCE) || !wrapped.Empty() {
		return errors.New("extensions of the list are not a sequence")
	}
	return eachExtension(extensions, l.setExtension)
}

func readTime(s *cryptobyte.String, t *time.Time) bool {
	if s.PeekASN1Tag(asn1.UTCTime) {
		return s.ReadASN1UTCTime(t)
	}
	return s.ReadASN1GeneralizedTime(t)
}

// parseAlgorithm knows the algorithms that a list may be signed with. SHA-1 is not one.
func parseAlgorithm(der cryptobyte.String) (x509.SignatureAlgorithm, error) {
	var sequence cryptobyte.String
	var oid asn1oid.ObjectIdentifier
	var parameters cryptobyte.String // absent, or NULL (RFC 4055, section 2.1; RFC 5758, section 3.2)
	if !der.ReadASN1(&sequence, asn1.SEQUENCE) || !sequence.ReadASN1ObjectIdentifier(&oid) ||
		!sequence.Empty() && !sequence.ReadASN1(&parameters, asn1.NULL) || !parameters.Empty() || !sequence.Empty() {
		return 0, errors.New("no signature algorithm in the list")
	}
	switch oid.String() {
	case "1.2.840.113549.1.1.11":
		return x509.SHA256WithRSA, nil
	case "1.2.840.113549.1.1.12":
		return x509.SHA384WithRSA, nil
	case "1.2.840.113549.1.1.13":
		return x509.SHA512WithRSA, nil
	case "1.2.840.10045.4.3.2":
		return x509.ECDSAWithSHA256, nil
	case "1.2.840.10045.4.3.3":
		return x509.ECDSAWithSHA384, nil
	default:
		return 0, fmt.Errorf("signed with an algorithm that is not accepted (%s)", oid)
	}
}

// eachExtension walks Extensions.
func eachExtension(extensions cryptobyte.String, use func(oid string, critical bool, value cryptobyte.String) error) error {
	seen := make(map[string]bool)
	for !extensions.Empty() {
		var extension, value cryptobyte.String
		var oid asn1oid.ObjectIdentifier
		critical := false
		if !extensions.ReadASN1(&extension, asn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&oid) ||
			extension.PeekASN1Tag(asn1.BOOLEAN) && !extension.ReadASN1Boolean(&critical) ||
			!extension.ReadASN1(&value, asn1.OCTET_STRING) || !extension.Empty() {
			return errors.New("an extension of the list cannot be read")
		}
		if seen[oid.String()] {
			return fmt.Errorf("extension %s occurs twice", oid)
		}
		seen[oid.String()] = true
		if err := use(oid.String(), critical, value); err != nil {
			return err
		}
	}
	return nil
}

// setExtension reads an extension of the list. RFC 5280, section 5.2: a list with a critical extension that is not understood must not
// be used. The two that narrow a list are refused even where they are not critical: absence from a part proves nothing.
func (l *crl) setExtension(oid string, critical bool, value cryptobyte.String) error {
	switch oid {
	case oidDeltaCRL:
		return errors.New("a delta list: only complete lists are accepted")
	case oidDistributionPoint:
		return errors.New("a partial list (issuingDistributionPoint): only complete lists are accepted")
	case oidCRLNumber:
		l.number = new(big.Int)
		if len(value) > maxCRLNumber+2 || !value.ReadASN1Integer(l.number) || !value.Empty() {
			return errors.New("the number of the list cannot be read")
		}
	case oidAuthorityKeyID:
		var sequence, id cryptobyte.String
		var present bool
		if critical || !value.ReadASN1(&sequence, asn1.SEQUENCE) || !value.Empty() || // RFC 5280, section 4.2.1.1: not critical
			!sequence.ReadOptionalASN1(&id, &present, asn1.Tag(0).ContextSpecific()) {
			return errors.New("the key identifier of the list cannot be read")
		}
		if present {
			l.keyID = id
		}
	default:
		if critical {
			return fmt.Errorf("a critical extension of unknown meaning (%s)", oid)
		}
	}
	return nil
}

// verify finds the authority that signed the list. Name, key identifier, keyUsage and signature must agree (RFC 5280, section 6.3.3 (f)-(g)).
func (l *crl) verify(trust *Trust) (*x509.Certificate, error) {
	err := errors.New("none of the trusted authorities is its issuer")
	for _, a := range trust.authorities {
		cert := a.Certificate
		switch {
		case !bytes.Equal(cert.RawSubject, l.issuer):
			continue
		case l.keyID != nil && len(cert.SubjectKeyId) > 0 && !bytes.Equal(cert.SubjectKeyId, l.keyID):
			err = fmt.Errorf("made with another key than that of %q", a.Name)
		case cert.KeyUsage&x509.KeyUsageCRLSign == 0:
			err = fmt.Errorf("%q may not sign revocation lists", a.Name)
		case cert.CheckSignature(l.algorithm, l.signed, l.signature) != nil:
			err = fmt.Errorf("its signature is not that of %q", a.Name)
		default:
			return cert, nil
		}
	}
	return nil, err
}

// eachSerial walks the entries. An entry counts whatever its reason: certificateHold suspends a card, and removeFromCRL has no place in
// a complete list (RFC 5280, section 5.3.1), so an entry with it is a mistake that must not free a card. A critical extension that is
// not understood spoils the whole list (section 5.3), and so does an entry of another issuer.
func (l *crl) eachSerial(use func(serial []byte)) error {
	entries := l.entries
	for !entries.Empty() {
		var entry, serial cryptobyte.String
		var revoked time.Time
		if !entries.ReadASN1(&entry, asn1.SEQUENCE) || !entry.ReadASN1(&serial, asn1.INTEGER) || !minimal(serial) || !readTime(&entry, &revoked) {
			return errors.New("an entry of the list cannot be read")
		}
		if len(serial) > maxSerial {
			return fmt.Errorf("an entry of the list has a serial number of %d bytes", len(serial))
		}
		if err := checkEntryExtensions(entry); err != nil {
			return err
		}
		use(serial)
	}
	return nil
}

// minimal tells whether the content of an INTEGER has as few bytes as it can (X.690, section 8.3.2).
func minimal(integer []byte) bool {
	switch len(integer) {
	case 0:
		return false
	case 1:
		return true
	default:
		sign, next := integer[0], integer[1]&0x80
		return !(sign == 0 && next == 0 || sign == 0xff && next != 0)
	}
}

func checkEntryExtensions(entry cryptobyte.String) error {
	if entry.Empty() {
		return nil
	}
	var extensions cryptobyte.String
	if !entry.ReadASN1(&extensions, asn1.SEQUENCE) || !entry.Empty() {
		return errors.New("an entry of the list cannot be read")
	}
	return eachExtension(extensions, func(oid string, critical bool, value cryptobyte.String) error {
		var reason int
		switch {
		case critical, oid == oidCertificateIssuer:
			return fmt.Errorf("an entry has an extension that is not accepted (%s)", oid)
		case oid == oidReasonCode && (!value.ReadASN1Enum(&reason) || !value.Empty()):
			return errors.New("the reason of an entry cannot be read")
		default:
			return nil
		}
	})
}
