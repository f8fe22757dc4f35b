package testpki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// CRL describes a revocation list. Its zero value is an empty list of an hour ago, good for a week.
type CRL struct {
	Revoked                []*x509.Certificate
	Serials                []*big.Int                 // revoked too
	Entries                []x509.RevocationListEntry // revoked too, with dates and reasons
	Number                 int64                      // default 1
	ThisUpdate, NextUpdate time.Time
	Extensions             []pkix.Extension
}

// CRL signs the revocation list of an authority, in DER.
func (p *PKI) CRL(a *Authority, c CRL) ([]byte, error) {
	template := &x509.RevocationList{
		Number:                    big.NewInt(max(c.Number, 1)),
		ThisUpdate:                c.ThisUpdate,
		NextUpdate:                c.NextUpdate,
		RevokedCertificateEntries: c.Entries,
		ExtraExtensions:           c.Extensions,
	}
	if template.ThisUpdate.IsZero() {
		template.ThisUpdate = p.now().Add(-time.Hour)
	}
	if template.NextUpdate.IsZero() {
		template.NextUpdate = p.now().AddDate(0, 0, 7)
	}
	revoke := func(serial *big.Int) {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: template.ThisUpdate})
	}
	for _, serial := range c.Serials {
		revoke(serial)
	}
	for _, cert := range c.Revoked {
		revoke(cert.SerialNumber)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.Certificate, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign revocation list of %q: %w", a.Name, err)
	}
	return der, nil
}

// WriteCRLs writes a revocation list per authority that issues certificates of the hierarchy, with those of revoked that are its
// own, and returns the files.
func (p *PKI) WriteCRLs(dir string, revoked ...*x509.Certificate) ([]string, error) {
	var files []string
	for _, a := range p.Authorities() {
		var own []*x509.Certificate
		for _, cert := range revoked {
			if cert.CheckSignatureFrom(a.Certificate) == nil {
				own = append(own, cert)
			}
		}
		der, err := p.CRL(a, CRL{Revoked: own})
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, a.fileName()+".crl")
		if err := os.WriteFile(file, der, 0o644); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// WriteTrust writes the certificates of the hierarchy to a directory, one PEM file each, as the gateway reads them.
func (p *PKI) WriteTrust(dir string) error {
	for _, a := range p.Authorities() {
		if err := os.WriteFile(filepath.Join(dir, a.fileName()+".pem"), CertificatePEM(a.Certificate), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Certificates returns the certificates of the hierarchy.
func (p *PKI) Certificates() []*x509.Certificate {
	var all []*x509.Certificate
	for _, a := range p.Authorities() {
		all = append(all, a.Certificate)
	}
	return all
}

// CertificatePEM encodes a certificate.
func CertificatePEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// CRLPEM encodes a revocation list.
func CRLPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func (a *Authority) fileName() string { return strings.ReplaceAll(a.Name, " ", "_") }
