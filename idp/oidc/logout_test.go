package oidc_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/keyring"
)

const (
	afterLogout = "https://agenda.example.test/bye"
	frontLogout = "https://agenda.example.test/out"
)

// leaving is agenda with somewhere to go after the logout.
func leaving() client.Settings {
	s := agenda()
	s.PostLogoutRedirectURIs = []string{afterLogout, afterLogout + "?lang=fr"}
	return s
}

// idToken signs a browser in to agenda, and returns the ID token that agenda gets.
func (f *front) idToken(t testing.TB, b *idptest.Browser) string {
	t.Helper()
	code := wantCode(t, ask(b))
	got := b.Post("/oauth/token", "grant_type", "authorization_code", "code", code, "redirect_uri", frontCallback, "code_verifier", verifier, "client_id", "agenda")
	var tokens struct {
		ID string `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(got.Body), &tokens); err != nil || tokens.ID == "" {
		t.Fatalf("token = %d %s", got.Status, got.Body)
	}
	return tokens.ID
}

// signedIn is a browser that is signed in here and at agenda, with agenda's ID token.
func (f *front) signedIn(t testing.TB) (*idptest.Browser, string) {
	t.Helper()
	b := f.Browser(t, "127.0.0.1")
	b.LogIn()
	return b, f.idToken(t, b)
}

// end sends a browser to be signed out, as a client does; the parameters come in pairs.
func end(b *idptest.Browser, pairs ...string) idptest.Answer {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return b.Do(http.MethodGet, "/oauth/end_session?"+q.Encode(), "", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
}

// follow goes where a browser is led on the auth host, and returns where it ends up: the page that it stays on, or the address elsewhere.
func follow(t testing.TB, b *idptest.Browser, got idptest.Answer) (idptest.Answer, string) {
	t.Helper()
	for range 10 {
		to := got.Header.Get("Location")
		if _, refresh, ok := strings.Cut(got.Header.Get("Refresh"), "; url="); ok {
			to = refresh
		}
		path := strings.TrimPrefix(to, idptest.Origin)
		switch {
		case to == "":
			return got, ""
		case !strings.HasPrefix(path, "/"):
			return got, to
		}
		got = b.Get(path)
	}
	t.Fatal("led on and on")
	return got, ""
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// confirm sends the form of a page that asks whether somebody wants to be signed out, with its fields.
func confirm(t testing.TB, b *idptest.Browser, page idptest.Answer) idptest.Answer {
	t.Helper()
	if !strings.Contains(page.Body, `action="/oauth/end_session/confirm"`) {
		t.Fatalf("%d to %q: no question whether to sign out\n%s", page.Status, page.Location, page.Body)
	}
	var fields []string
	for _, m := range hidden.FindAllStringSubmatch(page.Body, -1) {
		fields = append(fields, html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return b.Post("/oauth/end_session/confirm", fields...)
}

const signedOut = "Vous êtes déconnecté"

// The modules of the conformance suite about RP-Initiated Logout, by their names. Where the person is asked, they say yes.
func TestOidccRPInitiatedLogout(t *testing.T) {
	for name, tt := range map[string]struct {
		params func(id string) []string
		asked  bool
		status int    // of the question
		back   string // where it ends; empty: on the signed-out page
	}{
		"oidcc-rp-initiated-logout": {
			func(id string) []string {
				return []string{"id_token_hint", id, "post_logout_redirect_uri", afterLogout, "state", "x y&z"}
			}, false, 0, afterLogout + "?state=x+y%26z"},
		"oidcc-rp-initiated-logout-no-state": {
			func(id string) []string {
				return []string{"id_token_hint", id, "post_logout_redirect_uri", afterLogout}
			}, false, 0, afterLogout},
		"oidcc-rp-initiated-logout-no-post-logout-redirect-uri": {
			func(id string) []string { return []string{"id_token_hint", id, "state", "x"} }, false, 0, ""},
		"oidcc-rp-initiated-logout-no-params":  {func(string) []string { return nil }, true, http.StatusOK, ""},
		"oidcc-rp-initiated-logout-only-state": {func(string) []string { return []string{"state", "x"} }, true, http.StatusOK, ""},
		"oidcc-rp-initiated-logout-no-id-token-hint": {
			func(string) []string { return []string{"post_logout_redirect_uri", afterLogout, "state", "x"} }, true, http.StatusOK, ""},
		"oidcc-rp-initiated-logout-bad-id-token-hint": {
			func(string) []string {
				return []string{"id_token_hint", "bad", "post_logout_redirect_uri", afterLogout, "state", "x"}
			}, true, http.StatusBadRequest, ""},
		"oidcc-rp-initiated-logout-modified-id-token-hint": {
			func(id string) []string {
				return []string{"id_token_hint", modified(id), "post_logout_redirect_uri", afterLogout, "state", "x"}
			}, true, http.StatusBadRequest, ""},
		"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri": {
			func(id string) []string {
				return []string{"id_token_hint", id, "post_logout_redirect_uri", "https://evil.example/bye", "state", "x"}
			}, true, http.StatusBadRequest, ""},
		"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri": {
			func(id string) []string {
				return []string{"id_token_hint", id, "post_logout_redirect_uri", afterLogout + "?foo=bar", "state", "x"}
			}, true, http.StatusBadRequest, ""},
		"a query that is registered": {
			func(id string) []string {
				return []string{"id_token_hint", id, "post_logout_redirect_uri", afterLogout + "?lang=fr", "state", "x"}
			}, false, 0, afterLogout + "?lang=fr&state=x"},
		"client_id beside the hint": {
			func(id string) []string {
				return []string{"id_token_hint", id, "client_id", "agenda", "post_logout_redirect_uri", afterLogout}
			}, false, 0, afterLogout},
		"client_id alone": {
			func(string) []string {
				return []string{"client_id", "agenda", "post_logout_redirect_uri", afterLogout, "state", "x"}
			}, true, http.StatusOK, afterLogout + "?state=x"},
		"another client_id": {
			func(id string) []string {
				return []string{"id_token_hint", id, "client_id", "dossier", "post_logout_redirect_uri", afterLogout}
			}, true, http.StatusBadRequest, ""},
		"an unknown client": {
			func(string) []string { return []string{"client_id", "nobody", "post_logout_redirect_uri", afterLogout} }, true, http.StatusBadRequest, ""},
		"a parameter twice": {
			func(id string) []string {
				return []string{"id_token_hint", id, "id_token_hint", id, "post_logout_redirect_uri", afterLogout}
			}, true, http.StatusBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, leaving())
			b, id := f.signedIn(t)
			got := end(b, tt.params(id)...)
			if tt.asked {
				if got.Status != tt.status || got.Header.Get("Refresh") != "" || got.Header.Get("Location") != "" || !b.SignedIn() {
					t.Fatalf("%d, Location %q, Refresh %q, signed in: %v; want a question with %d", got.Status, got.Location, got.Header.Get("Refresh"), b.SignedIn(), tt.status)
				}
				got = confirm(t, b, got)
			}
			if got.Status != http.StatusOK || b.SignedIn() {
				t.Fatalf("%d to %q, signed in: %v; want a page, and the session over\n%s", got.Status, got.Location, b.SignedIn(), got.Body)
			}
			last, to := follow(t, b, got)
			if to != tt.back || to == "" && !strings.Contains(last.Body, signedOut) {
				t.Errorf("ends at %q with %d, want %q", to, last.Status, tt.back)
			}
			if ended := f.Events(t, audit.SessionEnded); len(ended) != 1 || ended[0].Reason != "logout" {
				t.Errorf("ends = %+v, want one sign-out", ended)
			}
			if _, to := follow(t, b, b.Get("/logout")); to != "" {
				t.Errorf("later the page leads to %q again", to)
			}
			if log := f.Written(); strings.Contains(log, id) {
				t.Error("the ID token is in the log or the audit")
			}
		})
	}
}

// modified changes what an ID token says.
func modified(id string) string {
	parts := strings.Split(id, ".")
	body, _ := base64.RawURLEncoding.DecodeString(parts[1])
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(body), `"aud"`, `"aux"`, 1)))
	return strings.Join(parts, ".")
}

// Without a session there is nothing to end: the person goes where a client wants them, if it may.
func TestSignOutOfNoSession(t *testing.T) {
	f := newFront(t, leaving())
	_, id := f.signedIn(t)
	b := f.Browser(t, "127.0.0.2")
	for name, tt := range map[string]struct {
		params []string
		status int
		to     string
	}{
		"a hint":              {[]string{"id_token_hint", id, "post_logout_redirect_uri", afterLogout, "state", "x"}, http.StatusSeeOther, afterLogout + "?state=x"},
		"a client":            {[]string{"client_id", "agenda", "post_logout_redirect_uri", afterLogout}, http.StatusSeeOther, afterLogout},
		"nothing":             {nil, http.StatusOK, ""},
		"nowhere to go":       {[]string{"id_token_hint", id}, http.StatusOK, ""},
		"a URI of nobody":     {[]string{"post_logout_redirect_uri", afterLogout}, http.StatusOK, ""},
		"a URI of another's":  {[]string{"client_id", "agenda", "post_logout_redirect_uri", "https://evil.example/"}, http.StatusBadRequest, ""},
		"a hint that is none": {[]string{"id_token_hint", modified(id), "client_id", "agenda", "post_logout_redirect_uri", afterLogout}, http.StatusBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := end(b, tt.params...)
			if got.Status != tt.status || got.Header.Get("Location") != tt.to || got.Header.Get("Refresh") != "" {
				t.Errorf("%d to %q, want %d to %q", got.Status, got.Header.Get("Location"), tt.status, tt.to)
			}
			if tt.status == http.StatusOK && !strings.Contains(got.Body, signedOut) {
				t.Errorf("page %.300s", got.Body)
			}
		})
	}
}

// Logout CSRF: what somebody else makes a browser ask for ends nothing, and no page of theirs can answer our question.
func TestOnlyThePersonSignsOut(t *testing.T) {
	f := newFront(t, leaving())
	b, id := f.signedIn(t)
	other := f.Browser(t, "127.0.0.2")
	f.Believe(otherPerson(f))
	other.LogIn()
	foreign := f.idToken(t, other)
	session := f.Session(t, b).ID
	form := url.Values{"session": {session}}.Encode()
	for name, got := range map[string]idptest.Answer{
		"no hint":                          end(b, "client_id", "agenda"),
		"the hint of another's session":    end(b, "id_token_hint", foreign),
		"a form without a session":         b.Post("/oauth/end_session/confirm"),
		"a form of another session":        b.Post("/oauth/end_session/confirm", "session", f.Session(t, other).ID),
		"the address of the form":          b.Get("/oauth/end_session/confirm?" + form),
		"the form of another site":         b.Do(http.MethodPost, "/oauth/end_session/confirm", "application/x-www-form-urlencoded", form, "Sec-Fetch-Site", "cross-site"),
		"the form of a service":            b.Do(http.MethodPost, "/oauth/end_session/confirm", "application/x-www-form-urlencoded", form, "Sec-Fetch-Site", "same-site", "Origin", "https://mail.example.test"),
		"the form of a sandboxed frame":    b.Do(http.MethodPost, "/oauth/end_session/confirm", "application/x-www-form-urlencoded", form, "Sec-Fetch-Site", "", "Origin", "null"),
		"a handle of the tour, made up":    b.Get(idp.DeparturePath + strings.Repeat("A", 43)),
		"a handle of the tour, cut":        b.Get(idp.DeparturePath + "A"),
		"the sign-out page, by a stranger": b.Do(http.MethodGet, "/logout", "", "", "Sec-Fetch-Site", "cross-site"),
	} {
		if !b.SignedIn() {
			t.Fatalf("%s: the person is signed out", name)
		}
		if got.Header.Get("Refresh") != "" || strings.Contains(got.Header.Get("Location"), "agenda.example") {
			t.Errorf("%s: %d to %q, Refresh %q", name, got.Status, got.Location, got.Header.Get("Refresh"))
		}
	}
	// RP-Initiated Logout 1.0, section 2: a client may post. Browsers send no cookie with that, and the same by a GET.
	got := b.Do(http.MethodPost, "/oauth/end_session", "application/x-www-form-urlencoded", url.Values{"id_token_hint": {id}, "state": {"a b"}}.Encode(), "Sec-Fetch-Site", "cross-site")
	want := "/oauth/end_session?" + url.Values{"id_token_hint": {id}, "state": {"a b"}}.Encode()
	if got.Status != http.StatusSeeOther || got.Location != want {
		t.Errorf("POST = %d to %q, want %q", got.Status, got.Location, want)
	}
	// Nobody has ended the other person's session, and its own hint does.
	if !other.SignedIn() {
		t.Error("a hint has ended a session that is not the browser's")
	}
	if end(other, "id_token_hint", foreign); other.SignedIn() {
		t.Error("the hint of the browser's own session does not sign out")
	}
}

func otherPerson(f *front) idp.Proof {
	p := f.Proof()
	p.NationalID = "899700999999"
	return p
}

// F5, F14: an ID token is a hint when it was given out here, for the client, by the algorithm of its key, be it expired; and nothing else is.
func TestF5HintIsAnIDTokenOfOurs(t *testing.T) {
	f := newFront(t, leaving())
	b, id := f.signedIn(t)
	claims := payload(t, id)
	key, err := f.ring.Signing(t.Context(), keyring.ES256)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := keyring.InMemory(f.Now)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.Signing(t.Context(), keyring.ES256)
	if err != nil {
		t.Fatal(err)
	}
	with := func(changes ...any) map[string]any {
		all := map[string]any{}
		for name, v := range claims {
			all[name] = v
		}
		for i := 0; i < len(changes); i += 2 {
			if all[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
				delete(all, changes[i].(string))
			}
		}
		return all
	}
	public := f.ring.Public()[0]
	secret, err := public.MarshalJSON() // what anybody can fetch
	if err != nil {
		t.Fatal(err)
	}
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"`+key.ID+`"}`)) + "." + strings.Split(id, ".")[1] + "."
	long := time.Now().Add(-20 * time.Hour).Unix()
	for name, hint := range map[string]string{
		"another issuer":     signJWT(t, jose.ES256, key.Signer, key.ID, with("iss", "https://evil.example")),
		"another key":        signJWT(t, jose.ES256, foreign.Signer, foreign.ID, claims),
		"another key's name": signJWT(t, jose.ES256, foreign.Signer, key.ID, claims),
		"no key's name":      signJWT(t, jose.ES256, key.Signer, "", claims),
		"the public key as a secret (alg confusion)": signJWT(t, jose.HS256, secret, key.ID, claims),
		"no signature":      unsigned,
		"two audiences":     signJWT(t, jose.ES256, key.Signer, key.ID, with("aud", []string{"agenda", "dossier"})),
		"no audience":       signJWT(t, jose.ES256, key.Signer, key.ID, with("aud", nil)),
		"a logout token":    signJWT(t, jose.ES256, key.Signer, key.ID, with("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}})),
		"no person":         signJWT(t, jose.ES256, key.Signer, key.ID, with("sub", nil)),
		"an unknown client": signJWT(t, jose.ES256, key.Signer, key.ID, with("aud", "nobody")),
		"half of it":        id[:len(id)/2],
	} {
		if got := end(b, "id_token_hint", hint); got.Status != http.StatusBadRequest || !b.SignedIn() {
			t.Fatalf("%s: %d, signed in: %v; want a question with 400", name, got.Status, b.SignedIn())
		}
	}
	for name, hint := range map[string]string{
		"another session": signJWT(t, jose.ES256, key.Signer, key.ID, with("sid", "another")),
		"no session":      signJWT(t, jose.ES256, key.Signer, key.ID, with("sid", nil)),
		"another person":  signJWT(t, jose.ES256, key.Signer, key.ID, with("sub", "another")),
	} {
		if got := end(b, "id_token_hint", hint); got.Status != http.StatusOK || !b.SignedIn() {
			t.Fatalf("%s: %d, signed in: %v; want a question", name, got.Status, b.SignedIn())
		}
	}
	expired := signJWT(t, jose.ES256, key.Signer, key.ID, with("exp", long+600, "iat", long))
	if got := end(b, "id_token_hint", expired, "post_logout_redirect_uri", afterLogout); b.SignedIn() {
		t.Errorf("an expired hint does not sign out: %d\n%s", got.Status, got.Body)
	}
}

func signJWT(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	if s, ok := key.(crypto.Signer); ok {
		key = jose.JSONWebKey{Key: s, KeyID: kid}
	}
	o := &jose.SignerOptions{}
	jws, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o.WithType("JWT").WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(jws).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// F2: whatever looks like a client's URI is not, and a sign-out leads nobody there; not even by what a page shows.
func TestF2SignOutLeadsToNoOtherPlace(t *testing.T) {
	f := newFront(t, leaving())
	b, id := f.signedIn(t)
	for _, uri := range []string{
		"https://evil.example/", afterLogout + "/", afterLogout + "?", afterLogout + "#", afterLogout + "#x", afterLogout + "/../../x", afterLogout + "%2f",
		"https://agenda.example.test", "https://agenda.example.test/", "https://AGENDA.example.test/bye", "HTTPS://agenda.example.test/bye",
		"http://agenda.example.test/bye", "https://agenda.example.test:443/bye", "https://agenda.example.test@evil.example/bye",
		"https://evil.example\\@agenda.example.test/bye", "https://agenda.example.test.evil.example/bye", "//agenda.example.test/bye", "/bye", "bye",
		"javascript:alert(1)", "data:text/html,x", afterLogout + " https://evil.example", frontCallback, "*", "https://*.example.test/bye",
	} {
		got := end(b, "id_token_hint", id, "post_logout_redirect_uri", uri)
		if got.Status != http.StatusBadRequest || got.Header.Get("Location") != "" || got.Header.Get("Refresh") != "" || strings.Contains(got.Body, html.EscapeString(uri)+`"`) && uri != "*" {
			t.Errorf("%q: %d to %q, Refresh %q\n%s", uri, got.Status, got.Header.Get("Location"), got.Header.Get("Refresh"), got.Body)
		}
	}
	// A URI that the client has no more when the tour is over.
	tour := end(b, "id_token_hint", id, "post_logout_redirect_uri", afterLogout)
	f.have(t, agenda())
	if last, to := follow(t, b, tour); to != "" || !strings.Contains(last.Body, signedOut) {
		t.Errorf("leads to %q, which the client has given up", to)
	}
}

// G8: a state is a text, in the address and on the page.
func TestG8StateIsAText(t *testing.T) {
	const state = `"><script>alert(1)</script>&iss=x#y`
	f := newFront(t, leaving())
	b, _ := f.signedIn(t)
	page := end(b, "client_id", "agenda", "post_logout_redirect_uri", afterLogout, "state", state)
	if strings.Contains(page.Body, "<script>alert") {
		t.Errorf("the state runs on the page:\n%s", page.Body)
	}
	_, to := follow(t, b, confirm(t, b, page))
	want := afterLogout + "?" + url.Values{"state": {state}}.Encode()
	if to != want {
		t.Errorf("leads to %q, want %q", to, want)
	}
	b.LogIn()
	for name, bad := range map[string]string{"a new line": "x\r\nSet-Cookie: a=b", "NUL": "x\x00"} {
		if got := end(b, "client_id", "agenda", "post_logout_redirect_uri", afterLogout, "state", bad); got.Status != http.StatusBadRequest || got.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d, %v", name, got.Status, got.Header)
		}
	}
}

// The client's own session, at a higher level: the name that the client knows it by stays, so its ID token still signs out at once.
func TestHintSurvivesAStepUp(t *testing.T) {
	f := newFront(t, leaving())
	b := f.Browser(t, "127.0.0.1")
	b.Post("/login/weak")
	id := f.idToken(t, b)
	before := f.Session(t, b).ID
	b.LogIn()
	if f.Session(t, b).ID == before {
		t.Fatal("the session was not replaced")
	}
	if end(b, "id_token_hint", id); b.SignedIn() {
		t.Error("the person is asked")
	}
}

// ui_locales is for the question, in a browser that has chosen no language.
func TestQuestionIsInTheLanguageOfTheClient(t *testing.T) {
	f := newFront(t, leaving())
	b, _ := f.signedIn(t)
	if got := end(b, "ui_locales", "de en"); got.Header.Get("Content-Language") != "en" || !strings.Contains(got.Body, "Sign out?") {
		t.Errorf("the page is in %q", got.Header.Get("Content-Language"))
	}
}

// oidcc-frontchannel-rp-initiated-logout: the browser loads what the client has for it, with the issuer and the name of the session, once, whoever
// began the sign-out; then it goes on.
func TestOidccFrontchannelRPInitiatedLogout(t *testing.T) {
	for name, test := range map[string]struct {
		out  func(b *idptest.Browser, id string) idptest.Answer
		back string
	}{
		"by the client": {func(b *idptest.Browser, id string) idptest.Answer {
			return end(b, "id_token_hint", id, "post_logout_redirect_uri", afterLogout)
		}, afterLogout},
		"on the portal": {func(b *idptest.Browser, _ string) idptest.Answer { return b.Post("/logout") }, ""},
		"by the address": {func(b *idptest.Browser, _ string) idptest.Answer {
			return b.Do(http.MethodGet, "/logout", "", "", "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := leaving()
			s.FrontchannelLogoutURI = frontLogout
			f := newFront(t, s)
			b, id := f.signedIn(t)
			sid := f.Session(t, b).ID
			got := test.out(b, id)
			path := strings.TrimPrefix(got.Header.Get("Refresh"), "0; url="+idptest.Origin)
			if !strings.HasPrefix(path, idp.DeparturePath) {
				t.Fatalf("Refresh %q, want the page with frames\n%s", got.Header.Get("Refresh"), got.Body)
			}
			page := b.Get(path)
			want := frontLogout + "?" + url.Values{"iss": {idptest.Origin}, "sid": {sid}}.Encode()
			if !strings.Contains(page.Body, `<iframe src="`+html.EscapeString(want)+`"`) {
				t.Errorf("no frame of %s:\n%s", want, page.Body)
			}
			if policy := page.Header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "; frame-src https://agenda.example.test") {
				t.Errorf("policy %q, want this one origin for frames", policy)
			}
			if refresh := page.Header.Get("Refresh"); refresh != "5; url="+idptest.Origin+"/logout" {
				t.Errorf("Refresh %q, want to go on after five seconds", refresh)
			}
			if again := b.Get(path); again.Status != http.StatusSeeOther || again.Location != "/logout" {
				t.Errorf("a second time: %d to %q", again.Status, again.Location)
			}
			if last, to := follow(t, b, page); to != test.back || to == "" && !strings.Contains(last.Body, signedOut) {
				t.Errorf("ends at %q, want %q", to, test.back)
			}
		})
	}
}

// Whoever has one of our addresses of the tour leads nobody anywhere with it.
func TestTourOfASignOutStaysHere(t *testing.T) {
	f := newFront(t, leaving())
	b := f.Browser(t, "127.0.0.1")
	for _, then := range []string{"https://evil.example", "//evil.example", "evil", "~oidc~x", "~psc~" + strings.Repeat("A", 43), strings.Repeat(",", 3000)} {
		got := b.Get(idp.DeparturePath + strings.Repeat("A", 43) + "?" + url.Values{"then": {then}}.Encode())
		if got.Status != http.StatusSeeOther || got.Location != "/logout" {
			t.Errorf("%.40q leads to %d %q", then, got.Status, got.Location)
		}
	}
}
