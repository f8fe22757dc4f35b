package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"promess/authgw/idp/oidc"
	"promess/authgw/internal/idptest"
)

// seeds are requests, good and bad.
func seeds(f *testing.F) {
	f.Helper()
	for _, q := range []string{
		request().Encode(), request("redirect_uri", "https://evil.example").Encode(), request().Encode() + "&redirect_uri=https%3A%2F%2Fevil.example",
		request("redirect_uri", frontCallback+"#x").Encode(), request("prompt", "none").Encode(), request("prompt", "consent").Encode(), request("response_mode", "form_post").Encode(),
		request("response_type", "token").Encode(), request("request_uri", "urn:ietf:params:oauth:request_uri:x").Encode(), request("max_age", "0").Encode(),
		request("id_token_hint", "a.b.c").Encode(), request("state", "\r\nLocation: https://evil.example").Encode(), request("redirect_uri", frontCallback+"\t").Encode(),
		"client_id=agenda;redirect_uri=x", "%", "&&&", "client_id=agenda&redirect_uri=" + url.QueryEscape(frontCallback+"/../x"), "client_id[]=agenda", "acr_values=%00",
	} {
		f.Add(q)
	}
}

var formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)

// F1: whatever is asked, the browser is led to a redirect URI of the client or stays.
func FuzzAuthorizeLeadsNowhereElse(f *testing.F) {
	seeds(f)
	w := newFront(f, agenda())
	b := w.Browser(f, "127.0.0.2")
	b.LogIn()
	cookie := &http.Cookie{Name: "__Host-authgw", Value: b.Cookie("__Host-authgw")}
	f.Fuzz(func(t *testing.T, query string) {
		for _, signedIn := range []bool{true, false} {
			r := httptest.NewRequest(http.MethodGet, idptest.Origin+"/oauth/authorize", nil)
			r.URL.RawQuery = query
			if signedIn {
				r.AddCookie(cookie)
			}
			got := httptest.NewRecorder()
			w.Handler.ServeHTTP(got, r)
			to := got.Header().Get("Location")
			if to != "" && to != "/login" && !strings.HasPrefix(to, "/oauth/resume?request=") && !strings.HasPrefix(to, frontCallback+"?") {
				t.Errorf("%q leads to %q", query, to)
			}
			if u, err := url.Parse(to); err != nil || u.Fragment != "" || u.Query().Get("code") != "" && u.Query().Get("error") != "" {
				t.Errorf("%q leads to %q", query, to)
			}
			if got.Header().Get("Refresh") != "" {
				t.Errorf("%q leads to %q", query, got.Header().Get("Refresh"))
			}
			for _, action := range formAction.FindAllStringSubmatch(got.Body.String(), -1) {
				if action[1] != frontCallback && action[1] != "/logout" {
					t.Errorf("%q has a form to %q", query, action[1])
				}
			}
		}
	})
}

// RFC 6749, section 3.1: what is read has one value of text for each name, and is what url.ParseQuery reads.
func FuzzParametersHaveOneValue(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := oidc.ParseParameters(text)
		if err != nil {
			if got != nil {
				t.Errorf("%q is refused, and read", text)
			}
			return
		}
		all, err := url.ParseQuery(text)
		if err != nil {
			t.Fatalf("%q is read, and cannot be", text)
		}
		for name, values := range all {
			if name == "resource" || name == "audience" {
				continue
			}
			if len(values) != 1 || got.Get(name) != values[0] {
				t.Errorf("%q: %q is %q, and read as %q", text, name, values, got[name])
			}
			if v := values[0]; !utf8.ValidString(v) || strings.ContainsAny(v, "\x00\r\n") || len(v) > 8<<10 {
				t.Errorf("%q: %q is read as %q", text, name, v)
			}
		}
	})
}
