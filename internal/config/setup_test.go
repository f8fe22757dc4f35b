package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/config"
)

// directory returns a directory with the files that the configurations of these tests name.
func directory(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	writePair(t, dir, "server", "*.example.fr", "auth.example.fr")
	writePair(t, dir, "other", "other.example.org")
	write(t, filepath.Join(dir, "trust", "root.pem"), read(t, filepath.Join(dir, "server.pem")), 0o644)
	write(t, filepath.Join(dir, "cards.crl"), "a list", 0o644)
	write(t, filepath.Join(dir, "empty.pem"), "", 0o600)
	write(t, filepath.Join(dir, "garbage.pem"), "not PEM", 0o600)
	whole := read(t, filepath.Join(dir, "server.pem"))
	write(t, filepath.Join(dir, "cut.pem"), whole+whole[:len(whole)/2], 0o600)
	write(t, filepath.Join(dir, "damaged.pem"), strings.Replace(whole, "MII", "!!!", 1)+whole, 0o600)
	if err := os.Symlink("loop.pem", filepath.Join(dir, "loop.pem")); err != nil { // nobody can read it, root neither
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "module.so"), "a module", 0o755)
	write(t, filepath.Join(dir, "pinentry"), "a program", 0o755)
	if err := os.Mkdir(filepath.Join(dir, "nothing"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writePair writes NAME.pem and NAME.key for some host names.
func writePair(t testing.TB, dir, name string, hosts ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     hosts,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	write(t, filepath.Join(dir, name+".pem"), encode("CERTIFICATE", der), 0o644)
	write(t, filepath.Join(dir, name+".key"), encode("PRIVATE KEY", pkcs8), 0o600)
}

func write(t testing.TB, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // the umask may have taken bits away
		t.Fatal(err)
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// fault is a change to a right configuration, and all that must be said about it: the lines of the message, without the name of
// the file, with DIR for its directory.
type fault struct {
	name     string
	old, new string
	want     string
}

// run applies each fault to text, parses it and compares.
func run(t *testing.T, text string, faults []fault, parse func(data []byte, file string) (isNil bool, err error)) {
	t.Helper()
	dir := directory(t)
	file := filepath.Join(dir, "c.yaml")
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if strings.Count(text, f.old) != 1 {
				t.Fatalf("%q stands %d times in the configuration, want once", f.old, strings.Count(text, f.old))
			}
			isNil, err := parse([]byte(strings.Replace(text, f.old, f.new, 1)), file)
			if !isNil {
				t.Error("a configuration came back beside the error")
			}
			var refused *config.Refused
			if !errors.As(err, &refused) {
				t.Fatalf("error = %v, want a *config.Refused", err)
			}
			got := strings.ReplaceAll(strings.ReplaceAll(refused.Lines(), file+":", ""), dir, "DIR")
			if want := strings.TrimSpace(f.want); got != want {
				t.Errorf("message:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
