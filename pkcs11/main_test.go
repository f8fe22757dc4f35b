package pkcs11_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"promess/authgw/internal/pcsctest"
	"promess/authgw/internal/vcard"
	"promess/authgw/pkcs11"
)

// childCommand makes the test's own program the child that runs the module.
const childCommand = "pkcs11-test-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childCommand {
		if err := pkcs11.Serve(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// Tests without a daemon must not reach that of the system, nor fix its name for those with one.
	os.Setenv(pcsctest.SocketVariable, pcsctest.SocketName())
	os.Exit(m.Run())
}

func command() []string { return []string{os.Args[0], childCommand} }

// opensc finds OpenSC's module.
func opensc(tb testing.TB) string {
	tb.Helper()
	return installed(tb, "opensc-pkcs11", "/usr/lib/*/opensc-pkcs11.so", "/usr/lib*/opensc-pkcs11.so", "/usr/lib*/pkcs11/opensc-pkcs11.so")
}

func installed(tb testing.TB, debianPackage string, patterns ...string) string {
	tb.Helper()
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); len(found) > 0 {
			return found[0]
		}
	}
	tb.Fatalf("nothing at %q; install the Debian package %s", patterns, debianPackage)
	return ""
}

// identity is a key and its certificate, self-signed: nobody here judges trust.
type identity struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newRSA(tb testing.TB) identity {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return certify(tb, key, x509.KeyUsageDigitalSignature, x509.ExtKeyUsageClientAuth)
}

func newECDSA(tb testing.TB) identity {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return certify(tb, key, x509.KeyUsageDigitalSignature, x509.ExtKeyUsageClientAuth)
}

func certify(tb testing.TB, key crypto.Signer, usage x509.KeyUsage, extended ...x509.ExtKeyUsage) identity {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Test holder"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     usage,
		ExtKeyUsage:  extended,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return identity{key: key, cert: cert}
}

// newCard makes a card of who; change may change its configuration.
func newCard(tb testing.TB, who identity, change ...func(*vcard.Config)) *vcard.Card {
	tb.Helper()
	config := vcard.Config{Cert: who.cert, Key: who.key}
	for _, f := range change {
		f(&config)
	}
	card, err := vcard.New(config)
	if err != nil {
		tb.Fatal(err)
	}
	return card
}

// start runs module until the end of the test.
func start(tb testing.TB, module string, change ...func(*pkcs11.Config)) *pkcs11.Module {
	tb.Helper()
	config := pkcs11.Config{Module: module, Command: command()}
	for _, f := range change {
		f(&config)
	}
	m, err := pkcs11.Start(deadline(tb), config)
	if err != nil {
		tb.Fatalf("Start: %v", err)
	}
	tb.Cleanup(func() { m.Close() })
	return m
}

// deadline is a context that ends well before the test does.
func deadline(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	tb.Cleanup(cancel)
	return ctx
}

// eventually waits for what gives no other sign.
func eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	for ctx := deadline(tb); !is(); {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			tb.Fatalf("not in time: %s", what)
		}
	}
}

// oneToken lists the tokens and returns the only one.
func oneToken(tb testing.TB, m *pkcs11.Module) *pkcs11.Token {
	tb.Helper()
	tokens, err := m.Tokens(deadline(tb))
	if err != nil {
		tb.Fatalf("Tokens: %v", err)
	}
	if len(tokens) != 1 || len(tokens[0].Certificates) != 1 {
		tb.Fatalf("Tokens gave %d tokens, want 1 with 1 certificate: %+v", len(tokens), tokens)
	}
	return tokens[0]
}

// inReader starts a daemon with a card in its first reader.
func inReader(tb testing.TB, card *vcard.Card) *pcsctest.Daemon {
	tb.Helper()
	d := pcsctest.Start(tb)
	d.Insert(tb, 0, card)
	return d
}

// sign signs something in the preferred mode of the token's certificate.
func sign(token *pkcs11.Token) error {
	modes := token.Modes(token.Certificates[0])
	if len(modes) == 0 {
		return pkcs11.ErrMechanism
	}
	return signIn(token, modes[0])
}

// signIn signs something in a mode.
func signIn(token *pkcs11.Token, mode pkcs11.Mode) error {
	signer, err := token.Signer(token.Certificates[0], mode)
	if err != nil {
		return err
	}
	_, err = signer.Sign(nil, make([]byte, 32), optsOf(mode))
	return err
}

func optsOf(m pkcs11.Mode) crypto.SignerOpts {
	if m == pkcs11.ModePSS || m == pkcs11.ModeRawPSS {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	return crypto.SHA256
}

func textFile(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "module.so")
	if err := os.WriteFile(path, []byte("not a library"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
