package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Bounds on what a trust directory may hold. That of IGC-Santé is nine certificates of 2 KB.
const (
	maxTrustFile    = 1 << 20
	maxAuthorities  = 64
	maxFilesOfTrust = 256
)

// Trust is the configured authorities: the roots, the intermediates, and which of these may issue cards.
type Trust struct {
	authorities   []Authority
	roots         *x509.CertPool
	intermediates *x509.CertPool
	issuers       map[string]bool // raw certificates of the intermediates that may issue cards
}

// Authority is a configured authority, as LoadTrust took it.
type Authority struct {
	Name        string // common name
	File        string // that it came from; empty for NewTrust
	Root        bool   // self-signed
	IssuesCards bool
	Published   bool // one of the certificates that ANS published: see Published
	Test        bool // named as an authority of the test hierarchy
	NotAfter    time.Time
	Certificate *x509.Certificate
}

// LoadTrust reads every certificate of a directory, PEM or DER: self-signed ones are roots, others intermediates. Names that begin
// with a dot, and directories, are passed over; anything else that is not a certificate of an authority is an error (A1).
//
// issuers names the intermediates that may issue cards by their common names. Without any, these are the PERSONNES authorities of
// the levels FORT and STANDARD: the ELEMENTAIRE ones issue software certificates, the ORGANISATIONS ones issue to machines.
func LoadTrust(dir string, issuers []string) (*Trust, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read trust directory: %w", err)
	}
	if len(entries) > maxFilesOfTrust {
		return nil, fmt.Errorf("trust directory %s: %d files, more than %d", dir, len(entries), maxFilesOfTrust)
	}
	var found []Authority
	for _, entry := range entries {
		file := filepath.Join(dir, entry.Name())
		info, err := os.Stat(file) // not the entry's: it may be a symbolic link
		if err != nil {
			return nil, fmt.Errorf("read trust directory: %w", err)
		}
		if strings.HasPrefix(entry.Name(), ".") || info.IsDir() {
			continue
		}
		certificates, err := readCertificates(file)
		if err != nil {
			return nil, fmt.Errorf("trust directory: file %s: %w", file, err)
		}
		for _, cert := range certificates {
			found = append(found, Authority{File: file, Certificate: cert})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("trust directory %s: no certificate in it", dir)
	}
	t, err := newTrust(found, issuers)
	if err != nil {
		return nil, fmt.Errorf("trust directory %s: %w", dir, err)
	}
	return t, nil
}

// NewTrust is LoadTrust for certificates that are at hand.
func NewTrust(certificates []*x509.Certificate, issuers []string) (*Trust, error) {
	found := make([]Authority, len(certificates))
	for i, cert := range certificates {
		found[i] = Authority{Certificate: cert}
	}
	t, err := newTrust(found, issuers)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	return t, nil
}

func newTrust(found []Authority, issuers []string) (*Trust, error) {
	t := &Trust{roots: x509.NewCertPool(), intermediates: x509.NewCertPool(), issuers: make(map[string]bool)}
	for _, a := range found {
		if slices.ContainsFunc(t.authorities, func(b Authority) bool { return b.Certificate.Equal(a.Certificate) }) {
			continue
		}
		if err := a.describe(); err != nil {
			return nil, a.wrap(err)
		}
		t.add(a, issuers)
	}
	if len(t.authorities) > maxAuthorities {
		return nil, fmt.Errorf("%d authorities, more than %d", len(t.authorities), maxAuthorities)
	}
	return t, t.check(issuers)
}

// describe fills in what the certificate says, and refuses one that is not of an authority: a pinned certificate of anything else
// must not become an anchor for what its key signs (A10).
func (a *Authority) describe() error {
	cert := a.Certificate
	subject, err := parseDN(cert.RawSubject)
	if err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	if !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("the certificate is not of an authority (basicConstraints CA and keyUsage keyCertSign are wanted)")
	}
	if err := checkKey(cert.PublicKey); err != nil {
		return err
	}
	// Its own name as issuer is not enough: RFC 5280, section 3.2 has self-issued certificates that an older key signed.
	a.Root = bytes.Equal(cert.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(cert) == nil
	a.Name = first(subject.values(oidCommonName))
	_, a.Published = Published(cert)
	a.Test = subject.testAuthority()
	a.NotAfter = cert.NotAfter
	return nil
}

func (a *Authority) wrap(err error) error {
	if a.File != "" {
		return fmt.Errorf("file %s: %w", a.File, err)
	}
	return fmt.Errorf("certificate %s: %w", a.Certificate.Subject, err)
}

func (t *Trust) add(a Authority, issuers []string) {
	if a.Root {
		t.roots.AddCert(a.Certificate)
	} else {
		t.intermediates.AddCert(a.Certificate)
		a.IssuesCards = slices.Contains(issuers, a.Name) || len(issuers) == 0 && issuesCardsByName(a.Name)
		t.issuers[string(a.Certificate.Raw)] = a.IssuesCards
	}
	t.authorities = append(t.authorities, a)
}

// issuesCardsByName is the rule where the configuration has none. FORT PERSONNES issues CPS and CPF, STANDARD PERSONNES CPE and CPA.
func issuesCardsByName(name string) bool {
	switch strings.TrimPrefix(name, "TEST ") {
	case "AC IGC-SANTE FORT PERSONNES", "AC IGC-SANTE STANDARD PERSONNES":
		return true
	default:
		return false
	}
}

// check refuses a set that could accept no card, and a name in issuers that is nobody's: a misspelt one would refuse half the cards.
func (t *Trust) check(issuers []string) error {
	if !slices.ContainsFunc(t.authorities, func(a Authority) bool { return a.Root }) {
		return errors.New("no root: none of the certificates is self-signed")
	}
	for _, name := range issuers {
		named := func(a Authority) bool { return a.IssuesCards && a.Name == name }
		if !slices.ContainsFunc(t.authorities, named) {
			return fmt.Errorf("no intermediate is named %q, as the list of card issuers says", name)
		}
	}
	if !slices.ContainsFunc(t.authorities, func(a Authority) bool { return a.IssuesCards }) {
		return errors.New("no intermediate that issues cards (AC IGC-SANTE FORT PERSONNES, AC IGC-SANTE STANDARD PERSONNES, or those that the list of card issuers names)")
	}
	return nil
}

// Authorities returns the configured authorities in the order in which they were read.
func (t *Trust) Authorities() []Authority { return slices.Clone(t.authorities) }

// issuesCards tells whether an authority may issue cards.
func (t *Trust) issuesCards(authority *x509.Certificate) bool {
	return t.issuers[string(authority.Raw)]
}

// checkKey refuses keys that are too weak to mean anything and those so large that using them costs too much (A21).
func checkKey(public any) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 || bits > 4096 {
			return fmt.Errorf("RSA key of %d bits; 2048 to 4096 are accepted", bits)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return fmt.Errorf("ECDSA key on %s; P-256 and P-384 are accepted", key.Curve.Params().Name)
		}
	default:
		return fmt.Errorf("key of type %T; RSA and ECDSA are accepted", public)
	}
	return nil
}

// readCertificates reads the certificates of a file, which holds one at least.
func readCertificates(file string) ([]*x509.Certificate, error) {
	data, err := readBounded(file, maxTrustFile)
	if err != nil {
		return nil, err
	}
	blocks, err := decodeBlocks(data, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	var certificates []*x509.Certificate
	for _, der := range blocks {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("not a certificate in PEM or DER: %w", err)
		}
		certificates = append(certificates, cert)
	}
	return certificates, nil
}

// readBounded reads a file of at most limit bytes, and not an empty one.
func readBounded(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("larger than %d bytes", limit)
	case len(data) == 0:
		return nil, errors.New("empty")
	}
	return data, nil
}

// decodeBlocks returns the PEM blocks of a file, which must all be of one type, or the whole of a file without any. Text around the
// blocks is a comment; a block that was cut short or damaged is an error, not a comment.
func decodeBlocks(data []byte, kind string) ([][]byte, error) {
	begin := []byte("-----BEGIN ")
	want := bytes.Count(data, begin)
	if want == 0 {
		return [][]byte{data}, nil
	}
	var blocks [][]byte
	for range want {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, errors.New("a PEM block in it is damaged or cut short")
		}
		if block.Type != kind {
			return nil, fmt.Errorf("a PEM block %q in it, where only %q belongs", block.Type, kind)
		}
		blocks = append(blocks, block.Bytes)
	}
	return blocks, nil
}
