package idp_test

import (
	"net/http"
	"strings"
	"testing"

	"promess/authgw/idp"
)

const signOutButton = "Se déconnecter"

// A person who is signed in can sign out from every page, those that say no included.
func TestErrorPagesOfAPersonHaveTheMenu(t *testing.T) {
	w := newWorldWith(t, func(c *idp.Config) { c.Services[1].Rule = idp.Rule{Professions: []string{"60"}} })
	w.run(t)
	b := w.browser(t)
	b.follow(b.get(mail + "/inbox"))
	b.logIn()
	b.follow(b.get(mail + "/inbox"))
	for _, tt := range []struct {
		name, method, address string
		headers               []string
		status                int
		action                string
	}{
		{"there is no such page", http.MethodGet, auth + "/nowhere", nil, http.StatusNotFound, "/logout"},
		{"a form of another site", http.MethodPost, auth + "/logout", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, "/logout"},
		{"a service that is not theirs", http.MethodGet, auth + "/login?service=agenda&state=x", nil, http.StatusForbidden, "/logout"},
		{"no such page of the gateway's on a service host", http.MethodGet, mail + "/.authgw/nowhere", nil, http.StatusNotFound, "/.authgw/logout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := b.send(tt.method, tt.address, nil, tt.headers...)
			if p.status != tt.status || !strings.Contains(p.body, `<form method="post" action="`+tt.action+`">`) || !strings.Contains(p.body, "JEANNE MARTIN") {
				t.Errorf("page = %d, want %d with a form to %s:\n%s", p.status, tt.status, tt.action, p.body)
			}
			if p.header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control %q of a page that names a person, want no-store", p.header.Get("Cache-Control"))
			}
		})
	}
	stranger := w.browser(t)
	for _, address := range []string{auth + "/nowhere", mail + "/.authgw/nowhere"} {
		if p := stranger.get(address); strings.Contains(p.body, signOutButton) {
			t.Errorf("%s offers a stranger to sign out", address)
		}
	}
	b.follow(b.post(mail + "/.authgw/logout")) // what the menu there sends
	b.wantSignedIn(false)
}

// A page of the auth host that is asked for without a session is shown after the login; a program is told instead.
func TestLoginComesBackToThePageOfTheAuthHost(t *testing.T) {
	w := newWorld(t)
	for _, page := range []string{"/account", "/account?done=session_ended", "/"} {
		b := w.browser(t)
		if p := b.get(auth + page); p.location != auth+"/login" {
			t.Errorf("%s without a session leads to %q, want the login", page, p.location)
		}
		b.get(auth + "/login")
		if p := b.post(auth + "/login/card"); p.location != auth+page {
			t.Errorf("the login for %s leads to %q", page, p.location)
		}
		if p := b.get(auth + "/login"); p.location != auth+"/" {
			t.Errorf("the next look at the login page leads to %q, want the portal", p.location)
		}
	}

	b := w.browser(t)
	for name, headers := range map[string][]string{
		"fetch": {"Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin", "Accept", "*/*"},
		"XHR":   {"X-Requested-With", "XMLHttpRequest"},
		"API":   {"Sec-Fetch-Mode", "", "Accept", "application/json"},
	} {
		p := b.get(auth+"/account", headers...)
		if p.status != http.StatusUnauthorized || p.header.Get("Content-Type") != "application/json" || !strings.Contains(p.body, `"error":"login_required"`) {
			t.Errorf("%s = %d %s %q, want 401 in JSON", name, p.status, p.header.Get("Content-Type"), p.body)
		}
	}

	// A form is not sent again, and what it was sent to is not opened by address.
	b.post(auth + "/account/sessions/end-all")
	if p := b.post(auth + "/login/card"); p.location != auth+"/" {
		t.Errorf("the login after a form leads to %q, want the portal", p.location)
	}

	// F2: nothing but a path of this host.
	for _, path := range []string{"//evil.example/", "/%09/evil.example", "/\\evil.example"} {
		b := w.browser(t)
		b.get(auth + "/account" + strings.ReplaceAll(path, "\\", "%5C"))
		if p := b.post(auth + "/login/card"); !strings.HasPrefix(p.location, auth+"/") {
			t.Errorf("the login leads to %q", p.location)
		}
	}
}
