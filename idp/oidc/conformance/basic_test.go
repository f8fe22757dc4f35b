package conformance

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/client"
)

// oidcc-basic-certification-test-plan.
func TestBasicOP(t *testing.T) { play(t, newSuite(t, first(), second()), basic()) }

// oidcc-formpost-basic-certification-test-plan: the same modules, answered by a form.
func TestFormPostBasicOP(t *testing.T) {
	s := newSuite(t, first(), second())
	s.mode = "form_post"
	play(t, s, basic())
}

// The suite sends no PKCE in these plans. Such a request is refused, and the client is told why.
func TestBasicOPWithoutPKCE(t *testing.T) {
	s := newSuite(t, first())
	v := s.visitor(t)
	f := s.party("first").begin("code_challenge", "", "code_challenge_method", "")
	q := f.answered(t, v.follow(t, f.url(t)))
	if q.Get("error") != "invalid_request" || !strings.Contains(q.Get("error_description"), "code_challenge") {
		t.Errorf("answer %v, want invalid_request for code_challenge", q)
	}
}

func basic() []module {
	return []module{
		{"oidcc-server", server, false},
		{"oidcc-response-type-missing", responseTypeMissing, false},
		{"oidcc-idtoken-signature", idTokenSignature, true},
		{"oidcc-idtoken-unsigned", idTokenUnsigned, false},
		{"oidcc-userinfo-get", userinfoGet, false},
		{"oidcc-userinfo-post-header", userinfoPostHeader, false},
		{"oidcc-userinfo-post-body", userinfoPostBody, false},
		{"oidcc-ensure-request-without-nonce-succeeds-for-code-flow", withoutNonce, false},
		{"oidcc-scope-profile", scopeProfile, false},
		{"oidcc-scope-email", scopeEmail, false},
		{"oidcc-scope-address", scopeAddress, true},
		{"oidcc-scope-phone", scopePhone, true},
		{"oidcc-scope-all", scopeAll, true},
		{"oidcc-alternate-happy-flow", alternateHappyFlow, false},
		{"oidcc-display-page", display("page"), false},
		{"oidcc-display-popup", display("popup"), false},
		{"oidcc-prompt-login", promptLogin, false},
		{"oidcc-prompt-none-not-logged-in", promptNoneNotLoggedIn, false},
		{"oidcc-prompt-none-logged-in", promptNoneLoggedIn, false},
		{"oidcc-max-age-1", maxAge1, false},
		{"oidcc-max-age-10000", maxAge10000, false},
		{"oidcc-ensure-request-with-unknown-parameter-succeeds", unknownParameter, false},
		{"oidcc-id-token-hint", idTokenHint, false},
		{"oidcc-login-hint", loginHint, false},
		{"oidcc-ui-locales", uiLocales, false},
		{"oidcc-claims-locales", claimsLocales, false},
		{"oidcc-ensure-request-with-acr-values-succeeds", acrValues, false},
		{"oidcc-codereuse", codeReuse, false},
		{"oidcc-codereuse-30seconds", codeReuseLater, false},
		{"oidcc-ensure-registered-redirect-uri", registeredRedirectURI, false},
		{"oidcc-ensure-post-request-succeeds", postRequest, false},
		{"oidcc-server-client-secret-post", serverSecretPost, false},
		{"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", requestURI, false},
		{"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", requestObject, false},
		{"oidcc-claims-essential", claimsEssential, true},
		{"oidcc-ensure-request-object-with-redirect-uri", requestObjectRedirectURI, true},
		{"oidcc-refresh-token", refreshToken, false},
		{"oidcc-ensure-request-with-valid-pkce-succeeds", validPKCE, false},
	}
}

// server: two clients sign the same person in, and each has what is its own.
func server(t *testing.T, s *suite) {
	v := s.visitor(t)
	a, b := s.party("first").begin(), s.party("second").begin()
	one := a.signIn(t, v)
	a.userinfo(t, one)
	two := b.signIn(t, v)
	b.userinfo(t, two)
	if one.claims["sub"] != two.claims["sub"] || one.access == two.access {
		t.Error("the clients know two persons by one login, or have one token")
	}
	if n := v.saw("/login"); n != 1 {
		t.Errorf("the person has signed in %d times", n)
	}
	code := a.code(t, v.follow(t, a.url(t)))
	b.query.Set("redirect_uri", callback)
	b.verifier = a.verifier
	b.exchange(t, code).wantRefused(t, http.StatusBadRequest, "invalid_grant")
}

func responseTypeMissing(t *testing.T, s *suite) {
	f := s.party("first").begin("response_type", "")
	f.wantError(t, s.visitor(t).follow(t, f.url(t)), "invalid_request", "unsupported_response_type")
}

// idTokenSignature: of a client that asks for no algorithm, ES256, which the suite would have as RS256; RS256 where it is asked for.
func idTokenSignature(t *testing.T, s *suite) {
	c := first()
	c.ID, c.Signing = "default", ""
	s.register(t, c)
	p := s.party("default")
	p.alg = "ES256"
	p.begin().signIn(t, s.visitor(t))
	p = s.party("first")
	p.alg = "RS256"
	p.begin().signIn(t, s.visitor(t))
}

// idTokenUnsigned: nobody can ask for "none", nor does discovery list it.
func idTokenUnsigned(t *testing.T, s *suite) {
	if s.supports("id_token_signing_alg_values_supported", "none") {
		t.Error("discovery lists none")
	}
	c := first()
	c.ID, c.Signing = "unsigned", "none"
	if _, err := c.Client(client.Own{}); err == nil {
		t.Error("a client has ID tokens without signatures")
	}
}

func userinfoGet(t *testing.T, s *suite) {
	f := s.party("first").begin()
	f.userinfo(t, f.signIn(t, s.visitor(t)))
}

func userinfoPostHeader(t *testing.T, s *suite) {
	f := s.party("first").begin()
	got := f.signIn(t, s.visitor(t))
	f.told(t, f.call(t, http.MethodPost, f.endpoint(t, "userinfo_endpoint"), nil, "Authorization", "Bearer "+got.access), got)
}

func userinfoPostBody(t *testing.T, s *suite) {
	f := s.party("first").begin()
	got := f.signIn(t, s.visitor(t))
	f.told(t, f.call(t, http.MethodPost, f.endpoint(t, "userinfo_endpoint"), url.Values{"access_token": {got.access}}), got)
}

func withoutNonce(t *testing.T, s *suite) {
	s.party("first").begin("nonce", "").signIn(t, s.visitor(t))
}

// scoped signs in for scopes, and returns what userinfo tells of them.
func scoped(t *testing.T, s *suite, scope string) (tokens, map[string]any) {
	t.Helper()
	f := s.party("first").begin("scope", scope)
	got := f.signIn(t, s.visitor(t))
	return got, f.userinfo(t, got)
}

func scopeProfile(t *testing.T, s *suite) {
	got, told := scoped(t, s, "openid profile")
	if told["name"] != "JEANNE MARTIN" || told["given_name"] != "JEANNE" || told["family_name"] != "MARTIN" {
		t.Errorf("userinfo = %v", told)
	}
	if _, ok := got.claims["name"]; ok { // OpenID Connect Core 1.0, section 5.4: they are at userinfo where there is an access token
		t.Error("the ID token says who it is")
	}
}

func scopeEmail(t *testing.T, s *suite) {
	_, told := scoped(t, s, "openid email")
	if told["email"] != mailbox || told["email_verified"] != true {
		t.Errorf("userinfo = %v", told)
	}
}

// without wants a scope to be what discovery says it is, unknown: the request goes on without it, and the client is told so.
func without(t *testing.T, s *suite, claim, scope, given string) {
	t.Helper()
	for _, one := range []string{"address", "phone"} {
		if s.supports("scopes_supported", one) {
			t.Errorf("discovery lists %s", one)
		}
	}
	got, told := scoped(t, s, scope)
	if scope := got.answer.word("scope"); scope != given {
		t.Errorf("scope = %q, want %q (RFC 6749, section 5.1)", scope, given)
	}
	if told[claim] != nil {
		t.Errorf("userinfo = %v", told)
	}
}

func scopeAddress(t *testing.T, s *suite) { without(t, s, "address", "openid address", "openid") }
func scopePhone(t *testing.T, s *suite)   { without(t, s, "phone_number", "openid phone", "openid") }
func scopeAll(t *testing.T, s *suite) {
	without(t, s, "address", "openid email phone address profile", "openid email profile")
}

func alternateHappyFlow(t *testing.T, s *suite) {
	f := s.party("first").begin("scope", "email profile openid")
	path, query, _ := strings.Cut(f.url(t), "?")
	pairs := strings.Split(query, "&")
	for i, j := 0, len(pairs)-1; i < j; i, j = i+1, j-1 {
		pairs[i], pairs[j] = pairs[j], pairs[i]
	}
	f.tokens(t, f.exchange(t, f.code(t, s.visitor(t).follow(t, path+"?"+strings.Join(pairs, "&")))))
}

func display(how string) func(*testing.T, *suite) {
	return func(t *testing.T, s *suite) {
		v := s.visitor(t)
		s.party("first").begin("display", how).signIn(t, v)
		if v.saw("/login") != 1 {
			t.Error("no login page was shown")
		}
	}
}

// again signs in twice, a while apart, the second time with other parameters.
func again(t *testing.T, s *suite, after time.Duration, v *visitor, pairs ...string) (one, two tokens) {
	t.Helper()
	one = s.party("first").begin().signIn(t, v)
	v.saw("")
	s.Advance(after)
	return one, s.party("first").begin(pairs...).signIn(t, v)
}

// later wants a login of the same person between two ID tokens; same wants none.
func later(t *testing.T, v *visitor, one, two tokens) {
	t.Helper()
	if v.saw("/login") != 1 || one.claims["sub"] != two.claims["sub"] || two.claims["auth_time"].(float64) <= one.claims["auth_time"].(float64) {
		t.Errorf("claims %v and then %v: want a new login between them", one.claims, two.claims)
	}
}

func same(t *testing.T, v *visitor, one, two tokens) {
	t.Helper()
	if v.saw("/login") != 0 || one.claims["sub"] != two.claims["sub"] || two.claims["auth_time"] != one.claims["auth_time"] {
		t.Errorf("claims %v and then %v: want no login between them", one.claims, two.claims)
	}
}

func promptLogin(t *testing.T, s *suite) {
	v := s.visitor(t)
	one, two := again(t, s, 2*time.Second, v, "prompt", "login")
	later(t, v, one, two)
}

func promptNoneNotLoggedIn(t *testing.T, s *suite) {
	f := s.party("first").begin("prompt", "none")
	f.wantError(t, s.visitor(t).follow(t, f.url(t)), "login_required", "interaction_required")
}

func promptNoneLoggedIn(t *testing.T, s *suite) {
	v := s.visitor(t)
	one, two := again(t, s, 2*time.Second, v, "prompt", "none")
	same(t, v, one, two)
}

func maxAge1(t *testing.T, s *suite) {
	v := s.visitor(t)
	one, two := again(t, s, 2*time.Second, v, "max_age", "1")
	later(t, v, one, two)
}

func maxAge10000(t *testing.T, s *suite) {
	v := s.visitor(t)
	one := s.party("first").begin("max_age", "15000").signIn(t, v)
	v.saw("")
	s.Advance(2 * time.Second)
	same(t, v, one, s.party("first").begin("max_age", "10000").signIn(t, v))
}

func unknownParameter(t *testing.T, s *suite) {
	s.party("first").begin("extra", "foobar").signIn(t, s.visitor(t))
}

func idTokenHint(t *testing.T, s *suite) {
	v := s.visitor(t)
	one := s.party("first").begin().signIn(t, v)
	v.saw("")
	same(t, v, one, s.party("first").begin("prompt", "none", "id_token_hint", one.id).signIn(t, v))
}

func loginHint(t *testing.T, s *suite) {
	s.party("first").begin("login_hint", "buffy@auth.example.test").signIn(t, s.visitor(t))
}

// uiLocales: the pages are in the first language that there is; a request for others is no error.
func uiLocales(t *testing.T, s *suite) {
	for asked, want := range map[string]string{"se en fr": `lang="en"`, "fr": `lang="fr"`, "se": `lang="`} {
		v := s.visitor(t)
		s.party("first").begin("ui_locales", asked).signIn(t, v)
		if !strings.Contains(v.login, want) {
			t.Errorf("ui_locales=%s: no %s on the login page", asked, want)
		}
	}
}

func claimsLocales(t *testing.T, s *suite) {
	s.party("first").begin("claims_locales", "se").signIn(t, s.visitor(t))
}

func acrValues(t *testing.T, s *suite) {
	all, _ := s.meta["acr_values_supported"].([]any)
	var asked []string
	for _, one := range all {
		asked = append(asked, one.(string))
	}
	got := s.party("first").begin("acr_values", strings.Join(asked, " ")).signIn(t, s.visitor(t))
	if acr, _ := got.claims["acr"].(string); len(asked) == 0 || !oneOf(acr, asked...) {
		t.Errorf("acr = %v, of %q", got.claims["acr"], asked)
	}
}

// reused uses a code twice, a while apart: the second time is refused, and ends what the first has given (RFC 6749, section 4.1.2).
func reused(t *testing.T, s *suite, after time.Duration) {
	t.Helper()
	f := s.party("first").begin()
	code := f.code(t, s.visitor(t).follow(t, f.url(t)))
	got := f.tokens(t, f.exchange(t, code))
	f.userinfo(t, got)
	s.Advance(after)
	f.exchange(t, code).wantRefused(t, http.StatusBadRequest, "invalid_grant")
	if a := f.get(t, f.endpoint(t, "userinfo_endpoint"), "Authorization", "Bearer "+got.access); a.status != http.StatusUnauthorized {
		t.Errorf("userinfo afterwards = %d %s, want 401", a.status, a.body)
	}
}

func codeReuse(t *testing.T, s *suite)      { reused(t, s, 0) }
func codeReuseLater(t *testing.T, s *suite) { reused(t, s, 30*time.Second) }

func registeredRedirectURI(t *testing.T, s *suite) {
	f := s.party("first").begin("redirect_uri", callback+"/"+random())
	s.visitor(t).follow(t, f.url(t)).wantErrorPage(t)
}

// postRequest: of a form of another site, with which browsers send no cookie, and which says so.
func postRequest(t *testing.T, s *suite) {
	v, f := s.visitor(t), s.party("first").begin()
	at, _ := url.Parse(f.endpoint(t, "authorization_endpoint"))
	got := v.Do(http.MethodPost, at.Path, "application/x-www-form-urlencoded", f.query.Encode(), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Origin", "https://rp.example.test")
	f.tokens(t, f.exchange(t, f.code(t, v.from(t, got))))
}

func serverSecretPost(t *testing.T, s *suite) {
	p := s.party("first")
	p.inForm = true
	f := p.begin()
	f.userinfo(t, f.signIn(t, s.visitor(t)))
}

// unsigned is a request object with alg "none".
const unsigned = "eyJhbGciOiJub25lIn0.eyJzY29wZSI6Im9wZW5pZCJ9." // {"alg":"none"} {"scope":"openid"}

func requestURI(t *testing.T, s *suite) {
	if s.meta["request_uri_parameter_supported"] != false {
		t.Errorf("request_uri_parameter_supported = %v", s.meta["request_uri_parameter_supported"])
	}
	f := s.party("first").begin("request_uri", "https://rp.example.test/test/requesturi.jwt#1")
	f.wantError(t, s.visitor(t).follow(t, f.url(t)), "request_uri_not_supported")
}

func requestObject(t *testing.T, s *suite) {
	if s.meta["request_parameter_supported"] != false {
		t.Errorf("request_parameter_supported = %v", s.meta["request_parameter_supported"])
	}
	f := s.party("first").begin("request", unsigned)
	f.wantError(t, s.visitor(t).follow(t, f.url(t)), "request_not_supported")
}

// claimsEssential: the parameter is ignored, as discovery says; the suite would warn that the name is missing.
func claimsEssential(t *testing.T, s *suite) {
	if s.meta["claims_parameter_supported"] != false {
		t.Errorf("claims_parameter_supported = %v", s.meta["claims_parameter_supported"])
	}
	f := s.party("first").begin("claims", `{"userinfo":{"name":{"essential":true}}}`)
	if told := f.userinfo(t, f.signIn(t, s.visitor(t))); told["name"] != nil {
		t.Errorf("userinfo = %v, want nothing that no scope gives", told)
	}
}

// requestObjectRedirectURI: the object's redirect URI is never looked at, whatever the request's is; with that the client is told.
func requestObjectRedirectURI(t *testing.T, s *suite) {
	f := s.party("first").begin("request", unsigned, "redirect_uri", callback+"/"+random())
	s.visitor(t).follow(t, f.url(t)).wantErrorPage(t)
	f.query.Set("redirect_uri", callback)
	f.wantError(t, s.visitor(t).follow(t, f.url(t)), "request_not_supported")
}

// refreshToken: it gives new tokens to its client, of the same login, and to no other.
func refreshToken(t *testing.T, s *suite) {
	if !s.supports("scopes_supported", "offline_access") || !s.supports("grant_types_supported", "refresh_token") {
		t.Error("discovery does not list it")
	}
	v := s.visitor(t)
	renew := func(p *party, refresh string) answer {
		return p.post(t, "token_endpoint", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
	}
	for _, id := range []string{"first", "second"} {
		f := s.party(id).begin("scope", "openid offline_access", "prompt", "consent")
		one := f.signIn(t, v)
		if one.refresh == "" || strings.ContainsFunc(one.refresh, func(c rune) bool { return c < 0x20 || c > 0x7e }) { // RFC 6749, A.17
			t.Fatalf("refresh_token = %q", one.refresh)
		}
		if v.saw("/oauth/consent") == 0 {
			t.Error("the person was not asked, though prompt=consent")
		}
		f.query.Del("nonce") // section 12.2: "it SHOULD NOT have a nonce Claim"
		two := f.tokens(t, renew(f.party, one.refresh))
		for _, claim := range []string{"iss", "sub", "auth_time", "azp", "acr", "sid"} {
			if one.claims[claim] != two.claims[claim] {
				t.Errorf("%s = %v, was %v (OpenID Connect Core 1.0, section 12.2)", claim, two.claims[claim], one.claims[claim])
			}
		}
		if two.access == one.access {
			t.Error("the access token is the one before")
		}
		f.userinfo(t, two)
		if id == "second" {
			renew(s.party("first"), two.refresh).wantRefused(t, http.StatusBadRequest, "invalid_grant")
		}
	}
}

// validPKCE: the verifier counts (RFC 7636, section 4.6).
func validPKCE(t *testing.T, s *suite) {
	f := s.party("first").begin()
	f.signIn(t, s.visitor(t))
	code := f.code(t, s.visitor(t).follow(t, f.url(t)))
	f.verifier = random()
	f.exchange(t, code).wantRefused(t, http.StatusBadRequest, "invalid_grant")
}
