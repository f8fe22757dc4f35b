package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/password"
)

const (
	floodRate    = 200 // wrong logins a second
	visitRate    = 200 // requests of open sessions a second
	floodPersons = 10_000
	floodRounds  = 10 // of a quiet window and one of flood
	floodWindow  = 3 * time.Second
)

// BenchmarkFlood starts 'authgw serve' on a database with 10,000 persons who have a password and an open session, sends requests of the
// sessions through it to a service, and in every second window 200 wrong logins a second beside them. Both come by chance (a Poisson process),
// as people do. Quiet and flood take turns, so that what else the machine does falls on both. Each of the 200 names another person than the
// one before; first they come from 200 network addresses, so that nearly nobody is held up, and each password is to be compared; then the
// same with a TLS connection for each; then from one address, which is soon made to wait. Those who use sessions, the service and the gateway share the processors; the attacker is a process that
// takes what they leave. It reports
//
//	quiet-p99-ms, flood-p99-ms   of the requests of open sessions, over all windows of a kind; p50 likewise
//	ratio                        of the two p99
//	compared/s, busy/s, held/s   what became of the wrong logins: 422, 503, 429
//
// "no flood" says what the machine itself does to the same requests when its processors are busy: in the place of wrong logins, a process
// that has nothing to do with the gateway computes with what others leave.
func BenchmarkFlood(b *testing.B) {
	for name, attack := range map[string]target{
		"200 addresses": {Sources: 200}, "200 addresses, each time anew": {Sources: 200, Anew: true}, "one address": {Sources: 1}, "no flood": {},
	} {
		b.Run(name, func(b *testing.B) { flood(b, attack) })
	}
}

func flood(b *testing.B, attack target) {
	dir := b.TempDir()
	program := build(b, dir)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer backend.Close()
	w := configure(b, dir, backend.URL, "seal_keys: seal.keys\n")
	secret := make([]byte, 32)
	rand.Read(secret)
	if err := os.WriteFile(filepath.Join(dir, "seal.keys"), []byte("k1 "+base64.StdEncoding.EncodeToString(secret)+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	name := filepath.Join(dir, "authgw.db")
	cookies := fillSessions(b, name, floodPersons)
	fillPasswords(b, name)
	_, _, stop := start(b, program, w)
	defer stop()
	time.Sleep(2 * time.Second) // idle, and for two looks at what others have changed: before the first nothing is kept
	w.visit(b, cookies, 1)

	v, a := newVisitor(b, w, cookies), newAttacker(b, w, attack)
	defer v.client.CloseIdleConnections()
	for b.Loop() {
		v.window(floodWindow, nil) // connections are open, code is warm
		var quiet, loud []time.Duration
		for range floodRounds {
			quiet = append(quiet, v.window(floodWindow, nil)...)
			loud = append(loud, v.window(floodWindow, a)...)
		}
		if v.failed != nil {
			b.Fatal(v.failed)
		}
		q, l := percentile(quiet, 0.99), percentile(loud, 0.99)
		b.ReportMetric(percentile(quiet, 0.5), "quiet-p50-ms")
		b.ReportMetric(percentile(loud, 0.5), "flood-p50-ms")
		b.ReportMetric(q, "quiet-p99-ms")
		b.ReportMetric(l, "flood-p99-ms")
		b.ReportMetric(l/q, "ratio")
		a.report(b)
	}
	b.ReportMetric(0, "ns/op")
}

// fillPasswords gives each person a password: one, so that making them takes no hours.
func fillPasswords(b *testing.B, name string) {
	b.Helper()
	h, err := password.NewHasher(password.Default, 0)
	if err != nil {
		b.Fatal(err)
	}
	hash, err := h.Hash(b.Context(), "correct horse battery staple")
	if err != nil {
		b.Fatal(err)
	}
	change(b, name, `INSERT INTO factors (id, subject, kind, label, acr, secret, external_id, counter, created_at)
		SELECT 'f-' || subject, subject, 'password', '', 'eidas2', ?1, '', 0, ?2 FROM accounts`, hash, time.Now().UnixMilli())
}

// percentile returns one of some durations in milliseconds.
func percentile(all []time.Duration, at float64) float64 {
	slices.Sort(all)
	return float64(all[min(int(at*float64(len(all))), len(all)-1)]) / float64(time.Millisecond)
}

// transport connects to the gateway.
func (w *installation) transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, w.listen)
		},
		TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots()}, MaxIdleConnsPerHost: 2 * floodRate,
	}
}

// paced calls f as often as d has room for calls at a rate a second, at moments that chance chooses, each time on another goroutine, and
// returns when all have returned.
func paced(rate int, d time.Duration, f func(n int)) {
	var all sync.WaitGroup
	defer all.Wait()
	began, due := time.Now(), 0.0 // seconds since
	for n := range int(d.Seconds() * float64(rate)) {
		due += mathrand.ExpFloat64() / float64(rate)
		time.Sleep(time.Duration(due*float64(time.Second)) - time.Since(began))
		all.Go(func() { f(n) })
	}
}

// visitor uses sessions.
type visitor struct {
	b       *testing.B
	client  *http.Client
	cookies [][len(hosts)]string
	failed  error
}

func newVisitor(b *testing.B, w *installation, cookies [][len(hosts)]string) *visitor {
	return &visitor{b: b, client: &http.Client{Transport: w.transport(), Timeout: time.Minute}, cookies: cookies}
}

// window uses sessions for some time, beside an attacker if there is one, and returns how long each request took. It ends when nothing of the
// flood is being worked at any more.
func (v *visitor) window(d time.Duration, a *attacker) []time.Duration {
	var beside sync.WaitGroup
	defer beside.Wait()
	var mu sync.Mutex
	var took []time.Duration
	if a != nil {
		beside.Go(func() {
			if err := a.window(d); err != nil {
				mu.Lock()
				defer mu.Unlock()
				v.failed = err
			}
		})
	}
	paced(visitRate, d, func(int) {
		cookie := v.cookies[mathrand.IntN(len(v.cookies))][1]
		began := time.Now()
		err := use(v.b.Context(), v.client, "https://"+hosts[1].name+hosts[1].path, cookie, hosts[1].status)
		spent := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		took = append(took, spent)
		if err != nil {
			v.failed = err
		}
	})
	return took
}

// report says what became of the wrong logins, and fails when some were not answered as one is.
func (a *attacker) report(b *testing.B) {
	seconds := floodRounds * floodWindow.Seconds()
	known := 0
	for status, unit := range map[int]string{http.StatusUnprocessableEntity: "compared/s", http.StatusServiceUnavailable: "busy/s", http.StatusTooManyRequests: "held/s"} {
		b.ReportMetric(float64(a.answers[status])/seconds, unit)
		known += a.answers[status]
	}
	if sent := int(seconds * floodRate); a.sources > 0 && known != sent {
		b.Fatalf("%d wrong logins were answered as such, of %d: %v", known, sent, a.answers)
	}
}
