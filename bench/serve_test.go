// Package bench measures the gateway as a whole: the program as it is shipped, from outside.
package bench

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/testpki"
)

// BenchmarkServe starts 'authgw serve' as an operator does, each time with a new database, and reports
//
//	ready-ms   from the start of the process to the first answer of /readyz that says ready
//	idle-MB    its resident memory (VmRSS) when it has been idle for a second
func BenchmarkServe(b *testing.B) {
	dir := b.TempDir()
	program := filepath.Join(dir, "authgw")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "promess/authgw/cmd/authgw")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	config, admin := configure(b, dir)

	var ready time.Duration
	var memory int
	runs := 0
	for b.Loop() {
		os.Remove(filepath.Join(dir, "authgw.db"))
		d, kib := serveOnce(b, program, config, admin)
		ready += d
		memory = max(memory, kib)
		runs++
	}
	b.ReportMetric(float64(ready.Milliseconds())/float64(runs), "ready-ms")
	b.ReportMetric(float64(memory)/1024, "idle-MB")
	b.ReportMetric(0, "ns/op") // a second of it is idling
}

// serveOnce starts the program, waits until it is ready and then idle, and ends it.
func serveOnce(b *testing.B, program, config, admin string) (ready time.Duration, kib int) {
	b.Helper()
	cmd := exec.Command(program, "serve", "--config", config)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt) // fails when it has ended
		_ = cmd.Wait()
	}()
	client := &http.Client{Timeout: time.Second}
	for deadline := start.Add(30 * time.Second); ; {
		answer, err := client.Get("http://" + admin + "/readyz")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			b.Fatalf("not ready after 30 s: %v", err)
		}
		time.Sleep(2 * time.Millisecond) // between two looks
	}
	ready = time.Since(start)
	time.Sleep(time.Second) // idle
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err = strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return ready, kib
}

// configure writes what an operator installs, and returns the configuration file and the address of the admin listener.
func configure(b *testing.B, dir string) (file, admin string) {
	b.Helper()
	pki, err := testpki.New(testpki.Config{})
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range []string{"trust", "crl"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	if err := pki.WriteTrust(filepath.Join(dir, "trust")); err != nil {
		b.Fatal(err)
	}
	lists, err := pki.WriteCRLs(filepath.Join(dir, "crl"))
	if err != nil {
		b.Fatal(err)
	}
	cert, err := pki.ServerCertificate("*.promess.test")
	if err != nil {
		b.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		b.Fatal(err)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	write("server.crt", testpki.CertificatePEM(cert.Leaf))
	write("server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	write("authgw.yaml", fmt.Appendf(nil, `
listen: %s
admin: %s
hosts: {auth: auth.promess.test, card: card.promess.test}
tls: [{cert: server.crt, key: server.key}]
card: {trust: trust, crls: ["%s"]}
services: [{name: mail, host: mail.promess.test, backend: "http://127.0.0.1:9", title: Mail}]
database: authgw.db
`, addresses[0], addresses[1], strings.Join(lists, `", "`)))
	return filepath.Join(dir, "authgw.yaml"), addresses[1]
}
