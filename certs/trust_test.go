package certs_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/certs"
	"promess/authgw/internal/testpki"
)

// trustDir is a directory with the files of a whole hierarchy.
func trustDir(t testing.TB, p *testpki.PKI) string {
	t.Helper()
	dir := t.TempDir()
	if err := p.WriteTrust(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A1: a trust directory that is not wholly what it should be stops the start. There is nothing to fall back to.
func TestTrustDirectoryIsReadWhollyOrNotAtAll_A1(t *testing.T) {
	p := must(t, production)
	root, issuer := testpki.CertificatePEM(p.FortRoot.Certificate), testpki.CertificatePEM(p.FortPersonnes.Certificate)
	leaf := testpki.CertificatePEM(card(t, testpki.Card{}))
	weak := newAuthority(t, "AC RACINE", nil, nil)
	weakened := *weak.Certificate
	weakened.KeyUsage = 0
	key := "-----BEGIN PRIVATE" + " KEY-----\nMC4=\n-----END PRIVATE" + " KEY-----\n"
	tests := []struct {
		name  string
		files map[string]string
		want  string // in the error
	}{
		{"empty directory", nil, "no certificate in it"},
		{"only what is passed over", map[string]string{".hidden": "x"}, "no certificate in it"},
		{"an empty file", map[string]string{"root.pem": string(root), "issuer.pem": string(issuer), "empty.pem": ""}, "empty.pem: empty"},
		{"garbage", map[string]string{"root.pem": string(root), "issuer.pem": string(issuer), "readme.txt": "hello"}, "readme.txt: not a certificate in PEM or DER"},
		{"PEM cut short", map[string]string{"root.pem": string(root), "issuer.pem": string(issuer[:len(issuer)-40])}, "issuer.pem: a PEM block in it is damaged or cut short"},
		{"PEM of garbage", map[string]string{"root.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "root.pem: not a certificate in PEM or DER"},
		{"a private key", map[string]string{"root.pem": string(root) + key}, `root.pem: a PEM block "PRIVATE KEY"`},
		{"too large", map[string]string{"root.pem": strings.Repeat("x", 1<<20+1)}, "root.pem: larger than 1048576 bytes"},
		{"the certificate of a card", map[string]string{"root.pem": string(root), "issuer.pem": string(issuer), "card.pem": string(leaf)}, "card.pem: the certificate is not of an authority"},
		{"no root", map[string]string{"issuer.pem": string(issuer)}, "no root: none of the certificates is self-signed"},
		{"no issuer of cards", map[string]string{"root.pem": string(root)}, "no intermediate that issues cards"},
		{"only issuers of other things", map[string]string{
			"root.pem":   string(root),
			"issuer.pem": string(testpki.CertificatePEM(p.ElementairePersonnes.Certificate)) + string(testpki.CertificatePEM(p.FortOrganisations.Certificate)),
		}, "no intermediate that issues cards"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				writeFile(t, dir, name, []byte(text))
			}
			trust, err := certs.LoadTrust(dir, nil)
			if err == nil || trust != nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("LoadTrust = %v, %v; want an error with the directory and %q", trust, err, tt.want)
			}
		})
	}
	t.Run("a directory that is not there", func(t *testing.T) {
		if _, err := certs.LoadTrust(filepath.Join(t.TempDir(), "absent"), nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error = %v, want one of a file that does not exist", err)
		}
	})
	t.Run("a symbolic link to nothing", func(t *testing.T) {
		dir := trustDir(t, p)
		if err := os.Symlink("nothing", filepath.Join(dir, "more.pem")); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.LoadTrust(dir, nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error = %v, want one of a file that does not exist", err)
		}
	})
	t.Run("too many files", func(t *testing.T) {
		dir := t.TempDir()
		for i := range 257 {
			writeFile(t, dir, strings.Repeat("a", i/16+1)+string(rune('a'+i%16)), root)
		}
		if _, err := certs.LoadTrust(dir, nil); err == nil || !strings.Contains(err.Error(), "257 files, more than 256") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("an authority without the usage of one", func(t *testing.T) {
		_, err := certs.NewTrust([]*x509.Certificate{&weakened}, nil)
		if err == nil || !strings.Contains(err.Error(), "certificate CN=AC RACINE,") || !strings.Contains(err.Error(), "not of an authority") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("no certificates", func(t *testing.T) {
		if _, err := certs.NewTrust(nil, nil); err == nil || !strings.Contains(err.Error(), "no root") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("a misspelt name of an issuer", func(t *testing.T) {
		_, err := certs.NewTrust(p.Certificates(), []string{p.FortPersonnes.Name, "AC IGC-SANTE STANDARD PERSONNE"})
		if err == nil || !strings.Contains(err.Error(), `no intermediate is named "AC IGC-SANTE STANDARD PERSONNE"`) {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("a root as an issuer", func(t *testing.T) {
		if _, err := certs.NewTrust(p.Certificates(), []string{p.FortRoot.Name}); err == nil || !strings.Contains(err.Error(), "no intermediate is named") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("lists without authorities", func(t *testing.T) {
		if _, err := certs.LoadCRLs(nil, nil); err == nil {
			t.Error("LoadCRLs took no authorities")
		}
		if _, err := certs.NewCRLs(nil); err == nil {
			t.Error("NewCRLs took no authorities")
		}
	})
}

// A22: the key of an authority is checked before anything is verified with it.
func TestKeysThatNoAuthorityHas_A21_A22(t *testing.T) {
	root := newAuthority(t, "AC RACINE", nil, nil)
	for name, public := range map[string]any{"P-521": ecKey(t, elliptic.P521()).Public(), "none": nil, "text": "key"} {
		odd := *root.Certificate
		odd.PublicKey = public
		if _, err := certs.NewTrust([]*x509.Certificate{&odd}, nil); err == nil || !strings.Contains(err.Error(), "are accepted") {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

func TestTrustDirectoryInEveryForm(t *testing.T) {
	p := must(t, production)
	dir := t.TempDir()
	two := append([]byte("Autorités de l'IGC-Santé\n"), testpki.CertificatePEM(p.FortRoot.Certificate)...)
	writeFile(t, dir, "fort.pem", append(two, testpki.CertificatePEM(p.FortPersonnes.Certificate)...))
	writeFile(t, dir, "standard.der", p.StandardRoot.Certificate.Raw)
	writeFile(t, dir, "standard-bis.cer", p.StandardRoot.Certificate.Raw) // once more, which is no error
	writeFile(t, dir, ".notes", []byte("passed over"))
	if err := os.Mkdir(filepath.Join(dir, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	outside := writeFile(t, t.TempDir(), "elsewhere", testpki.CertificatePEM(p.StandardOrganisations.Certificate))
	if err := os.Symlink(outside, filepath.Join(dir, "x-link.pem")); err != nil {
		t.Fatal(err)
	}
	trust, err := certs.LoadTrust(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	describe := func(a *testpki.Authority, file string, root, cards bool) certs.Authority {
		return certs.Authority{Name: a.Name, File: filepath.Join(dir, file), Root: root, IssuesCards: cards, NotAfter: a.Certificate.NotAfter, Certificate: a.Certificate}
	}
	want := []certs.Authority{
		describe(p.FortRoot, "fort.pem", true, false), describe(p.FortPersonnes, "fort.pem", false, true),
		describe(p.StandardRoot, "standard-bis.cer", true, false), describe(p.StandardOrganisations, "x-link.pem", false, false),
	}
	byRaw := cmp.Comparer(func(a, b *x509.Certificate) bool { return a.Equal(b) })
	if diff := cmp.Diff(want, trust.Authorities(), byRaw); diff != "" {
		t.Errorf("authorities (-want +got):\n%s", diff)
	}
}

// The same name as issuer does not make a root: an authority may certify its next key with its last one (RFC 5280, section 3.2).
func TestSelfIssuedIsNotSelfSigned(t *testing.T) {
	old := newAuthority(t, "AC RACINE", nil, nil)
	next := newAuthority(t, "AC RACINE", old, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = -1, false })
	issuer := newAuthority(t, "AC IGC-SANTE FORT PERSONNES", next, nil)
	trust := newTrust(t, nil, old, next, issuer)
	var roots []bool
	for _, a := range trust.Authorities() {
		roots = append(roots, a.Root)
	}
	if diff := cmp.Diff([]bool{true, false, false}, roots); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
	v := newVerifier(t, func(c *certs.Config) { c.Trust, c.InsecureSkipRevocation = trust, true })
	wantReason(t, v, card(t, testpki.Card{Issuer: issuer}), "")
	t.Run("alone it is no anchor", func(t *testing.T) {
		_, err := certs.NewTrust([]*x509.Certificate{next.Certificate, issuer.Certificate}, nil)
		if err == nil || !strings.Contains(err.Error(), "no root") {
			t.Errorf("error = %v", err)
		}
	})
}
