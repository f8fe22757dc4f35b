package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	rp "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/idptest"
)

// screen are the settings of a client whose devices have no browser, and nothing to prove themselves with.
func screen() client.Settings {
	return client.Settings{ID: "screen", Title: "Écran de garde", Auth: "none", Device: true, Refresh: true, Scopes: []string{"profile", "offline_access"}}
}

// gadget is a device, at a network address, as golang.org/x/oauth2 makes one.
type gadget struct {
	oauth2.Config
	ctx  context.Context
	told *oauth2.DeviceAuthResponse
}

// newGadget begins a device's login.
func newGadget(t testing.TB, f *front, at string) *gadget {
	t.Helper()
	d := &gadget{ctx: context.WithValue(t.Context(), oauth2.HTTPClient, f.Browser(t, at).Client)}
	d.Config = oauth2.Config{ClientID: "screen", Scopes: []string{"openid", "profile", "offline_access"}, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: idptest.Origin + "/oauth/device_authorization", TokenURL: idptest.Origin + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams,
	}}
	var err error
	if d.told, err = d.DeviceAuth(d.ctx); err != nil {
		t.Fatal(err)
	}
	d.told.Interval = 1 // the clock of the world does not run
	return d
}

// wantDenied fails unless the device is denied with a code.
func (d *gadget) wantDenied(t testing.TB, code string) {
	t.Helper()
	_, err := d.DeviceAccessToken(d.ctx, d.told)
	var denied *oauth2.RetrieveError
	if !errors.As(err, &denied) || denied.ErrorCode != code {
		t.Errorf("the device gets %v, want %s", err, code)
	}
}

var confirmHandle = regexp.MustCompile(`name="request" value="([^"]+)"`)

// wantQuestion follows to the question whether it is the device, and returns its page, the request and the session in its form.
func wantQuestion(t testing.TB, b *idptest.Browser, got idptest.Answer) (page idptest.Answer, request, session string) {
	t.Helper()
	for range 5 {
		if got.Status != http.StatusSeeOther {
			break
		}
		got = b.Get(got.Location)
	}
	handle := confirmHandle.FindStringSubmatch(got.Body)
	named := regexp.MustCompile(`name="session" value="([^"]+)"`).FindStringSubmatch(got.Body)
	if got.Status != http.StatusOK || handle == nil || named == nil {
		t.Fatalf("%d to %q, want the question\n%s", got.Status, got.Location, got.Body)
	}
	return got, handle[1], named[1]
}

// A device of another author's is signed in by its person, who has no session yet, in another browser; its tokens end with the session.
func TestDeviceIsSignedInByItsPerson(t *testing.T) {
	f := newFront(t, screen())
	d := newGadget(t, f, "127.0.0.2")
	b := f.Browser(t, "127.0.0.3")

	// RFC 8628, section 3.3.1: the code in the address is only written into the field.
	page := b.Get(strings.TrimPrefix(d.told.VerificationURIComplete, idptest.Origin))
	if page.Status != http.StatusOK || !strings.Contains(page.Body, `value="`+d.told.UserCode+`"`) || !strings.Contains(page.Body, "par message, par courriel") {
		t.Errorf("form = %d without the code, or the warning\n%s", page.Status, page.Body)
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
	typed := strings.ToLower(strings.Replace(d.told.UserCode, "-", " ", 1)) // RFC 8628, section 6.1
	wantLogin(t, b, b.Post("/device", "user_code", " "+typed))
	page, request, session := wantQuestion(t, b, logIn(t, b, "/login/believed"))
	for _, want := range []string{"Écran de garde", "<span>" + d.told.UserCode[:4] + "</span>", "<span>" + d.told.UserCode[5:] + "</span>", "vos nom et prénom", "127.0.0.2", "pas sur le même réseau", "refusez", "JEANNE MARTIN"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("no %q on the page:\n%s", want, page.Body)
		}
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
	done := b.Post("/device/confirm", "request", request, "session", session, "answer", "approve")
	if done.Status != http.StatusOK || !strings.Contains(done.Body, "Appareil accepté") {
		t.Fatalf("approved = %d\n%s", done.Status, done.Body)
	}
	got, err := d.DeviceAccessToken(d.ctx, d.told)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := rp.NewProvider(rp.ClientContext(d.ctx, f.Browser(t, "127.0.0.2").Client), idptest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	if provider.Endpoint().DeviceAuthURL != d.Endpoint.DeviceAuthURL {
		t.Errorf("discovery says %q", provider.Endpoint().DeviceAuthURL)
	}
	v := f.Session(t, b)
	text, _ := got.Extra("id_token").(string)
	keys := &rp.StaticKeySet{}
	for _, k := range f.ring.Public() {
		keys.PublicKeys = append(keys.PublicKeys, k.Key)
	}
	id, err := rp.NewVerifier(idptest.Origin, keys, &rp.Config{ClientID: "screen", SupportedSigningAlgs: []string{"ES256"}, SkipExpiryCheck: true}).Verify(d.ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		ACR string `json:"acr"`
		SID string `json:"sid"`
	}
	if err := id.Claims(&claims); err != nil || claims.ACR != idp.ACRHardware || claims.SID != v.ID || id.Subject != v.Account.Subject || id.VerifyAccessToken(got.AccessToken) != nil {
		t.Errorf("ID token of %q: %+v, %v", id.Subject, claims, err)
	}
	user, err := provider.UserInfo(d.ctx, oauth2.StaticTokenSource(got))
	if err != nil || user.Subject != v.Account.Subject {
		t.Errorf("userinfo: %v", err)
	}

	granted := f.Events(t, audit.AuthorizationGranted)
	if len(granted) != 1 || granted[0].Client != "screen" || granted[0].Source != "127.0.0.3" || granted[0].Detail != "device at 127.0.0.2" || granted[0].Session != v.ID {
		t.Errorf("audit %+v", granted)
	}
	if written := f.Written(); strings.Contains(written, d.told.UserCode) || strings.Contains(written, d.told.DeviceCode) {
		t.Error("a code is in the log or the audit")
	}
	b.Post("/logout")
	if user, err := provider.UserInfo(d.ctx, oauth2.StaticTokenSource(got)); err == nil {
		t.Errorf("userinfo of %q after the person has signed out", user.Subject)
	}
	got.Expiry = time.Now().Add(-time.Minute)
	if _, err := d.TokenSource(d.ctx, got).Token(); err == nil {
		t.Error("a refresh after the person has signed out")
	}
}

// A device that is refused gets nothing, and nobody can change that. The network of the browser's own is no other place.
func TestRefusedDeviceGetsNothing(t *testing.T) {
	f := newFront(t, screen())
	d := newGadget(t, f, "127.0.0.2")
	b, other := f.Browser(t, "127.0.0.2"), f.Browser(t, "127.0.0.4")
	b.LogIn()
	other.LogIn()
	page, request, session := wantQuestion(t, b, b.Post("/device", "user_code", d.told.UserCode))
	if strings.Contains(page.Body, "pas sur le même réseau") || !strings.Contains(page.Body, "127.0.0.2") {
		t.Errorf("the page says that it is elsewhere, or not where:\n%s", page.Body)
	}
	_, late, lateSession := wantQuestion(t, other, other.Post("/device", "user_code", d.told.UserCode))
	done := b.Post("/device/confirm", "request", request, "session", session, "answer", "refuse")
	if done.Status != http.StatusOK || !strings.Contains(done.Body, "Appareil refusé") {
		t.Errorf("refused = %d\n%s", done.Status, done.Body)
	}
	wantPage(t, b.Post("/device/confirm", "request", request, "session", session, "answer", "approve"), http.StatusForbidden)
	done = other.Post("/device/confirm", "request", late, "session", lateSession, "answer", "approve")
	if done.Status != http.StatusConflict || !strings.Contains(done.Body, "plus valable") {
		t.Errorf("approved after that = %d\n%s", done.Status, done.Body)
	}
	d.wantDenied(t, "access_denied")
	refused := f.Events(t, audit.AuthorizationRefused)
	if len(refused) == 0 || refused[0].Reason != "access_denied" || refused[0].Detail != "device at 127.0.0.2" || refused[0].Subject == "" {
		t.Errorf("audit %+v", refused)
	}
	if n := len(f.Events(t, audit.AuthorizationGranted)); n != 0 {
		t.Errorf("%d grants", n)
	}
}

// F16: the client's rule admits to a device as it does to the client's pages. What is missing is asked for, and nobody else approves.
func TestF16RuleOfAClientHoldsForItsDevices(t *testing.T) {
	s := screen()
	s.Allow.Level = "hardware"
	f := newFront(t, s)
	d := newGadget(t, f, "127.0.0.2")
	b := f.Browser(t, "127.0.0.3")
	b.Post("/login/weak")
	page := wantLogin(t, b, b.Post("/device", "user_code", d.told.UserCode))
	if offers := offered(page); !slices.Equal(offers, []string{"card"}) || !strings.Contains(page.Body, "Écran de garde") {
		t.Errorf("the login page offers %q\n%s", offers, page.Body)
	}
	_, request, session := wantQuestion(t, b, logIn(t, b, "/login/believed"))
	b.Post("/login/weak") // and the page of before is sent
	got := b.Post("/device/confirm", "request", request, "session", session, "answer", "approve")
	if got.Status != http.StatusSeeOther || got.Location != "/oauth/resume?request="+request {
		t.Errorf("approved at a lower level: %d to %q", got.Status, got.Location)
	}
	b.Post("/logout")
	got = b.Post("/device/confirm", "request", request, "session", session, "answer", "approve")
	if got.Status != http.StatusSeeOther || got.Location != "/oauth/resume?request="+request {
		t.Errorf("approved by nobody: %d to %q", got.Status, got.Location)
	}

	s.Allow = client.Allow{Professions: []string{"21"}}
	f.have(t, s)
	b.LogIn()
	got = b.Get("/oauth/resume?request=" + request)
	wantPage(t, got, http.StatusForbidden)
	if strings.Contains(got.Body, `action="/oauth/refuse"`) || strings.Contains(got.Body, `action=""`) {
		t.Errorf("the page leads back to a device:\n%s", got.Body)
	}
	got = b.Post("/device/confirm", "request", request, "session", f.Session(t, b).ID, "answer", "approve")
	if got.Status != http.StatusSeeOther || got.Location != "/oauth/resume?request="+request {
		t.Errorf("approved by another profession: %d to %q", got.Status, got.Location)
	}
	if n := len(f.Events(t, audit.AuthorizationGranted)); n != 0 {
		t.Errorf("%d grants", n)
	}

	s.Allow, s.Device, s.RedirectURIs = client.Allow{}, false, []string{frontCallback}
	f.have(t, s)
	wantPage(t, b.Get("/oauth/resume?request="+request), http.StatusForbidden)
	if got := b.Post("/device", "user_code", d.told.UserCode); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("the code of a client that has no devices any more = %d", got.Status)
	}
}

// Login CSRF and cross-device phishing: what is approved is what the page showed, to the person whose name stood there, in the browser that asked, by a
// press of its button.
func TestD8DeviceIsApprovedByItsPageAlone(t *testing.T) {
	f := newFront(t, screen())
	d := newGadget(t, f, "127.0.0.2")
	b, victim := f.Browser(t, "127.0.0.3"), f.Browser(t, "127.0.0.4")
	b.LogIn()
	victim.LogIn()
	wantQuestion(t, victim, victim.Post("/device", "user_code", newGadget(t, f, "127.0.0.2").told.UserCode)) // so it has a cookie of its own
	_, request, session := wantQuestion(t, b, b.Post("/device", "user_code", d.told.UserCode))
	theirs := f.Session(t, victim).ID
	for _, path := range []string{"/device/confirm?request=" + request, "/oauth/resume?request=" + request} {
		wantPage(t, victim.Get(path), http.StatusForbidden)
	}
	wantPage(t, victim.Post("/device/confirm", "request", request, "session", theirs, "answer", "approve"), http.StatusForbidden)

	form := url.Values{"request": {request}, "session": {session}, "answer": {"approve"}}.Encode()
	for _, from := range []string{"cross-site", "same-site"} {
		for path, form := range map[string]string{"/device/confirm": form, "/device": "user_code=" + d.told.UserCode} {
			got := b.Do(http.MethodPost, path, "application/x-www-form-urlencoded", form, "Sec-Fetch-Site", from, "Origin", "https://evil.example")
			if got.Status != http.StatusForbidden {
				t.Errorf("%s from %s = %d, want 403", path, from, got.Status)
			}
		}
	}
	if got := b.Get("/device/confirm?" + form); got.Status != http.StatusOK || !strings.Contains(got.Body, `value="approve"`) {
		t.Errorf("an answer in an address = %d", got.Status)
	}
	for name, fields := range map[string][]string{
		"an empty form":      {"request", request},
		"no answer":          {"request", request, "session", session},
		"another answer":     {"request", request, "session", session, "answer", "yes"},
		"no session":         {"request", request, "answer", "approve"},
		"another's session":  {"request", request, "session", theirs, "answer", "approve"},
		"refusal by another": {"request", request, "session", theirs, "answer", "refuse"},
	} {
		if got := b.Post("/device/confirm", fields...); got.Status != http.StatusSeeOther || got.Location != "/device/confirm?request="+request {
			t.Errorf("%s = %d to %q, want the question again", name, got.Status, got.Location)
		}
	}

	// It has no redirect URI, and is none of the pages' that have one.
	for _, got := range []idptest.Answer{
		b.Get("/oauth/consent?request=" + request), b.Post("/oauth/consent", "request", request, "answer", "agree"), b.Post("/oauth/refuse", "request", request),
	} {
		wantPage(t, got, http.StatusForbidden)
	}
	// Another person signs in at the same browser, behind whose back the page of before is sent.
	paul := f.Proof()
	paul.NationalID, paul.GivenName = "899700218904", "PAUL"
	f.Believe(paul)
	b.LogIn()
	if got := b.Post("/device/confirm", "request", request, "session", session, "answer", "approve"); got.Status != http.StatusSeeOther || got.Location != "/device/confirm?request="+request {
		t.Errorf("approved in another's session: %d to %q", got.Status, got.Location)
	}
	if n := len(f.Events(t, audit.AuthorizationGranted)); n != 0 {
		t.Errorf("%d grants", n)
	}
	f.Advance(10 * time.Minute)
	got := b.Post("/device/confirm", "request", request, "session", f.Session(t, b).ID, "answer", "approve")
	if got.Status != http.StatusConflict || !strings.Contains(got.Body, "plus valable") {
		t.Errorf("approved after ten minutes = %d\n%s", got.Status, got.Body)
	}
	d.wantDenied(t, "expired_token")
}

// D4: guesses count for who is signed in and for the network, however the code is written, and a right one is not looked at until the wait is over.
func TestD4GuessesOfUserCodesAreThrottled(t *testing.T) {
	f := newFront(t, screen())
	d := newGadget(t, f, "127.0.0.2")
	b := f.Browser(t, "127.0.0.3")
	b.LogIn()
	for i, typed := range []string{"BBBB-BBBB", "bbbbbbbb", "b b b b b b b b", "BBBB–BBBB", "CCCC-CCCC"} {
		if got := b.Post("/device", "user_code", typed); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "pas le bon") {
			t.Errorf("guess %d = %d", i, got.Status)
		}
	}
	for _, none := range []string{"", "BBBB", "BBBB-BBBBB", "AAAA-AAAA", "1234-5678", "ÉÉÉÉ-BBBB", "<script>"} { // can be none, so it is no guess
		if got := b.Post("/device", "user_code", none); got.Status != http.StatusUnprocessableEntity {
			t.Errorf("%q = %d", none, got.Status)
		}
	}
	again := f.Browser(t, "127.0.0.5") // the person, elsewhere
	again.LogIn()
	for _, who := range []*idptest.Browser{b, again} {
		got := who.Post("/device", "user_code", d.told.UserCode)
		if got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" || !strings.Contains(got.Body, "Trop de codes") {
			t.Errorf("the right code after five wrong ones = %d, Retry-After %q", got.Status, got.Header.Get("Retry-After"))
		}
	}
	reasons := map[string]int{}
	for _, e := range f.Events(t, audit.AuthorizationRefused) {
		reasons[e.Reason]++
	}
	if reasons["user_code_unknown"] != 5 || reasons["throttled"] != 2 {
		t.Errorf("audit %v", reasons)
	}
	f.Advance(5 * time.Minute)
	for range 10 { // a right one is no failure
		wantQuestion(t, b, b.Post("/device", "user_code", d.told.UserCode))
	}

	// Nobody is signed in: the network counts.
	stranger, last := f.Browser(t, "127.0.0.6"), idptest.Answer{}
	for i := 0; i < 150 && last.Status != http.StatusTooManyRequests; i++ {
		last = stranger.Post("/device", "user_code", "FFFF-FFFF")
	}
	if last.Status != http.StatusTooManyRequests {
		t.Errorf("150 guesses of one network = %d", last.Status)
	}
	if got := f.Browser(t, "127.0.0.6").Post("/device", "user_code", d.told.UserCode); got.Status != http.StatusTooManyRequests {
		t.Errorf("another browser of that network = %d", got.Status)
	}
	wantLogin(t, f.Browser(t, "127.0.0.7"), f.Browser(t, "127.0.0.7").Post("/device", "user_code", d.told.UserCode))
}

// G10: what anybody may ask for is bounded, since a public client has nothing to prove itself with.
func TestG10DevicesOfANetworkAreBounded(t *testing.T) {
	f := newFront(t, screen())
	device := func(at string) int {
		return f.Browser(t, at).Post("/oauth/device_authorization", "client_id", "screen", "scope", "openid").Status
	}
	for i := range 100 {
		if got := device("127.0.0.2"); got != http.StatusOK {
			t.Fatalf("device %d = %d", i, got)
		}
	}
	if got := device("127.0.0.2"); got != http.StatusTooManyRequests {
		t.Errorf("one more = %d", got)
	}
	if got := device("127.0.0.3"); got != http.StatusOK {
		t.Errorf("another network = %d", got)
	}
}

// What a person agrees to on the page of a device is agreed to.
func TestConfirmingADeviceIsConsent(t *testing.T) {
	s := screen()
	s.Consent = true
	f := newFront(t, s)
	d := newGadget(t, f, "127.0.0.2")
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	_, request, session := wantQuestion(t, b, b.Post("/device", "user_code", d.told.UserCode))
	if got := b.Post("/device/confirm", "request", request, "session", session, "answer", "approve"); got.Status != http.StatusOK {
		t.Fatalf("approved = %d", got.Status)
	}
	c, err := f.Store.ConsentTo(t.Context(), f.Session(t, b).Account.Subject, "screen")
	if err != nil || !slices.Equal(c.Scopes, []string{"offline_access", "openid", "profile"}) {
		t.Errorf("consent %v, %v", c.Scopes, err)
	}
	var told map[string]any
	if err := json.Unmarshal([]byte(b.Get("/.well-known/openid-configuration").Body), &told); err != nil || told["device_authorization_endpoint"] != idptest.Origin+"/oauth/device_authorization" {
		t.Errorf("discovery %v, %v", told, err)
	}
}
