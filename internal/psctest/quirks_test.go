package psctest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
)

// on runs a test on both stand-ins, with a relying party that has discovered them before the quirks begin.
func on(t *testing.T, test func(t *testing.T, p *party)) {
	t.Helper()
	for _, kind := range kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			s := kind.Start(t, psctest.Config{PKI: shared.pki, Clients: []pscstub.Client{secretClient()}})
			test(t, newParty(t, s, oauth2.AuthStyleInHeader))
		})
	}
}

// with sets quirks until the end of the test.
func (p *party) with(t *testing.T, q psctest.Quirks) {
	t.Helper()
	p.standin.Set(q)
	t.Cleanup(func() { p.standin.Set(psctest.Quirks{}) })
}

// exchange is a login up to the tokens, which nobody has looked at.
func (p *party) exchange(t *testing.T, person string) (attempt, *oauth2.Token) {
	t.Helper()
	a := p.begin()
	callback := p.standin.Choose(t, p.browser, a.url, person)
	tokens, err := p.oauth.Exchange(p.context(t.Context()), callback.Query().Get("code"), oauth2.VerifierOption(a.verifier))
	if err != nil {
		t.Fatal(err)
	}
	return a, tokens
}

// TestIDTokenQuirks looks at what is wrong with the token, and at whether go-oidc and the checks beside it see it.
func TestIDTokenQuirks(t *testing.T) {
	hourAgo := func() int64 { return time.Now().Add(-50 * time.Minute).Unix() }
	number := func(claims map[string]any, name string) int64 { n, _ := claims[name].(float64); return int64(n) }
	has := func(claims map[string]any, name string) bool { _, ok := claims[name]; return ok }
	const (
		bySignature = "failed to verify signature"
		byNobody    = "" // go-oidc accepts it: the relying party has to look
	)
	on(t, func(t *testing.T, p *party) {
		for quirk, test := range map[psctest.IDTokenQuirk]struct {
			refused string // a part of what the client says
			shows   func(a attempt, header, claims map[string]any) bool
		}{
			psctest.IDTokenWrongNonce: {errNonce.Error(), func(a attempt, _, c map[string]any) bool { return has(c, "nonce") && c["nonce"] != a.nonce }},
			psctest.IDTokenNoNonce:    {errNonce.Error(), func(_ attempt, _, c map[string]any) bool { return !has(c, "nonce") }},
			psctest.IDTokenWrongIssuer: {"different provider", func(_ attempt, _, c map[string]any) bool {
				return c["iss"] == "https://psc.invalid/auth/realms/esante-wallet"
			}},
			psctest.IDTokenWrongAudience: {"expected audience", func(_ attempt, _, c map[string]any) bool { return c["aud"] == "another-client" }},
			psctest.IDTokenTwoAudiences: {byNobody, func(_ attempt, _, c map[string]any) bool {
				return reflect.DeepEqual(c["aud"], []any{clientID, "another-client"}) && c["azp"] == "another-client"
			}},
			psctest.IDTokenWrongAzp: {byNobody, func(_ attempt, _, c map[string]any) bool { return c["aud"] == clientID && c["azp"] == "another-client" }},
			psctest.IDTokenExpired: {"token is expired", func(_ attempt, _, c map[string]any) bool {
				return number(c, "exp") < hourAgo() && number(c, "iat") < number(c, "exp")
			}},
			psctest.IDTokenFuture:      {"before the nbf", func(_ attempt, _, c map[string]any) bool { return number(c, "nbf") > time.Now().Unix()+3000 }},
			psctest.IDTokenOtherKey:    {bySignature, func(_ attempt, h, _ map[string]any) bool { return h["alg"] == "RS256" && h["kid"] == p.kid(t) }},
			psctest.IDTokenUnknownKey:  {bySignature, func(_ attempt, h, _ map[string]any) bool { return h["alg"] == "RS256" && h["kid"] != p.kid(t) }},
			psctest.IDTokenAlgNone:     {"unexpected signature algorithm", func(_ attempt, h, _ map[string]any) bool { return h["alg"] == "none" }},
			psctest.IDTokenHS256:       {"unexpected signature algorithm", func(_ attempt, h, _ map[string]any) bool { return h["alg"] == "HS256" }},
			psctest.IDTokenHS256Public: {"unexpected signature algorithm", func(_ attempt, h, _ map[string]any) bool { return h["alg"] == "HS256" && h["kid"] == p.kid(t) }},
			psctest.IDTokenWrongAtHash: {"access token hash does not match", func(_ attempt, _, c map[string]any) bool { return c["at_hash"] == "AAAAAAAAAAAAAAAAAAAAAA" }},
			psctest.IDTokenNoAuthTime:  {byNobody, func(_ attempt, _, c map[string]any) bool { return !has(c, "auth_time") }},
			psctest.IDTokenOldAuthTime: {byNobody, func(_ attempt, _, c map[string]any) bool {
				return number(c, "auth_time") < time.Now().Add(-4*time.Hour).Unix()
			}},
			psctest.IDTokenNoSub: {errUserinfo.Error(), func(_ attempt, _, c map[string]any) bool { return !has(c, "sub") }},
		} {
			t.Run(string(quirk), func(t *testing.T) {
				p.with(t, psctest.Quirks{IDToken: quirk})
				a, tokens := p.exchange(t, pscstub.Doctor)
				raw, _ := tokens.Extra("id_token").(string)
				if header, claims := part(t, raw, 0), claimsOf(t, raw); !test.shows(a, header, claims) {
					t.Errorf("the token is not what the quirk says: %v %v", header, claims)
				}
				_, err := p.identify(t.Context(), tokens, a.nonce)
				if test.refused == byNobody && err != nil || test.refused != byNobody && (err == nil || !strings.Contains(err.Error(), test.refused)) {
					t.Errorf("go-oidc says %v, want %q", err, test.refused)
				}
			})
		}
		t.Run("missing", func(t *testing.T) {
			p.with(t, psctest.Quirks{IDToken: psctest.IDTokenMissing})
			if _, tokens := p.exchange(t, pscstub.Doctor); tokens.Extra("id_token") != nil || tokens.AccessToken == "" {
				t.Error("there is an ID token, or nothing at all")
			}
		})
		t.Run("HS256 verifies with the client's secret", func(t *testing.T) {
			p.with(t, psctest.Quirks{IDToken: psctest.IDTokenHS256})
			_, tokens := p.exchange(t, pscstub.Doctor)
			token, err := jwt.ParseSigned(tokens.Extra("id_token").(string), []jose.SignatureAlgorithm{jose.HS256})
			if err != nil {
				t.Fatal(err)
			}
			// RFC 2104, section 2: a key that is shorter than a block is filled up with zeros.
			if err := token.Claims(append([]byte(secret), make([]byte, 64-len(secret))...), &map[string]any{}); err != nil {
				t.Error(err)
			}
		})
		t.Run("bare", func(t *testing.T) {
			p.with(t, psctest.Quirks{BareIDToken: true})
			who := p.mustLogin(t, pscstub.Doctor)
			for _, name := range []string{"SubjectNameID", "preferred_username", "otherIds", "authMode"} {
				if has(who.claims, name) {
					t.Errorf("the ID token has %s", name)
				}
			}
			if who.userinfo["SubjectNameID"] != p.standin.Person(t, pscstub.Doctor).NameID {
				t.Error("userinfo lacks SubjectNameID too")
			}
		})
	})
}

// kid returns the id of the published key.
func (p *party) kid(t *testing.T) string {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := get(t.Context(), p.http, p.document["jwks_uri"].(string), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 {
		t.Fatalf("%d keys are published, want one", len(set.Keys))
	}
	return set.Keys[0].KeyID
}

// TestIdentityQuirks plays the levels of assurance, and a sub that changes while SubjectNameID does not.
func TestIdentityQuirks(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		for _, acr := range []string{"eidas1", "eidas2", "eidas3", "something else"} {
			p.standin.Set(psctest.Quirks{ACR: acr})
			if got := p.mustLogin(t, pscstub.Doctor).claims["acr"]; got != acr {
				t.Errorf("acr = %v, want %s", got, acr)
			}
		}
		p.standin.Set(psctest.Quirks{ACR: psctest.ACRNone})
		if got, ok := p.mustLogin(t, pscstub.Doctor).claims["acr"]; ok {
			t.Errorf("acr = %v, want none", got)
		}
		p.standin.Set(psctest.Quirks{Sub: psctest.SubLegacy})
		before := p.mustLogin(t, pscstub.Doctor)
		p.standin.Set(psctest.Quirks{})
		after := p.mustLogin(t, pscstub.Doctor)
		if sub := before.id.Subject; !strings.HasPrefix(sub, "f:") || !strings.HasSuffix(sub, ":899700218896") || before.userinfo["sub"] != sub {
			t.Errorf("the old sub is %q, in userinfo %q", sub, before.userinfo["sub"])
		}
		if before.id.Subject == after.id.Subject || before.userinfo["SubjectNameID"] != after.userinfo["SubjectNameID"] {
			t.Error("sub stays, or SubjectNameID does not")
		}
	})
}

// TestKeyRotation changes the key: new tokens verify after the keys were read again, and nothing needs a new discovery.
func TestKeyRotation(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		old := p.mustLogin(t, pscstub.Doctor)
		kid := p.kid(t)
		p.standin.RotateKey(t)
		if p.kid(t) == kid {
			t.Error("the old key is published still")
		}
		who := p.mustLogin(t, pscstub.Doctor)
		if got := part(t, who.rawID, 0)["kid"]; got != p.kid(t) {
			t.Errorf("the token is of key %v, want %s", got, p.kid(t))
		}
		if _, err := p.renew(t.Context(), old.tokens); err != nil {
			t.Errorf("a refresh token of before the change: %v", err)
		}
		if to, err := p.standin.Follow(t.Context(), p.browser, p.logoutURL(who, "s")); err != nil || to == nil {
			t.Errorf("a logout with an ID token of the new key leads to %v, %v", to, err)
		}
	})
}

// TestUserinfoQuirks reads userinfo that is thin, in another format, or somebody else's.
func TestUserinfoQuirks(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		exercises := func(u map[string]any) []any {
			ref, _ := u["SubjectRefPro"].(map[string]any)
			all, _ := ref["exercices"].([]any)
			return all
		}
		info := func(t *testing.T, q psctest.Quirks) map[string]any {
			t.Helper()
			p.with(t, q)
			_, tokens := p.exchange(t, pscstub.TwoPlaces)
			var all map[string]any
			if err := json.Unmarshal(p.userinfo(t, tokens), &all); err != nil {
				t.Fatal(err)
			}
			return all
		}
		t.Run("full", func(t *testing.T) {
			all := exercises(info(t, psctest.Quirks{UserinfoExtra: map[string]any{"nouveau": map[string]any{"a": 1.0}}}))
			if len(all) != 1 || len(all[0].(map[string]any)["activities"].([]any)) != 2 {
				t.Errorf("exercises: %v", all)
			}
		})
		t.Run("extra", func(t *testing.T) {
			if u := info(t, psctest.Quirks{UserinfoExtra: map[string]any{"nouveau": "x"}}); u["nouveau"] != "x" || u["sub"] == nil {
				t.Errorf("userinfo: %v", u)
			}
		})
		t.Run("sparse", func(t *testing.T) {
			u := info(t, psctest.Quirks{Userinfo: psctest.UserinfoSparse})
			all := exercises(u)
			if len(all) != 1 || all[0].(map[string]any)["activities"] != nil || all[0].(map[string]any)["codeProfession"] != "10" || u["otherIds"] != nil || u["sub"] == nil {
				t.Errorf("userinfo: %v", u)
			}
		})
		t.Run("no exercise", func(t *testing.T) {
			if u := info(t, psctest.Quirks{Userinfo: psctest.UserinfoNoExercise}); u["SubjectRefPro"] != nil || u["SubjectNameID"] == nil {
				t.Errorf("userinfo: %v", u)
			}
		})
		t.Run("no sub", func(t *testing.T) {
			if u := info(t, psctest.Quirks{Userinfo: psctest.UserinfoNoSub}); u["sub"] != nil || u["SubjectNameID"] == nil {
				t.Errorf("userinfo: %v", u)
			}
		})
		t.Run("no SubjectNameID", func(t *testing.T) {
			if u := info(t, psctest.Quirks{Userinfo: psctest.UserinfoNoNameID}); u["sub"] == nil || u["SubjectNameID"] != nil {
				t.Errorf("userinfo: %v", u)
			}
		})
		t.Run("another person's", func(t *testing.T) {
			p.with(t, psctest.Quirks{UserinfoAnother: true})
			if _, err := p.login(t.Context(), t, pscstub.TwoPlaces); !errors.Is(err, errUserinfo) {
				t.Errorf("the login gives %v, want %v", err, errUserinfo)
			}
		})
		t.Run("JWT", func(t *testing.T) {
			p.with(t, psctest.Quirks{UserinfoFormat: psctest.UserinfoJWT})
			who := p.mustLogin(t, pscstub.TwoPlaces) // go-oidc verifies it
			if who.userinfo["SubjectNameID"] != p.standin.Person(t, pscstub.TwoPlaces).NameID || who.userinfo["aud"] != clientID || who.userinfo["iss"] != p.standin.Issuer() {
				t.Errorf("userinfo: %v", who.userinfo)
			}
		})
		for format, want := range map[psctest.UserinfoFormat]string{
			psctest.UserinfoJWTOtherKey: "failed to verify", psctest.UserinfoJWTNone: "unexpected signature algorithm", psctest.UserinfoNotJSON: "failed to decode userinfo",
			psctest.UserinfoJWTAsJSONType: "failed to decode userinfo",
		} {
			t.Run(string(format), func(t *testing.T) {
				p.with(t, psctest.Quirks{UserinfoFormat: format})
				if _, err := p.login(t.Context(), t, pscstub.TwoPlaces); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the login gives %v, want %q", err, want)
				}
			})
		}
		for format, claim := range map[psctest.UserinfoFormat]string{psctest.UserinfoJWTAudience: "aud", psctest.UserinfoJWTIssuer: "iss"} {
			t.Run(string(format), func(t *testing.T) {
				p.with(t, psctest.Quirks{UserinfoFormat: format})
				_, tokens := p.exchange(t, pscstub.TwoPlaces)
				claims := claimsOf(t, string(p.userinfo(t, tokens)))
				right := map[string]any{"aud": clientID, "iss": p.standin.Issuer()}
				if claims[claim] == nil || claims[claim] == right[claim] {
					t.Errorf("%s = %v", claim, claims[claim])
				}
			})
		}
	})
}

// userinfo returns the answer of the endpoint.
func (p *party) userinfo(t *testing.T, tokens *oauth2.Token) []byte {
	t.Helper()
	response, err := oauth2.NewClient(p.context(t.Context()), oauth2.StaticTokenSource(tokens)).Get(p.document["userinfo_endpoint"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(body(t, response))
}

// TestCallbackQuirks reads where the browser is sent.
func TestCallbackQuirks(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		callback := func(t *testing.T, q psctest.Quirks) (attempt, url.Values) {
			t.Helper()
			p.with(t, q)
			a := p.begin()
			return a, p.standin.Choose(t, p.browser, a.url, pscstub.Doctor).Query()
		}
		for name, test := range map[string]struct {
			quirks psctest.Quirks
			shows  func(a attempt, q url.Values) bool
		}{
			"as usual": {psctest.Quirks{}, func(a attempt, q url.Values) bool {
				return q.Get("iss") == p.standin.Issuer() && q.Get("state") == a.state && q.Has("code")
			}},
			"without iss": {psctest.Quirks{CallbackIss: psctest.Absent}, func(a attempt, q url.Values) bool { return !q.Has("iss") && q.Get("state") == a.state && q.Has("code") }},
			"wrong iss": {psctest.Quirks{CallbackIss: psctest.Wrong}, func(a attempt, q url.Values) bool {
				return q.Get("iss") == "https://psc.invalid/auth/realms/esante-wallet" && q.Get("state") == a.state && q.Has("code")
			}},
			"without state": {psctest.Quirks{CallbackState: psctest.Absent}, func(_ attempt, q url.Values) bool { return !q.Has("state") && q.Has("code") }},
			"wrong state":   {psctest.Quirks{CallbackState: psctest.Wrong}, func(a attempt, q url.Values) bool { return q.Has("state") && q.Get("state") != a.state }},
			"error": {psctest.Quirks{CallbackError: "server_error"}, func(a attempt, q url.Values) bool {
				return q.Get("error") == "server_error" && q.Get("state") == a.state && !q.Has("code")
			}},
			"denied": {psctest.Quirks{CallbackError: "access_denied"}, func(_ attempt, q url.Values) bool { return q.Get("error") == "access_denied" && !q.Has("code") }},
		} {
			t.Run(name, func(t *testing.T) {
				if a, q := callback(t, test.quirks); !test.shows(a, q) {
					t.Errorf("the callback is %v", q)
				}
			})
		}
	})
}

// TestRefreshQuirks refuses a refresh, and makes it somebody else's, who is there in the userinfo too.
func TestRefreshQuirks(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		t.Run("refused", func(t *testing.T) {
			who := p.mustLogin(t, pscstub.Doctor)
			p.with(t, psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Refresh: psctest.Refused()}})
			if _, err := p.renew(t.Context(), who.tokens); oauthCode(err) != "invalid_grant" {
				t.Errorf("the refresh gives %v, want invalid_grant", err)
			}
			p.mustLogin(t, pscstub.Doctor) // codes are not refused
		})
		for name, keep := range map[string]bool{"another person": false, "another SubjectNameID under the old sub": true} {
			t.Run(name, func(t *testing.T) {
				who := p.mustLogin(t, pscstub.Doctor)
				nurse := p.standin.Person(t, pscstub.Nurse)
				p.with(t, psctest.Quirks{RefreshPerson: pscstub.Nurse, RefreshKeepSub: keep})
				tokens, err := p.renew(t.Context(), who.tokens)
				if err != nil {
					t.Fatal(err)
				}
				now, err := p.identify(t.Context(), tokens, who.claims["nonce"].(string))
				if err != nil {
					t.Fatal(err)
				}
				sub := nurse.Sub
				if keep {
					sub = who.id.Subject
				}
				if now.id.Subject != sub || now.claims["SubjectNameID"] != nurse.NameID || now.userinfo["SubjectNameID"] != nurse.NameID {
					t.Errorf("sub %s, SubjectNameID %v and %v; want %s, %s", now.id.Subject, now.claims["SubjectNameID"], now.userinfo["SubjectNameID"], sub, nurse.NameID)
				}
			})
		}
	})
}

// TestLogoutQuirks comes back from a logout with the state, without it, with another, and at a request without one.
func TestLogoutQuirks(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		for name, test := range map[string]struct {
			quirks psctest.Quirks
			state  string
			want   url.Values
		}{
			"with state":           {psctest.Quirks{}, "s1", url.Values{"state": {"s1"}}},
			"none was sent":        {psctest.Quirks{}, "", url.Values{}},
			"state is lost":        {psctest.Quirks{LogoutState: psctest.Absent}, "s1", url.Values{}},
			"state of another":     {psctest.Quirks{LogoutState: psctest.Wrong}, "s1", url.Values{"state": {"not-the-state"}}},
			"after a changed hint": {psctest.Quirks{ACR: "eidas2"}, "s1", url.Values{"state": {"s1"}}},
		} {
			t.Run(name, func(t *testing.T) {
				p.with(t, test.quirks)
				who := p.mustLogin(t, pscstub.Doctor)
				to, err := p.standin.Follow(t.Context(), p.browser, p.logoutURL(who, test.state))
				if err != nil || to == nil {
					t.Fatalf("the logout leads to %v, %v", to, err)
				}
				if got := to.Query(); !maps.EqualFunc(got, test.want, func(a, b []string) bool { return reflect.DeepEqual(a, b) }) {
					t.Errorf("the logout comes back with %v, want %v", got, test.want)
				}
				if _, err := p.standin.Follow(t.Context(), p.browser, p.begin().url); !errors.Is(err, psctest.ErrChoice) {
					t.Errorf("the session is there still: %v", err)
				}
			})
		}
	})
}

// TestDiscoveryQuirks reads documents that no gateway may believe.
func TestDiscoveryQuirks(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		for quirk, test := range map[psctest.DiscoveryQuirk]struct{ name, prefix string }{
			psctest.DiscoveryWrongIssuer: {"issuer", "https://psc.invalid/"},
			psctest.DiscoveryForeignHost: {"token_endpoint", "https://psc.invalid/"},
			psctest.DiscoveryForeignKeys: {"jwks_uri", "https://psc.invalid/"},
			psctest.DiscoveryHTTP:        {"token_endpoint", "http://127.0.0.1:"},
			psctest.DiscoveryNoKeys:      {"jwks_uri", ""},
			psctest.DiscoveryNoLogout:    {"end_session_endpoint", ""},
		} {
			t.Run(string(quirk), func(t *testing.T) {
				p.with(t, psctest.Quirks{Discovery: quirk})
				doc, err := document(t.Context(), p.http, p.standin.DiscoveryURL())
				if err != nil {
					t.Fatal(err)
				}
				got, ok := doc[test.name].(string)
				if ok != (test.prefix != "") || !strings.HasPrefix(got, test.prefix) {
					t.Errorf("%s = %q, want %q…", test.name, got, test.prefix)
				}
				delete(doc, test.name)
				for name, value := range doc {
					if !reflect.DeepEqual(value, p.document[name]) {
						t.Errorf("%s has changed too: %v", name, value)
					}
				}
			})
		}
		t.Run("not JSON", func(t *testing.T) {
			p.with(t, psctest.Quirks{Discovery: psctest.DiscoveryNotJSON})
			if doc, err := document(t.Context(), p.http, p.standin.DiscoveryURL()); err == nil {
				t.Errorf("it is JSON: %v", doc)
			}
		})
	})
}

// TestFaults breaks each endpoint in each way, and finds it whole afterwards.
func TestFaults(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		who := p.mustLogin(t, pscstub.Doctor)
		at := map[psctest.Endpoint]string{
			psctest.Discovery: p.standin.DiscoveryURL(), psctest.Keys: p.document["jwks_uri"].(string), psctest.Wallet: p.begin().url,
			psctest.Token: p.document["token_endpoint"].(string), psctest.Refresh: p.document["token_endpoint"].(string),
			psctest.Userinfo: p.document["userinfo_endpoint"].(string), psctest.Logout: p.document["end_session_endpoint"].(string),
		}
		ask := func(ctx context.Context, e psctest.Endpoint) (*http.Response, error) {
			method, form := http.MethodGet, url.Values{}
			switch e {
			case psctest.Token:
				method, form = http.MethodPost, url.Values{"grant_type": {"authorization_code"}}
			case psctest.Refresh:
				method, form = http.MethodPost, url.Values{"grant_type": {"refresh_token"}}
			}
			req, err := http.NewRequestWithContext(ctx, method, at[e], strings.NewReader(form.Encode()))
			if err != nil {
				return nil, err
			}
			if method == http.MethodPost {
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			return p.http.Do(req)
		}
		for e := range at {
			t.Run(string(e), func(t *testing.T) {
				only := func(f psctest.Fault) { p.with(t, psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{e: f}}) }
				before := p.standin.Requests(e)
				for _, status := range []int{400, 502, 503, 504} {
					only(psctest.Fault{Status: status})
					response, err := ask(t.Context(), e)
					if err != nil {
						t.Fatal(err)
					}
					if body(t, response); response.StatusCode != status {
						t.Errorf("status %d, want %d", response.StatusCode, status)
					}
				}
				if got := p.standin.Requests(e) - before; got != 4 {
					t.Errorf("%d requests were counted, want 4", got)
				}
				only(psctest.Fault{Status: 400, Error: "invalid_request"})
				response, err := ask(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				if got := body(t, response); !strings.Contains(got, `"error":"invalid_request"`) {
					t.Errorf("the error is %s", got)
				}
				only(psctest.Fault{Cut: true})
				if response, err := ask(t.Context(), e); err == nil {
					t.Errorf("the connection was not cut: %s", response.Status)
				}
				only(psctest.Fault{Huge: true})
				response, err = ask(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				if got := body(t, response); len(got) < 1<<20 {
					t.Errorf("the answer ends after %d bytes", len(got))
				}
				only(psctest.Fault{Hang: true})
				ctx, done := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer done()
				if response, err := ask(ctx, e); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("it did not hang: %v, %v", response, err)
				}
			})
		}
		if _, err := p.renew(t.Context(), who.tokens); err != nil {
			t.Errorf("after all faults: %v", err)
		}
	})
}

// TestHold lets three refreshes wait, and go on together.
func TestHold(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		hold := make(chan struct{})
		var all []*oauth2.Token
		for range 3 {
			all = append(all, p.mustLogin(t, pscstub.Doctor).tokens)
		}
		p.with(t, psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Refresh: {Hold: hold}}})
		done := make(chan error, len(all))
		for _, tokens := range all {
			go func() {
				_, err := p.renew(t.Context(), tokens)
				done <- err
			}()
		}
		until(t, func() bool { return p.standin.Busy(psctest.Refresh) == len(all) })
		close(hold)
		for range all {
			if err := <-done; err != nil { // bounded by the client's time-out
				t.Error(err)
			}
		}
		if got := p.standin.Peak(psctest.Refresh); got != len(all) {
			t.Errorf("at most %d at a time, want %d", got, len(all))
		}
		if got := len(p.standin.IDTokens()); got != 2*len(all) {
			t.Errorf("%d ID tokens are remembered, want %d", got, 2*len(all))
		}
	})
}

// until waits for something that has to happen.
func until(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

// TestBackchannelLogout sends logout tokens to go-oidc.
func TestBackchannelLogout(t *testing.T) {
	on(t, func(t *testing.T, p *party) {
		who := p.mustLogin(t, pscstub.Doctor)
		issued := p.standin.IDTokens()
		sid, _ := issued[len(issued)-1]["sid"].(string)
		if sid == "" || sid != who.claims["sid"] {
			t.Fatalf("the sid is remembered as %q, want %v", sid, who.claims["sid"])
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		verifier := p.provider.Verifier(&oidc.Config{ClientID: clientID})
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := verifier.VerifyLogout(p.context(r.Context()), r.PostFormValue("logout_token"))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			fmt.Fprint(w, token.SessionID)
		})}
		go server.Serve(listener) // ends with the next line
		t.Cleanup(func() { server.Close() })
		right := psctest.LogoutToken{Audience: clientID, Sid: sid, Sub: who.id.Subject}
		change := func(f func(*psctest.LogoutToken)) psctest.LogoutToken { l := right; f(&l); return l }
		for name, test := range map[string]struct {
			token psctest.LogoutToken
			want  int
		}{
			"right":          {right, 200},
			"wrong audience": {change(func(l *psctest.LogoutToken) { l.Audience = "another-client" }), 400},
			"wrong issuer":   {change(func(l *psctest.LogoutToken) { l.Issuer = "https://psc.invalid/" }), 400},
			"no event":       {change(func(l *psctest.LogoutToken) { l.NoEvent = true }), 400},
			"a nonce":        {change(func(l *psctest.LogoutToken) { l.Nonce = true }), 400},
			"old":            {change(func(l *psctest.LogoutToken) { l.Age = time.Hour }), 400},
			"other key":      {change(func(l *psctest.LogoutToken) { l.Quirk = psctest.IDTokenOtherKey }), 400},
			"alg none":       {change(func(l *psctest.LogoutToken) { l.Quirk = psctest.IDTokenAlgNone }), 400},
		} {
			t.Run(name, func(t *testing.T) {
				token := p.standin.LogoutToken(t, test.token)
				if got := psctest.SendLogout(t, http.DefaultClient, "http://"+listener.Addr().String(), token); got != test.want {
					t.Errorf("status %d, want %d", got, test.want)
				}
			})
		}
		one, other := p.standin.LogoutToken(t, change(func(l *psctest.LogoutToken) { l.JTI = "j" })), p.standin.LogoutToken(t, right)
		if claimsOf(t, one)["jti"] != "j" || claimsOf(t, other)["jti"] == "" {
			t.Error("the jti is not what was asked for")
		}
	})
}
