package oidc_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/token"
)

// endpoints are all that there are, with the methods that do something.
func endpoints() map[string]string {
	return map[string]string{
		"/oauth/authorize": "GET, HEAD, POST", "/oauth/resume": "GET, HEAD", "/oauth/consent": "GET, HEAD, POST", "/oauth/refuse": "POST",
		"/oauth/par": "POST", "/oauth/token": "POST", "/oauth/introspect": "POST", "/oauth/revoke": "POST", "/oauth/device_authorization": "POST",
		"/oauth/userinfo": "GET, HEAD, POST", "/oauth/keys": "GET, HEAD", "/device": "GET, HEAD, POST", "/device/confirm": "GET, HEAD, POST", "/account/consents/withdraw": "POST",
		"/oauth/end_session": "GET, HEAD, POST", "/oauth/end_session/confirm": "POST",
		"/.well-known/openid-configuration": "GET, HEAD", "/.well-known/oauth-authorization-server": "GET, HEAD",
	}
}

// served answers a request as it stands, with headers in pairs, and without a client that would tidy it up.
func (f *front) served(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = idptest.Host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.Handler.ServeHTTP(w, r)
	return w
}

// CORS: no page of another origin reads an answer, and none is told that it may ask.
func TestNoOtherOriginReadsAnswers(t *testing.T) {
	f := newFront(t, agenda())
	for path, methods := range endpoints() {
		for _, origin := range []string{"https://evil.example", "https://agenda.example.test", "null", idptest.Origin + ".evil.example"} {
			all := []*httptest.ResponseRecorder{f.served(http.MethodOptions, path, "",
				"Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type", "Access-Control-Request-Private-Network", "true")}
			if all[0].Code < 400 {
				t.Errorf("%s: a preflight of %s = %d", path, origin, all[0].Code)
			}
			for method := range strings.SplitSeq(methods, ", ") {
				all = append(all, f.served(method, path, "", "Origin", origin, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"))
			}
			for _, w := range all {
				for name := range w.Header() {
					if strings.HasPrefix(name, "Access-Control-") || name == "Timing-Allow-Origin" {
						t.Errorf("%s: %s = %q for %s", path, name, w.Header().Get(name), origin)
					}
				}
			}
		}
	}
}

// A method that an endpoint has no use for does nothing, however it is spelt or said (HEAD that counts as a POST: the sibling of a known fault in
// consent pages).
func TestMethodsThatDoNothing(t *testing.T) {
	s := agenda()
	s.Consent = true
	f := newFront(t, s)
	for path, methods := range endpoints() {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "post", "Get", "PROPFIND"} {
			if slices.Contains(strings.Split(methods, ", "), method) {
				continue
			}
			w := f.served(method, path, "", "X-Http-Method-Override", "POST", "X-Method-Override", "POST", "X-Http-Method", "GET")
			if w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
				t.Errorf("%s %s = %d, want 405 or 404", method, path, w.Code)
			}
			if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
				t.Errorf("%s %s: no Allow", method, path)
			}
		}
	}
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	_, handle := consented(t, b, ask(b))
	for _, method := range []string{"HEAD", "GET"} {
		got := b.Do(method, "/oauth/consent?request="+handle+"&answer=agree", "application/x-www-form-urlencoded", "", "X-Http-Method-Override", "POST", "Sec-Fetch-Site", "cross-site")
		if got.Status != http.StatusOK || got.Header.Get("Location") != "" {
			t.Errorf("%s of the consent page = %d to %q", method, got.Status, got.Location)
		}
	}
	if n := len(f.Events(t, audit.AuthorizationGranted)); n != 0 {
		t.Errorf("%d codes were given", n)
	}
}

// A path is spelt in one way: another one is not there, leads to the right one, or is judged exactly as that.
func TestPathsThatAreSpeltOtherwise(t *testing.T) {
	s := agenda()
	s.Consent = true
	f := newFront(t, s)
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	_, handle := consented(t, b, ask(b))
	cookie := "__Host-authgw=" + b.Cookie("__Host-authgw") + "; __Host-authgw-asked=" + b.Cookie("__Host-authgw-asked")
	spellings := func(path string) []string {
		dir, last := path[:strings.LastIndex(path, "/")], path[strings.LastIndex(path, "/")+1:]
		return []string{
			"/" + path, dir + "//" + last, dir + "/./" + last, dir + "/x/../" + last, "/x/.." + path, path + "/", path + "/.", path + "/..", path + "//", path + ";x=1", path + ".json", path + "%20", path + "%00",
			path + "%2f", dir + "%2f" + last, dir + "%5c" + last, dir + "/%2e/" + last, dir + "/%2e%2e" + path, strings.ToUpper(path), dir + "/" + strings.ToUpper(last[:1]) + last[1:],
			dir + "/%" + hexOf(last[0]) + last[1:], "/%" + hexOf(path[1]) + path[2:], dir + "/%25" + hexOf(last[0]) + last[1:], path + "%23", path + "%3f", "https://evil.example" + path, "https://" + idptest.Host + ":1" + path,
		}
	}
	foreign := []string{"Content-Type", "application/x-www-form-urlencoded", "Cookie", cookie, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}
	for _, target := range spellings("/oauth/consent") {
		w := f.served(http.MethodPost, target, "request="+handle+"&answer=agree", foreign...)
		if w.Code < 400 && !(w.Code == http.StatusMovedPermanently || w.Code == http.StatusTemporaryRedirect || w.Code == http.StatusPermanentRedirect) {
			t.Errorf("POST %s of another site = %d", target, w.Code)
		}
		if to := w.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
			t.Errorf("POST %s leads to %q", target, to)
		}
	}
	session := f.Session(t, b).ID
	for _, target := range spellings("/oauth/end_session/confirm") {
		f.served(http.MethodPost, target, "session="+session, foreign...)
		if !b.SignedIn() {
			t.Fatalf("POST %s of another site has signed the person out", target)
		}
	}
	for _, target := range spellings("/oauth/authorize") { // takes a form of another site, and acts on nothing
		w := f.served(http.MethodPost, target, request().Encode(), foreign...)
		if to := w.Header().Get("Location"); strings.Contains(to, "code=") && !strings.Contains(to, "code_challenge=") || to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
			t.Errorf("POST %s leads to %q", target, to)
		}
	}
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {"agenda"}, "code": {token.New()}, "code_verifier": {strings.Repeat("v", 43)}, "redirect_uri": {frontCallback}}
	for _, path := range []string{"/oauth/token", "/oauth/userinfo"} {
		for _, target := range spellings(path) {
			w := f.served(http.MethodPost, target, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
			if w.Code < 300 || w.Code >= 500 {
				t.Errorf("POST %s = %d", target, w.Code)
			}
			if to := w.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
				t.Errorf("POST %s leads to %q", target, to)
			}
		}
	}
	if n := len(f.Events(t, audit.AuthorizationGranted)); n != 0 {
		t.Errorf("%d codes were given", n)
	}
}

func hexOf(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// Response splitting: what a request says stays where it is sent, and becomes no header, no other parameter and no markup.
func TestWhatARequestSaysBecomesNoHeader(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	plain := slices.Sorted(maps.Keys(ask(b).Header))
	for _, state := range []string{
		"a&code=stolen&iss=https://evil.example", "a#code=stolen", "a?b=c", "a b+c%20d%2Be", `"><script>alert(1)</script>`, "%0d%0aSet-Cookie: a=b", "嘊嘍Set-Cookie:a=b", "\u2028\u2029\u0085Location: x", "é\u202egnp.exe",
		"a;b", "//evil.example", `\\evil.example`, strings.Repeat("s", 500), "=", "&", "%", "%zz", "{}[]|^`<>",
	} {
		for _, pairs := range [][]string{nil, {"scope", "x"}, {"response_mode", "form_post"}} {
			got := ask(b, append([]string{"state", state}, pairs...)...)
			if slices.Contains(pairs, "form_post") {
				if strings.Contains(got.Body, "<script>alert") || strings.Count(got.Body, `name="code"`) != 1 {
					t.Errorf("state %q: on the page\n%s", state, got.Body)
				}
				continue
			}
			q := answered(t, got)
			if q.Get("state") != state || len(q["iss"]) != 1 || q.Get("iss") != idptest.Origin || len(q["code"])+len(q["error"]) != 1 {
				t.Errorf("state %q: answer %q", state, q)
			}
			if names := slices.Sorted(maps.Keys(got.Header)); !slices.Equal(names, plain) {
				t.Errorf("state %q: headers %q, want %q", state, names, plain)
			}
		}
	}
	// A line's end is in no parameter, and what is refused is not said back.
	for _, name := range []string{"state", "nonce", "ui_locales", "login_hint", "scope", "prompt", "redirect_uri", "client_id", "acr_values", "id_token_hint", "extra"} {
		for _, end := range []string{"\r\n", "\n", "\r", "\x00", "\x0b"} {
			got := ask(b, name, "x"+end+"Set-Cookie: evil=1"+end+end+"<html>evil")
			wantPage(t, got, http.StatusBadRequest)
			for header, values := range got.Header {
				if strings.Contains(strings.Join(values, " "), "evil") || strings.Contains(got.Body, "evil") {
					t.Errorf("%s: %s = %q", name, header, values)
				}
			}
		}
	}
}

// What is said of where a request comes from is not believed: the provider's own names are those of its configuration.
func TestProviderIsNamedByItsConfiguration(t *testing.T) {
	f := newFront(t, agenda())
	want := f.served(http.MethodGet, "/.well-known/openid-configuration", "").Body.String()
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	for _, header := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "X-Original-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Original-Url", "X-Rewrite-Url", "Forwarded"} {
		value := "evil.example"
		if header == "Forwarded" {
			value = "host=evil.example;proto=http"
		}
		if got := f.served(http.MethodGet, "/.well-known/openid-configuration", "", header, value).Body.String(); got != want {
			t.Errorf("%s changes discovery: %s", header, got)
		}
		got := b.Do(http.MethodGet, "/oauth/authorize?"+request().Encode(), "", "", header, value)
		wantCode(t, got)
		if got := f.served(http.MethodPost, "/oauth/token", "", header, value); strings.Contains(got.Body.String()+got.Header().Get("Www-Authenticate"), "evil") {
			t.Errorf("%s: %d %v", header, got.Code, got.Header())
		}
	}
}
