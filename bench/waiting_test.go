package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// waitingLogins wait for a phone at once. A login waits for two minutes, so all must have begun before the first is over.
const waitingLogins = 10_000

// BenchmarkWaitingResident starts 'authgw serve' and has 10,000 browsers, each with a TLS connection of its own (HTTP/2), show a QR code and
// then follow what becomes of it. It reports
//
//	before-MB      resident memory (VmRSS) of the process before the first of them
//	connected-MB   the same when all show a code and none follows it: what as many open pages of any kind cost
//	resident-MB    the same while all follow
//	KB/waiting     the difference between the last two, for each
func BenchmarkWaitingResident(b *testing.B) {
	dir := b.TempDir()
	program := build(b, dir)
	w := configure(b, dir, "http://127.0.0.1:9", "seal_keys: seal.keys\nphone: {enabled: true}\n")
	secret := make([]byte, 32)
	rand.Read(secret)
	if err := os.WriteFile(filepath.Join(dir, "seal.keys"), []byte("k1 "+base64.StdEncoding.EncodeToString(secret)+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		process, _, stop := start(b, program, w)
		b.ReportMetric(float64(memory(b, process, "VmRSS"))/1024, "before-MB")
		began := time.Now()
		ctx, leave := context.WithCancel(b.Context())
		pages := make([]*waitingPage, waitingLogins)
		together(b, func(i int) (err error) { pages[i], err = w.show(ctx, i); return err })
		connected := memory(b, process, "VmRSS")
		together(b, func(i int) error { return pages[i].follow(ctx) })
		if took := time.Since(began); took > 100*time.Second {
			b.Fatalf("it took %s until all waited: the first may be over", took)
		}
		after := memory(b, process, "VmRSS")
		b.ReportMetric(float64(connected)/1024, "connected-MB")
		b.ReportMetric(float64(after)/1024, "resident-MB")
		b.ReportMetric(float64(after-connected)/waitingLogins, "KB/waiting")
		leave()
		stop()
	}
	b.ReportMetric(0, "ns/op") // most of it is ours
}

// together does something for each login, a few at once.
func together(b *testing.B, do func(i int) error) {
	b.Helper()
	var all errgroup.Group
	all.SetLimit(visitors)
	for i := range waitingLogins {
		all.Go(func() error { return do(i) })
	}
	if err := all.Wait(); err != nil {
		b.Fatal(err)
	}
}

// waitingPage is a browser that shows a code.
type waitingPage struct {
	client  *http.Client
	cookies []*http.Cookie
}

func (p *waitingPage) ask(ctx context.Context, method, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+hosts[0].name+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	return p.client.Do(r)
}

// show has a browser begin a login, from an address of its own.
func (w *installation) show(ctx context.Context, i int) (*waitingPage, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(1+i%250))}}
	p := &waitingPage{client: &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return d.DialContext(ctx, network, w.listen)
			},
			TLSClientConfig:   &tls.Config{RootCAs: w.pki.ServerRoots()},
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	begun, err := p.ask(ctx, http.MethodPost, "/login/qr")
	if err != nil {
		return nil, err
	}
	begun.Body.Close()
	if begun.StatusCode != http.StatusSeeOther {
		return nil, fmt.Errorf("begin = %d", begun.StatusCode)
	}
	p.cookies = begun.Cookies()
	return p, nil
}

// follow has it follow the login until ctx ends. It returns when the browser has been told that the code is shown.
func (p *waitingPage) follow(ctx context.Context) error {
	events, err := p.ask(ctx, http.MethodGet, "/login/qr/events")
	if err != nil {
		return err
	}
	if events.StatusCode != http.StatusOK || events.ProtoMajor != 2 {
		return fmt.Errorf("events = %d over %s", events.StatusCode, events.Proto)
	}
	context.AfterFunc(ctx, func() { events.Body.Close() })
	first, err := bufio.NewReaderSize(events.Body, 16).ReadString('\n')
	if err != nil || !strings.HasPrefix(first, "event: step") {
		return fmt.Errorf("told %q, %v", first, err)
	}
	return nil
}
