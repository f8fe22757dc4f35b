package conformance

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/idptest"
)

// fapi2-security-profile-final-test-plan: what it asks of pushed requests (RFC 9126), of the issuer in answers (RFC 9207), of codes, of PKCE and of
// how clients prove themselves, by private_key_jwt. What it asks of tokens that are bound to a key, and of signed requests, is not there.
func TestPushedRequests(t *testing.T) {
	one, key := keyed(t, "one", "k1")
	two, other := keyed(t, "two", "k2")
	s := newSuite(t, one, two)
	s.clientKeys["one"], s.clientKeys["two"] = key, other
	play(t, s, pushed())
}

func pushed() []module {
	const name = "fapi2-security-profile-final-"
	return []module{
		{name + "discovery-end-point-verification", parDiscovery, true},
		{name + "happy-flow", parHappyFlow, true},
		{name + "user-rejects-authentication", parUserRejects, false},
		{name + "par-attempt-invalid-http-method", parInvalidMethod, false},
		{name + "par-attempt-reuse-request_uri", parReuse, false},
		{name + "par-attempt-to-use-expired-request_uri", parExpired, false},
		{name + "par-attempt-to-use-request_uri-for-different-client", parOtherClient, false},
		{name + "par-authorization-request-containing-request_uri", parRequestURIInObject, true},
		{name + "par-authorization-request-containing-request_uri-form-param", parRequestURI, false},
		{name + "par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted", parNotBeforeSoon, false},
		{name + "par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails", parNotBeforeLater, false},
		{name + "par-ensure-pkce-required", parNoPKCE, false},
		{name + "par-ensure-reused-request-uri-prior-to-auth-completion-succeeds", parBroughtTwice, true},
		{name + "par-plain-pkce-rejected", parPlainPKCE, false},
		{name + "par-test-array-as-audience-fails", parAudienceList, true},
		{name + "par-test-par-endpoint-url-as-audience-fails", parAudience("pushed_authorization_request_endpoint"), true},
		{name + "par-test-token-endpoint-url-as-audience-fails", parAudience("token_endpoint"), true},
		{name + "par-without-duplicate-parameters", parAlone, false},
		{name + "plain-fapi-tolerate-unregistered-redirect-uri", parRedirectURI, false},
		{name + "refresh-token", refreshTokenBound, false},
		{name + "attempt-reuse-authorization-code-after-one-second", codeReuseSoon, false},
		{name + "ensure-token-endpoint-fails-with-expired-auth-code", codeExpired, false},
		{name + "ensure-authorization-code-is-bound-to-client", codeOfAnother, false},
		{name + "ensure-pkce-code-verifier-required", noVerifier, true},
		{name + "incorrect-pkce-code-verifier-rejected", otherVerifier, false},
		{name + "ensure-response-type-code-idtoken-fails", parResponseType("code id_token"), false},
		{name + "ensure-response-type-token-fails", parResponseType("token"), false},
		{name + "ensure-authorization-request-with-long-state", parLongState, false},
		{name + "ensure-authorization-request-with-long-nonce", parLongNonce, false},
		{name + "ensure-authorization-request-without-state-success", parNoState, false},
		{name + "ensure-authorization-request-without-nonce-success", parNoNonce, false},
		{name + "ensure-other-scope-order-succeeds", parScopeOrder, false},
		{name + "ensure-redirect-uri-in-authorization-request", parNoRedirectURI, false},
		{name + "ensure-client-assertion-in-token-endpoint", noAssertion, false},
		{name + "ensure-client-assertion-with-exp-is-5-minutes-in-past-fails", badAssertion("exp", -5*time.Minute), false},
		{name + "ensure-client-assertion-with-no-sub-fails", badAssertion("sub", 0), false},
		{name + "ensure-client-assertion-with-wrong-aud-fails", badAssertion("aud", 0), false},
		{name + "access-token-type-header-case-sensitivity", bearerInOtherLetters, false},
	}
}

// keyed is the relying party of a client that proves itself by its key.
func (s *suite) keyed(id string) *party {
	p := s.party(id)
	p.key = s.clientKeys[id]
	return p
}

// push pushes the request of a flow.
func (f *flow) push(t *testing.T) answer {
	t.Helper()
	return f.post(t, "pushed_authorization_request_endpoint", f.query)
}

// pushed wants a request to be taken, and returns its name (RFC 9126, section 2.2).
func (f *flow) pushed(t *testing.T) string {
	t.Helper()
	a := f.push(t)
	life, _ := a.json["expires_in"].(float64)
	if a.status != http.StatusCreated || a.word("request_uri") == "" || life <= 0 || life > 600 || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("pushed = %d %v %s", a.status, a.header, a.body)
	}
	return a.word("request_uri")
}

// brought is where a browser ends up that brings the name of a request.
func (f *flow) brought(t *testing.T, v *visitor, name string) arrival {
	t.Helper()
	return v.follow(t, f.named(t, f.id, name))
}

func (f *flow) named(t *testing.T, id, name string) string {
	t.Helper()
	return f.endpoint(t, "authorization_endpoint") + "?" + url.Values{"client_id": {id}, "request_uri": {name}}.Encode()
}

// parDiscovery: but for the tokens, which are bound to nothing.
func parDiscovery(t *testing.T, s *suite) {
	s.endpoint(t, "pushed_authorization_request_endpoint")
	if s.meta["authorization_response_iss_parameter_supported"] != true || !s.supports("response_types_supported", "code") || !s.supports("code_challenge_methods_supported", "S256") ||
		!s.supports("token_endpoint_auth_methods_supported", "private_key_jwt") {
		t.Errorf("discovery = %v", s.meta)
	}
	if required, ok := s.meta["require_pushed_authorization_requests"].(bool); !ok || required {
		t.Errorf("require_pushed_authorization_requests = %v: what is not pushed is taken too", s.meta["require_pushed_authorization_requests"])
	}
	if _, ok := s.meta["dpop_signing_alg_values_supported"]; ok || s.meta["tls_client_certificate_bound_access_tokens"] == true {
		t.Error("discovery says that tokens are bound")
	}
}

// parHappyFlow: two clients, and in each answer the issuer (RFC 9207, section 2), which answered wants everywhere.
func parHappyFlow(t *testing.T, s *suite) {
	v := s.visitor(t)
	for _, id := range []string{"one", "two"} {
		f := s.keyed(id).begin()
		got := f.tokens(t, f.exchange(t, f.code(t, f.brought(t, v, f.pushed(t)))))
		f.userinfo(t, got)
	}
	f := s.keyed("one").begin("prompt", "none")
	f.wantError(t, f.brought(t, s.visitor(t), f.pushed(t)), "login_required")
}

func parUserRejects(t *testing.T, s *suite) {
	v, f := s.visitor(t), s.keyed("one").begin("prompt", "consent")
	v.refuse = true
	f.wantError(t, f.brought(t, v, f.pushed(t)), "access_denied")
}

func parInvalidMethod(t *testing.T, s *suite) {
	f := s.keyed("one").begin()
	f.query.Set("client_assertion", f.assertion(t))
	f.query.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	at := s.endpoint(t, "pushed_authorization_request_endpoint")
	for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete, http.MethodPatch} {
		if a := s.call(t, method, at, f.query); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodPost || a.json["request_uri"] != nil { // RFC 9126, section 2.3
			t.Errorf("%s = %d %v %s, want 405", method, a.status, a.header, a.body)
		}
	}
}

func parReuse(t *testing.T, s *suite) {
	v, f := s.visitor(t), s.keyed("one").begin()
	name := f.pushed(t)
	f.code(t, f.brought(t, v, name))
	f.brought(t, v, name).wantErrorPage(t)
}

func parExpired(t *testing.T, s *suite) {
	f := s.keyed("one").begin()
	a := f.push(t)
	s.Advance(time.Duration(a.json["expires_in"].(float64)) * time.Second)
	f.brought(t, s.visitor(t), a.word("request_uri")).wantErrorPage(t)
}

func parOtherClient(t *testing.T, s *suite) {
	v, f := s.visitor(t), s.keyed("one").begin()
	name := f.pushed(t)
	v.follow(t, f.named(t, "two", name)).wantErrorPage(t)
	f.brought(t, v, name).wantErrorPage(t) // whoever has seen it might try on
}

// parRequestURIInObject: there are no request objects, whatever is in them.
func parRequestURIInObject(t *testing.T, s *suite) {
	f := s.keyed("one").begin("request", unsigned)
	f.push(t).wantRefused(t, http.StatusBadRequest, "request_not_supported") // the module wants invalid_request_object, which there is none of
}

func parRequestURI(t *testing.T, s *suite) {
	for _, uri := range []string{"urn:ietf:params:oauth:request_uri:" + random(), "https://rp.example.test/r.jwt"} {
		f := s.keyed("one").begin("request_uri", uri)
		f.push(t).wantRefused(t, http.StatusBadRequest, "invalid_request", "invalid_request_object", "request_uri_not_supported")
	}
}

// proved pushes a request with a changed assertion.
func proved(t *testing.T, s *suite, changes ...any) answer {
	t.Helper()
	f := s.keyed("one").begin()
	f.query.Set("client_assertion", f.assertion(t, changes...))
	return f.push(t)
}

func parNotBeforeSoon(t *testing.T, s *suite) {
	if a := proved(t, s, "nbf", s.Now().Add(8*time.Second).Unix()); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func parNotBeforeLater(t *testing.T, s *suite) {
	proved(t, s, "nbf", s.Now().Add(61*time.Second).Unix()).wantRefused(t, http.StatusUnauthorized, "invalid_client")
}

// parAudience: RFC 9126, section 2, says the opposite of the module: the server "MUST accept its issuer identifier, token endpoint URL, or pushed
// authorization request endpoint URL as values that identify it as an intended audience".
func parAudience(endpoint string) func(*testing.T, *suite) {
	return func(t *testing.T, s *suite) {
		if a := proved(t, s, "aud", s.endpoint(t, endpoint)); a.status != http.StatusCreated {
			t.Errorf("%d %s", a.status, a.body)
		}
		proved(t, s, "aud", []string{s.endpoint(t, endpoint), "https://other.example"}).wantRefused(t, http.StatusUnauthorized, "invalid_client")
		proved(t, s, "aud", s.endpoint(t, "introspection_endpoint")).wantRefused(t, http.StatusUnauthorized, "invalid_client")
	}
}

// parAudienceList: a list of one is the same (RFC 7519, section 4.1.3); with anybody else in it it is refused.
func parAudienceList(t *testing.T, s *suite) {
	if a := proved(t, s, "aud", []string{idptest.Origin}); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
	proved(t, s, "aud", []string{idptest.Origin, "https://other.example"}).wantRefused(t, http.StatusUnauthorized, "invalid_client")
}

func parNoPKCE(t *testing.T, s *suite) {
	f := s.keyed("one").begin("code_challenge", "", "code_challenge_method", "")
	f.push(t).wantRefused(t, http.StatusBadRequest, "invalid_request")
}

func parPlainPKCE(t *testing.T, s *suite) {
	for _, method := range []string{"plain", ""} {
		f := s.keyed("one").begin("code_challenge_method", method)
		f.push(t).wantRefused(t, http.StatusBadRequest, "invalid_request")
	}
}

// parBroughtTwice: a name is used up by the browser that brings it first, not by the end of the login; that browser goes on without it.
func parBroughtTwice(t *testing.T, s *suite) {
	v, f := s.visitor(t), s.keyed("one").begin()
	name := f.pushed(t)
	first := v.open(t, f.named(t, "one", name))
	f.brought(t, v, name).wantErrorPage(t)
	f.code(t, v.from(t, first))
}

func parAlone(t *testing.T, s *suite) {
	f := s.keyed("one").begin()
	f.code(t, f.brought(t, s.visitor(t), f.pushed(t)))
}

// parRedirectURI: the module leaves it to us whether a redirect URI that is not registered may be pushed. It may not.
func parRedirectURI(t *testing.T, s *suite) {
	f := s.keyed("one").begin("redirect_uri", callback+"/"+random())
	f.push(t).wantRefused(t, http.StatusBadRequest, "invalid_request", "invalid_redirect_uri")
}

func parNoRedirectURI(t *testing.T, s *suite) {
	s.keyed("one").begin("redirect_uri", "").push(t).wantRefused(t, http.StatusBadRequest, "invalid_request")
}

// refreshTokenBound: to its client, which must prove itself.
func refreshTokenBound(t *testing.T, s *suite) {
	f := s.keyed("one").begin("scope", "openid offline_access", "prompt", "consent")
	got := f.tokens(t, f.exchange(t, f.code(t, f.brought(t, s.visitor(t), f.pushed(t)))))
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.refresh}}
	s.keyed("two").post(t, "token_endpoint", form).wantRefused(t, http.StatusBadRequest, "invalid_grant")
	form.Set("client_id", "one")
	s.call(t, http.MethodPost, s.endpoint(t, "token_endpoint"), form).wantRefused(t, http.StatusUnauthorized, "invalid_client")
	f.query.Del("nonce")
	f.tokens(t, f.post(t, "token_endpoint", form))
}

// coded signs in as far as to the code.
func coded(t *testing.T, s *suite) (*flow, string) {
	t.Helper()
	f := s.keyed("one").begin()
	return f, f.code(t, f.brought(t, s.visitor(t), f.pushed(t)))
}

func codeReuseSoon(t *testing.T, s *suite) {
	f, code := coded(t, s)
	got := f.tokens(t, f.exchange(t, code))
	s.Advance(time.Second)
	f.exchange(t, code).wantRefused(t, http.StatusBadRequest, "invalid_grant")
	if a := s.get(t, s.endpoint(t, "userinfo_endpoint"), "Authorization", "Bearer "+got.access); a.status != http.StatusUnauthorized {
		t.Errorf("userinfo = %d", a.status)
	}
}

func codeExpired(t *testing.T, s *suite) {
	f, code := coded(t, s)
	s.Advance(61 * time.Second)
	f.exchange(t, code).wantRefused(t, http.StatusBadRequest, "invalid_grant")
}

func codeOfAnother(t *testing.T, s *suite) {
	f, code := coded(t, s)
	two := s.keyed("two").begin()
	two.verifier = f.verifier
	two.exchange(t, code).wantRefused(t, http.StatusBadRequest, "invalid_grant")
	f.tokens(t, f.exchange(t, code)) // it is its own's still
}

// noVerifier: a parameter is missing, which RFC 6749, section 5.2, calls invalid_request; the module wants what is said of one that is wrong.
func noVerifier(t *testing.T, s *suite) {
	f, code := coded(t, s)
	a := f.post(t, "token_endpoint", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}})
	a.wantRefused(t, http.StatusBadRequest, "invalid_request")
}

func otherVerifier(t *testing.T, s *suite) {
	f, code := coded(t, s)
	f.verifier = random()
	f.exchange(t, code).wantRefused(t, http.StatusBadRequest, "invalid_grant")
}

func parResponseType(kind string) func(*testing.T, *suite) {
	return func(t *testing.T, s *suite) {
		f := s.keyed("one").begin("response_type", kind)
		f.push(t).wantRefused(t, http.StatusBadRequest, "unsupported_response_type", "invalid_request")
		f.wantError(t, s.visitor(t).follow(t, f.url(t)), "unsupported_response_type")
	}
}

func parLongState(t *testing.T, s *suite) {
	f := s.keyed("one").begin("state", strings.Repeat("s", 1000))
	f.code(t, f.brought(t, s.visitor(t), f.pushed(t)))
}

func parLongNonce(t *testing.T, s *suite) {
	f := s.keyed("one").begin("nonce", strings.Repeat("n", 1000))
	f.tokens(t, f.exchange(t, f.code(t, f.brought(t, s.visitor(t), f.pushed(t)))))
}

func parNoState(t *testing.T, s *suite) {
	f := s.keyed("one").begin("state", "")
	f.code(t, f.brought(t, s.visitor(t), f.pushed(t))) // answered wants none
}

func parNoNonce(t *testing.T, s *suite) {
	f := s.keyed("one").begin("nonce", "")
	f.tokens(t, f.exchange(t, f.code(t, f.brought(t, s.visitor(t), f.pushed(t)))))
}

func parScopeOrder(t *testing.T, s *suite) {
	f := s.keyed("one").begin("scope", "email openid")
	f.code(t, f.brought(t, s.visitor(t), f.pushed(t)))
}

func noAssertion(t *testing.T, s *suite) {
	f, code := coded(t, s)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {f.verifier}}
	at := s.endpoint(t, "token_endpoint")
	s.call(t, http.MethodPost, at, form).wantRefused(t, http.StatusUnauthorized, "invalid_client")
	form.Set("client_id", "one")
	s.call(t, http.MethodPost, at, form).wantRefused(t, http.StatusUnauthorized, "invalid_client")
}

// badAssertion uses a code with a claim that is late, taken away, or another's.
func badAssertion(claim string, late time.Duration) func(*testing.T, *suite) {
	return func(t *testing.T, s *suite) {
		f, code := coded(t, s)
		var value any
		switch claim {
		case "exp":
			value = s.Now().Add(late).Unix()
		case "aud":
			value = "https://other.example"
		}
		form := url.Values{
			"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {f.verifier}, "client_assertion": {f.assertion(t, claim, value)},
		}
		f.post(t, "token_endpoint", form).wantRefused(t, http.StatusUnauthorized, "invalid_client")
	}
}

func bearerInOtherLetters(t *testing.T, s *suite) {
	f, code := coded(t, s)
	got := f.tokens(t, f.exchange(t, code))
	for _, scheme := range []string{"bearer ", "BEARER ", "bEaReR "} {
		f.told(t, s.get(t, s.endpoint(t, "userinfo_endpoint"), "Authorization", scheme+got.access), got)
	}
}
