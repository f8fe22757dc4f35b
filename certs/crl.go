package certs

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"math/big"
	"slices"
	"time"
)

// maxCRLFile bounds a revocation list: one of 1,000,000 entries has 45 MB.
const maxCRLFile = 256 << 20

// CRLs is the revocation lists at hand, at most one for each authority. A nil *CRLs has none.
//
// Of a list it keeps a hash of 8 bytes for each serial number, in order: 8 MB for a million. The hash has a random key, so nobody can
// choose serial numbers that collide, and a collision (one chance in 10^13 for a list of a million) refuses a good card; it never
// accepts a revoked one.
type CRLs struct {
	byIssuer map[string]*list
}

// CRLInfo describes a loaded list.
type CRLInfo struct {
	Issuer     string // common name of the authority
	File       string // empty for NewCRLs
	Number     string // decimal; empty when it has none
	ThisUpdate time.Time
	NextUpdate time.Time // zero when it has none, which makes it useless
	Entries    int
}

type list struct {
	info   CRLInfo
	number *big.Int
	seed   maphash.Seed
	hashes []uint64 // sorted
}

// LoadCRLs reads revocation lists, PEM or DER. Each must be signed by an authority of trust that may sign lists, and hold nothing
// critical that this package does not understand (A15). Of several for one authority the newest counts.
//
// That a list is outdated is no error here: Verify refuses then, and says so.
func LoadCRLs(trust *Trust, files []string) (*CRLs, error) {
	if trust == nil {
		return nil, errors.New("revocation lists: no trusted authorities were given")
	}
	c := &CRLs{byIssuer: make(map[string]*list)}
	for _, file := range files {
		if err := c.load(trust, file); err != nil {
			return nil, fmt.Errorf("revocation list %s: %w", file, err)
		}
	}
	return c, nil
}

// NewCRLs is LoadCRLs for lists in DER that are at hand.
func NewCRLs(trust *Trust, lists ...[]byte) (*CRLs, error) {
	if trust == nil {
		return nil, errors.New("revocation lists: no trusted authorities were given")
	}
	c := &CRLs{byIssuer: make(map[string]*list)}
	for i, der := range lists {
		if err := c.add(trust, der, ""); err != nil {
			return nil, fmt.Errorf("revocation list %d: %w", i+1, err)
		}
	}
	return c, nil
}

func (c *CRLs) load(trust *Trust, file string) error {
	data, err := readBounded(file, maxCRLFile)
	if err != nil {
		return err
	}
	blocks, err := decodeBlocks(data, "X509 CRL")
	if err != nil {
		return err
	}
	for _, der := range blocks {
		if err := c.add(trust, der, file); err != nil {
			return err
		}
	}
	return nil
}

func (c *CRLs) add(trust *Trust, der []byte, file string) error {
	issuer, l, err := newList(trust, der)
	if err != nil {
		return err
	}
	l.info.File = file
	key := crlKey(issuer)
	if old := c.byIssuer[key]; old == nil || l.newer(old) {
		c.byIssuer[key] = l
	}
	return nil
}

// newList verifies a list and indexes it.
func newList(trust *Trust, der []byte) (*x509.Certificate, *list, error) {
	parsed, err := parseCRL(der)
	if err != nil {
		return nil, nil, err
	}
	issuer, err := parsed.verify(trust)
	if err != nil {
		return nil, nil, err
	}
	l := &list{
		info:   CRLInfo{Issuer: issuer.Subject.CommonName, ThisUpdate: parsed.thisUpdate, NextUpdate: parsed.nextUpdate},
		number: parsed.number,
		seed:   maphash.MakeSeed(),
	}
	if l.number != nil {
		l.info.Number = l.number.String()
	}
	err = parsed.eachSerial(func(serial []byte) { l.hashes = append(l.hashes, l.hash(serial)) })
	if err != nil {
		return nil, nil, err
	}
	l.info.Entries = len(l.hashes)
	slices.Sort(l.hashes)
	return issuer, l, nil
}

// crlKey tells authorities apart by what signs their lists: a name alone may be borne by a key and its successor.
func crlKey(issuer *x509.Certificate) string {
	return string(issuer.RawSubject) + string(issuer.RawSubjectPublicKeyInfo)
}

// of returns the list of an authority, or nil.
func (c *CRLs) of(issuer *x509.Certificate) *list {
	if c == nil {
		return nil
	}
	return c.byIssuer[crlKey(issuer)]
}

// Lists describes the lists that count, by name of the authority.
func (c *CRLs) Lists() []CRLInfo {
	var infos []CRLInfo
	if c != nil {
		for _, l := range c.byIssuer {
			infos = append(infos, l.info)
		}
	}
	slices.SortFunc(infos, func(a, b CRLInfo) int { return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.File, b.File)) })
	return infos
}

// newer orders lists of one authority by their date, then by their number.
func (l *list) newer(old *list) bool {
	if !l.info.ThisUpdate.Equal(old.info.ThisUpdate) {
		return l.info.ThisUpdate.After(old.info.ThisUpdate)
	}
	return l.number != nil && (old.number == nil || l.number.Cmp(old.number) > 0)
}

// hash hashes a serial number, given as the content of its INTEGER, without its sign: an issuer that forgot the zero that keeps a number
// positive meant the same card.
func (l *list) hash(serial []byte) uint64 {
	return maphash.Bytes(l.seed, bytes.TrimLeft(serial, "\x00"))
}

func (l *list) revokes(serial *big.Int) bool {
	_, found := slices.BinarySearch(l.hashes, l.hash(serial.Bytes()))
	return found
}

// clockSkew is how far the clock of an issuer may be ahead of ours.
const clockSkew = 5 * time.Minute

// problem says why a list cannot be used now; empty when it can.
func (l *list) problem(now time.Time) string {
	switch {
	case l.info.NextUpdate.IsZero():
		return "does not say until when it is good"
	case now.After(l.info.NextUpdate):
		return "was good until " + l.info.NextUpdate.UTC().Format(time.RFC3339)
	case now.Add(clockSkew).Before(l.info.ThisUpdate):
		return "is of " + l.info.ThisUpdate.UTC().Format(time.RFC3339) + ", later than now"
	default:
		return ""
	}
}
