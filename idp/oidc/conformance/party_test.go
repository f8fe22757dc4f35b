package conformance

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/idptest"
)

// party is a relying party.
type party struct {
	*suite
	id       string
	callback string
	alg      string // of its ID tokens

	secret string
	inForm bool             // client_secret_post
	key    *jose.SigningKey // private_key_jwt, in the place of the secret
}

// answer is what a server of the provider says.
type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (a answer) word(name string) string { s, _ := a.json[name].(string); return s }

// send sends a request of a relying party's server.
func (s *suite) send(t *testing.T, r *http.Request) answer {
	t.Helper()
	res, err := s.server.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
	if strings.Contains(res.Header.Get("Content-Type"), "json") {
		if a.json = parsed(body); a.json == nil {
			t.Errorf("%s: %q is no JSON object", r.URL.Path, body)
		}
	}
	return a
}

func (s *suite) get(t *testing.T, at string, headers ...string) answer {
	t.Helper()
	return s.call(t, http.MethodGet, at, nil, headers...)
}

// call sends a request with a form; nil: without. The headers come in pairs.
func (s *suite) call(t *testing.T, method, at string, form url.Values, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return s.send(t, r)
}

// post posts a form to an endpoint with what proves whose it is.
func (p *party) post(t *testing.T, endpoint string, form url.Values) answer {
	t.Helper()
	form = maps.Clone(form)
	at := p.endpoint(t, endpoint)
	switch {
	case p.key != nil:
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		if !form.Has("client_assertion") {
			form.Set("client_assertion", p.assertion(t))
		}
	case p.inForm:
		form.Set("client_id", p.id)
		form.Set("client_secret", p.secret)
	default: // RFC 6749, section 2.3.1
		id, secret := url.QueryEscape(p.id), url.QueryEscape(p.secret)
		return p.call(t, http.MethodPost, at, form, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))
	}
	return p.call(t, http.MethodPost, at, form)
}

// flow is one authorization that a relying party asks for.
type flow struct {
	*party
	query    url.Values
	verifier string
}

// begin returns a request, with other parameters in pairs; an empty one is left out.
func (p *party) begin(pairs ...string) *flow {
	f := &flow{party: p, verifier: random()}
	sum := sha256.Sum256([]byte(f.verifier))
	f.query = url.Values{
		"client_id": {p.id}, "redirect_uri": {p.callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {random()}, "nonce": {random()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	if p.mode != "" {
		f.query.Set("response_mode", p.mode)
	}
	for i := 0; i < len(pairs); i += 2 {
		f.query.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			f.query.Del(pairs[i])
		}
	}
	return f
}

func random() string { return rand.Text() + rand.Text() }

// url is the request as a browser brings it.
func (f *flow) url(t *testing.T) string {
	t.Helper()
	return f.endpoint(t, "authorization_endpoint") + "?" + f.query.Encode()
}

// answered wants an arrival at the redirect URI, and returns what came with it. As the suite does, it looks at what every answer has: the
// state as it was sent, the issuer (RFC 9207, section 2), and nothing in a fragment.
func (f *flow) answered(t *testing.T, a arrival) url.Values {
	t.Helper()
	q, posted := a.answer, f.query.Get("response_mode") == "form_post"
	if a.posted != posted {
		t.Errorf("answered by a form: %t, want %t", a.posted, posted)
	}
	want, err := url.Parse(f.query.Get("redirect_uri"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := url.Parse(a.at)
	if err != nil || got.Scheme+"://"+got.Host+got.Path != want.Scheme+"://"+want.Host+want.Path || strings.Contains(a.at, "#") {
		t.Fatalf("answered at %q with %d, want %s\n%s", a.at, a.page.Status, want, a.page.Body)
	}
	at := got.Query()
	for name, values := range want.Query() { // RFC 6749, section 3.1.2: the query "MUST be retained"
		if !slices.Equal(at[name], values) {
			t.Errorf("answered at %q: %s is not as it was registered", a.at, name)
		}
		at.Del(name)
	}
	if posted && len(at) > 0 {
		t.Errorf("answered at %q and by a form", a.at)
	}
	if !posted {
		q = at
	}
	if got, want := q.Get("state"), f.query.Get("state"); got != want || q.Has("state") != f.query.Has("state") {
		t.Errorf("state = %q, want %q", got, want)
	}
	if got := q["iss"]; len(got) != 1 || got[0] != idptest.Origin {
		t.Errorf("iss = %q, want the issuer of discovery", got)
	}
	for name := range q {
		switch name {
		case "code", "state", "iss", "error", "error_description":
		default:
			t.Errorf("the answer has %s, which nobody knows", name)
		}
	}
	return q
}

// code wants a code.
func (f *flow) code(t *testing.T, a arrival) string {
	t.Helper()
	q := f.answered(t, a)
	if q.Has("error") || q.Get("code") == "" {
		t.Fatalf("answer %v, want a code", q)
	}
	return q.Get("code")
}

// wantError wants one of some errors, as RFC 6749, section 4.1.2.1, has them.
func (f *flow) wantError(t *testing.T, a arrival, codes ...string) {
	t.Helper()
	q := f.answered(t, a)
	if q.Has("code") || !oneOf(q.Get("error"), codes...) {
		t.Errorf("answer %v, want an error of %q", q, codes)
	}
	if d := q.Get("error_description"); strings.ContainsFunc(d, func(c rune) bool { return c < 0x20 || c > 0x7e || c == '"' || c == '\\' }) {
		t.Errorf("error_description %q has characters that RFC 6749 has not", d)
	}
}

func oneOf(s string, all ...string) bool { return slices.Contains(all, s) }

// exchange uses a code.
func (f *flow) exchange(t *testing.T, code string) answer {
	t.Helper()
	return f.post(t, "token_endpoint", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {f.query.Get("redirect_uri")}, "code_verifier": {f.verifier},
	})
}

// tokens are what a relying party has once somebody has signed in.
type tokens struct {
	access, refresh, id string
	claims              map[string]any // of the ID token
	answer              answer
}

// signIn goes the whole way: the browser's, the token endpoint's, and the verification of the ID token.
func (f *flow) signIn(t *testing.T, v *visitor) tokens {
	t.Helper()
	return f.tokens(t, f.exchange(t, f.code(t, v.follow(t, f.url(t)))))
}

// tokens wants an answer with tokens (RFC 6749, section 5.1; OpenID Connect Core 1.0, section 3.1.3.3).
func (f *flow) tokens(t *testing.T, a answer) tokens {
	t.Helper()
	if a.status != http.StatusOK || a.word("access_token") == "" || !strings.EqualFold(a.word("token_type"), "bearer") {
		t.Fatalf("token endpoint = %d %s, want tokens", a.status, a.body)
	}
	if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("token endpoint: headers %v", a.header)
	}
	if life, _ := a.json["expires_in"].(float64); life <= 0 || life > 3600 {
		t.Errorf("expires_in = %v", a.json["expires_in"])
	}
	got := tokens{access: a.word("access_token"), refresh: a.word("refresh_token"), id: a.word("id_token"), answer: a}
	got.claims = f.verify(t, got.id, f.query.Get("nonce"), got.access)
	return got
}

// wantRefused wants an error of RFC 6749, section 5.2.
func (a answer) wantRefused(t *testing.T, status int, codes ...string) {
	t.Helper()
	if a.status != status || !oneOf(a.word("error"), codes...) || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s, want %d with an error of %q", a.status, a.header, a.body, status, codes)
	}
}

// userinfo asks for what an access token tells, and wants the subject of the ID token (OpenID Connect Core 1.0, section 5.3.2).
func (p *party) userinfo(t *testing.T, got tokens) map[string]any {
	t.Helper()
	return p.told(t, p.get(t, p.endpoint(t, "userinfo_endpoint"), "Authorization", "Bearer "+got.access), got)
}

func (p *party) told(t *testing.T, a answer, got tokens) map[string]any {
	t.Helper()
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Fatalf("userinfo = %d %v %s", a.status, a.header, a.body)
	}
	if a.word("sub") == "" || a.json["sub"] != got.claims["sub"] {
		t.Errorf("userinfo: sub = %v, of the ID token %v", a.json["sub"], got.claims["sub"])
	}
	return a.json
}
