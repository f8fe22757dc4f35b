package oidc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/oidc"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// The redirect URI and the code verifier of the tests' clients.
const (
	callback = "https://agenda.example.test/cb"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
)

// eachEngine runs a test on a database of each engine that several gateways may share.
func eachEngine(t *testing.T, test func(t *testing.T, database string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, sqliteFile(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, pgtest.Database(t)) })
}

func sqliteFile(tb testing.TB) string { return filepath.Join(tb.TempDir(), "authgw.db") }

// roster are the clients of the tests. They may change.
type roster struct {
	mu  sync.Mutex
	all map[string]*client.Client
}

// Client implements oidc.Clients.
func (r *roster) Client(_ context.Context, id string) (*client.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.all[id]; c != nil {
		return c, nil
	}
	return nil, client.ErrUnknown
}

func (r *roster) All(context.Context) ([]*client.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.all)), nil
}

func (r *roster) add(c *client.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[string]*client.Client{}
	}
	r.all[c.ID] = c
}

func (r *roster) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, id)
}

// noted keeps what is written.
type noted struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *noted) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *noted) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

// backend is a gateway's provider as clients call it, without browsers: sessions and grants are written by the test.
type backend struct {
	*roster
	store    *store.Store
	sessions *idp.Sessions
	server   *idp.Server
	provider *oidc.Provider
	ring     *keyring.Ring
	http     *httptest.Server
	client   *http.Client // of clients
	issuer   string
	log      noted
	trail    noted

	mu     sync.Mutex
	held   time.Time // what the clock shows that was stopped; zero: it runs
	offset time.Duration
}

// now is the time of the gateway. It starts as that of the machine, which the library takes for ID tokens.
func (b *backend) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.held.IsZero() {
		return b.held.Add(b.offset)
	}
	return time.Now().Add(b.offset)
}

// hold stops the clock: however long a slow machine takes for what follows, it is at one moment.
func (b *backend) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = time.Now()
}

func (b *backend) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offset += d
}

// newBackend starts a gateway on a database. Another one on it, first, shares its clients, keys and issuer.
func newBackend(tb testing.TB, database string, first *backend) *backend {
	tb.Helper()
	b := &backend{}
	log := slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if b.store, err = store.Open(context.Background(), store.Config{Name: database, Log: log}); err != nil {
		tb.Fatal(err)
	}
	b.sessions = idp.NewSessions(idp.SessionsConfig{Store: b.store, Idle: 30 * time.Minute, Absolute: 4 * time.Hour, Grace: time.Minute, Now: b.now})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // ends with cancel
		defer close(ended)
		b.sessions.Run(ctx, slog.New(slog.DiscardHandler))
	}()
	tb.Cleanup(func() { cancel(); <-ended; b.store.Close() })
	mux := http.NewServeMux()
	b.http = httptest.NewTLSServer(mux)
	tb.Cleanup(b.http.Close)
	b.roster, b.issuer, b.client = &roster{}, b.http.URL, b.http.Client()
	if b.ring, err = keyring.InMemory(b.now); err != nil {
		tb.Fatal(err)
	}
	if first != nil {
		b.roster, b.issuer, b.ring = first.roster, first.issuer, first.ring
	}
	pages, err := web.NewPages(web.Site{Name: "ProMess", Log: log})
	if err != nil {
		tb.Fatal(err)
	}
	server, err := idp.New(idp.Config{
		Host: strings.TrimPrefix(b.issuer, "https://"), Origin: b.issuer, Sessions: b.sessions, Store: b.store, Audit: audit.New(&b.trail, b.now),
		Pages: pages, ServicePages: pages, Log: log, Now: b.now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	b.server = server
	b.provider, err = oidc.New(oidc.Config{Server: server, Issuer: b.issuer, Clients: b.roster, Ring: b.ring, Store: b.store, Pages: pages, Log: log, Now: b.now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.provider.Close)
	b.provider.Routes(mux)
	mux.HandleFunc("GET /oauth/keys", func(w http.ResponseWriter, _ *http.Request) { w.Write(b.ring.JWKS()) })
	eventually(tb, "the gateway hears of changes", b.sessions.Hears)
	if first == nil {
		b.add(confidential("agenda"))
		b.add(confidential("dossier"))
	}
	return b
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			tb.Fatalf("not in 30 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// secretOf is the secret of a client of the tests: 43 characters of base64url.
func secretOf(id string) string {
	sum := sha256.Sum256([]byte("secret of " + id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// confidential is a client with a secret, that may have everything.
func confidential(id string) *client.Client {
	h, _ := token.Of(token.Secret, secretOf(id))
	return &client.Client{
		ID: id, Title: id, Auth: client.SharedSecret, SecretHashes: [][32]byte{h}, RedirectURIs: []string{callback},
		Scopes: []string{"openid", "profile", "email", "offline_access"}, Refresh: true, Signing: "ES256", Subject: client.PublicSubject,
	}
}

// session writes an open session of a person of its own, by its id.
func (b *backend) session(tb testing.TB, id string) store.Session {
	tb.Helper()
	now := b.now()
	a, err := b.store.OpenAccount(context.Background(), store.Account{
		Subject: "u-" + id, IDType: "RPPS", NationalID: "8" + id, GivenName: "JEANNE", FamilyName: "MARTIN",
	}, now)
	if err != nil {
		tb.Fatal(err)
	}
	v := store.Session{
		ID: id, Account: a, Method: "card", ACR: idp.ACRHardware, AMR: []string{"sc", "pin", "mfa"}, AuthTime: now.Add(-time.Minute).Truncate(time.Second),
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(4 * time.Hour),
	}
	b.write(tb, v)
	return v
}

// write writes a session.
func (b *backend) write(tb testing.TB, v store.Session) string {
	tb.Helper()
	cookie := token.New()
	hash, _ := token.Of(token.Session, cookie)
	if err := b.store.CreateSession(context.Background(), v, strings.TrimPrefix(b.issuer, "https://"), hash, token.Hash{}); err != nil {
		tb.Fatal(err)
	}
	return cookie
}

// code returns a code for what a client gets in a session.
func (b *backend) code(tb testing.TB, id string, v store.Session, scopes ...string) string {
	tb.Helper()
	challenge := sha256.Sum256([]byte(verifier))
	body, err := json.Marshal(map[string]any{
		"redirect_uri": callback, "scopes": scopes, "nonce": "n-0S6_WzA2Mj", "challenge": base64.RawURLEncoding.EncodeToString(challenge[:]),
		"sub": v.Account.Subject, "account": v.Account.Subject, "acr": v.ACR, "amr": v.AMR, "auth_time": v.AuthTime.Unix(), "sid": v.ID,
		"method": v.Method, "card_type": v.CardType,
	})
	if err != nil {
		tb.Fatal(err)
	}
	code, err := b.provider.Code(body, id, b.now().Add(time.Minute))
	if err != nil {
		tb.Fatal(err)
	}
	return code
}

// reply is an answer to a client.
type reply struct {
	status int
	header http.Header
	text   string
	json   map[string]any
}

func (r reply) word(name string) string { s, _ := r.json[name].(string); return s }

// send sends a request with a client's TLS configuration that trusts the gateway, and returns what it answers.
func (b *backend) send(tb testing.TB, r *http.Request) reply {
	tb.Helper()
	res, err := b.client.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	v := reply{status: res.StatusCode, header: res.Header, text: string(text)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &v.json); err != nil {
			tb.Errorf("answer %q is no JSON: %v", text, err)
		}
	}
	return v
}

// post posts a form, as it is.
func (b *backend) post(tb testing.TB, path string, form url.Values, headers ...string) reply {
	tb.Helper()
	r, err := http.NewRequest(http.MethodPost, b.http.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return b.send(tb, r)
}

// as posts a form of a client with its secret.
func (b *backend) as(tb testing.TB, id, path string, fields ...string) reply {
	tb.Helper()
	form := url.Values{"client_id": {id}, "client_secret": {secretOf(id)}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.post(tb, path, form)
}

// exchange uses a code as a client does.
func (b *backend) exchange(tb testing.TB, id, code string) reply {
	tb.Helper()
	return b.as(tb, id, "/oauth/token", "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier)
}

// refresh uses a refresh token as a client does.
func (b *backend) refresh(tb testing.TB, id, refresh string, fields ...string) reply {
	tb.Helper()
	return b.as(tb, id, "/oauth/token", append([]string{"grant_type", "refresh_token", "refresh_token", refresh}, fields...)...)
}

// active says whether a token is good for something, by introspection.
func (b *backend) active(tb testing.TB, id, text string) bool {
	tb.Helper()
	r := b.as(tb, id, "/oauth/introspect", "token", text)
	if r.status != http.StatusOK {
		tb.Fatalf("introspection = %d %s", r.status, r.text)
	}
	active, _ := r.json["active"].(bool)
	return active
}

// me asks userinfo with an access token.
func (b *backend) me(tb testing.TB, access string) reply {
	tb.Helper()
	r, err := http.NewRequest(http.MethodGet, b.http.URL+"/oauth/userinfo", nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+access)
	return b.send(tb, r)
}

// wantDenied fails unless an answer is an error of a code, as RFC 6749, section 5.2, has it.
func (r reply) wantDenied(tb testing.TB, what string, status int, code string) {
	tb.Helper()
	if r.status != status || r.word("error") != code {
		tb.Errorf("%s: %d %s, want %d %s", what, r.status, r.text, status, code)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		tb.Errorf("%s: Cache-Control = %q, want no-store", what, r.header.Get("Cache-Control"))
	}
	if challenge := r.header.Get("WWW-Authenticate"); (status == http.StatusUnauthorized) != (challenge != "") {
		tb.Errorf("%s: WWW-Authenticate = %q for %d", what, challenge, status)
	}
}

// wantTokens fails unless an answer has tokens.
func (r reply) wantTokens(tb testing.TB, what string) reply {
	tb.Helper()
	if r.status != http.StatusOK || r.word("access_token") == "" || strings.Contains(r.word("access_token"), ".") { // it says nothing to anybody
		tb.Fatalf("%s: %d %s, want tokens", what, r.status, r.text)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		tb.Errorf("%s: Cache-Control = %q, want no-store", what, r.header.Get("Cache-Control"))
	}
	return r
}

// reasons returns why the audit has events of a kind.
func (b *backend) reasons(tb testing.TB, kind audit.Kind) []string {
	tb.Helper()
	var all []string
	for line := range strings.Lines(b.trail.String()) {
		var e audit.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			tb.Fatal(err)
		}
		if e.Kind == kind {
			all = append(all, e.Reason)
		}
	}
	return all
}
