package certs_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"testing"

	"promess/authgw/certs"
	"promess/authgw/internal/testpki"
)

// Where several reasons apply, the first of the package comment counts.
func TestReasonsHaveAnOrder(t *testing.T) {
	p := must(t, production)
	stranger := newAuthority(t, "AC RACINE DE PERSONNE", nil, nil)
	strange := newAuthority(t, "AC IGC-SANTE FORT PERSONNES", stranger, nil)
	past := func(c testpki.Card) testpki.Card {
		c.NotBefore, c.NotAfter = now().AddDate(-3, 0, -1), now().AddDate(0, 0, -1)
		return c
	}
	signature := func(c *x509.Certificate) {
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageContentCommitment, []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	}
	unknownCritical := func(c *x509.Certificate) {
		e := testpki.Extension("1.2.250.1.71.99", []byte{5, 0})
		e.Critical = true
		c.ExtraExtensions = append(c.ExtraExtensions, e)
	}
	tests := []struct {
		name string
		card testpki.Card
		want certs.Reason
	}{
		{"malformed before test", change(func(c *x509.Certificate) { testpki.SetCategory(c, 0x80); unknownCritical(c) }), certs.ReasonMalformed},
		{"malformed before unknown issuer", testpki.Card{Issuer: strange, Change: unknownCritical}, certs.ReasonMalformed},
		{"test before unknown issuer and expired", past(testpki.Card{Issuer: strange, Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0x80) }}), certs.ReasonTestCard},
		{"test before software", change(func(c *x509.Certificate) { testpki.SetCategory(c, 0x83) }), certs.ReasonTestCard},
		{"unknown issuer before software", testpki.Card{Issuer: strange, Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0x03) }}, certs.ReasonUnknownIssuer},
		{"unknown issuer before wrong usage and expired", past(testpki.Card{Issuer: strange, Change: signature}), certs.ReasonUnknownIssuer},
		{"software before wrong usage and expired", past(change(func(c *x509.Certificate) { testpki.SetCategory(c, 0x03); signature(c) })), certs.ReasonSoftwareCertificate},
		{"software before issuer of no cards", testpki.Card{Issuer: p.FortOrganisations, Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0x03) }}, certs.ReasonSoftwareCertificate},
		{"issuer of no cards before wrong usage", testpki.Card{Issuer: p.FortOrganisations, Change: signature}, certs.ReasonUnknownIssuer},
		{"wrong usage before card type", change(func(c *x509.Certificate) { testpki.SetType(c, 9); signature(c) }), certs.ReasonWrongUsage},
		{"wrong usage before expired", past(change(signature)), certs.ReasonWrongUsage},
		{"card type before expired", past(change(func(c *x509.Certificate) { testpki.SetType(c, 9) })), certs.ReasonUnsupportedCardType},
	}
	v := newVerifier(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantReason(t, v, card(t, tt.card), tt.want) })
	}
	t.Run("test root before software", func(t *testing.T) {
		tests := must(t, testHierarchy)
		below := newAuthority(t, "AC IGC-SANTE FORT PERSONNES", tests.FortRoot, nil)
		cert := card(t, testpki.Card{Issuer: below, Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0x03) }})
		v := newVerifier(t, func(c *certs.Config) {
			c.Trust, c.InsecureSkipRevocation = newTrust(t, nil, tests.FortRoot, below), true
		})
		wantReason(t, v, cert, certs.ReasonTestCard)
	})
	for name, tt := range map[string]struct {
		card testpki.Card
		want certs.Reason
	}{
		"wrong usage before a key that no card has": {change(signature), certs.ReasonWrongUsage},
		"a key that no card has before card type":   {change(func(c *x509.Certificate) { testpki.SetType(c, 9) }), certs.ReasonMalformed},
		"a key that no card has before expired":     {past(testpki.Card{}), certs.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			wantReason(t, v, issue(t, p, tt.card, ecKey(t, elliptic.P521()).Public()), tt.want)
		})
	}
	t.Run("not yet valid before revoked", func(t *testing.T) {
		cert := card(t, testpki.Card{NotBefore: now().AddDate(0, 0, 1)})
		v := newVerifier(t, func(c *certs.Config) { c.CRLs = loadCRLs(t, c.Trust, p, cert) })
		wantReason(t, v, cert, certs.ReasonNotYetValid)
	})
	t.Run("expired before revocation unknown", func(t *testing.T) {
		wantReason(t, newVerifier(t, func(c *certs.Config) { c.CRLs = nil }), card(t, past(testpki.Card{})), certs.ReasonExpired)
	})
	t.Run("expired before revoked", func(t *testing.T) {
		cert := card(t, past(testpki.Card{}))
		v := newVerifier(t, func(c *certs.Config) { c.CRLs = loadCRLs(t, c.Trust, p, cert) })
		wantReason(t, v, cert, certs.ReasonExpired)
	})
}
