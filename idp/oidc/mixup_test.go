package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/client"
)

// navigate brings a browser with a session to a provider's authorization endpoint, and returns what it sends the client.
func (b *backend) navigate(t *testing.T, cookie string, q url.Values) url.Values {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.http.URL+"/oauth/authorize?"+q.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "__Host-authgw", Value: cookie})
	res, err := b.client.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), callback+"?") {
		t.Fatalf("%d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	return to.Query()
}

// Mix-up (RFC 9207, section 1; RFC 9700, section 4.4): a client of two providers, of which one is not honest, sends its user to that one and gets a
// code of the other. The answer says whose it is; and nothing that one provider has given is anything at the other.
func TestMixUpOfTwoIssuers(t *testing.T) {
	honest, evil := newBackend(t, sqliteFile(t), nil), newBackend(t, sqliteFile(t), nil)
	if honest.issuer == evil.issuer {
		t.Fatal("the issuers are one")
	}
	evil.client = honest.client // of a client that trusts both
	k := newKeys(t)
	for _, b := range []*backend{honest, evil} {
		b.add(k.client("labo"))
	}
	v := honest.session(t, "s1")
	other := v
	other.ID = "s2"
	cookie := honest.write(t, other)
	q := url.Values{
		"client_id": {"agenda"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid offline_access"}, "state": {"that of a request to the other"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "nonce": {"n"},
	}
	got := honest.navigate(t, cookie, q)
	if got.Get("iss") != honest.issuer || got.Get("code") == "" {
		t.Fatalf("answer %v: a client that asked %s cannot tell that it is not from there", got, evil.issuer)
	}
	q.Set("scope", "x")
	if e := honest.navigate(t, cookie, q); e.Get("iss") != honest.issuer || e.Get("error") == "" {
		t.Errorf("error %v: whose is it?", e)
	}
	// A client that does not look hands code and verifier to the other provider. Whoever is there is not the client.
	evil.exchange(t, "agenda", got.Get("code")).wantDenied(t, "the code at the other provider", 400, "invalid_grant")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {got.Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	form.Set("client_id", "agenda")
	honest.post(t, "/oauth/token", form).wantDenied(t, "code and verifier without the client's secret", 401, "invalid_client")
	form.Set("client_id", "dossier")
	form.Set("client_secret", secretOf("dossier"))
	honest.post(t, "/oauth/token", form).wantDenied(t, "code and verifier of another client (F3)", 400, "invalid_grant")
	// Nor with what the client proves itself with at the other provider.
	for name, aud := range map[string]any{"one": evil.issuer, "its token endpoint": evil.issuer + "/oauth/token", "both": []string{evil.issuer, honest.issuer}} {
		text := raw(t, map[string]any{"alg": "ES256", "kid": "ec"}, honest.claims("labo", "aud", aud), es256(t, k.ec))
		if r := honest.assert(t, text, "client_id", "labo"); r.status != http.StatusUnauthorized {
			t.Errorf("an assertion for the other provider, to %s: %d %s", name, r.status, r.text)
		}
	}
	tokens := honest.exchange(t, "agenda", got.Get("code")).wantTokens(t, "the honest exchange")
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		if r := evil.me(t, tokens.word(name)); r.status != http.StatusUnauthorized {
			t.Errorf("%s at the other's userinfo: %d", name, r.status)
		}
		if evil.active(t, "agenda", tokens.word(name)) {
			t.Errorf("%s is active at the other", name)
		}
	}
	evil.refresh(t, "agenda", tokens.word("refresh_token")).wantDenied(t, "the refresh token at the other", 400, "invalid_grant")
	if who, err := evil.provider.Hint(t.Context(), tokens.word("id_token")); err == nil {
		t.Errorf("the ID token means %q at the other", who)
	}
	if !honest.active(t, "agenda", tokens.word("access_token")) {
		t.Error("what was tried elsewhere has ended the access token")
	}
}

// G11, RFC 8725, section 3.12: a JWT of ours for something else is no access token, no ID token and no assertion of a client, be it for a service of
// the same name.
func TestG11TokensForSomethingElse(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	b.add(&client.Client{ID: "mail", Title: "mail", Auth: client.Public, RedirectURIs: []string{callback}, Scopes: []string{"openid"}, Refresh: true, Signing: "ES256"})
	api := confidential("api")
	api.Introspect = true
	b.add(api)
	v := b.session(t, "s1")
	id := b.post(t, "/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {b.code(t, "mail", v, "openid")}, "redirect_uri": {callback}, "code_verifier": {verifier}, "client_id": {"mail"},
	}).wantTokens(t, "exchange").word("id_token")
	now := b.now()
	said := map[string]any{"iss": b.issuer, "sub": v.Account.Subject, "aud": []string{"mail"}, "sid": v.ID, "jti": "j", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "acr": v.ACR, "amr": v.AMR, "auth_time": v.AuthTime.Unix()}
	event := map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	for name, text := range map[string]string{
		"an assertion for a service":  b.signed(t, "JWT", said, "nbf", now.Unix()),
		"a logout token":              b.signed(t, "logout+jwt", said, "events", event),
		"a JWT access token":          b.signed(t, "at+jwt", said, "client_id", "mail", "scope", "openid"),
		"an ID token (not as a hint)": id,
	} {
		if r := b.me(t, text); r.status != http.StatusUnauthorized {
			t.Errorf("%s at userinfo: %d", name, r.status)
		}
		for _, asker := range []string{"agenda", "api"} {
			if b.active(t, asker, text) {
				t.Errorf("%s is active", name)
			}
		}
		b.post(t, "/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}, "client_id": {"mail"}}).wantDenied(t, name+" as a refresh token", 400, "invalid_grant")
		form := url.Values{"grant_type": {"refresh_token"}, "client_assertion_type": {assertionType}, "client_assertion": {text}}
		if r := b.post(t, "/oauth/token", form); r.status != http.StatusUnauthorized {
			t.Errorf("%s as a client's assertion: %d %s", name, r.status, r.text)
		}
		if who, err := b.provider.Hint(t.Context(), text); (err == nil) != (text == id) {
			t.Errorf("%s as id_token_hint: %q, %v", name, who, err)
		}
	}
}

// What a client has opens no session.
func TestG11TokensOfClientsOpenNoSession(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	v := b.session(t, "s1")
	other := v
	other.ID = "s2"
	cookie := b.write(t, other)
	q := url.Values{
		"client_id": {"agenda"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "prompt": {"none"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	code := b.navigate(t, cookie, q).Get("code")
	if code == "" {
		t.Fatal("the session's own cookie opens nothing")
	}
	tokens := b.exchange(t, "agenda", b.code(t, "agenda", v, "openid", "offline_access")).wantTokens(t, "exchange")
	for name, text := range map[string]string{
		"an access token": tokens.word("access_token"), "a refresh token": tokens.word("refresh_token"), "an ID token": tokens.word("id_token"), "a code": code, "a secret": secretOf("agenda"), "a sid": v.ID,
	} {
		if got := b.navigate(t, text, q); got.Get("error") != "login_required" {
			t.Errorf("%s as the session's cookie: %v", name, got)
		}
	}
}

// signed is a JWT signed by the gateway's own key.
func (b *backend) signed(t *testing.T, kind string, claims map[string]any, more ...any) string {
	t.Helper()
	key, err := b.ring.Signing(t.Context(), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key.Signer, KeyID: key.ID}}, (&jose.SignerOptions{}).WithType(jose.ContentType(kind)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	for name, v := range claims {
		all[name] = v
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i].(string)] = more[i+1]
	}
	return compact(t, signer, all)
}

func compact(t *testing.T, signer jose.Signer, claims map[string]any) string {
	t.Helper()
	data, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(data)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
