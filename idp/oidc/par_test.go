package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/client"
	"promess/authgw/internal/idptest"
)

// pushRequest has a client's server push a request.
func pushRequest(t *testing.T, f *front, form url.Values, headers ...string) idptest.Answer {
	t.Helper()
	server := f.Browser(t, "127.0.0.9") // which has no cookies, and sends no Sec-Fetch-Site
	return server.Do(http.MethodPost, "/oauth/par", "application/x-www-form-urlencoded", form.Encode(), append([]string{"Sec-Fetch-Site", ""}, headers...)...)
}

// newPushing returns a front with a client that has a secret, and the secret.
func newPushing(t *testing.T) (*front, string) {
	t.Helper()
	f := newFront(t)
	s := agenda()
	s.Auth = "client_secret"
	c, err := s.Client(client.Own{})
	if err != nil {
		t.Fatal(err)
	}
	secret, hash := client.NewSecret()
	c.SecretHashes = append(c.SecretHashes, hash)
	public := agenda()
	public.ID = "public"
	p, err := public.Client(client.Own{})
	if err != nil {
		t.Fatal(err)
	}
	f.clients.Use([]*client.Client{c, p}, client.Own{})
	return f, secret
}

// pushedURI is what the client was given.
func pushedURI(t *testing.T, got idptest.Answer) string {
	t.Helper()
	all := body(t, []byte(got.Body))
	uri, _ := all["request_uri"].(string)
	if got.Status != http.StatusCreated || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || all["expires_in"] != 90.0 || got.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("pushing = %d %v %s", got.Status, got.Header, got.Body)
	}
	return uri
}

// bring brings what was pushed; more parameters count for nothing (RFC 9126, section 4).
func bring(b *idptest.Browser, id, uri string, more ...string) idptest.Answer {
	q := url.Values{"client_id": {id}, "request_uri": {uri}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return b.Get("/oauth/authorize?" + q.Encode())
}

// RFC 9126: the client's server says what is asked, proves itself, and the browser brings the name of it: once, within its life.
func TestPushedRequestIsBroughtOnce(t *testing.T) {
	f, secret := newPushing(t)
	b := f.Browser(t, "127.0.0.2")
	uri := pushedURI(t, pushRequest(t, f, request("client_secret", secret)))
	page := wantLogin(t, b, bring(b, "agenda", uri, "redirect_uri", "https://evil.example", "state", "other", "prompt", "none", "scope", "openid psc"))
	if !strings.Contains(page.Body, "Agenda") {
		t.Error("the login page does not say which service asks")
	}
	wantCode(t, logIn(t, b, "/login/believed"))
	wantPage(t, bring(b, "agenda", uri), http.StatusBadRequest)

	wantCode(t, bring(b, "agenda", pushedURI(t, pushRequest(t, f, request("client_secret", secret)))))
	uri = pushedURI(t, pushRequest(t, f, request("client_secret", secret)))
	wantPage(t, bring(b, "public", uri), http.StatusBadRequest)
	wantPage(t, bring(b, "agenda", uri), http.StatusBadRequest) // somebody knew it who should not
	uri = pushedURI(t, pushRequest(t, f, request("client_secret", secret)))
	f.Advance(90 * time.Second)
	wantPage(t, bring(b, "agenda", uri), http.StatusBadRequest)

	// What was good when it was pushed, and is not when it is brought.
	uri = pushedURI(t, pushRequest(t, f, request("client_secret", secret)))
	moved := agenda()
	moved.RedirectURIs = []string{"https://agenda.example.test/new"}
	c, err := f.clients.Client(t.Context(), "agenda")
	if err != nil {
		t.Fatal(err)
	}
	f.have(t, moved)
	wantPage(t, bring(b, "agenda", uri), http.StatusBadRequest)
	f.clients.Use([]*client.Client{c}, client.Own{})

	// prompt=login is counted from when the browser brings it.
	b.LogIn()
	uri = pushedURI(t, pushRequest(t, f, request("client_secret", secret, "prompt", "login")))
	wantLogin(t, b, bring(b, "agenda", uri))
}

// RFC 9126, section 2.3: what would be refused to a browser is refused to the server, which is told why; and nobody pushes for another.
func TestPushedRequestIsJudgedAtOnce(t *testing.T) {
	f, secret := newPushing(t)
	for name, c := range map[string]struct {
		form   url.Values
		status int
		want   string
	}{
		"F1: another redirect URI": {request("client_secret", secret, "redirect_uri", "https://evil.example"), 400, "invalid_request"},
		"F4: no PKCE":              {request("client_secret", secret, "code_challenge", ""), 400, "invalid_request"},
		"implicit":                 {request("client_secret", secret, "response_type", "token"), 400, "unsupported_response_type"},
		"a request_uri":            {request("client_secret", secret, "request_uri", "urn:ietf:params:oauth:request_uri:x"), 400, "request_uri_not_supported"},
		"a request object":         {request("client_secret", secret, "request", "a.b.c"), 400, "request_not_supported"},
		"no scope openid":          {request("client_secret", secret, "scope", "email"), 400, "invalid_scope"},
		"no proof":                 {request(), 401, "invalid_client"},
		"another proof":            {request("client_secret", "x"), 401, "invalid_client"},
		"for another client":       {request("client_secret", secret, "client_id", "public"), 401, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			got := pushRequest(t, f, c.form)
			if got.Status != c.status || body(t, []byte(got.Body))["error"] != c.want {
				t.Errorf("%d %s, want %d %s", got.Status, got.Body, c.status, c.want)
			}
			if c.status == http.StatusUnauthorized && got.Header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
		})
	}
	if got := pushRequest(t, f, nil); got.Status != http.StatusUnauthorized {
		t.Errorf("nothing = %d", got.Status)
	}
	b := f.Browser(t, "127.0.0.2")
	if got := b.Get("/oauth/par"); got.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET = %d", got.Status)
	}
	if strings.Contains(f.Written(), secret) {
		t.Error("a secret is in the log or the trail")
	}
}
