package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/token"
)

// OpenID Connect Core 1.0, section 3.1.2: who is signed in is asked nothing.
func TestOpenSessionIsAnsweredAtOnce(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	got := ask(b, "scope", "openid profile offline_access unknown")
	code := wantCode(t, got)
	if got.Status != http.StatusSeeOther || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d %v: want 303, kept by no cache and told by no Referer", got.Status, got.Header)
	}
	if got.Header.Get("Set-Cookie") != "" {
		t.Errorf("cookie %q set, though nothing is kept", got.Header.Get("Set-Cookie"))
	}
	v, g := f.Session(t, b), f.use(t, code)
	if g.Client != "agenda" || g.Session != v.ID || g.SID != v.ID || !g.Expires.Equal(v.ExpiresAt) {
		t.Errorf("grant %+v of session %s", g, v.ID)
	}
	want := map[string]any{
		"redirect_uri": frontCallback, "scopes": []any{"openid", "profile", "offline_access"}, "nonce": "n-1", "challenge": challenge,
		"sub": v.Account.Subject, "account": v.Account.Subject, "acr": idp.ACRHardware, "amr": []any{"sc", "pin", "mfa"},
		"auth_time": float64(f.Now().Unix()), "sid": v.ID, "method": "card", "card_type": "CPS",
	}
	if diff := cmp.Diff(want, body(t, g.Body)); diff != "" {
		t.Errorf("what it was given on (-want +got):\n%s", diff)
	}
	events := f.Events(t, audit.AuthorizationGranted)
	if len(events) != 1 || events[0].Client != "agenda" || events[0].Subject != v.Account.Subject || events[0].Session != v.ID || events[0].ACR != idp.ACRHardware {
		t.Errorf("audit %+v", events)
	}
	if strings.Contains(f.Written(), code) || strings.Contains(f.Written(), "the state") || strings.Contains(f.Written(), challenge) {
		t.Error("a code, a state or a challenge is in the log or the audit trail")
	}
}

func TestLoginComesBackToTheRequest(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	page := wantLogin(t, b, ask(b))
	if !strings.Contains(page.Body, "Agenda") {
		t.Error("the login page does not say which service asks")
	}
	got := logIn(t, b, "/login/believed")
	wantCode(t, got)
	if got.Status != http.StatusOK {
		t.Errorf("%d: want a page, since form-action of the login page knows no client", got.Status)
	}
	// The request is used up.
	wantPage(t, b.Get("/oauth/resume?request="+token.New()), http.StatusForbidden)
}

// OpenID Connect Core 1.0, section 3.1.2.1: a form too. Browsers send none of our cookies with one of another site.
func TestRequestByFormIsSentOn(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	const kind = "application/x-www-form-urlencoded"
	got := b.Do(http.MethodPost, "/oauth/authorize", kind, request().Encode(), "Sec-Fetch-Site", "cross-site", "Origin", "https://agenda.example.test")
	if got.Status != http.StatusSeeOther || !strings.HasPrefix(got.Location, "/oauth/authorize?") {
		t.Fatalf("POST = %d to %q", got.Status, got.Location)
	}
	wantCode(t, b.Get(got.Location))
	for name, r := range map[string]struct{ path, kind, body string }{
		"JSON":                           {"/oauth/authorize", "application/json", `{"client_id":"agenda"}`},
		"no type":                        {"/oauth/authorize", "", request().Encode()},
		"multipart":                      {"/oauth/authorize", "multipart/form-data; boundary=x", "--x--"},
		"B13: parameters in the address": {"/oauth/authorize?state=other", kind, request().Encode()},
		"too large":                      {"/oauth/authorize", kind, request("state", strings.Repeat("s", 60<<10)).Encode()},
	} {
		t.Run(name, func(t *testing.T) { wantPage(t, b.Do(http.MethodPost, r.path, r.kind, r.body), http.StatusBadRequest) })
	}
}

// OpenID Connect Core 1.0, section 3.1.2.6 and RFC 6749, section 4.1.2.1: what each error is. None shows a page, each has the state and,
// against mix-up, the issuer (RFC 9207, section 2).
func TestErrorsAreToldToTheClient(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"no response_type":                     {[]string{"response_type", ""}, "invalid_request"},
		"implicit":                             {[]string{"response_type", "id_token"}, "unsupported_response_type"},
		"implicit with access token":           {[]string{"response_type", "id_token token"}, "unsupported_response_type"},
		"token":                                {[]string{"response_type", "token"}, "unsupported_response_type"},
		"hybrid":                               {[]string{"response_type", "code id_token"}, "unsupported_response_type"},
		"fragment":                             {[]string{"response_mode", "fragment"}, "invalid_request"},
		"web_message":                          {[]string{"response_mode", "web_message"}, "invalid_request"},
		"query.jwt":                            {[]string{"response_mode", "query.jwt"}, "invalid_request"},
		"no scope":                             {[]string{"scope", ""}, "invalid_request"},
		"no scope openid":                      {[]string{"scope", "profile"}, "invalid_scope"},
		"F4: no PKCE":                          {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"F4: no method, which is plain":        {[]string{"code_challenge_method", ""}, "invalid_request"},
		"F4: plain":                            {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"F4: the method in lower case":         {[]string{"code_challenge_method", "s256"}, "invalid_request"},
		"F4: a method alone":                   {[]string{"code_challenge", ""}, "invalid_request"},
		"F4: a challenge cut short":            {[]string{"code_challenge", challenge[:42]}, "invalid_request"},
		"F4: a challenge of base64":            {[]string{"code_challenge", challenge[:42] + "+"}, "invalid_request"},
		"F4: an empty challenge's hash padded": {[]string{"code_challenge", hashOf("") + "="}, "invalid_request"},
		"request object":                       {[]string{"request", "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"},
		"F10: request_uri of a URL":            {[]string{"request_uri", "http://127.0.0.1:1/r"}, "request_uri_not_supported"},
		"F10: request_uri of a URN":            {[]string{"request_uri", "urn:ietf:params:oauth:other:x"}, "request_uri_not_supported"},
		"registration":                         {[]string{"registration", "{}"}, "registration_not_supported"},
		"prompt none and login":                {[]string{"prompt", "none login"}, "invalid_request"},
		"prompt none twice":                    {[]string{"prompt", "none none"}, "invalid_request"},
		"unknown prompt":                       {[]string{"prompt", "create"}, "invalid_request"},
		"max_age of words":                     {[]string{"max_age", "soon"}, "invalid_request"},
		"negative max_age":                     {[]string{"max_age", "-1"}, "invalid_request"},
		"huge max_age":                         {[]string{"max_age", "99999999999999999999"}, "invalid_request"},
		"a hint that is no token":              {[]string{"id_token_hint", "x.y.z"}, "login_required"},
		"F5: a hint without signature":         {[]string{"id_token_hint", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."}, "login_required"},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, ask(b, c.pairs...), c.want) })
	}
	if n := len(f.Events(t, audit.AuthorizationGranted)); n != 0 {
		t.Errorf("%d codes were given", n)
	}
}

// OpenID Connect Core 1.0, section 3.1.2.1: what is not understood is ignored, and claims need not be supported (section 5.5).
func TestUnknownParametersAreIgnored(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	wantCode(t, ask(b, "display", "popup", "claims", `{"id_token":{"acr":{"essential":true}}}`, "login_hint", "someone", "ui_locales", "en fr", "extra", "1", "acr_values", "eidas1 unknown"))
	path := "/oauth/authorize?" + request().Encode() + "&resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example"
	wantCode(t, b.Get(path))
}

func TestFormPostSendsTheAnswerByAPage(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	got := ask(b, "response_mode", "form_post", "state", `"><script>`)
	policy := got.Header.Get("Content-Security-Policy")
	if got.Status != http.StatusOK || !strings.Contains(policy, "form-action 'self' https://agenda.example.test;") || strings.Contains(policy, "unsafe") {
		t.Errorf("%d with the policy %q", got.Status, policy)
	}
	for _, want := range []string{`action="` + frontCallback + `"`, `name="code"`, `name="state" value="&#34;&gt;&lt;script&gt;"`, `name="iss" value="` + idptest.Origin + `"`, "data-send"} {
		if !strings.Contains(got.Body, want) {
			t.Errorf("no %s in\n%s", want, got.Body)
		}
	}
	got = ask(b, "response_mode", "form_post", "scope", "profile")
	if !strings.Contains(got.Body, `name="error" value="invalid_scope"`) || strings.Contains(got.Body, `name="code"`) {
		t.Errorf("error page\n%s", got.Body)
	}
}

// RFC 8252, section 7: a program of the person's own machine is answered at a loopback address, on any port, or by its own scheme.
func TestNativeClientIsAnsweredOnItsMachine(t *testing.T) {
	s := client.Settings{ID: "agenda", Title: "Agenda", Native: true, Auth: "none", RedirectURIs: []string{"http://127.0.0.1/cb", "http://[::1]/cb", "fr.example.agenda:/cb"}}
	f := newFront(t, s)
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	for _, uri := range []string{"http://127.0.0.1:51004/cb", "http://127.0.0.1/cb", "http://[::1]:4711/cb", "fr.example.agenda:/cb"} {
		got := ask(b, "redirect_uri", uri)
		u, err := url.Parse(got.Header.Get("Location"))
		if err != nil || got.Status != http.StatusSeeOther || !strings.HasPrefix(u.String(), uri+"?") || u.Query().Get("code") == "" {
			t.Errorf("%s: %d to %q", uri, got.Status, got.Header.Get("Location"))
		}
	}
	got := ask(b, "redirect_uri", "fr.example.agenda:/cb", "response_mode", "form_post")
	if to := got.Header.Get("Location"); !strings.HasPrefix(to, "fr.example.agenda:/cb?error=invalid_request&") {
		t.Errorf("a form to a program's own scheme: %d to %q", got.Status, to)
	}
	for _, uri := range []string{"http://127.0.0.1:51004/other", "http://localhost:51004/cb", "http://127.0.0.2:51004/cb", "http://127.0.0.1:51004/cb?x=1", "http://user@127.0.0.1:51004/cb",
		"http://127.0.0.1:51004@evil.example/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:99999/cb", "https://127.0.0.1:51004/cb", "fr.example.agenda:/cb/", "fr.example.agenda:/cb#x"} {
		wantPage(t, ask(b, "redirect_uri", uri), http.StatusBadRequest)
	}
}
