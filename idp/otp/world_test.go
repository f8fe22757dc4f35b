package otp_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/otp"
	"promess/authgw/idp/throttle"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/mailtest"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/password"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// The person of these tests.
const (
	rpps    = "899700218896"
	name    = "jeanne.m"
	box     = "Jeanne.Martin@hopital.mssante.fr"
	home    = "jeanne.martin@example.fr"
	secret  = "correct horse battery staple"
	another = "un autre mot de passe long"
)

// start is when all of this takes place.
func start() time.Time { return time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC) }

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// output keeps what is written, or fails.
type output struct {
	mu   sync.Mutex
	b    bytes.Buffer
	fail bool
}

func (o *output) breakDown() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = true
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail {
		return 0, errors.New("the disk is full")
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// believer is a card login that takes the word of the test for who somebody is, and at which level.
type believer struct {
	server *idp.Server
	acr    string
	now    func() time.Time
}

func (b *believer) Name() string { return "card" }

func (b *believer) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /login/card", func(w http.ResponseWriter, r *http.Request) {
		b.server.Succeed(w, r, idp.Proof{
			Method: "card", ACR: b.acr, AMR: []string{"sc", "pin", "mfa"}, Time: b.now(), IDType: "RPPS", NationalID: r.FormValue("id"),
			GivenName: "JEANNE", FamilyName: "MARTIN", CardType: "CPS",
		})
	})
}

// world is an auth host with the login on it, a database, and a mail server.
type world struct {
	*clock
	idp    *idp.Server
	store  *store.Store
	config otp.Config
	card   *believer
	mail   *mailtest.Server
	read   int // messages that the test has read
	keys   *seal.Keys
	audit  output
	log    output
	url    string
	client *http.Client
}

// mailPKI has the machine's clock, which TLS to the mail server goes by.
var mailPKI = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true}) })

// cheap is the least that a hash may cost.
var cheap = password.Params{Memory: 7 << 10, Time: 5, Threads: 1}

func sealKey(id string) string {
	k := make([]byte, 32)
	rand.Read(k)
	return id + " " + base64.StdEncoding.EncodeToString(k) + "\n"
}

func parseKeys(t testing.TB, file string) *seal.Keys {
	t.Helper()
	k, err := seal.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newWorld(t testing.TB) *world { return newWorldWith(t, func(*otp.Config) {}) }

func newWorldWith(t testing.TB, change func(*otp.Config)) *world {
	t.Helper()
	w := &world{clock: &clock{at: start()}, keys: parseKeys(t, sealKey("k1"))}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if w.store, err = store.Open(t.Context(), store.Config{Name: filepath.Join(t.TempDir(), "authgw.db"), Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	guard, err := throttle.New(w.store, w.keys.Derive("throttle"), w.now)
	if err != nil {
		t.Fatal(err)
	}
	hasher, err := password.NewHasher(cheap, 2)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := web.NewPages(web.Site{Name: "ProMess", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w.idp, err = idp.New(idp.Config{
		Host: "auth.example.test", Origin: "https://auth.example.test",
		Services: []idp.Service{{Name: "mail", Host: "mail.example.test", Origin: "https://mail.example.test", Title: "Messagerie", Home: "/"}}, Store: w.store, Audit: audit.New(&w.audit, w.now), Pages: pages, ServicePages: pages,
		Sessions: idp.NewSessions(idp.SessionsConfig{Store: w.store, Idle: time.Hour, Absolute: 12 * time.Hour, Now: w.now}), Log: log, Now: w.now,
		Registration: w.registration(t, log), Browsers: guard,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.config = otp.Config{
		Server: w.idp, Hasher: hasher, Familiar: hasher, Throttle: guard, Keys: w.keys, Issuer: "ProMess", MailCode: true, TOTP: true, Recovery: true,
	}
	change(&w.config)
	w.card = &believer{server: w.idp, acr: idp.ACRHardware, now: w.now}
	w.serve(t)
	w.add(t, store.Entry{
		IDType: "RPPS", NationalID: rpps, GivenName: "JEANNE", FamilyName: "MARTIN", LoginName: name, Nominative: []string{box}, Address: home, State: "active",
	})
	return w
}

// serve starts the auth host, which ends with the test.
func (w *world) serve(t testing.TB) {
	t.Helper()
	s := httptest.NewTLSServer(w.idp.Handler(w.card, otp.New(w.config)))
	t.Cleanup(s.Close)
	w.url, w.client = s.URL, s.Client()
}

// registration has the mail of a gateway: a real server, and a real outbox.
func (w *world) registration(t testing.TB, log *slog.Logger) *idp.Registration {
	t.Helper()
	pki, err := mailPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ServerCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	w.mail = mailtest.Start(t, mailtest.Config{Certificate: cert})
	sender, err := mail.New(mail.Config{
		Host: "127.0.0.1", Port: w.mail.Port, Roots: pki.ServerRoots(), Timeout: 30 * time.Second, From: "no-reply@example.test", Product: "ProMess",
		Origin: "https://auth.example.test", Now: w.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	protected := []string{"mssante.fr"}
	post := outbox.New(outbox.Config{Store: w.store, Log: log, Now: w.now})
	post.Use(sender, w.keys, protected)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		post.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return &idp.Registration{Mail: sender, Outbox: post, Keys: w.keys, Protected: protected}
}

// add makes or changes an account, as an administrator does.
func (w *world) add(t testing.TB, e store.Entry) {
	t.Helper()
	plan, err := w.store.PlanImport(t.Context(), []store.Entry{e})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Import(t.Context(), plan, w.now, func([]store.Imported) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func (w *world) account(t testing.TB) store.Account {
	t.Helper()
	a, err := w.store.AccountByNationalID(t.Context(), "RPPS", rpps)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// factors returns those of the person that are of a kind.
func (w *world) factors(t testing.TB, kind store.FactorKind) []store.Factor {
	t.Helper()
	all, err := w.store.Factors(t.Context(), w.account(t).Subject)
	if err != nil {
		t.Fatal(err)
	}
	var some []store.Factor
	for _, f := range all {
		if f.Kind == kind {
			some = append(some, f)
		}
	}
	return some
}

// events returns what the audit has of a kind.
func (w *world) events(t testing.TB, kind audit.Kind) []audit.Event {
	t.Helper()
	var all []audit.Event
	for line := range strings.Lines(w.audit.String()) {
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

// wantRefusal wants the last refusal of the audit to have a reason, and to be the person's.
func (w *world) wantRefusal(t testing.TB, reason string) {
	t.Helper()
	all := w.events(t, audit.LoginRefused)
	if len(all) == 0 {
		t.Fatalf("no refusal in the audit, want %q", reason)
	}
	e := all[len(all)-1]
	if e.Reason != reason || e.Method != "otp" || e.Subject != w.account(t).Subject || e.Outcome != "refused" {
		t.Errorf("refusal = %+v, want %q of the person", e, reason)
	}
}

// browser is a person's browser: cookies, and the headers of a navigation.
type browser struct {
	t      testing.TB
	world  *world
	client *http.Client
}

func (w *world) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, world: w, client: &http.Client{
		Transport: w.client.Transport, Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is an answer.
type page struct {
	status   int
	header   http.Header
	body     string
	location string // path and query
}

func (b *browser) send(method, path string, form url.Values, headers ...string) page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.world.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8") // as for a page
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return page{answer.StatusCode, answer.Header, string(data), answer.Header.Get("Location")}
}

func (b *browser) get(path string) page {
	b.t.Helper()
	return b.send(http.MethodGet, path, nil)
}

// post sends a form with fields in pairs.
func (b *browser) post(path string, fields ...string) page {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return b.send(http.MethodPost, path, form)
}

// want wants a page with texts of the French catalogue.
func (p page) want(t testing.TB, status int, texts ...string) {
	t.Helper()
	if p.status != status {
		t.Errorf("page = %d to %q, want %d:\n%.600s", p.status, p.location, status, p.body)
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Errorf("page without %q:\n%.4000s", text, p.body)
		}
	}
}

func (p page) wantTo(t testing.TB, location string) {
	t.Helper()
	if p.status != http.StatusSeeOther || p.location != location {
		t.Fatalf("page = %d to %q, want a redirect to %q:\n%.4000s", p.status, p.location, location, p.body)
	}
}

// cookies is the header that the browser sends.
func (b *browser) cookies() string {
	b.t.Helper()
	u, err := url.Parse(b.world.url)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, c := range b.client.Jar.Cookies(u) {
		all = append(all, c.String())
	}
	return strings.Join(all, "; ")
}

// login returns the login in progress of a browser.
func (b *browser) login() store.Login {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", b.cookies())
	hash, ok := token.Of(token.Browser, b.world.idp.BrowserState(r).Browser)
	if !ok {
		b.t.Fatal("the browser has no login")
	}
	l, err := b.world.store.LoginOfBrowser(b.t.Context(), hash, "otp", b.world.now())
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// session returns the session of a browser; false when it has none.
func (b *browser) session() (store.Session, bool) {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", b.cookies())
	v, err := b.world.idp.Sessions.Find(r, "auth.example.test")
	if err != nil && !errors.Is(err, idp.ErrNoSession) {
		b.t.Fatal(err)
	}
	return v, err == nil
}

func (b *browser) wantSignedIn(want bool) {
	b.t.Helper()
	if _, got := b.session(); got != want {
		b.t.Errorf("signed in = %t, want %t", got, want)
	}
}

// byCard signs the person in with their card.
func (b *browser) byCard() {
	b.t.Helper()
	b.post("/login/card", "id", rpps).wantTo(b.t, "/")
}

// enrolled is a world in which the person has chosen a password, and then signed out of everything.
func enrolled(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.setPassword(t)
	return w
}

func (w *world) setPassword(t testing.TB) {
	t.Helper()
	b := w.browser(t)
	b.byCard()
	b.post("/account/password", "password", secret, "again", secret).wantTo(t, "/account?done=password_set")
}

var (
	pendingForm = regexp.MustCompile(`name="pending" value="([^"]*)"`)
	keyForm     = regexp.MustCompile(`<p class="code key">(.*?)</p>`)
	tags        = regexp.MustCompile(`<[^>]*>|\s`)
)

// key reads the key that a page shows, and what the page holds of it.
func key(t testing.TB, p page) (key, pending string) {
	t.Helper()
	k, s := keyForm.FindStringSubmatch(p.body), pendingForm.FindStringSubmatch(p.body)
	if k == nil || s == nil {
		t.Fatalf("the page shows no key:\n%.3000s", p.body)
	}
	return tags.ReplaceAllString(k[1], ""), html.UnescapeString(s[1])
}

// oathtool makes the code of a key at a time, as a person's app would: it is not of our making.
func oathtool(t testing.TB, key string, at time.Time) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "oathtool", "--totp", "--base32", "--now", at.UTC().Format("2006-01-02 15:04:05 UTC"), key).Output()
	if err != nil {
		t.Fatalf("oathtool: %v (scripts/install-test-packages installs it)", err)
	}
	return strings.TrimSpace(string(out))
}

// addApp enrols an app and returns its key. The step that confirmed it is used, and the clock goes on to the next but one.
func (w *world) addApp(t testing.TB, label string) string {
	t.Helper()
	b := w.browser(t)
	b.byCard()
	k, pending := key(t, b.get("/account/totp"))
	b.post("/account/totp", "pending", pending, "code", oathtool(t, k, w.now()), "label", label).wantTo(t, "/account?done=factor_added")
	w.advance(time.Minute)
	return k
}

var (
	codeLine  = regexp.MustCompile(`<span class="code-line">([^<]*)</span>`)
	sheetForm = regexp.MustCompile(`name="instead" value="([^"]*)"`)
)

// addSheet makes recovery codes.
func (w *world) addSheet(t testing.TB) []string {
	t.Helper()
	b := w.browser(t)
	b.byCard()
	return b.post("/account/recovery", "instead", sheetForm.FindStringSubmatch(b.get("/account/recovery").body)[1]).codes()
}

// codes are those that a page shows.
func (p page) codes() []string {
	var all []string
	for _, m := range codeLine.FindAllStringSubmatch(p.body, -1) {
		all = append(all, m[1])
	}
	return all
}

// first gives the first factor, and wants it to be right.
func (w *world) first(t testing.TB) *browser {
	t.Helper()
	b := w.browser(t)
	b.post("/login/otp/password", "identifier", rpps, "password", secret).wantTo(t, "/login/otp/code")
	return b
}

var mailedCode = regexp.MustCompile(`\b[0-9]{4} [0-9]{4}\b`)

// mailed is the code of the next message that has one. Notices, which may come in between, have none.
func (w *world) mailed(t testing.TB) string {
	t.Helper()
	for range 20 {
		w.read++
		if code := mailedCode.FindString(w.mail.Await(t, w.read).Text); code != "" {
			return code
		}
	}
	t.Fatal("no message with a code")
	return ""
}

// told is the next message with words in its subject.
func (w *world) told(t testing.TB, subject string) mailtest.Message {
	t.Helper()
	for range 20 {
		w.read++
		if m := w.mail.Await(t, w.read); strings.Contains(m.Subject, subject) {
			return m
		}
	}
	t.Fatalf("no message about %q", subject)
	return mailtest.Message{}
}

// off returns another code of the same form.
func off(code string) string {
	b := []byte(code)
	if b[0] >= 'A' {
		b[0] = map[bool]byte{true: 'C', false: 'A'}[b[0] == 'A']
	} else {
		b[0] = '3' + (b[0]-'0')%2 // 3 or 4, which both are in all alphabets
		if b[0] == code[0] {
			b[0] = '7' - b[0] + '0'
		}
	}
	return string(b)
}

// Texts of the French catalogue.
const (
	textWrongPassword = "L’identifiant ou le mot de passe n’est pas le bon."
	textWrongCode     = "Ce code n’est pas le bon, ou il a déjà servi."
	textThrottled     = "Trop d’essais ont échoué."
	textForbidden     = "Accès refusé"
	textRecent        = "prouvez d’abord une nouvelle fois qui vous êtes"
)

// forgive forgets the person's failures, as the help desk can.
func (w *world) forgive(t testing.TB) {
	t.Helper()
	if _, err := w.store.ClearAttempts(t.Context(), w.account(t).Subject); err != nil {
		t.Fatal(err)
	}
}

// wait forgets the delays of the person's counter, as their time would; their other counters stay.
func (w *world) wait(t testing.TB) {
	t.Helper()
	if err := w.store.ClearCounter(t.Context(), "account:"+w.account(t).Subject); err != nil {
		t.Fatal(err)
	}
}

// settle waits until no message waits to be sent.
func (w *world) settle(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // between two looks at the queue
		n, err := w.store.CountMail(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages wait after a minute", n)
		}
	}
}
