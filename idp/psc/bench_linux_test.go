package psc_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"promess/authgw/idp/psc"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
	"promess/authgw/internal/testpki"
)

// standInVariable makes the test program a stand-in, so that its work is not that of the gateway's process.
const standInVariable = "AUTHGW_TEST_PSC_STAND_IN"

// standIn serves until its input ends. It says where, and whom to trust.
func standIn() error {
	pki, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		return err
	}
	cert, err := pki.ServerCertificate("127.0.0.1")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	at := "https://" + l.Addr().String()
	p, err := pscstub.New(pscstub.Config{
		Issuer: at + pscstub.Path, Wallet: at + pscstub.WalletPath,
		Clients: []pscstub.Client{{ID: clientID, Secret: secret, RedirectURIs: []string{auth + psc.CallbackPath}}},
	})
	if err != nil {
		return err
	}
	s := &http.Server{Handler: p, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: log.New(io.Discard, "", 0)}
	go s.ServeTLS(l, "", "") // ends with the process
	fmt.Printf("%s\n%s\n", at, testpki.CertificatePEM(pki.Server.Certificate))
	os.Stdout.Close()
	io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

// handlers is the auth host without its listener, and a browser that PSC knows.
type handlers struct {
	host    http.Handler
	browser *http.Client
}

var action = regexp.MustCompile(`<form method="post" action="([^"]+)"`)

// begin presses the button and comes back from PSC, which is not counted.
func (h *handlers) begin(tb testing.TB) (address string, cookies []*http.Cookie, spent time.Duration) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, auth+"/login/psc", nil)
	r.RemoteAddr = fmt.Sprintf("[2001:db8:%x:%x::1]:443", rand.N(1<<16), rand.N(1<<16)) // one network may not begin so many
	answer := httptest.NewRecorder()
	before := cpu(tb)
	h.host.ServeHTTP(answer, r)
	spent = cpu(tb) - before
	address = answer.Header().Get("Location")
	for range 5 {
		if strings.HasPrefix(address, auth) {
			return address, answer.Result().Cookies(), spent
		}
		got, err := h.browser.Get(address)
		if err != nil {
			tb.Fatal(err)
		}
		page, _ := io.ReadAll(io.LimitReader(got.Body, 1<<20))
		got.Body.Close()
		if found := action.FindSubmatch(page); found != nil {
			to, err := got.Request.URL.Parse(string(found[1]))
			if err != nil {
				tb.Fatal(err)
			}
			if got, err = h.browser.PostForm(to.String(), url.Values{"person": {pscstub.Doctor}}); err != nil {
				tb.Fatal(err)
			}
			got.Body.Close()
		}
		to, err := got.Request.URL.Parse(got.Header.Get("Location"))
		if err != nil {
			tb.Fatal(err)
		}
		address = to.String()
	}
	tb.Fatalf("PSC sends the browser to %q", address)
	return "", nil, 0
}

// finish opens the return, and wants a session.
func (h *handlers) finish(tb testing.TB, address string, cookies []*http.Cookie) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, address, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	answer := httptest.NewRecorder()
	h.host.ServeHTTP(answer, r)
	if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "/" {
		tb.Fatalf("callback = %d %s", answer.Code, answer.Body)
	}
}

// cpu returns the CPU time that the process has used.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLogin is the gateway's work of a login: the button, the return, the token and userinfo requests over TLS, the checks, account,
// audit and session, in a database that is a file. The stand-in is another process, and the browser's way there is not counted. What the
// issue bounds, at 3 ms, is cpu-mean, user and system, of the whole process.
func BenchmarkLogin(b *testing.B) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), standInVariable+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	lines := bufio.NewReader(out)
	at, err := lines.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	trusted, err := io.ReadAll(lines)
	block, _ := pem.Decode(trusted)
	if err != nil || block == nil {
		b.Fatal("no certificate", err)
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	at = strings.TrimSpace(at)
	// The world's own stand-in is only there to be replaced.
	w := newWorld(b, func(c *psc.Config) {
		c.Issuer, c.Hosts, c.Roots = at+pscstub.Path, []string{strings.TrimPrefix(at, "https://")}, roots
	})
	h := newHandlers(b, w, roots)
	var spent []time.Duration
	var all time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		address, cookies, begun := h.begin(b)
		b.StartTimer()
		before := cpu(b)
		h.finish(b, address, cookies)
		spent = append(spent, begun+cpu(b)-before)
		all += spent[len(spent)-1]
	}
	slices.Sort(spent)
	b.ReportMetric(float64(all.Microseconds())/float64(len(spent)), "cpu-mean-µs")
	b.ReportMetric(float64(spent[len(spent)/2].Microseconds()), "cpu-p50-µs")
	b.ReportMetric(float64(spent[len(spent)*99/100].Microseconds()), "cpu-p99-µs")
}

func newHandlers(tb testing.TB, w *world, roots *x509.CertPool) *handlers {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	tb.Cleanup(transport.CloseIdleConnections)
	return &handlers{host: w.idp.Handler(w.method), browser: &http.Client{
		Transport: transport, Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// openMany opens sessions that are all due, whose persons were all active.
func openMany(tb testing.TB, w *world, n int) {
	tb.Helper()
	h := newHandlers(tb, w, w.psc.Roots())
	for range n {
		address, cookies, _ := h.begin(tb)
		h.finish(tb, address, cookies)
	}
	makeAllDue(tb, w, n)
}

func makeAllDue(tb testing.TB, w *world, n int) {
	tb.Helper()
	account, err := w.store.AccountByNationalID(tb.Context(), "RPPS", "899700218896")
	if err != nil {
		tb.Fatal(err)
	}
	ids, err := w.store.PSCSessionsOf(tb.Context(), w.method.Issuer, "", pscstub.People()[0].Sub)
	if err != nil || len(ids) != n {
		tb.Fatalf("%d sessions of %s (%v), want %d", len(ids), account.Subject, err, n)
	}
	w.advance(time.Second)
	for _, id := range ids {
		if err := w.store.TouchSession(tb.Context(), id, w.now()); err != nil {
			tb.Fatal(err)
		}
		if err := w.store.PostponePSC(tb.Context(), id, w.now()); err != nil {
			tb.Fatal(err)
		}
	}
}

// renewAll renews what is due until nothing is.
func renewAll(tb testing.TB, w *world) (done int) {
	tb.Helper()
	for {
		n, err := w.method.RenewDue(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		if n == 0 {
			return done
		}
		done += n
	}
}

func TestManySessionsAreRenewedByAFewConnections(t *testing.T) {
	w := newWorld(t)
	const sessions = 120
	openMany(t, w, sessions)
	if n := renewAll(t, w); n != sessions {
		t.Errorf("%d were renewed, want %d", n, sessions)
	}
	if peak := w.psc.Peak(psctest.Refresh); peak > 4 {
		t.Errorf("%d at once, want at most 4", peak)
	}
	if got := w.ended(t); len(got) != 0 {
		t.Errorf("%d sessions were ended", len(got))
	}
}

// BenchmarkThousandSessions renews 1,000 sessions that are all due at once, as after an interruption, the stand-in's work included. peak
// is how many requests were answered at the same time.
func BenchmarkThousandSessions(b *testing.B) {
	const sessions = 1000
	w := newWorld(b)
	openMany(b, w, sessions)
	first := true
	for b.Loop() {
		if !first {
			b.StopTimer()
			makeAllDue(b, w, sessions)
			b.StartTimer()
		}
		first = false
		if n := renewAll(b, w); n != sessions {
			b.Fatalf("%d were renewed", n)
		}
	}
	b.ReportMetric(float64(w.psc.Peak(psctest.Refresh)), "peak")
}
