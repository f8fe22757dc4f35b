package oidc_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"promess/authgw/idp"
	"promess/authgw/idp/oidc"
	"promess/authgw/internal/client"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/store"
)

// challenge is that of every request of these tests: of the verifier in RFC 7636, appendix B.
const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

// front is an auth host with an OpenID provider, before which browsers stand.
type front struct {
	*idptest.World
	provider *oidc.Provider
	clients  *client.Registry
	ring     *keyring.Ring
}

// weak is a login of two factors that takes the word of the test, as idptest has one of a card.
type weak struct{ w *idptest.World }

func (weak) Name() string    { return "otp" }
func (weak) MostACR() string { return idp.ACRTwoFactor }
func (m weak) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /login/weak", func(w http.ResponseWriter, r *http.Request) {
		p := m.w.Proof()
		p.Method, p.ACR, p.AMR, p.CardType = "otp", idp.ACRTwoFactor, []string{"pwd", "otp", "mfa"}, ""
		m.w.Server.Succeed(w, r, p)
	})
}

// newFront returns one with clients.
func newFront(t testing.TB, clients ...client.Settings) *front {
	t.Helper()
	f := &front{}
	f.World = idptest.New(t, func(w *idptest.World) []idp.Method {
		var err error
		if f.ring, err = keyring.InMemory(w.Now); err != nil {
			t.Fatal(err)
		}
		f.clients = client.NewRegistry(nil, w.Now)
		f.provider, err = oidc.New(oidc.Config{
			Server: w.Server, Issuer: idptest.Origin, Clients: f.clients, Ring: f.ring, Store: w.Store, Pages: w.Server.Pages, Log: w.Log, Now: w.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.Server.Mount(f.provider)
		return []idp.Method{weak{w}}
	})
	f.have(t, clients...)
	return f
}

// use writes what the use of a code writes.
func (f *front) use(t testing.TB, code string) store.Grant {
	t.Helper()
	g, err := f.provider.Use(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// have makes clients of settings those that there are.
func (f *front) have(t testing.TB, all ...client.Settings) {
	t.Helper()
	var clients []*client.Client
	for _, s := range all {
		c, err := s.Client(client.Own{Hosts: []string{idptest.Host}})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	f.clients.Use(clients, client.Own{})
}

const frontCallback = "https://agenda.example.test/callback"

// agenda are the settings of a client that may ask for anything.
func agenda() client.Settings {
	return client.Settings{
		ID: "agenda", Title: "Agenda", RedirectURIs: []string{frontCallback}, Auth: "none", Refresh: true,
		Scopes: []string{"profile", "email", "national_id", "profession", "structures", "card", "situation", "psc", "offline_access"},
	}
}

// request is what the client agenda asks, with other parameters in pairs; an empty one is left out.
func request(pairs ...string) url.Values {
	q := url.Values{
		"client_id": {"agenda"}, "redirect_uri": {frontCallback}, "response_type": {"code"}, "scope": {"openid profile"}, "state": {"the state"},
		"nonce": {"n-1"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return q
}

// ask brings a request.
func ask(b *idptest.Browser, pairs ...string) idptest.Answer {
	return b.Do(http.MethodGet, "/oauth/authorize?"+request(pairs...).Encode(), "", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
}

// answered returns what an answer brings to the client's callback, by a redirect or by the page that leads there.
func answered(t testing.TB, got idptest.Answer) url.Values {
	t.Helper()
	to := got.Header.Get("Location")
	if rest, ok := strings.CutPrefix(got.Header.Get("Refresh"), "0; url="); ok {
		to = rest
	}
	u, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, frontCallback+"?") || u.Fragment != "" {
		t.Fatalf("%d, Location %q, Refresh %q: no answer to the client\n%s", got.Status, got.Header.Get("Location"), got.Header.Get("Refresh"), got.Body)
	}
	return u.Query()
}

// wantCode wants a code with the state and the issuer, and returns it.
func wantCode(t testing.TB, got idptest.Answer) string {
	t.Helper()
	q := answered(t, got)
	if q.Get("code") == "" || q.Get("state") != "the state" || q.Get("iss") != idptest.Origin || len(q) != 3 {
		t.Fatalf("answer %v: want a code, the state and the issuer", q)
	}
	return q.Get("code")
}

// wantError wants an error with the state and the issuer.
func wantError(t testing.TB, got idptest.Answer, code string) {
	t.Helper()
	q := answered(t, got)
	if q.Get("error") != code || q.Get("state") != "the state" || q.Get("iss") != idptest.Origin || q.Has("code") {
		t.Errorf("answer %v: want the error %s, the state and the issuer", q, code)
	}
}

// wantPage wants an error page of ours: nothing leads anywhere, and the person has a code for the help desk.
func wantPage(t testing.TB, got idptest.Answer, status int) {
	t.Helper()
	if got.Status != status || got.Header.Get("Location") != "" || got.Header.Get("Refresh") != "" {
		t.Errorf("%d, Location %q, Refresh %q; want a page with %d", got.Status, got.Header.Get("Location"), got.Header.Get("Refresh"), status)
	}
	if !strings.Contains(got.Body, `class="code"`) {
		t.Errorf("no support code on the page:\n%s", got.Body)
	}
}

// wantLogin wants the login page next, follows to it and returns it.
func wantLogin(t testing.TB, b *idptest.Browser, got idptest.Answer) idptest.Answer {
	t.Helper()
	if got.Status != http.StatusSeeOther || got.Location != "/login" {
		t.Fatalf("%d to %q, want the login page\n%s", got.Status, got.Location, got.Body)
	}
	page := b.Get("/login")
	if page.Status != http.StatusOK {
		t.Fatalf("login page = %d to %q", page.Status, page.Location)
	}
	return page
}

// logIn signs in by a path and goes on where the request leads.
func logIn(t testing.TB, b *idptest.Browser, path string) idptest.Answer {
	t.Helper()
	got := b.Post(path)
	if got.Status != http.StatusSeeOther || !strings.HasPrefix(got.Location, "/oauth/resume?request=") {
		t.Fatalf("login = %d to %q\n%s", got.Status, got.Location, got.Body)
	}
	return b.Get(got.Location)
}

// hashOf is the challenge of a verifier (RFC 7636, section 4.2).
func hashOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// body is a grant's, as the database has it.
func body(t testing.TB, data []byte) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}
