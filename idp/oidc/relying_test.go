package oidc_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	rp "github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
)

// idClaims are those that every ID token of a client has (OpenID Connect Core 1.0, section 2).
type idClaims struct {
	ACR      string   `json:"acr"`
	AMR      []string `json:"amr"`
	AuthTime int64    `json:"auth_time"`
	SID      string   `json:"sid"`
	AZP      string   `json:"azp"`
	Email    string   `json:"email"`
	Name     string   `json:"name"`
}

// Relying parties of other authors: golang.org/x/oauth2 exchanges and refreshes, go-oidc finds the provider, verifies ID tokens and asks userinfo.
func TestRelyingPartiesOfOtherAuthors(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256"} {
		for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
			t.Run(alg+map[oauth2.AuthStyle]string{oauth2.AuthStyleInHeader: " by header", oauth2.AuthStyleInParams: " by form"}[style], func(t *testing.T) {
				b := newBackend(t, sqliteFile(t), nil)
				c := confidential("agenda")
				c.Signing = alg
				b.add(c)
				testRelyingParty(t, b, style, alg)
			})
		}
	}
}

func testRelyingParty(t *testing.T, b *backend, style oauth2.AuthStyle, alg string) {
	ctx := rp.ClientContext(t.Context(), b.client)
	provider, err := rp.NewProvider(ctx, b.issuer)
	if err != nil {
		t.Fatal(err)
	}
	config := oauth2.Config{ClientID: "agenda", ClientSecret: secretOf("agenda"), Endpoint: provider.Endpoint(), RedirectURL: callback}
	config.Endpoint.AuthStyle = style
	v := b.session(t, "s1")
	got, err := config.Exchange(ctx, b.code(t, "agenda", v, "openid", "profile", "email", "offline_access"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	verify := provider.Verifier(&rp.Config{ClientID: "agenda", SupportedSigningAlgs: []string{alg}})
	want := idClaims{ACR: idp.ACRHardware, AMR: []string{"sc", "pin", "mfa"}, AuthTime: v.AuthTime.Unix(), SID: "s1", AZP: "agenda"}
	look := func(what string, got *oauth2.Token, nonce string) *rp.IDToken {
		t.Helper()
		text, _ := got.Extra("id_token").(string)
		id, err := verify.Verify(ctx, text)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := id.VerifyAccessToken(got.AccessToken); err != nil { // at_hash
			t.Errorf("%s: %v", what, err)
		}
		var claims idClaims
		if err := id.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, claims); d != "" {
			t.Errorf("%s: claims (-want +got):\n%s", what, d)
		}
		if id.Subject != "u-s1" || !slices.Equal(id.Audience, []string{"agenda"}) || id.Nonce != nonce {
			t.Errorf("%s: sub %q, aud %q, nonce %q", what, id.Subject, id.Audience, id.Nonce)
		}
		if age := time.Since(id.IssuedAt); age < -time.Second || age > time.Minute || id.Expiry.Sub(id.IssuedAt) > time.Hour {
			t.Errorf("%s: iat %v, exp %v", what, id.IssuedAt, id.Expiry)
		}
		return id
	}
	look("first", got, "n-0S6_WzA2Mj")

	user, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(got))
	if err != nil {
		t.Fatal(err)
	}
	var person idClaims
	if err := user.Claims(&person); err != nil {
		t.Fatal(err)
	}
	if user.Subject != "u-s1" || person.Name == "" || person.SID != "s1" || person.ACR != idp.ACRHardware {
		t.Errorf("userinfo = %q %+v, want the sub, the name, sid and acr", user.Subject, person)
	}

	got.Expiry = time.Now().Add(-time.Minute)
	again, err := config.TokenSource(ctx, got).Token()
	if err != nil {
		t.Fatal(err)
	}
	if again.AccessToken == got.AccessToken || again.RefreshToken == got.RefreshToken || again.RefreshToken == "" {
		t.Error("the refresh gave no new tokens")
	}
	look("refreshed", again, "") // OpenID Connect Core 1.0, section 12.2: "it SHOULD NOT have a nonce Claim"
}

// E1: acr, amr, auth_time and sid stay those of the grant when a login at a higher level takes the session's place.
func TestRefreshedTokensSayWhatTheGrantWasGivenOn(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	v := b.session(t, "s1")
	got := b.exchange(t, "agenda", b.code(t, "agenda", v, "openid", "offline_access")).wantTokens(t, "exchange")
	b.active(t, "agenda", got.word("access_token"))
	higher := v
	higher.ID, higher.ACR, higher.AMR, higher.AuthTime = "s2", idp.ACRTwoFactor, []string{"pwd", "otp", "mfa"}, b.now()
	b.write(t, higher)
	if err := b.store.MoveGrants(t.Context(), "s1", "s2", b.now()); err != nil {
		t.Fatal(err)
	}
	if err := b.store.EndSession(t.Context(), "s1", "replaced", b.now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the access token is known by its new session", func() bool { return b.active(t, "agenda", got.word("access_token")) })
	r := b.refresh(t, "agenda", got.word("refresh_token")).wantTokens(t, "refresh")
	claims := payload(t, r.word("id_token"))
	if claims["acr"] != idp.ACRHardware || claims["sid"] != "s1" || claims["auth_time"] != float64(v.AuthTime.Unix()) {
		t.Errorf("claims = %v, want acr, auth_time and sid of the first session (F13)", claims)
	}
	if err := b.store.EndSession(t.Context(), "s2", "logout", b.now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the access token ends with the new session", func() bool { return !b.active(t, "agenda", r.word("access_token")) })
}

func payload(t testing.TB, text string) map[string]any {
	t.Helper()
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", text)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// F12, G11, RFC 7662: a client is told of its own tokens, a resource server of all, and of the person only what the token gives.
func TestF12G11IntrospectionTellsWhoMayKnow(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	api := confidential("api")
	api.Introspect = true
	b.add(api)
	b.add(&client.Client{ID: "app", Title: "app", Auth: client.Public, RedirectURIs: []string{callback}, Scopes: []string{"openid"}, Signing: "ES256"})
	v := b.session(t, "s1")
	code := b.code(t, "agenda", v, "openid", "profile", "offline_access")
	got := b.exchange(t, "agenda", code).wantTokens(t, "exchange")
	access, refresh := got.word("access_token"), got.word("refresh_token")
	for range 2 { // from the database, and from memory
		for id, want := range map[string]bool{"agenda": true, "api": true, "dossier": false} {
			r := b.as(t, id, "/oauth/introspect", "token", access, "token_type_hint", "refresh_token") // a wrong hint is a hint
			active, _ := r.json["active"].(bool)
			if r.status != http.StatusOK || active != want || !want && r.text != `{"active":false}` {
				t.Errorf("the access token, asked by %s: %d %s, want active %t", id, r.status, r.text, want)
			}
			if !want {
				continue
			}
			names := []string{"acr", "active", "amr", "aud", "auth_time", "client_id", "exp", "iat", "iss", "scope", "sid", "sub", "token_type"}
			var have []string
			for name := range r.json {
				have = append(have, name)
			}
			slices.Sort(have)
			if d := cmp.Diff(names, have); d != "" {
				t.Errorf("members (-want +got):\n%s", d)
			}
			if r.word("client_id") != "agenda" || r.word("sub") != "u-s1" || r.word("scope") != "openid profile offline_access" || r.word("iss") != b.issuer {
				t.Errorf("answer = %s", r.text)
			}
		}
	}
	for id, want := range map[string]bool{"agenda": true, "api": false, "dossier": false} {
		if got := b.active(t, id, refresh); got != want {
			t.Errorf("the refresh token, asked by %s: active %t, want %t", id, got, want)
		}
	}
	for what, text := range map[string]string{
		"an ID token": got.word("id_token"), "a used code": code, "a truncated token (E8)": access[:42], "a longer token": access + "A", "an unknown token": "x",
		"the session": v.ID, "another spelling": access[:42] + "=",
	} {
		if b.active(t, "api", text) {
			t.Errorf("%s is active", what)
		}
		if r := b.me(t, text); r.status != http.StatusUnauthorized {
			t.Errorf("userinfo with %s = %d, want 401", what, r.status)
		}
	}
	b.post(t, "/oauth/introspect", url.Values{"token": {access}, "client_id": {"app"}}).wantDenied(t, "asked by a public client", 401, "invalid_client")
	b.as(t, "api", "/oauth/introspect").wantDenied(t, "asked of nothing", 400, "invalid_request")
	b.advance(10 * time.Minute)
	if b.active(t, "api", access) || !b.active(t, "agenda", refresh) {
		t.Error("after ten minutes the access token is over, and the refresh token is not")
	}
}

// RFC 7009: a client ends its own tokens.
func TestAClientEndsItsOwnTokens(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		a := newBackend(t, database, nil)
		c := newBackend(t, database, a)
		v := a.session(t, "s1")
		got := a.exchange(t, "agenda", a.code(t, "agenda", v, "openid", "offline_access")).wantTokens(t, "exchange")
		access, refresh := got.word("access_token"), got.word("refresh_token")
		if !c.active(t, "agenda", access) {
			t.Fatal("the access token is not good")
		}
		for _, text := range []string{access, refresh} {
			a.as(t, "dossier", "/oauth/revoke", "token", text).wantDenied(t, "another client", 400, "invalid_grant")
		}
		for _, text := range []string{"x", access[:42], refresh + "A"} {
			if r := a.as(t, "agenda", "/oauth/revoke", "token", text); r.status != http.StatusOK {
				t.Errorf("what is no token: %d %s, want 200 (section 2.2)", r.status, r.text)
			}
		}
		if !a.active(t, "agenda", access) || !a.active(t, "agenda", refresh) {
			t.Error("something was ended")
		}
		for range 2 {
			if r := a.as(t, "agenda", "/oauth/revoke", "token", access, "token_type_hint", "access_token"); r.status != http.StatusOK {
				t.Errorf("the access token: %d %s", r.status, r.text)
			}
		}
		if a.active(t, "agenda", access) || !a.active(t, "agenda", refresh) {
			t.Error("the access token is good, or the refresh token is not")
		}
		eventually(t, "the other gateway has heard", func() bool { return !c.active(t, "agenda", access) })
		next := a.refresh(t, "agenda", refresh).wantTokens(t, "refresh")
		if !c.active(t, "agenda", next.word("access_token")) {
			t.Error("the next access token is not good")
		}
		if r := a.as(t, "agenda", "/oauth/revoke", "token", next.word("refresh_token")); r.status != http.StatusOK {
			t.Errorf("the refresh token: %d %s", r.status, r.text)
		}
		if a.active(t, "agenda", next.word("access_token")) {
			t.Error("the access token is good after its refresh token was ended")
		}
		eventually(t, "the other gateway has heard", func() bool { return !c.active(t, "agenda", next.word("access_token")) })
		a.refresh(t, "agenda", next.word("refresh_token")).wantDenied(t, "the ended refresh token", 400, "invalid_grant")
		if got := a.reasons(t, audit.GrantEnded); !slices.Equal(got, []string{"token_revoked", "revoked"}) {
			t.Errorf("audited ends = %q", got)
		}
		if all, err := a.store.SessionsOf(t.Context(), v.Account.Subject, time.Hour, a.now()); err != nil || len(all) != 1 {
			t.Errorf("sessions = %v, %v, want the person's own untouched", all, err)
		}
	})
}

// A client that is changed or removed loses what is in memory of it at once, and what is in the database when the store says so.
func TestTokensOfARemovedClientEnd(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	got := b.exchange(t, "agenda", b.code(t, "agenda", b.session(t, "s1"), "openid")).wantTokens(t, "exchange").word("access_token")
	api := confidential("api")
	api.Introspect = true
	b.add(api)
	if !b.active(t, "api", got) {
		t.Fatal("the access token is not good")
	}
	if n, err := b.store.EndGrantsOf(t.Context(), "agenda", b.now()); n != 1 || err != nil {
		t.Fatalf("EndGrantsOf = %d, %v", n, err)
	}
	eventually(t, "the gateway has heard", func() bool { return !b.active(t, "api", got) })

	// One that is no longer in the configuration has no grants ended: nobody announces that. A minute later at most it is noticed.
	v := b.session(t, "s2")
	got = b.exchange(t, "dossier", b.code(t, "dossier", v, "openid", "offline_access")).wantTokens(t, "exchange").word("access_token")
	if !b.active(t, "api", got) {
		t.Fatal("the access token is not good")
	}
	b.remove("dossier")
	b.advance(time.Minute)
	if b.active(t, "api", got) || b.me(t, got).status != http.StatusUnauthorized {
		t.Error("the access token of a client that is gone is good")
	}
}

// RFC 6750: an access token comes in a header or a form, never in an address, once.
func TestUserinfoTakesATokenAsRFC6750Says(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	access := b.exchange(t, "agenda", b.code(t, "agenda", b.session(t, "s1"), "openid")).wantTokens(t, "exchange").word("access_token")
	form := "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name, method, query, body string
		headers                   []string
		status                    int
		code                      string // in WWW-Authenticate
	}{
		{"in a header", "GET", "", "", []string{"Authorization", "Bearer " + access}, 200, ""},
		{"in other letters", "GET", "", "", []string{"Authorization", "bearer " + access}, 200, ""},
		{"in a header of a POST", "POST", "", "", []string{"Authorization", "Bearer " + access}, 200, ""},
		{"in a form", "POST", "", "access_token=" + access, []string{"Content-Type", form}, 200, ""},
		{"nowhere", "GET", "", "", nil, 401, ""},
		{"by another scheme", "GET", "", "", []string{"Authorization", "Basic " + access}, 401, ""},
		{"empty", "GET", "", "", []string{"Authorization", "Bearer "}, 401, ""},
		{"in the address", "GET", "?access_token=" + access, "", nil, 400, "invalid_request"},
		{"in the address of a POST", "POST", "?access_token=" + access, "", []string{"Content-Type", form}, 400, "invalid_request"},
		{"in both", "POST", "", "access_token=" + access, []string{"Content-Type", form, "Authorization", "Bearer " + access}, 400, "invalid_request"},
		{"twice", "GET", "", "", []string{"Authorization", "Bearer " + access, "Authorization", "Bearer " + access}, 400, "invalid_request"},
		{"twice in the form", "POST", "", "access_token=" + access + "&access_token=" + access, []string{"Content-Type", form}, 400, "invalid_request"},
		{"as JSON", "POST", "", `{"access_token":"` + access + `"}`, []string{"Content-Type", "application/json"}, 400, "invalid_request"},
		{"with a quote", "GET", "", "", []string{"Authorization", `Bearer "` + access + `"`}, 401, "invalid_token"},
		{"by a PUT", "PUT", "", "", []string{"Authorization", "Bearer " + access}, 405, "-"},
	} {
		r, err := http.NewRequestWithContext(context.Background(), tt.method, b.http.URL+"/oauth/userinfo"+tt.query, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(tt.headers); i += 2 {
			r.Header.Add(tt.headers[i], tt.headers[i+1])
		}
		got := b.send(t, r)
		if got.status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, got.status, got.text, tt.status)
		}
		challenge := got.header.Get("WWW-Authenticate")
		switch {
		case tt.status == 200 || tt.code == "-":
			if challenge != "" {
				t.Errorf("%s: WWW-Authenticate = %q", tt.name, challenge)
			}
		case !strings.HasPrefix(challenge, "Bearer realm=") || strings.Contains(challenge, "error=") != (tt.code != "") || !strings.Contains(challenge, tt.code):
			t.Errorf("%s: WWW-Authenticate = %q, want error %q", tt.name, challenge, tt.code)
		}
		if tt.status == 200 && got.word("sub") != "u-s1" {
			t.Errorf("%s: %s", tt.name, got.text)
		}
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: headers %v, want nothing kept, and no other origin", tt.name, got.header)
		}
	}
}
