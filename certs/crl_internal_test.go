package certs

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"promess/authgw/internal/testpki"
)

// FuzzParseCRL: what we read as a list of an authority, the standard library reads too, with the same dates and the same serial numbers.
// The signature is no part of it: it is checked by crypto/x509 itself.
func FuzzParseCRL(f *testing.F) {
	p, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		f.Fatal(err)
	}
	issuer := p.FortPersonnes.Certificate.RawSubject // the same in each process of the fuzzer, unlike the key
	for _, c := range crlSeeds() {
		der, err := p.CRL(p.FortPersonnes, c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		l, err := parseCRL(der)
		if err != nil || !bytes.Equal(l.issuer, issuer) {
			return
		}
		var serials [][]byte
		if l.eachSerial(func(serial []byte) { serials = append(serials, serial) }) != nil {
			return
		}
		std, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatalf("read here, refused by crypto/x509: %v", err)
		}
		if l.algorithm != std.SignatureAlgorithm || !bytes.Equal(l.signed, std.RawTBSRevocationList) || !bytes.Equal(l.signature, std.Signature) {
			t.Errorf("what is signed, and how, is not the same")
		}
		if !l.thisUpdate.Equal(std.ThisUpdate) || !l.nextUpdate.Equal(std.NextUpdate) {
			t.Errorf("dates %v to %v, want %v to %v", l.thisUpdate, l.nextUpdate, std.ThisUpdate, std.NextUpdate)
		}
		if (l.number == nil) != (std.Number == nil) || l.number != nil && l.number.Cmp(std.Number) != 0 {
			t.Errorf("number = %v, want %v", l.number, std.Number)
		}
		if len(serials) != len(std.RevokedCertificateEntries) {
			t.Fatalf("%d entries, want %d", len(serials), len(std.RevokedCertificateEntries))
		}
		for i, entry := range std.RevokedCertificateEntries {
			// A negative number is read as the card whose issuer forgot a zero: see hash.
			if entry.SerialNumber.Sign() >= 0 && new(big.Int).SetBytes(serials[i]).Cmp(entry.SerialNumber) != 0 {
				t.Errorf("serial number %x, want %x", serials[i], entry.SerialNumber)
			}
		}
	})
}

func crlSeeds() []testpki.CRL {
	when := time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)
	entry := func(serial int64, reason int) x509.RevocationListEntry {
		return x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: when, ReasonCode: reason}
	}
	return []testpki.CRL{
		{},
		{ThisUpdate: when, NextUpdate: when.AddDate(40, 0, 0), Number: 1 << 40}, // a GeneralizedTime
		{Entries: []x509.RevocationListEntry{entry(1, 0), entry(0xff, 1), entry(0x7fff, 6), entry(1<<60, 8)}},
		{Entries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(-2), RevocationTime: when}}},
	}
}

// What the encoding rules forbid is not read in some way of our own.
func TestListsInAnEncodingOfTheirOwn(t *testing.T) {
	p, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	good, err := p.CRL(p.FortPersonnes, testpki.CRL{Entries: []x509.RevocationListEntry{
		{SerialNumber: big.NewInt(0x7fff), RevocationTime: time.Now(), ReasonCode: 6},
	}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new string }{
		{"a serial number with a zero too many", "\x02\x02\x7f\xff", "\x02\x02\x00\x7f"},
		{"a negative serial number with a byte too many", "\x02\x02\x7f\xff", "\x02\x02\xff\xff"},
		{"a serial number that is no INTEGER", "\x02\x02\x7f\xff", "\x04\x02\x7f\xff"},
		{"a reason that is no ENUMERATED", "\x0a\x01\x06", "\x02\x01\x06"},
		{"an algorithm with parameters", "\x01\x01\x0b\x05\x00", "\x01\x01\x0b\x02\x00"},
		{"SHA-1", "\x01\x01\x0b\x05\x00", "\x01\x01\x05\x05\x00"},
		{"version 1", "\x02\x01\x01\x30", "\x02\x01\x00\x30"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			der := bytes.ReplaceAll(good, []byte(tt.old), []byte(tt.new))
			if bytes.Equal(der, good) {
				t.Fatal("the list was not changed")
			}
			l, err := parseCRL(der)
			if err == nil {
				err = l.eachSerial(func([]byte) {})
			}
			if err == nil {
				t.Error("it was read")
			}
		})
	}
}

// RFC 5280, section 5.1.1.2: only the inner algorithm is signed, so the outer one, which is used, must be the same (A15).
func TestOuterAlgorithmOfAListMustBeTheSignedOne_A15(t *testing.T) {
	p, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	der, err := p.CRL(p.FortPersonnes, testpki.CRL{})
	if err != nil {
		t.Fatal(err)
	}
	sha256WithRSA := []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b")
	der[bytes.LastIndex(der, sha256WithRSA)+len(sha256WithRSA)-1] = 0x0c // SHA-384
	if _, err := parseCRL(der); err == nil {
		t.Error("it was read")
	}
}

// RFC 5280, section 5.1.2.5 asks for nextUpdate. Without it nobody could tell a list that was kept back from the newest (A17).
func TestListWithoutAnEndIsOfNoUse_A17(t *testing.T) {
	now := time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)
	l := &list{info: CRLInfo{ThisUpdate: now}}
	if got, want := l.problem(now), "does not say until when it is good"; got != want {
		t.Errorf("problem = %q, want %q", got, want)
	}
	l.info.NextUpdate = now
	if got := l.problem(now); got != "" {
		t.Errorf("problem at its last moment = %q, want none", got)
	}
}
