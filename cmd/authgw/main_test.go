package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"promess/authgw/internal/testpki"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"authgw": main})
}

// TestScripts runs the transcripts of testdata/script. Each starts in a directory as an operator installs it, see setup.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setup,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": status,
			"ready":  ready,
			"shows":  shows,
			"hangup": hangup,
			"taken":  taken,
			"sql":    changeDatabase,
			"keep":   keep,
		},
	})
}

// status runs a program and wants its exit status: status 2 authgw …
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE PROGRAM [ARGUMENT]…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// ready waits until the gateway of the script says on its admin listener that it is: ready. It is given a second, as the issue asks,
// and more on a machine that does other things too.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: ready")
	}
	client := http.Client{Timeout: time.Second}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		answer, err := client.Get("http://" + ts.Getenv("ADMIN") + "/readyz")
		if err != nil {
			continue
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
	}
	ts.Fatalf("not ready after 20 seconds")
}

// hangup sends SIGHUP to the programs in the background.
func hangup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: hangup")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGHUP))
	}
}

// shows waits until what the admin listener answers fits an expression: shows PATH EXPRESSION
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shows PATH EXPRESSION")
	}
	want, err := regexp.Compile(args[1])
	ts.Check(err)
	client := http.Client{Timeout: time.Second}
	var last string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		answer, err := client.Get("http://" + ts.Getenv("ADMIN") + args[0])
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		answer.Body.Close()
		if last = string(body); want.MatchString(last) {
			return
		}
	}
	ts.Fatalf("%s does not show %q after 20 seconds, but %q", args[0], args[1], last)
}

// taken listens on an address until the script ends: taken ADDRESS
func taken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: taken ADDRESS")
	}
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

// changeDatabase runs a statement on a SQLite file, behind the back of the gateway: sql FILE STATEMENT
func changeDatabase(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(args[1])
	ts.Check(err)
}

// keep sets a variable to what an expression finds in the last standard output: keep NAME EXPRESSION
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME EXPRESSION")
	}
	what, err := regexp.Compile(args[1])
	ts.Check(err)
	found := what.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("standard output has no %q", args[1])
	}
	ts.Setenv(args[0], found[1])
}

var (
	hierarchy = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{}) })
	// The cards of these scripts sign nothing: one key, on a curve, is enough.
	cardKey = sync.OnceValues(func() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
)

// setup writes authorities (trust/), revocation lists (crl/), a server certificate (server.pem, server.key), cards (cards/), and a
// configuration (authgw.yaml) that is right. $LISTEN and $ADMIN are its addresses.
func setup(env *testscript.Env) error {
	p, err := hierarchy()
	if err != nil {
		return err
	}
	for _, dir := range []string{"trust", "crl", "cards", "empty"} {
		if err := os.MkdirAll(filepath.Join(env.WorkDir, dir), 0o700); err != nil {
			return err
		}
	}
	if err := p.WriteTrust(filepath.Join(env.WorkDir, "trust")); err != nil {
		return err
	}
	revoked, err := writeCards(p, filepath.Join(env.WorkDir, "cards"))
	if err != nil {
		return err
	}
	lists, err := p.WriteCRLs(filepath.Join(env.WorkDir, "crl"), revoked)
	if err != nil {
		return err
	}
	return writeGateway(env, p, lists)
}

// writeCards writes cards of every kind, PEM and DER, and returns the one to revoke.
func writeCards(p *testpki.PKI, dir string) (revoked *x509.Certificate, err error) {
	key, err := cardKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for name, c := range map[string]testpki.Card{
		"good":     {Profession: 10},
		"employee": {Kind: testpki.CPE},
		"revoked":  {},
		"expired":  {NotBefore: now.AddDate(-3, 0, 0), NotAfter: now.AddDate(0, 0, -1)},
		"early":    {NotBefore: now.AddDate(0, 0, 1)},
		"test":     {Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0x80) }},
		"software": {Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0x03) }},
		"service":  {Pseudonym: "ACCUEIL"},
		"foreign":  {Issuer: p.FortOrganisations},
	} {
		cert, err := p.Authentication(c, key.Public())
		if err != nil {
			return nil, err
		}
		if name == "revoked" {
			revoked = cert
		}
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), testpki.CertificatePEM(cert), 0o600); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".der"), cert.Raw, 0o600); err != nil {
			return nil, err
		}
	}
	cert, err := p.Signature(testpki.Card{}, key.Public())
	if err != nil {
		return nil, err
	}
	return revoked, os.WriteFile(filepath.Join(dir, "signature.pem"), testpki.CertificatePEM(cert), 0o600)
}

func writeGateway(env *testscript.Env, p *testpki.PKI, lists []string) error {
	cert, err := p.ServerCertificate("*.example.test")
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return err
	}
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	admin, err := freeAddress()
	if err != nil {
		return err
	}
	env.Setenv("LISTEN", listen)
	env.Setenv("ADMIN", admin)
	var crls strings.Builder
	for _, file := range lists {
		fmt.Fprintf(&crls, "    - crl/%s\n", filepath.Base(file))
	}
	for name, data := range map[string][]byte{
		"server.pem": testpki.CertificatePEM(cert.Leaf),
		"server.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"authgw.yaml": fmt.Appendf(nil, `listen: %s
admin: %s
hosts:
  auth: auth.example.test
  card: card.example.test
tls:
  - cert: server.pem
    key: server.key
card:
  trust: trust
  crls:
%sservices:
  - name: mail
    host: mail.example.test
    backend: http://127.0.0.1:9
    title: Messagerie
database: authgw.db
`, listen, admin, crls.String()),
	} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// freeAddress returns an address that nothing listened on a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
