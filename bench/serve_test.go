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
	"sync"
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
	program := build(b, dir)
	w := configure(b, dir, "http://127.0.0.1:9")

	var ready time.Duration
	var memory int
	runs := 0
	for b.Loop() {
		os.Remove(filepath.Join(dir, "authgw.db"))
		d, kib := serveOnce(b, program, w)
		ready += d
		memory = max(memory, kib)
		runs++
	}
	b.ReportMetric(float64(ready.Milliseconds())/float64(runs), "ready-ms")
	b.ReportMetric(float64(memory)/1024, "idle-MB")
	b.ReportMetric(0, "ns/op") // a second of it is idling
}

// build makes the program as it is shipped.
func build(b *testing.B, dir string) string {
	b.Helper()
	program := filepath.Join(dir, "authgw")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, "promess/authgw/cmd/authgw")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// serveOnce starts the program, waits until it is ready and then idle, and ends it.
func serveOnce(b *testing.B, program string, w *installation) (ready time.Duration, kib int) {
	b.Helper()
	process, ready, stop := start(b, program, w)
	defer stop()
	time.Sleep(time.Second) // idle
	return ready, memory(b, process, "VmRSS")
}

// start starts the program and waits until it is ready. stop ends it.
func start(b *testing.B, program string, w *installation) (process int, ready time.Duration, stop func()) {
	b.Helper()
	cmd := exec.Command(program, "serve", "--config", w.config)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt) // fails when it has ended
		_ = cmd.Wait()
	})
	b.Cleanup(stop)
	client := &http.Client{Timeout: time.Second}
	for deadline := start.Add(30 * time.Second); ; {
		answer, err := client.Get("http://" + w.admin + "/readyz")
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
	return cmd.Process.Pid, time.Since(start), stop
}

// memory reads a figure of a process's memory in KiB: VmRSS is what it holds, VmHWM the most that it ever has.
func memory(b *testing.B, process int, figure string) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, figure+":"); ok {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				b.Fatal(err)
			}
			return kib
		}
	}
	b.Fatalf("the process has no %s", figure)
	return 0
}

// installation is what an operator installs.
type installation struct {
	config, listen, admin string // a file, and addresses
	pki                   *testpki.PKI
}

// configure writes an installation with one service, and more lines of its configuration.
func configure(b *testing.B, dir, backend string, more ...string) *installation {
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
services: [{name: mail, host: mail.promess.test, backend: "%s", title: Mail}]
database: authgw.db
%s`, addresses[0], addresses[1], strings.Join(lists, `", "`), backend, strings.Join(more, "")))
	return &installation{filepath.Join(dir, "authgw.yaml"), addresses[0], addresses[1], pki}
}
