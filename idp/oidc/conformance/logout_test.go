package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/idp/oidc"
	"promess/authgw/internal/client"
	"promess/authgw/internal/idptest"
)

// oidcc-rp-initiated-logout-certification-test-plan.
func TestRPInitiatedLogout(t *testing.T) { play(t, newSuite(t, first()), logout()) }

func logout() []module {
	const name = "oidcc-rp-initiated-logout"
	return []module{
		{name + "-discovery-endpoint-verification", logoutDiscovery, false},
		{name, logoutAndBack, false},
		{name + "-bad-post-logout-redirect-uri", logoutElsewhere(afterLogout + "/" + random()), false},
		{name + "-modified-id-token-hint", logoutModifiedHint, false},
		{name + "-no-id-token-hint", logoutWithoutHint, false},
		{name + "-no-params", logoutWithout("id_token_hint", "post_logout_redirect_uri", "state"), false},
		{name + "-no-post-logout-redirect-uri", logoutNowhere, false},
		{name + "-no-state", logoutNoState, false},
		{name + "-only-state", logoutWithout("id_token_hint", "post_logout_redirect_uri"), false},
		{name + "-query-added-to-post-logout-redirect-uri", logoutElsewhere(afterLogout + "?foo=bar"), false},
		{name + "-bad-id-token-hint", logoutBadHint, false},
	}
}

func logoutDiscovery(t *testing.T, s *suite) {
	if u, err := url.Parse(s.endpoint(t, "end_session_endpoint")); err != nil || u.Scheme != "https" {
		t.Errorf("end_session_endpoint = %v", s.meta["end_session_endpoint"])
	}
}

// stay is a person's signed in at a client, of which the client has an ID token.
type stay struct {
	*flow
	v   *visitor
	got tokens
	q   url.Values // of the request to be signed out
}

// enter signs a person in.
func enter(t *testing.T, s *suite, id string) *stay {
	t.Helper()
	v, f := s.visitor(t), s.party(id).begin()
	got := f.signIn(t, v)
	return &stay{f, v, got, url.Values{"id_token_hint": {got.id}, "post_logout_redirect_uri": {afterLogout}, "state": {strings.Repeat("s", 100) + random()[:28]}}}
}

// leave brings the browser to the end session endpoint.
func (e *stay) leave(t *testing.T) arrival {
	t.Helper()
	return e.v.follow(t, e.endpoint(t, "end_session_endpoint")+"?"+e.q.Encode())
}

// wantOut wants the person to be signed out, at the gateway and for the client.
func (e *stay) wantOut(t *testing.T) {
	t.Helper()
	f := e.party.begin("prompt", "none")
	f.wantError(t, e.v.follow(t, f.url(t)), "login_required", "interaction_required")
	if a := e.get(t, e.endpoint(t, "userinfo_endpoint"), "Authorization", "Bearer "+e.got.access); a.status != http.StatusUnauthorized {
		t.Errorf("userinfo after the sign-out = %d", a.status)
	}
}

// wantBack wants the browser at the client, with the state that was sent and nothing else (OpenID Connect RP-Initiated Logout 1.0, section 3).
func (e *stay) wantBack(t *testing.T, a arrival) {
	t.Helper()
	rest, _ := strings.CutPrefix(a.at, afterLogout)
	q, err := url.ParseQuery(strings.TrimPrefix(rest, "?"))
	if !strings.HasPrefix(a.at, afterLogout) || err != nil || q.Get("state") != e.q.Get("state") || len(q) != len(e.q["state"]) {
		t.Fatalf("at %q with %d, want %s with the state\n%s", a.at, a.page.Status, afterLogout, a.page.Body)
	}
}

// wantAsked wants a page on which the person is still signed in and is asked, or told what is wrong, and does not go back whatever they answer.
func (e *stay) wantAsked(t *testing.T, a arrival) {
	t.Helper()
	if a.at != "" || a.page.Status >= 500 || a.page.Body == "" {
		t.Fatalf("at %q with %d, want a page", a.at, a.page.Status)
	}
	f := e.party.begin("prompt", "none")
	f.code(t, e.v.follow(t, f.url(t)))
	e.v.leaves = true
	if a = e.leave(t); a.at != "" || a.page.Status >= 500 {
		t.Errorf("once the person has said yes: at %q with %d", a.at, a.page.Status)
	}
	e.wantOut(t)
}

func logoutAndBack(t *testing.T, s *suite) {
	e := enter(t, s, "first")
	e.wantBack(t, e.leave(t))
	e.wantOut(t)
}

func logoutNoState(t *testing.T, s *suite) {
	e := enter(t, s, "first")
	e.q.Del("state")
	e.wantBack(t, e.leave(t))
	e.wantOut(t)
}

func logoutElsewhere(uri string) func(*testing.T, *suite) {
	return func(t *testing.T, s *suite) {
		e := enter(t, s, "first")
		e.q.Set("post_logout_redirect_uri", uri)
		e.wantAsked(t, e.leave(t))
	}
}

// logoutModifiedHint: the same claims with alg "none".
func logoutModifiedHint(t *testing.T, s *suite) {
	e := enter(t, s, "first")
	e.q.Set("id_token_hint", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))+"."+strings.Split(e.got.id, ".")[1]+".")
	e.wantAsked(t, e.leave(t))
}

// logoutBadHint: the same claims, signed by somebody else under the name of the key.
func logoutBadHint(t *testing.T, s *suite) {
	e := enter(t, s, "first")
	h, claims := e.opened(t, e.got.id, e.alg)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: h.KeyID}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.q.Set("id_token_hint", signedBy(t, signer, claims))
	e.wantAsked(t, e.leave(t))
}

func logoutWithoutHint(t *testing.T, s *suite) {
	e := enter(t, s, "first")
	e.q.Del("id_token_hint")
	e.wantAsked(t, e.leave(t))
}

// logoutWithout: who sends the browser nobody knows, so the person is asked (section 2), and is out when they say so.
func logoutWithout(names ...string) func(*testing.T, *suite) {
	return func(t *testing.T, s *suite) {
		e := enter(t, s, "first")
		for _, name := range names {
			e.q.Del(name)
		}
		e.wantAsked(t, e.leave(t))
	}
}

func logoutNowhere(t *testing.T, s *suite) {
	e := enter(t, s, "first")
	e.q.Del("post_logout_redirect_uri")
	if a := e.leave(t); a.at != "" || a.page.Status != http.StatusOK {
		t.Errorf("at %q with %d, want the page of a sign-out", a.at, a.page.Status)
	}
	e.wantOut(t)
}

func signedBy(t *testing.T, signer jose.Signer, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// told is what a relying party's server is sent at its backchannel_logout_uri.
type told struct {
	method, kind string
	form         url.Values
}

// oidcc-backchannel-rp-initiated-logout-certification-test-plan.
func TestBackChannelLogout(t *testing.T) {
	s := newSuite(t, first())
	s.toldBack = make(chan told, 10)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		form, _ := url.ParseQuery(string(body))
		s.toldBack <- told{r.Method, r.Header.Get("Content-Type"), form}
		w.Header().Set("Cache-Control", "no-store")
	}))
	t.Cleanup(server.Close)
	c := first()
	c.ID, c.BackchannelLogoutURI, c.BackchannelNetworks = "back", server.URL+"/test/backchannel_logout", []string{"127.0.0.0/8"}
	s.register(t, c)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	channel := oidc.NewBackChannel(oidc.BackChannelConfig{
		Issuer: idptest.Origin, Sessions: s.Server.Sessions, Clients: s.registry, Ring: s.ring, Store: s.Store, Audit: s.Server.Audit, Log: s.Log, Now: s.Now, Roots: roots,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // ends with cancel
		defer close(ended)
		channel.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	play(t, s, backChannel())
}

func backChannel() []module {
	return []module{
		{"oidcc-backchannel-logout-discovery-endpoint-verification", backDiscovery, false},
		{"oidcc-backchannel-rp-initiated-logout", backLogout, false},
	}
}

func backDiscovery(t *testing.T, s *suite) {
	logoutDiscovery(t, s)
	if s.meta["backchannel_logout_supported"] != true || s.meta["backchannel_logout_session_supported"] != true {
		t.Errorf("discovery = %v", s.meta)
	}
}

func backLogout(t *testing.T, s *suite) {
	e := enter(t, s, "back")
	e.wantBack(t, e.leave(t))
	var got told
	select {
	case got = <-s.toldBack:
	case <-time.After(30 * time.Second):
		t.Fatal("not told in 30 s")
	}
	if got.method != http.MethodPost || got.kind != "application/x-www-form-urlencoded" || len(got.form) != 1 { // OpenID Connect Back-Channel Logout 1.0, section 2.5
		t.Errorf("told by %s %s with %v", got.method, got.kind, got.form)
	}
	h, c := e.opened(t, got.form.Get("logout_token"), e.alg) // section 2.4
	if h.ExtraHeaders[jose.HeaderType] != "logout+jwt" {
		t.Errorf("header %+v", h)
	}
	if list, ok := c["aud"].([]any); c["iss"] != idptest.Origin || c["aud"] != e.id && (!ok || !slices.Equal(list, []any{any(e.id)})) {
		t.Errorf("claims %v: want our iss and its aud", c)
	}
	if c["sub"] != e.got.claims["sub"] || c["sid"] != e.got.claims["sid"] || c["sid"] == nil || c["jti"] == nil || c["jti"] == "" {
		t.Errorf("claims %v: want the sub and sid of the ID token, and a jti", c)
	}
	if iat, _ := c["iat"].(float64); time.Since(time.Unix(int64(iat), 0)).Abs() > 5*time.Minute {
		t.Errorf("iat = %v", c["iat"])
	}
	events, _ := c["events"].(map[string]any)
	if event, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any); !ok || len(event) != 0 || len(events) != 1 {
		t.Errorf("events = %v", c["events"])
	}
	if _, ok := c["nonce"]; ok {
		t.Error("it has a nonce, and could pass for an ID token")
	}
	e.wantOut(t)
}

// oidcc-frontchannel-rp-initiated-logout-certification-test-plan.
func TestFrontChannelLogout(t *testing.T) { play(t, newSuite(t, front()), frontChannel()) }

func front() client.Settings {
	c := first()
	c.ID, c.FrontchannelLogoutURI = "front", frontLogout
	return c
}

const frontLogout = "https://rp.example.test/test/frontchannel_logout"

func frontChannel() []module {
	return []module{
		{"oidcc-frontchannel-logout-discovery-endpoint-verification", frontDiscovery, false},
		{"oidcc-frontchannel-rp-initiated-logout", frontChannelLogout, false},
	}
}

func frontDiscovery(t *testing.T, s *suite) {
	logoutDiscovery(t, s)
	if s.meta["frontchannel_logout_supported"] != true || s.meta["frontchannel_logout_session_supported"] != true {
		t.Errorf("discovery = %v", s.meta)
	}
}

func frontChannelLogout(t *testing.T, s *suite) {
	e := enter(t, s, "front")
	e.wantBack(t, e.leave(t))
	if len(e.v.frames) != 1 {
		t.Fatalf("frames %q, want one", e.v.frames)
	}
	rest, ok := strings.CutPrefix(e.v.frames[0], frontLogout+"?")
	q, err := url.ParseQuery(rest)
	if !ok || err != nil || len(q) != 2 || q.Get("iss") != idptest.Origin || q.Get("sid") != e.got.claims["sid"] { // OpenID Connect Front-Channel Logout 1.0, section 2
		t.Errorf("frame %q, want iss and the sid of the ID token", e.v.frames[0])
	}
	e.wantOut(t)
}
