package psctest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
)

// TestLogin signs everybody in with go-oidc and oauth2, which know neither stand-in.
func TestLogin(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			s := kind.Start(t, psctest.Config{PKI: shared.pki, Clients: []pscstub.Client{secretClient()}})
			for _, person := range pscstub.People() {
				for name, style := range map[string]oauth2.AuthStyle{"basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams} {
					t.Run(person.Key+" "+name, func(t *testing.T) {
						p := newParty(t, s, style)
						began := time.Now().Add(-time.Second).Unix()
						who := p.mustLogin(t, person.Key)
						for claim, want := range map[string]any{
							"iss": s.Issuer(), "aud": clientID, "azp": clientID, "sub": person.Sub, "acr": "eidas1", "typ": "ID",
							"SubjectNameID": person.NameID, "preferred_username": person.NameID, "authMode": "CARD",
						} {
							if got := who.claims[claim]; got != want {
								t.Errorf("ID token: %s = %v, want %v", claim, got, want)
							}
						}
						if at, _ := who.claims["auth_time"].(float64); int64(at) < began || int64(at) > time.Now().Unix()+1 {
							t.Errorf("auth_time = %v, which is not when the person signed in", who.claims["auth_time"])
						}
						if got := who.userinfo["SubjectNameID"]; got != person.NameID {
							t.Errorf("userinfo: SubjectNameID = %v, want %s", got, person.NameID)
						}
					})
				}
			}
		})
	}
}

// TestTokens looks at what the facts say of PSC's tokens: lifetimes, and access tokens that are JWTs with azp and without aud.
func TestTokens(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			s := kind.Start(t, psctest.Config{PKI: shared.pki, Clients: []pscstub.Client{secretClient()}})
			p := newParty(t, s, oauth2.AuthStyleInHeader)
			who := p.mustLogin(t, pscstub.Doctor)
			access := claimsOf(t, who.tokens.AccessToken)
			if access["azp"] != clientID || access["iss"] != s.Issuer() || access["typ"] != "Bearer" || access["sid"] != who.claims["sid"] {
				t.Errorf("access token: %v", access)
			}
			if _, ok := access["aud"]; ok {
				t.Error("the access token has an aud, which PSC's have not")
			}
			if got := access["exp"].(float64) - access["iat"].(float64); got != 120 {
				t.Errorf("the access token lives %v s, want 120", got)
			}
			for name, want := range map[string]any{"expires_in": 120.0, "refresh_expires_in": 1800.0, "scope": "openid scope_all", "token_type": "Bearer"} {
				if got := who.tokens.Extra(name); got != want {
					t.Errorf("%s = %v, want %v", name, got, want)
				}
			}
			if got := who.tokens.Extra("session_state"); got != who.claims["sid"] || got == nil {
				t.Errorf("session_state = %v, want the sid %v", got, who.claims["sid"])
			}
		})
	}
}

// TestDiscovery looks for the document at PSC's path, and at no other.
func TestDiscovery(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			s := kind.Start(t, psctest.Config{PKI: shared.pki, Clients: []pscstub.Client{secretClient()}})
			p := newParty(t, s, oauth2.AuthStyleInHeader)
			below := s.Issuer() + "/protocol/openid-connect/"
			for name, want := range map[string]any{
				"issuer": s.Issuer(), "authorization_endpoint": "https://" + s.Hosts()[1] + "/auth", "token_endpoint": below + "token",
				"userinfo_endpoint": below + "userinfo", "end_session_endpoint": below + "logout", "jwks_uri": below + "certs",
			} {
				if got := p.document[name]; got != want {
					t.Errorf("%s = %v, want %v", name, got, want)
				}
			}
			for _, at := range []string{s.Issuer(), "https://" + s.Hosts()[0]} {
				if _, err := document(t.Context(), p.http, at+"/.well-known/openid-configuration"); err == nil {
					t.Errorf("there is a document at the standard path of %s, where PSC has none", at)
				}
			}
		})
	}
}

// TestRefresh renews tokens, and finds that each refresh token is good for once.
func TestRefresh(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			s := kind.Start(t, psctest.Config{PKI: shared.pki, Clients: []pscstub.Client{secretClient()}})
			p := newParty(t, s, oauth2.AuthStyleInHeader)
			first := p.mustLogin(t, pscstub.Nurse)
			tokens, err := p.renew(t.Context(), first.tokens)
			if err != nil {
				t.Fatal(err)
			}
			second, err := p.identify(t.Context(), tokens, first.claims["nonce"].(string))
			if err != nil {
				t.Fatal(err)
			}
			if tokens.RefreshToken == first.tokens.RefreshToken || tokens.AccessToken == first.tokens.AccessToken {
				t.Error("the tokens are the old ones")
			}
			for _, name := range []string{"sub", "auth_time", "sid", "SubjectNameID", "acr", "azp"} {
				if second.claims[name] != first.claims[name] {
					t.Errorf("%s = %v after the refresh, want %v", name, second.claims[name], first.claims[name])
				}
			}
			_, err = p.renew(t.Context(), first.tokens)
			if got := oauthCode(err); got != "invalid_grant" {
				t.Errorf("the old refresh token gives %v, want invalid_grant", err)
			}
			// RFC 9700, section 4.14.2: a token that is used twice has been stolen, and the newest is worth nothing either.
			_, err = p.renew(t.Context(), tokens)
			if got := oauthCode(err); got != "invalid_grant" {
				t.Errorf("the newest refresh token, after the old one was replayed, gives %v, want invalid_grant", err)
			}
		})
	}
}

// TestSignedInAtTheProvider comes back: the browser's session at the provider answers, until it is ended or forgotten.
func TestSignedInAtTheProvider(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			s := kind.Start(t, psctest.Config{PKI: shared.pki, Clients: []pscstub.Client{secretClient()}})
			p := newParty(t, s, oauth2.AuthStyleInHeader)
			first := p.mustLogin(t, pscstub.Doctor)
			again := p.begin()
			callback, err := s.Follow(t.Context(), p.browser, again.url)
			if err != nil {
				t.Fatal(err)
			}
			second, err := p.finish(t.Context(), again, callback)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first.claims["auth_time"], second.claims["auth_time"]); diff != "" {
				t.Errorf("auth_time, which is when the person signed in:\n%s", diff)
			}
			// Another person, in the same browser.
			s.Set(psctest.Quirks{AskAgain: true})
			if third := p.mustLogin(t, pscstub.Nurse); third.id.Subject == first.id.Subject {
				t.Error("AskAgain: the first person was signed in again")
			}
			s.Set(psctest.Quirks{})
			force := p.begin(oauth2.SetAuthURLParam("prompt", "login"))
			fourth, err := p.finish(t.Context(), force, s.Choose(t, p.browser, force.url, pscstub.TwoPlaces))
			if err != nil {
				t.Fatal(err)
			}
			if want := s.Person(t, pscstub.TwoPlaces).Sub; fourth.id.Subject != want {
				t.Errorf("prompt=login: sub = %s, want %s", fourth.id.Subject, want)
			}
			// A logout ends it, and the refresh tokens.
			to, err := s.Follow(t.Context(), p.browser, p.logoutURL(fourth, "état"))
			if err != nil {
				t.Fatal(err)
			}
			if want := logoutURI + "?state=" + url.QueryEscape("état"); to == nil || to.String() != want {
				t.Errorf("the logout comes back at %v, want %s", to, want)
			}
			if _, err := s.Follow(t.Context(), p.browser, p.begin().url); err != psctest.ErrChoice {
				t.Errorf("after the logout: %v, want %v", err, psctest.ErrChoice)
			}
			if _, err := p.renew(t.Context(), fourth.tokens); oauthCode(err) != "invalid_grant" {
				t.Errorf("a refresh after the logout gives %v, want invalid_grant", err)
			}
		})
	}
}

// TestRefusedRequests makes mistakes that a provider has to see.
func TestRefusedRequests(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			s := kind.Start(t, psctest.Config{PKI: shared.pki, Clients: []pscstub.Client{secretClient()}})
			p := newParty(t, s, oauth2.AuthStyleInHeader)
			t.Run("an address that is not the client's gets nobody", func(t *testing.T) {
				other := *p
				other.oauth.RedirectURL = "https://evil.example/"
				if to, err := s.Follow(t.Context(), p.browser, other.begin().url); to != nil || err == nil {
					t.Errorf("the browser is sent to %v", to)
				}
			})
			t.Run("a request without PKCE", func(t *testing.T) {
				a := p.begin()
				u, _ := url.Parse(a.url)
				q := u.Query()
				q.Del("code_challenge")
				q.Del("code_challenge_method")
				u.RawQuery = q.Encode()
				to, err := s.Follow(t.Context(), p.browser, u.String())
				if err != nil || to == nil || to.Query().Get("error") != "invalid_request" {
					t.Errorf("it leads to %v, %v; want invalid_request", to, err)
				}
			})
			t.Run("a verifier that is another's", func(t *testing.T) {
				a := p.begin()
				callback := s.Choose(t, s.Client(t), a.url, pscstub.Doctor)
				a.verifier = oauth2.GenerateVerifier()
				if _, err := p.finish(t.Context(), a, callback); oauthCode(err) != "invalid_grant" {
					t.Errorf("the code gives %v, want invalid_grant", err)
				}
			})
			t.Run("a code for the second time", func(t *testing.T) {
				a := p.begin()
				callback := s.Choose(t, s.Client(t), a.url, pscstub.Doctor)
				who, err := p.finish(t.Context(), a, callback)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.finish(t.Context(), a, callback); oauthCode(err) != "invalid_grant" {
					t.Errorf("the code gives %v, want invalid_grant", err)
				}
				// RFC 6749, section 4.1.2: what it gave is revoked.
				if _, err := p.renew(t.Context(), who.tokens); oauthCode(err) != "invalid_grant" {
					t.Errorf("the refresh token of a code that was used twice gives %v, want invalid_grant", err)
				}
			})
			t.Run("a wrong secret", func(t *testing.T) {
				other := *p
				other.oauth.ClientSecret = "wrong"
				a := other.begin()
				if _, err := other.finish(t.Context(), a, s.Choose(t, s.Client(t), a.url, pscstub.Doctor)); oauthCode(err) != "invalid_client" {
					t.Errorf("it gives %v, want invalid_client", err)
				}
			})
			t.Run("cancel", func(t *testing.T) {
				a := p.begin()
				q := s.Choose(t, s.Client(t), a.url, "").Query()
				if q.Get("error") != "access_denied" || q.Get("state") != a.state || q.Has("code") {
					t.Errorf("the browser comes back with %v, want access_denied and the state", q)
				}
			})
			t.Run("a logout to an address that is not the client's", func(t *testing.T) {
				who := p.mustLogin(t, pscstub.Doctor)
				at := strings.Replace(p.logoutURL(who, "s"), url.QueryEscape(logoutURI), url.QueryEscape("https://evil.example/"), 1)
				if to, err := s.Follow(t.Context(), p.browser, at); to != nil || err == nil {
					t.Errorf("the browser is sent to %v", to)
				}
			})
			t.Run("userinfo without a token", func(t *testing.T) {
				response, err := p.http.Get(p.document["userinfo_endpoint"].(string))
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				if response.StatusCode/100 != 4 {
					t.Errorf("status %d", response.StatusCode)
				}
			})
		})
	}
}

// TestClientCertificate authenticates a client by TLS (RFC 8705), with the right certificate, a wrong one, and none.
func TestClientCertificate(t *testing.T) {
	authority := psctest.NewAuthority(t)
	right := authority.Issue(t, "promess.example")
	client := pscstub.Client{
		ID: clientID, CertificateSubject: right.Leaf.Subject.String(), CertificateRoots: authority.Roots(),
		RedirectURIs: []string{redirectURI}, LogoutURIs: []string{logoutURI},
	}
	for _, kind := range kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			s := kind.Start(t, psctest.Config{PKI: shared.pki, Clients: []pscstub.Client{client}})
			p := newParty(t, s, oauth2.AuthStyleInParams, right)
			who := p.mustLogin(t, pscstub.Doctor)
			if _, err := p.renew(t.Context(), who.tokens); err != nil {
				t.Errorf("refresh: %v", err)
			}
			other := newParty(t, s, oauth2.AuthStyleInParams, authority.Issue(t, "another.example"))
			if _, err := other.login(t.Context(), t, pscstub.Doctor); oauthCode(err) != "invalid_client" {
				t.Errorf("a certificate of another name: %v, want invalid_client", err)
			}
			foreign := newParty(t, s, oauth2.AuthStyleInParams, psctest.NewAuthority(t).Issue(t, "promess.example"))
			if _, err := foreign.login(t.Context(), t, pscstub.Doctor); oauthCode(err) != "invalid_client" {
				t.Errorf("a certificate of another authority: %v, want invalid_client", err)
			}
			none := newParty(t, s, oauth2.AuthStyleInParams)
			if _, err := none.login(t.Context(), t, pscstub.Doctor); oauthCode(err) != "invalid_client" {
				t.Errorf("a secret, and no certificate: %v, want invalid_client", err)
			}
		})
	}
}

// TestPage reads the page of the choice as a person does.
func TestPage(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			s := kind.Start(t, psctest.Config{PKI: shared.pki, Clients: []pscstub.Client{secretClient()}})
			p := newParty(t, s, oauth2.AuthStyleInHeader)
			page, header := read(t, p.browser, p.begin().url)
			for _, want := range []string{"Ceci n’est pas Pro Santé Connect", "This is not Pro Santé Connect", clientID, `name="person" value=""`, "Annuler"} {
				if !strings.Contains(page, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			for _, person := range pscstub.People() {
				if !strings.Contains(page, `<button name="person" value="`+person.Key+`">`+person.Label+`</button>`) {
					t.Errorf("the page does not offer %s", person.Label)
				}
			}
			if got := header.Get("Content-Security-Policy"); got != pscstub.PagePolicy {
				t.Errorf("Content-Security-Policy: %q", got)
			}
			if style, h := read(t, p.browser, s.Issuer()+"/style.css"); !strings.Contains(style, "button") || !strings.HasPrefix(h.Get("Content-Type"), "text/css") {
				t.Errorf("the style sheet is %s, %q", h.Get("Content-Type"), style)
			}
		})
	}
}

func read(t *testing.T, c *http.Client, at string) (string, http.Header) {
	t.Helper()
	response, err := c.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	return body(t, response), response.Header
}
