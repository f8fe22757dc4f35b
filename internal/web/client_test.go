package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"promess/authgw/internal/client"
	"promess/authgw/internal/web"
)

// G8: an answer leads to where a client may be, and never runs a script. What the policy of a page lets its form lead to is that place alone.
func TestG8AnswersLeadToPlacesOnly(t *testing.T) {
	for next, want := range map[string]struct{ refresh, form string }{
		"https://agenda.example:8443/cb?code=x":        {"0; url=https://agenda.example:8443/cb?code=x", "form-action 'self' https://agenda.example:8443;"},
		"http://127.0.0.1:4711/cb?code=x":              {"0; url=http://127.0.0.1:4711/cb?code=x", "form-action 'self' http://127.0.0.1:4711;"},
		"fr.example.app:/cb?code=x":                    {"0; url=fr.example.app:/cb?code=x", "form-action 'self' fr.example.app:;"},
		"javascript:alert(1)":                          {"", "form-action 'self';"},
		"java.script:alert('1')":                       {"", "form-action 'self';"},
		"data:text/html,x":                             {"", "form-action 'self';"},
		"https://agenda.example/cb; script-src *":      {"", "form-action 'self';"},
		"https://agenda.example/\r\nX: y":              {"", "form-action 'self';"},
		"https://user@agenda.example/cb":               {"", "form-action 'self';"},
		"//agenda.example/cb":                          {"", "form-action 'self';"},
		"/local":                                       {"", "form-action 'self';"},
		"https://agenda.example;script-src.example/cb": {"", "form-action 'self';"},
		"": {"", "form-action 'self';"},
	} {
		p := pages(t, web.Site{})
		w := render(t, p, "fr", http.StatusOK, web.ReturnPage{Service: "Agenda", Next: next})
		if got := w.Header().Get("Refresh"); got != want.refresh {
			t.Errorf("%q: Refresh %q, want %q", next, got, want.refresh)
		}
		if linked := strings.Contains(w.Body.String(), `class="button wide" href=`); linked != (want.refresh != "") {
			t.Errorf("%q: a link is there: %v", next, linked)
		}
		w = render(t, p, "fr", http.StatusOK, web.ConsentPage{Service: "Agenda", Action: "/oauth/consent", Target: next})
		if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, want.form) {
			t.Errorf("%q: policy %q, want %q in it", next, got, want.form)
		}
	}
}

// OpenID Connect Front-Channel Logout 1.0, section 2: the page of a sign-out loads what clients registered, and its policy knows these origins alone.
func TestSignOutFramesClientsOnly(t *testing.T) {
	p := pages(t, web.Site{})
	w := render(t, p, "fr", http.StatusOK, web.SigningOutPage{Next: "https://mail.example/x", Frames: []string{
		"https://agenda.example:8443/out?iss=a&sid=b", "https://agenda.example:8443/other", "https://dossier.example/out",
		"http://plain.example/out", "javascript:alert(1)", "https://evil.example/;script-src *", "https://a@evil.example/", "/own", "fr.example:/x",
	}})
	const want = "; frame-ancestors 'none'; frame-src https://agenda.example:8443 https://dossier.example"
	if got := w.Header().Get("Content-Security-Policy"); !strings.HasSuffix(got, want) {
		t.Errorf("policy %q, want %q at its end", got, want)
	}
	if got := strings.Count(w.Body.String(), "<iframe"); got != 3 {
		t.Errorf("%d frames, want 3:\n%s", got, w.Body)
	}
	if got := w.Header().Get("Refresh"); got != "5; url=https://mail.example/x" {
		t.Errorf("Refresh %q: a client that does not answer must not hold up the person", got)
	}
	w = render(t, p, "fr", http.StatusOK, web.SigningOutPage{Next: "https://mail.example/x"})
	if strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-src") || w.Header().Get("Refresh") != "0; url=https://mail.example/x" {
		t.Errorf("without frames: %v", w.Header())
	}
}

// OpenID Connect Core 1.0, section 3.1.2.1: ui_locales is a list, the most wanted first. What the person has chosen counts more.
func TestServiceMayPreferALanguage(t *testing.T) {
	p := pages(t, web.Site{})
	for tags, want := range map[string]string{"de en-GB fr": "en", "fr-CA": "fr", "de": "", "": "", "../en": ""} {
		w := httptest.NewRecorder()
		p.Prefer(w, httptest.NewRequest(http.MethodGet, "https://auth.example/", nil), tags)
		got := ""
		for _, c := range w.Result().Cookies() {
			got = c.Value
		}
		if got != want {
			t.Errorf("%q: %q, want %q", tags, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "https://auth.example/", nil)
	r.AddCookie(&http.Cookie{Name: "__Host-lang", Value: "fr"})
	w := httptest.NewRecorder()
	if p.Prefer(w, r, "en"); len(w.Result().Cookies()) != 0 {
		t.Error("a service has changed the language that the person chose")
	}
}

// Each scope that reveals something has its words on the consent page, and none is left out of it.
func TestEveryScopeHasItsWords(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		all := texts(t, lang)
		for _, scope := range client.ScopesKnown() {
			switch scope {
			case "openid":
				scope = "identity"
			case "scope_all":
				scope = "psc"
			}
			if all["told."+scope] == "" {
				t.Errorf("%s: no told.%s", lang, scope)
			}
		}
	}
}
