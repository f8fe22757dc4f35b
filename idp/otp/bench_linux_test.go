package otp_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"promess/authgw/idp/otp"
	"promess/authgw/internal/password"
	"promess/authgw/internal/store"
)

// BenchmarkLogin is the gateway's work of a login with a password and the code of an app, behind the TLS connection: the password taken, the
// page that asks for the code, the code taken, the session opened. The database is that of production: a file, write-ahead log, synchronous.
//
// Argon2id is meant to be dear, and is measured apart: argon2-ms is the CPU of a process that does nothing else, for one comparison. In the
// login another process computes it, as in production. beside-p50 and -p99 are user and system time of the thread that does the rest,
// which the issue bounds at 1 ms.
func BenchmarkLogin(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	here, err := password.NewHasher(password.Default, 1)
	if err != nil {
		b.Fatal(err)
	}
	apart, err := password.NewHasher(password.Default, 1, self, serveWord)
	if err != nil {
		b.Fatal(err)
	}
	w := newWorldWith(b, func(c *otp.Config) { c.Hasher, c.MailCode = apart, false })
	w.setPassword(b)
	key := w.addApp(b, "")
	handler := w.idp.Handler(otp.New(w.config))
	hash := w.factors(b, store.Password)[0].Secret

	const comparisons = 50
	argon2 := -cpu(b, syscall.RUSAGE_SELF)
	for range comparisons {
		if ok, err := here.Verify(b.Context(), hash, secret); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
	argon2 += cpu(b, syscall.RUSAGE_SELF)
	runtime.GC()

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var spent []time.Duration
	for b.Loop() {
		b.StopTimer()
		w.advance(time.Minute)
		code := oathtool(b, key, w.now())
		b.StartTimer()
		thread := cpu(b, syscall.RUSAGE_THREAD)
		signIn(b, handler, code)
		spent = append(spent, cpu(b, syscall.RUSAGE_THREAD)-thread)
	}
	slices.Sort(spent)
	b.ReportMetric(argon2.Seconds()*1000/comparisons, "argon2-ms")
	b.ReportMetric(micros(spent[len(spent)/2]), "beside-p50-µs")
	b.ReportMetric(micros(spent[len(spent)*99/100]), "beside-p99-µs")
}

// serveWord makes the tests' program the one that computes hashes.
const serveWord = "serve-hashes"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serveWord {
		if password.Serve(os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// cpu returns the CPU time that the process, or this thread of it, has used.
func cpu(b *testing.B, who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// signIn is a login of the person at a new browser, of an address of its own: one may not begin so many.
func signIn(b *testing.B, handler http.Handler, code string) {
	network := rand.Uint32()
	source := fmt.Sprintf("[2001:db8:%x:%x::1]:443", network>>16, network&0xffff)
	cookies := map[string]*http.Cookie{}
	send := func(method, path string, form url.Values, location string) {
		r := httptest.NewRequest(method, "https://auth.example.test"+path, strings.NewReader(form.Encode()))
		r.RemoteAddr = source
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		for _, c := range cookies {
			r.AddCookie(c)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		for _, c := range answer.Result().Cookies() {
			cookies[c.Name] = c
		}
		if answer.Header().Get("Location") != location {
			b.Fatalf("%s %s = %d to %q, want %q", method, path, answer.Code, answer.Header().Get("Location"), location)
		}
	}
	send(http.MethodPost, "/login/otp/password", url.Values{"identifier": {rpps}, "password": {secret}}, "/login/otp/code")
	send(http.MethodGet, "/login/otp/code", nil, "")
	send(http.MethodPost, "/login/otp/code/totp", url.Values{"code": {code}}, "/")
}
