package certs_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/certs"
	"promess/authgw/internal/testpki"
)

// listOf is a list and the authority that signs it.
type listOf struct {
	authority *testpki.Authority
	crl       testpki.CRL
}

func signList(t testing.TB, l listOf) []byte {
	t.Helper()
	p := must(t, production)
	return must(t, func() ([]byte, error) { return p.CRL(l.authority, l.crl) })
}

func loadLists(t testing.TB, trust *certs.Trust, lists ...listOf) *certs.CRLs {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for i, l := range lists {
		files = append(files, writeFile(t, dir, fmt.Sprintf("%d.crl", i), signList(t, l)))
	}
	return must(t, func() (*certs.CRLs, error) { return certs.LoadCRLs(trust, files) })
}

// verifierWithLists trusts the production hierarchy and has these lists only.
func verifierWithLists(t testing.TB, lists ...listOf) *certs.Verifier {
	t.Helper()
	return newVerifier(t, func(c *certs.Config) { c.CRLs = loadLists(t, c.Trust, lists...) })
}

func TestRevokedCardsAreRefused(t *testing.T) {
	p := must(t, production)
	cert, other := card(t, testpki.Card{}), card(t, testpki.Card{})
	root := listOf{p.FortRoot, testpki.CRL{}}
	entry := func(reason int) testpki.CRL {
		return testpki.CRL{Entries: []x509.RevocationListEntry{{SerialNumber: cert.SerialNumber, RevocationTime: now().AddDate(0, -1, 0), ReasonCode: reason}}}
	}
	tests := []struct {
		name string
		crl  testpki.CRL
		want certs.Reason
	}{
		{"not on the list", testpki.CRL{Revoked: []*x509.Certificate{other}}, ""},
		{"on the list", testpki.CRL{Revoked: []*x509.Certificate{other, cert}}, certs.ReasonRevoked},
		{"key compromise", entry(1), certs.ReasonRevoked},
		{"suspended (certificateHold)", entry(6), certs.ReasonRevoked},
		{"removeFromCRL, which a complete list cannot say", entry(8), certs.ReasonRevoked},
		{"on an outdated list", testpki.CRL{Revoked: []*x509.Certificate{cert}, NextUpdate: now().Add(-time.Minute)}, certs.ReasonRevoked},
		{"serial numbers around it", testpki.CRL{Serials: []*big.Int{
			new(big.Int).Add(cert.SerialNumber, big.NewInt(1)), new(big.Int).Lsh(cert.SerialNumber, 8), new(big.Int).Rsh(cert.SerialNumber, 8),
		}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantReason(t, verifierWithLists(t, listOf{p.FortPersonnes, tt.crl}, root), cert, tt.want)
		})
	}
	t.Run("the same serial number on the list of another authority", func(t *testing.T) {
		v := verifierWithLists(t, listOf{p.FortPersonnes, testpki.CRL{}}, root,
			listOf{p.StandardPersonnes, testpki.CRL{Revoked: []*x509.Certificate{cert}}})
		wantReason(t, v, cert, "")
	})
	t.Run("a serial number with the high bit set", func(t *testing.T) {
		high := card(t, change(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(0xff00ff) }))
		v := verifierWithLists(t, listOf{p.FortPersonnes, testpki.CRL{Revoked: []*x509.Certificate{high}}}, root)
		wantReason(t, v, high, certs.ReasonRevoked)
	})
}

// A16, A17: without a usable list, nothing is known, and nothing is accepted.
func TestNoListIsNotNothingRevoked_A16_A17(t *testing.T) {
	p := must(t, production)
	cert := card(t, testpki.Card{})
	leaf, root := listOf{p.FortPersonnes, testpki.CRL{}}, listOf{p.FortRoot, testpki.CRL{}}
	stale := testpki.CRL{ThisUpdate: now().AddDate(0, 0, -8), NextUpdate: now().Add(-time.Second)}
	future := testpki.CRL{ThisUpdate: now().Add(time.Hour)}
	tests := []struct {
		name  string
		lists []listOf
		want  certs.Reason
	}{
		{"both lists", []listOf{leaf, root}, ""},
		{"no list at all", nil, certs.ReasonRevocationUnknown},
		{"none of the issuer", []listOf{root}, certs.ReasonRevocationUnknown},
		{"none of the root", []listOf{leaf}, certs.ReasonRevocationUnknown},
		{"one of another authority", []listOf{root, {p.StandardPersonnes, testpki.CRL{}}}, certs.ReasonRevocationUnknown},
		{"an outdated one of the issuer", []listOf{{p.FortPersonnes, stale}, root}, certs.ReasonRevocationUnknown},
		{"an outdated one of the root", []listOf{leaf, {p.FortRoot, stale}}, certs.ReasonRevocationUnknown},
		{"one of the future", []listOf{{p.FortPersonnes, future}, root}, certs.ReasonRevocationUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantReason(t, verifierWithLists(t, tt.lists...), cert, tt.want) })
	}
	t.Run("not loaded yet", func(t *testing.T) {
		wantReason(t, newVerifier(t, func(c *certs.Config) { c.CRLs = nil }), cert, certs.ReasonRevocationUnknown)
	})
}

// The switch is for want of a list, and not against one.
func TestSkippingRevocationHonoursTheListsThereAre_A17(t *testing.T) {
	p := must(t, production)
	cert := card(t, testpki.Card{})
	tests := []struct {
		name  string
		lists []listOf
		want  certs.Reason
	}{
		{"no list", nil, ""},
		{"revoked", []listOf{{p.FortPersonnes, testpki.CRL{Revoked: []*x509.Certificate{cert}}}}, certs.ReasonRevoked},
		{"outdated", []listOf{{p.FortPersonnes, testpki.CRL{NextUpdate: now().Add(-time.Second)}}}, certs.ReasonRevocationUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, func(c *certs.Config) {
				c.CRLs, c.InsecureSkipRevocation = loadLists(t, c.Trust, tt.lists...), true
			})
			wantReason(t, v, cert, tt.want)
		})
	}
}

// A20: the root revoked the intermediate; the list of the intermediate itself is as it should be.
func TestRevokedIntermediatesRefuseTheirCards_A20(t *testing.T) {
	p := must(t, production)
	revoked := listOf{p.FortRoot, testpki.CRL{Revoked: []*x509.Certificate{p.FortPersonnes.Certificate}}}
	cert := card(t, testpki.Card{})
	wantReason(t, verifierWithLists(t, listOf{p.FortPersonnes, testpki.CRL{}}, revoked), cert, certs.ReasonRevoked)
	t.Run("even when nothing is known of the card", func(t *testing.T) {
		wantReason(t, verifierWithLists(t, revoked), cert, certs.ReasonRevoked)
	})
}

// A15: who may say what is revoked, and what such a list may hold.
func TestListsAreVerified_A15(t *testing.T) {
	p := must(t, production)
	trust := newTrust(t, nil, p.Authorities()...)
	good := signList(t, listOf{p.FortPersonnes, testpki.CRL{}})
	with := func(oid string, critical bool, value []byte) []byte {
		e := testpki.Extension(oid, value)
		e.Critical = critical
		return signList(t, listOf{p.FortPersonnes, testpki.CRL{Extensions: []pkix.Extension{e}}})
	}
	entryWith := func(oid string, critical bool) []byte {
		e := testpki.Extension(oid, []byte{0x30, 0})
		e.Critical = critical
		return signList(t, listOf{p.FortPersonnes, testpki.CRL{Entries: []x509.RevocationListEntry{{
			SerialNumber: big.NewInt(7), RevocationTime: now(), ExtraExtensions: []pkix.Extension{e},
		}}}})
	}
	stranger := newAuthority(t, "AC IGC-SANTE FORT PERSONNES", nil, nil)
	twin := newAuthority(t, p.FortPersonnes.Name, p.FortRoot, func(c *x509.Certificate) { c.SubjectKeyId = p.FortPersonnes.Certificate.SubjectKeyId })
	twinNoID := newAuthority(t, p.FortPersonnes.Name, p.FortRoot, nil)
	number, err := asn1.Marshal(big.NewInt(3))
	if err != nil {
		t.Fatal(err)
	}
	tampered := append([]byte{}, good...)
	tampered[len(tampered)-1] ^= 1

	tests := []struct {
		name string
		data []byte
		want string // in the error
	}{
		{"changed", tampered, `its signature is not that of "AC IGC-SANTE FORT PERSONNES"`},
		{"of an authority with the same name", signList(t, listOf{twin, testpki.CRL{}}), "its signature is not that of"},
		{"of an authority with the same name and another key identifier", signList(t, listOf{twinNoID, testpki.CRL{}}), "made with another key"},
		{"of an authority of the same name with no part in the hierarchy", signList(t, listOf{stranger, testpki.CRL{}}), "made with another key"},
		{"of an unknown authority", signList(t, listOf{newAuthority(t, "AC AUTRE", nil, nil), testpki.CRL{}}), "none of the trusted authorities"},
		{"partial", with("2.5.29.28", true, []byte{0x30, 0x03, 0x81, 0x01, 0xff}), "a partial list"},
		{"partial, and not critical", with("2.5.29.28", false, []byte{0x30, 0}), "a partial list"},
		{"delta", with("2.5.29.27", true, number), "a delta list"},
		{"critical extension", with("1.2.3.4", true, []byte{5, 0}), "critical extension of unknown meaning (1.2.3.4)"},
		{"critical extension in an entry", entryWith("1.2.3.4", true), "an extension that is not accepted (1.2.3.4)"},
		{"entry of another issuer", entryWith("2.5.29.29", false), "an extension that is not accepted (2.5.29.29)"},
		{"a serial number of 33 bytes", signList(t, listOf{p.FortPersonnes, testpki.CRL{Serials: []*big.Int{new(big.Int).Lsh(big.NewInt(1), 256)}}}), "a serial number of 33 bytes"},
		{"an extension twice", with("2.5.29.20", false, number), "extension 2.5.29.20 occurs twice"},
		{"empty file", nil, "empty"},
		{"garbage", []byte("not a list"), "not a revocation list in PEM or DER"},
		{"cut short", good[:len(good)-5], "not a revocation list in PEM or DER"},
		{"something after", append(append([]byte{}, good...), 0), "not a revocation list in PEM or DER"},
		{"a certificate", p.FortPersonnes.Certificate.Raw, "not a revocation list of version 2"},
		{"a certificate in PEM", testpki.CertificatePEM(p.FortPersonnes.Certificate), `a PEM block "CERTIFICATE" in it`},
		{"PEM cut short", testpki.CRLPEM(good)[:200], "damaged or cut short"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := writeFile(t, t.TempDir(), "list.crl", tt.data)
			_, err := certs.LoadCRLs(trust, []string{file})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("error = %v, want one with the file and %q", err, tt.want)
			}
		})
	}
	t.Run("an authority that may not sign lists", func(t *testing.T) {
		root := newAuthority(t, "AC RACINE", nil, nil)
		mute := newAuthority(t, "AC IGC-SANTE FORT PERSONNES", root, nil)
		der := signList(t, listOf{mute, testpki.CRL{}})
		// The same authority, now with a certificate that takes the right away.
		muted := *mute.Certificate
		muted.KeyUsage = x509.KeyUsageCertSign
		trust := must(t, func() (*certs.Trust, error) {
			return certs.NewTrust([]*x509.Certificate{root.Certificate, &muted}, nil)
		})
		_, err := certs.LoadCRLs(trust, []string{writeFile(t, t.TempDir(), "list.crl", der)})
		if err == nil || !strings.Contains(err.Error(), "may not sign revocation lists") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("a file that is not there", func(t *testing.T) {
		if _, err := certs.LoadCRLs(trust, []string{"absent.crl"}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error = %v, want one of a file that does not exist", err)
		}
	})
	t.Run("the second of two at hand", func(t *testing.T) {
		lists, err := certs.NewCRLs(trust, good, tampered)
		if err == nil || lists != nil || !strings.Contains(err.Error(), "revocation list 2: its signature is not that of") {
			t.Errorf("NewCRLs = %v, %v", lists, err)
		}
	})
}

func TestTheNewestListOfAnAuthorityCounts(t *testing.T) {
	p := must(t, production)
	cert := card(t, testpki.Card{})
	root := listOf{p.FortRoot, testpki.CRL{}}
	old := listOf{p.FortPersonnes, testpki.CRL{ThisUpdate: now().Add(-2 * time.Hour), Number: 1}}
	revoking := listOf{p.FortPersonnes, testpki.CRL{ThisUpdate: now().Add(-time.Hour), Number: 2, Revoked: []*x509.Certificate{cert}}}
	sameDate := listOf{p.FortPersonnes, testpki.CRL{ThisUpdate: now().Add(-time.Hour), Number: 1}}
	for name, lists := range map[string][]listOf{
		"old then new": {old, revoking, root}, "new then old": {revoking, old, root},
		"of one date, by number": {sameDate, revoking, root}, "of one date, by number, the other way round": {revoking, sameDate, root},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, verifierWithLists(t, lists...), cert, certs.ReasonRevoked) })
	}
}

// A15: an authority may go on under its name with a new key. The list of the one says nothing of the cards of the other.
func TestListsOfTwoKeysOfOneName_A15(t *testing.T) {
	const name = "AC IGC-SANTE FORT PERSONNES"
	root := newAuthority(t, "AC RACINE", nil, nil)
	first, next := newAuthority(t, name, root, nil), newAuthority(t, name, root, nil)
	revoked, good := card(t, testpki.Card{Issuer: first}), card(t, testpki.Card{Issuer: next})
	lists := []listOf{
		{root, testpki.CRL{}},
		{first, testpki.CRL{ThisUpdate: now().Add(-2 * time.Hour), Revoked: []*x509.Certificate{revoked}}},
		{next, testpki.CRL{ThisUpdate: now().Add(-time.Hour), Serials: []*big.Int{big.NewInt(7)}}},
	}
	trusting := func(lists ...listOf) *certs.Verifier {
		return newVerifier(t, func(c *certs.Config) {
			c.Trust = newTrust(t, nil, root, first, next)
			c.CRLs = loadLists(t, c.Trust, lists...)
		})
	}
	wantReason(t, trusting(lists...), revoked, certs.ReasonRevoked)
	wantReason(t, trusting(lists...), good, "")
	wantReason(t, trusting(lists[0], lists[1]), good, certs.ReasonRevocationUnknown)
}

func TestListsInPEMAndSeveralInOneFile(t *testing.T) {
	p := must(t, production)
	cert := card(t, testpki.Card{})
	data := append(testpki.CRLPEM(signList(t, listOf{p.FortPersonnes, testpki.CRL{Revoked: []*x509.Certificate{cert}}})),
		testpki.CRLPEM(signList(t, listOf{p.FortRoot, testpki.CRL{}}))...)
	file := writeFile(t, t.TempDir(), "lists.pem", append([]byte("two lists\n"), data...))
	v := newVerifier(t, func(c *certs.Config) {
		c.CRLs = must(t, func() (*certs.CRLs, error) { return certs.LoadCRLs(c.Trust, []string{file}) })
		want := []certs.CRLInfo{
			{Issuer: p.FortPersonnes.Name, File: file, Number: "1", ThisUpdate: now().Add(-time.Hour), NextUpdate: now().AddDate(0, 0, 7), Entries: 1},
			{Issuer: p.FortRoot.Name, File: file, Number: "1", ThisUpdate: now().Add(-time.Hour), NextUpdate: now().AddDate(0, 0, 7)},
		}
		if diff := cmp.Diff(want, c.CRLs.Lists()); diff != "" {
			t.Errorf("lists (-want +got):\n%s", diff)
		}
	})
	wantReason(t, v, cert, certs.ReasonRevoked)
	wantReason(t, v, card(t, testpki.Card{}), "")
}
