package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/softcard"
	"promess/authgw/pkcs11"
)

// run runs the command line as main does.
func run(ctx context.Context, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Run(ctx, "cardagent", about, commands(), args, cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

// newCard returns a soft card and its one token.
func newCard(t *testing.T) (*softcard.Card, agent.Token, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Jeanne MARTIN"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	card, err := softcard.New(softcard.Config{Certificate: cert, Key: key, PIN: "4711", Reader: "Reader 1"})
	if err != nil {
		t.Fatal(err)
	}
	use, err := card.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := use.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return card, tokens[0], cert
}

func TestSignTest(t *testing.T) {
	for _, test := range []struct {
		name, stdin string
		out         string
		err         error
		presented   int
	}{
		{"the right PIN signs", "4711\n", "ECDSA          signed and verified in ", nil, 1},
		{"without a line end", "4711", "signed and verified", nil, 1},
		{"a wrong PIN is given once", "1234\n", "card of Jeanne MARTIN in Reader 1", agent.ErrPINIncorrect, 1},
		{"letters never reach the card", "47a1\n", "", agent.ErrPINNotAccepted, 0},
		{"nothing never reaches the card", "\n", "", agent.ErrPINNotAccepted, 0},
		{"a long line never reaches the card", strings.Repeat("1", 5000), "", agent.ErrPINNotAccepted, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			card, token, _ := newCard(t)
			var out, errs bytes.Buffer
			err := signTest(t.Context(), token, cli.Streams{In: strings.NewReader(test.stdin), Out: &out, Err: &errs})
			if !errors.Is(err, test.err) || !strings.Contains(out.String(), test.out) || card.Presented() != test.presented {
				t.Errorf("signTest = %v after %d PINs, printed %q; want %v after %d, with %q",
					err, card.Presented(), out.String(), test.err, test.presented, test.out)
			}
			if strings.Contains(out.String()+errs.String()+fmt.Sprint(err), "4711") {
				t.Error("the PIN is in what was printed")
			}
		})
	}
}

func TestAgentErrorKeepsTheTextAndFindsTheSentinel(t *testing.T) {
	for _, s := range sentinels {
		err := agentError(fmt.Errorf("log in: %w", s.from))
		if !errors.Is(err, s.to) || !strings.Contains(err.Error(), "log in: ") {
			t.Errorf("agentError(%v) = %v, want %v with its text", s.from, err, s.to)
		}
	}
	// A code that is not known is never a wrong PIN.
	if err := agentError(&pkcs11.Error{Op: "C_Login", Code: 0x80000001}); errors.Is(err, agent.ErrPINIncorrect) || err == nil {
		t.Errorf("an unknown code = %v, want itself", err)
	}
	if err := agentError(nil); err != nil {
		t.Errorf("agentError(nil) = %v", err)
	}
}

// writeConfig writes the configuration of an agent and the file of its gateway's authority.
func writeConfig(t *testing.T, port int, ca []byte) string {
	t.Helper()
	dir := t.TempDir()
	caFile := filepath.Join(dir, "ca.pem")
	module := filepath.Join(dir, "module.so")
	file := filepath.Join(dir, "agent.yaml")
	text := fmt.Sprintf("port: %d\nmodule: %s\ngateways:\n  - name: authgw\n    origin: https://a.example.test\n    card: https://b.example.test\n    ca: %s\npin:\n  dialog: page\n", port, module, caFile)
	for name, data := range map[string][]byte{caFile: ca, module: []byte("x"), file: []byte(text)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func caPEM(t *testing.T) []byte {
	_, _, cert := newCard(t)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func TestServeSaysWhenThePortIsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	code, _, stderr := run(t.Context(), "", "serve", "--config", writeConfig(t, port, caPEM(t)))
	if want := fmt.Sprintf("127.0.0.1:%d is taken", port); code != cli.ExitFailed || !strings.Contains(stderr, want) {
		t.Errorf("serve = %d %q, want 1 and %q", code, stderr, want)
	}
}

// printed is an output that tells of each line.
type printed struct {
	bytes.Buffer
	tell func()
}

func (p *printed) Write(b []byte) (int, error) {
	defer p.tell()
	return p.Buffer.Write(b)
}

func TestServePrintsItsAddressAndEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, errs := printed{tell: cancel}, bytes.Buffer{}
	args := []string{"serve", "--config", writeConfig(t, 0, caPEM(t))}
	code := cli.Run(ctx, "cardagent", about, commands(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	if code != cli.ExitOK || !strings.HasPrefix(out.String(), "cardagent listens on http://127.0.0.1:") {
		t.Errorf("serve = %d %q %q, want 0 and its address", code, out.String(), errs.String())
	}
}

// A1: a file of authorities without one stops the start; it never means those of the system.
func TestServeA1RefusesAnUnusableCAFile(t *testing.T) {
	for name, ca := range map[string][]byte{
		"empty":     {},
		"garbage":   []byte("not a certificate"),
		"truncated": []byte("-----BEGIN CERTIFICATE-----\nMIIB\n"),
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := run(t.Context(), "", "serve", "--config", writeConfig(t, 0, ca))
			if code != cli.ExitFailed || !strings.Contains(stderr, "ca.pem") {
				t.Errorf("serve = %d %q, want 1 and the file", code, stderr)
			}
		})
	}
}

func TestCommandsThatCannotBeUnderstood(t *testing.T) {
	for _, args := range [][]string{{"serve"}, {"serve", "x"}, {"list", "x"}, {hostName}, {"sign-test", "--token", "x"}} {
		if code, _, stderr := run(t.Context(), "", args...); code != cli.ExitUsage || !strings.Contains(stderr, "usage: cardagent") {
			t.Errorf("%v = %d %q, want 2 and the usage", args, code, stderr)
		}
	}
	if _, stdout, _ := run(t.Context(), "", "--help"); strings.Contains(stdout, hostName) {
		t.Error("the help lists the hidden command")
	}
}
