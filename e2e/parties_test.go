package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRelyingParties has services of other authors sign people in, by OpenID Connect.
func TestRelyingParties(t *testing.T) {
	newPartyWorld(t).relyingParties(t)
}

func (w *partyWorld) relyingParties(t *testing.T) {
	w.startNode(t)
	w.startApacheParty(t)
	w.startLoginExample(t)
	for _, c := range []struct {
		name string
		run  func(*partyWorld, *testing.T)
	}{
		{"openid-client: claims, userinfo, refresh, introspection, revocation (E8, F12, F13)", (*partyWorld).nodeTokens},
		{"openid-client: one session signs in to all, however they prove who they are", (*partyWorld).nodeClients},
		{"openid-client: what it may ask for besides", (*partyWorld).nodeParameters},
		{"openid-client: a device without a browser of its own", (*partyWorld).nodeDevice},
		{"mod_auth_openidc: claims reach the service", (*partyWorld).apacheClaims},
		{"mod_auth_openidc: an interface takes tokens of others, as long as they are good", (*partyWorld).apacheInterface},
		{"go-oidc: the example of docs/examples/login greets, and believes no answer that it did not ask for (F3)", (*partyWorld).goExample},
		{"a logout at one ends all, and each is told (F14)", (*partyWorld).logoutEverywhere},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(w, t) })
	}
}

func (w *partyWorld) nodeTokens(t *testing.T) {
	v := w.visitor(t)
	began := time.Now()
	status, body, at := w.signIn(v, w.origin("party")+"/web/login")
	s := v.parse(body, at)
	if status != http.StatusOK || s.Error != "" || s.Claims["iss"] != w.auth("") || !s.isFor("web") || s.Claims["sub"] == "" {
		t.Fatalf("after the login: %d at %s\n%.500s", status, at, body)
	}
	if got := s.Claims["acr"]; got != "urn:authgw:acr:hardware" {
		t.Errorf("acr = %v", got)
	}
	if got, _ := s.Claims["auth_time"].(float64); got < float64(began.Add(-time.Minute).Unix()) || got > float64(time.Now().Unix()) {
		t.Errorf("auth_time = %v, want now", s.Claims["auth_time"])
	}
	if s.Claims["sid"] == nil || s.Claims["nonce"] == nil {
		t.Errorf("claims = %v, want sid and nonce", s.Claims)
	}
	if info := v.party("/web/userinfo"); info.Sub != s.Claims["sub"] || info.Name != "HÉLÈNE D'ARTAGNAN-LE GOFF" {
		t.Errorf("userinfo = %+v", info)
	}
	r := v.party("/web/refresh")
	if r.Error != "" || !r.Rotated {
		t.Fatalf("refresh = %+v, want a new refresh token", r)
	}
	for _, name := range []string{"sub", "sid", "acr", "auth_time", "iss", "aud"} {
		if fmt.Sprint(r.Claims[name]) != fmt.Sprint(s.Claims[name]) {
			t.Errorf("after the refresh %s = %v, was %v", name, r.Claims[name], s.Claims[name])
		}
	}
	if !v.party("/web/introspect").Active {
		t.Error("its access token is said to be no good")
	}
	if v.party("/web/introspect?token=" + strings.Repeat("A", 43)).Active {
		t.Error("a made-up token is said to be good")
	}
	if got := v.party("/web/revoke?what=refresh_token"); got.Error != "" {
		t.Errorf("revoke = %+v", got)
	}
	if got := v.party("/web/refresh"); got.Error != "invalid_grant" {
		t.Errorf("refresh after the revocation = %+v, want invalid_grant", got)
	}
	if v.party("/web/introspect").Active {
		t.Error("the access token of a revoked grant is said to be good")
	}
}

func (w *partyWorld) nodeClients(t *testing.T) {
	v := w.visitor(t)
	if status, body, at := w.signIn(v, w.origin("party")+"/web/login"); status != http.StatusOK {
		t.Fatalf("%d at %s\n%.500s", status, at, body)
	}
	for _, id := range []string{"post", "keys", "public"} {
		s := v.party("/" + id + "/login")
		if s.Error != "" || !s.isFor(id) {
			t.Errorf("%s: %+v", id, s)
		}
	}
	if got := v.party("/public/refresh"); got.Error != "" || !got.Rotated {
		t.Errorf("refresh of a public client: %+v", got)
	}
}

func (w *partyWorld) nodeParameters(t *testing.T) {
	v := w.visitor(t)
	if got := v.party("/web/login?prompt=none"); got.Error != "login_required" && !strings.Contains(got.Description+got.Error, "login_required") {
		t.Errorf("prompt=none without a session: %+v, want login_required", got)
	}
	if status, body, at := w.signIn(v, w.origin("party")+"/web/login?par=1"); status != http.StatusOK || v.parse(body, at).Error != "" {
		t.Fatalf("a pushed request: %d at %s\n%.500s", status, at, body)
	}
	for _, query := range []string{"prompt=none", "max_age=3600", "ui_locales=fr", "login_hint=x", "par=1&prompt=none"} {
		if got := v.party("/web/login?" + query); got.Error != "" || !got.isFor("web") {
			t.Errorf("%s: %+v", query, got)
		}
	}
	// A page with a button, which the person's browser sends on.
	answer, body, at := v.open(w.origin("party") + "/web/login?response_mode=form_post")
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("form_post: %s at %s\n%.1000s", answer.Status, at, body)
	}
	action := w.origin("party") + "/web/callback"
	form := readForm(t, body, action)
	answer, body = v.ask(http.MethodPost, action, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	if got := v.parse(body, action); answer.StatusCode != http.StatusOK || !got.isFor("web") {
		t.Errorf("form_post: %s %s", answer.Status, body)
	}
}

func (w *partyWorld) apacheClaims(t *testing.T) {
	v := w.visitor(t)
	w.service.take()
	page := w.origin("apache") + "/day?week=2"
	status, body, at := w.signIn(v, page)
	if status != http.StatusOK || at != page {
		t.Fatalf("%d at %s, want 200 at %s\n%.500s", status, at, page, body)
	}
	seen, _ := w.service.take()
	if len(seen) != 1 {
		t.Fatalf("%d requests reached the service, want one", len(seen))
	}
	h := seen[0].Header
	if h.Get("OIDC_CLAIM_sub") == "" || h.Get("OIDC_CLAIM_iss") != w.auth("") || h.Get("OIDC_CLAIM_name") == "" || h.Get("OIDC_access_token") == "" {
		t.Errorf("headers of the service = %v", h)
	}
}

func (w *partyWorld) apacheInterface(t *testing.T) {
	v := w.visitor(t)
	w.signIn(v, w.origin("party")+"/web/login")
	_, body := v.ask(http.MethodGet, w.origin("party")+"/web/tokens", nil)
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		ID      string `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(body), &tokens); err != nil || tokens.Access == "" || tokens.Refresh == "" {
		t.Fatalf("%v\n%.300s", err, body)
	}
	use := func(token string) int {
		w.service.take()
		answer, body := w.visitor(t).ask(http.MethodGet, w.origin("apache")+"/api/days", nil, "Authorization", "Bearer "+token)
		if seen, _ := w.service.take(); (answer.StatusCode == http.StatusOK) != (len(seen) == 1) {
			t.Fatalf("%s, and %d requests reached the service\n%.300s", answer.Status, len(seen), body)
		}
		return answer.StatusCode
	}
	if got := use(tokens.Access); got != http.StatusOK {
		t.Errorf("with an access token: %d, want 200", got)
	}
	for name, token := range map[string]string{
		"E8: one character less": tokens.Access[:len(tokens.Access)-1], "the refresh token": tokens.Refresh, "the ID token": tokens.ID,
	} {
		if got := use(token); got != http.StatusUnauthorized {
			t.Errorf("%s: %d, want 401", name, got)
		}
	}
	v.party("/web/revoke?what=access_token")
	if got := use(tokens.Access); got != http.StatusUnauthorized {
		t.Errorf("after its revocation: %d, want 401", got)
	}
}

func (w *partyWorld) goExample(t *testing.T) {
	v := w.visitor(t)
	status, body, at := w.signIn(v, w.origin("agenda")+"/")
	if status != http.StatusOK || !strings.HasPrefix(body, "Bonjour HÉLÈNE D'ARTAGNAN-LE GOFF !") {
		t.Fatalf("%d at %s\n%.500s", status, at, body)
	}
	// F3: an answer signs in who asked for it, once.
	change := func(name, value string) string {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if q.Set(name, value); value == "" {
			q.Del(name)
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	for _, c := range []struct {
		name    string
		browser *visitor
		address string
	}{
		{"the answer of somebody else's login, in another browser", w.visitor(t), at},
		{"with another state", v, change("state", "AAAAAAAAAAAAAAAAAAAAAAAAAA")},
		{"without a state", v, change("state", "")},
		{"of another issuer", v, change("iss", "https://other.example.fr")},
		{"without an issuer", v, change("iss", "")},
		{"without a code", v, change("code", "")},
		{"a second time", v, at},
	} {
		if answer, body := c.browser.ask(http.MethodGet, c.address, nil, pageHeaders...); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s, want 400\n%.300s", c.name, answer.Status, body)
		}
	}
}

func (w *partyWorld) nodeDevice(t *testing.T) {
	v := w.visitor(t)
	_, body := v.ask(http.MethodGet, w.origin("party")+"/tv/device", nil)
	var device struct {
		Code     string `json:"user_code"`
		Complete string `json:"verification_uri_complete"`
	}
	if err := json.Unmarshal([]byte(body), &device); err != nil || device.Code == "" || device.Complete == "" {
		t.Fatalf("%v\n%s", err, body)
	}
	if answer, body, at := v.open(device.Complete); answer.StatusCode != http.StatusOK || !strings.HasPrefix(at, w.auth("/")) || !strings.Contains(body, device.Code) {
		t.Fatalf("the address on the device: %s at %s\n%.500s", answer.Status, at, body)
	}
	post := func(path string, form url.Values) *http.Response {
		answer, _ := v.ask(http.MethodPost, w.auth(path), strings.NewReader(form.Encode()),
			append(slices.Clone(pageHeaders[:6]), "Sec-Fetch-Site", "same-origin", "Content-Type", "application/x-www-form-urlencoded")...)
		return answer
	}
	begun := post("/device", url.Values{"user_code": {device.Code}})
	status, body, at := v.logIn(w.auth("") + begun.Header.Get("Location"))
	if status != http.StatusOK || !strings.Contains(body, "Écran") {
		t.Fatalf("what is asked after the login: %d at %s\n%.1000s", status, at, body)
	}
	form := readForm(t, body, "/device/confirm")
	form.Set("answer", "approve")
	if answer := post("/device/confirm", form); answer.StatusCode != http.StatusOK {
		t.Fatalf("approval: %s", answer.Status)
	}
	s := v.party("/tv/poll") // which waits as long as the gateway says
	if s.Error != "" || !s.isFor("tv") || s.Claims["acr"] != "urn:authgw:acr:hardware" {
		t.Errorf("the device is told %+v", s)
	}
	if info := v.party("/tv/userinfo"); info.Sub != s.Claims["sub"] || info.Name != "HÉLÈNE D'ARTAGNAN-LE GOFF" {
		t.Errorf("userinfo = %+v", info)
	}
}

func (w *partyWorld) logoutEverywhere(t *testing.T) {
	v := w.visitor(t)
	_, body, at := w.signIn(v, w.origin("party")+"/web/login")
	s := v.parse(body, at)
	w.service.take()
	page := w.origin("apache") + "/"
	if answer, body, at := v.open(page); answer.StatusCode != http.StatusOK || at != page {
		t.Fatalf("with a session: %s at %s\n%.500s", answer.Status, at, body)
	}
	if got := v.party("/web/logout"); got.Bye != "bye" {
		t.Fatalf("logout comes back with %+v", got)
	}
	eventually(t, "openid-client is told", func() error {
		_, body := v.ask(http.MethodGet, w.origin("party")+"/web/told", nil)
		var told []map[string]any
		if err := json.Unmarshal([]byte(body), &told); err != nil {
			return fmt.Errorf("%w: %s", err, body)
		}
		for _, one := range told {
			if one["sid"] == s.Claims["sid"] {
				return nil
			}
		}
		return fmt.Errorf("of %v, not of %v", told, s.Claims["sid"])
	})
	if got := v.party("/web/refresh"); got.Error != "invalid_grant" {
		t.Errorf("refresh after the logout: %+v, want invalid_grant", got)
	}
	eventually(t, "mod_auth_openidc is told", func() error {
		w.service.take()
		answer, _ := v.ask(http.MethodGet, page, nil, pageHeaders...)
		if seen, _ := w.service.take(); len(seen) > 0 || answer.StatusCode != http.StatusFound {
			return fmt.Errorf("%s, the service was reached %d times", answer.Status, len(seen))
		}
		return nil
	})
}
