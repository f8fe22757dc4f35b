// Package idptest has an auth host for the tests of login methods: on a real listener with TLS, with a store, an audit trail and a clock that
// the test moves, and the browsers of persons. Who somebody is, it believes.
//
// A World is safe for concurrent use; a Browser is used by one goroutine.
package idptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/vhost"
	"promess/authgw/internal/web"
)

// The auth host.
const (
	Host   = "auth.example.test"
	Origin = "https://" + Host
)

// Noon is when tests begin.
func Noon() time.Time { return time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC) }

// World is an auth host.
type World struct {
	Server *idp.Server
	Store  *store.Store
	Log    *slog.Logger

	Handler http.Handler // of the auth host, for who needs no listener

	pki     *testpki.PKI
	address string
	written output
	trail   output

	mu    sync.Mutex
	at    time.Time
	proof idp.Proof
}

var hierarchy = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true, Now: Noon}) })

// New returns a world whose methods are those that the test makes from it, beside one that takes its word: POST /login/believed.
func New(t testing.TB, methods func(*World) []idp.Method) *World {
	t.Helper()
	w := &World{at: Noon()}
	var err error
	if w.pki, err = hierarchy(); err != nil {
		t.Fatal(err)
	}
	w.Log = slog.New(slog.NewTextHandler(&w.written, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.Store, err = store.Open(t.Context(), store.Config{Name: filepath.Join(t.TempDir(), "authgw.db"), Log: w.Log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Store.Close() })
	site := web.Site{Name: "ProMess", Log: w.Log}
	pages, err := web.NewPages(site)
	if err != nil {
		t.Fatal(err)
	}
	sessions := idp.NewSessions(idp.SessionsConfig{Store: w.Store, Idle: 30 * time.Minute, Absolute: 4 * time.Hour, Now: w.Now})
	w.Server, err = idp.New(idp.Config{
		Host: Host, Origin: Origin, Services: []idp.Service{{Name: "mail", Host: "mail.example.test", Origin: "https://mail.example.test", Title: "Messagerie", Home: "/"}},
		Sessions: sessions, Store: w.Store, Audit: audit.New(&w.trail, w.Now), Pages: pages, ServicePages: pages, Log: w.Log, Now: w.Now, CreateAccounts: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Believe(idp.Proof{
		Method: "card", ACR: idp.ACRHardware, AMR: []string{"sc", "pin", "mfa"}, IDType: "RPPS", NationalID: "899700218896", GivenName: "JEANNE",
		FamilyName: "MARTIN", Profession: "10", CardType: "CPS",
	})
	w.serve(t, append([]idp.Method{believer{w}}, methods(w)...))
	return w
}

func (w *World) serve(t testing.TB, methods []idp.Method) {
	t.Helper()
	cert, err := w.pki.ServerCertificate(Host)
	if err != nil {
		t.Fatal(err)
	}
	w.Handler = w.Server.Handler(methods...)
	server, err := vhost.New(vhost.Config{
		Hosts: []vhost.Host{{Name: Host, Handler: w.Handler}}, Certificates: []tls.Certificate{cert}, PublicPort: 443, Log: w.Log,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l, time.Second) }() // ends with cancel
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

// Now is the time of the world.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// Advance lets time pass.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// Believe says who signs in from now on.
func (w *World) Believe(p idp.Proof) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proof = p
}

// Proof is whom the world believes.
func (w *World) Proof() idp.Proof {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.proof
	p.Time = w.at
	return p
}

// Events returns the audit events of a kind.
func (w *World) Events(t testing.TB, kind audit.Kind) []audit.Event {
	t.Helper()
	var all []audit.Event
	for line := range strings.Lines(w.trail.String()) {
		var e audit.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// Written is everything that went to the log and the audit trail.
func (w *World) Written() string { return w.written.String() + w.trail.String() }

// believer is a method that takes the word of the test.
type believer struct{ w *World }

func (b believer) Name() string { return "card" }

func (b believer) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /login/believed", func(w http.ResponseWriter, r *http.Request) { b.w.Server.Succeed(w, r, b.w.Proof()) })
}

// output keeps what is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Browser is a person's browser, at a network address of loopback.
type Browser struct {
	t      testing.TB
	jar    *cookiejar.Jar
	Client *http.Client
}

// Browser returns a new one at an address such as 127.0.0.2.
func (w *World) Browser(t testing.TB, at string) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(at)}}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return from.DialContext(ctx, network, w.address)
		},
		TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots(), Time: Noon},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{t: t, jar: jar, Client: &http.Client{
		Transport: transport, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Answer is what a browser got.
type Answer struct {
	Status   int
	Header   http.Header
	Body     string
	Location string // path
}

// Do sends a request of the host's own page; the headers come in pairs.
func (b *Browser) Do(method, path, kind, body string, headers ...string) Answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, Origin+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8") // as for a page
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got, err := b.Client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer got.Body.Close()
	data, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return Answer{got.StatusCode, got.Header, string(data), strings.TrimPrefix(got.Header.Get("Location"), Origin)}
}

// Get asks for a page.
func (b *Browser) Get(path string) Answer {
	b.t.Helper()
	return b.Do(http.MethodGet, path, "", "")
}

// Post sends a form; the fields come in pairs.
func (b *Browser) Post(path string, fields ...string) Answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.Do(http.MethodPost, path, "application/x-www-form-urlencoded", form.Encode())
}

// Ask sends a JSON object and reads one.
func (b *Browser) Ask(path string, in, out any) (status int) {
	b.t.Helper()
	data, err := json.Marshal(in)
	if err != nil {
		b.t.Fatal(err)
	}
	got := b.Do(http.MethodPost, path, "application/json", string(data))
	if out != nil {
		if err := json.Unmarshal([]byte(got.Body), out); err != nil {
			b.t.Fatalf("%s = %d %s: %v", path, got.Status, got.Body, err)
		}
	}
	return got.Status
}

// LogIn signs in whom the world believes, and wants it to work.
func (b *Browser) LogIn() {
	b.t.Helper()
	if got := b.Post("/login/believed"); got.Status != http.StatusSeeOther {
		b.t.Fatalf("login = %d %s", got.Status, got.Body)
	}
}

// SignedIn says whether the browser has an open session.
func (b *Browser) SignedIn() bool {
	b.t.Helper()
	return b.Get("/").Status == http.StatusOK
}

// Cookie returns the value of a cookie; empty when there is none.
func (b *Browser) Cookie(name string) string {
	for _, c := range b.jar.Cookies(&url.URL{Scheme: "https", Host: Host, Path: "/"}) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// SetCookie sets a cookie.
func (b *Browser) SetCookie(name, value string) {
	b.jar.SetCookies(&url.URL{Scheme: "https", Host: Host, Path: "/"}, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// Session returns the browser's session.
func (w *World) Session(t testing.TB, b *Browser) store.Session {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, Origin+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "__Host-authgw", Value: b.Cookie("__Host-authgw")})
	v, err := w.Server.Sessions.Find(r, Host)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
