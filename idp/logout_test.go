package idp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"promess/authgw/internal/audit"
)

// inside is a browser that is signed in on the auth host and both services.
func (w *world) inside(t *testing.T) *browser {
	t.Helper()
	b := w.browser(t)
	b.logIn()
	for _, service := range []string{mail, agenda} {
		if p, _ := b.follow(b.get(service + "/")); p.status != http.StatusOK {
			t.Fatalf("%s = %d, want its page", service, p.status)
		}
	}
	return b
}

// wantOut wants the tokens that a browser had to open nothing, on no host.
func (w *world) wantOut(t *testing.T, tokens map[string]string) {
	t.Helper()
	reached := w.backend.count()
	for host, secret := range tokens {
		if secret == "" {
			t.Fatalf("the browser had no cookie of %s", host)
		}
		other := w.browser(t)
		other.setCookie(host, sessionCookie, secret)
		if p := other.get(host + "/"); p.status != http.StatusSeeOther || !strings.HasPrefix(p.location, auth+"/login") {
			t.Errorf("%s after the sign-out = %d %s, want the login", host, p.status, p.location)
		}
	}
	if w.backend.count() != reached {
		t.Error("a request reached a service after the sign-out")
	}
}

func (b *browser) tokens() map[string]string {
	all := map[string]string{}
	for _, host := range []string{auth, mail, agenda} {
		all[host] = b.cookie(host, sessionCookie)
	}
	return all
}

func TestSignOutEndsTheSessionOnEveryHost(t *testing.T) {
	each(t, testSignOutEndsTheSessionOnEveryHost)
}

func testSignOutEndsTheSessionOnEveryHost(t *testing.T, e engine) {
	for _, test := range []struct {
		name string
		out  func(b *browser) page
	}{
		{"the menu of the portal", func(b *browser) page { return b.post(auth + "/logout") }},
		{"the menu of a page on a service host", func(b *browser) page { return b.post(mail + "/.authgw/logout") }},
		{"a link of the portal", func(b *browser) page { return b.get(auth+"/logout", "Sec-Fetch-Site", "same-origin") }},
		{"the address, typed", func(b *browser) page { return b.get(auth + "/logout") }},
		{"a link of the service", func(b *browser) page { return b.get(mail+"/.authgw/logout", "Sec-Fetch-Site", "same-origin") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorldOn(t, e)
			b := w.inside(t)
			had := b.tokens()
			end, last := b.follow(test.out(b))
			if last != auth+"/logout" || end.status != http.StatusOK || !strings.Contains(end.body, textSignedOut) {
				t.Errorf("the sign-out ends at %s with %d", last, end.status)
			}
			for host, secret := range b.tokens() {
				if secret != "" {
					t.Errorf("the browser keeps the cookie of %s", host)
				}
			}
			w.wantOut(t, had)
			ended := w.events(t, audit.SessionEnded)
			if len(ended) != 1 || ended[0].Reason != "logout" {
				t.Errorf("ends = %+v, want one sign-out", ended)
			}
		})
	}
}

// Logout CSRF: what another site, or a picture in a mail, makes the browser ask for ends nothing.
func TestForeignPagesCannotSignOut(t *testing.T) {
	w := newWorld(t)
	b := w.inside(t)
	for _, test := range []struct {
		name, address string
		headers       []string
		want          string
	}{
		{"a link of another site", auth + "/logout", []string{"Sec-Fetch-Site", "cross-site"}, auth + "/"},
		{"a link of a service", auth + "/logout", []string{"Sec-Fetch-Site", "same-site"}, auth + "/"},
		{"a browser too old to say", auth + "/logout", []string{"Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", ""}, auth + "/"},
		{"a link of another site to the service", mail + "/.authgw/logout", []string{"Sec-Fetch-Site", "cross-site"}, auth + "/logout"},
		// The mailbox shows mails of strangers under its own origin: <img src="/.authgw/logout"> signed the reader out.
		{"a picture in a mail", mail + "/.authgw/logout", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, auth + "/logout"},
		{"a frame in a mail", mail + "/.authgw/logout", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "iframe"}, auth + "/logout"},
		{"a picture on the portal", auth + "/logout", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, auth + "/"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if p := b.get(test.address, test.headers...); p.location != test.want {
				t.Errorf("leads to %d %s, want %s", p.status, p.location, test.want)
			}
			b.wantSignedIn(true)
		})
	}
	if p := b.post(mail+"/.authgw/logout", "Sec-Fetch-Site", "cross-site"); p.location != auth+"/logout" {
		t.Errorf("a form of another site leads to %s", p.location)
	}
	b.wantSignedIn(true)
}

// /.authgw/leave is where anybody can send a browser: it keeps the cookie of an open session, and leads to our hosts only.
func TestLeaveDecidesNothing(t *testing.T) {
	w := newWorld(t)
	b := w.inside(t)
	for _, test := range []struct{ name, then, want string }{
		{"nowhere to go", "", auth + "/logout"},
		{"another service", "agenda", agenda + "/.authgw/leave"},
		{"two of them", "agenda,mail", agenda + "/.authgw/leave?then=mail"},
		{"unknown names are passed over", "payroll,,agenda", agenda + "/.authgw/leave"},
		{"only unknown names", "payroll,evil", auth + "/logout"},
		{"an address", "https://evil.example", auth + "/logout"},
		{"an address without scheme", "//evil.example", auth + "/logout"},
		{"commas", strings.Repeat(",", 2000), auth + "/logout"},
		{"more than anybody needs", strings.Repeat("agenda,", 1000), auth + "/logout"},
		{"control characters", "agenda\r\nLocation: https://evil.example", auth + "/logout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := b.get(mail+"/.authgw/leave?"+url.Values{"then": {test.then}}.Encode(), "Sec-Fetch-Site", "cross-site")
			if p.location != test.want {
				t.Errorf("leads to %d %s, want %s", p.status, p.location, test.want)
			}
			if b.cookie(mail, sessionCookie) == "" {
				t.Fatal("the cookie of an open session is gone")
			}
		})
	}
	b.wantSignedIn(true)
	// Once the session is over, the cookie goes.
	b.post(auth + "/logout")
	b.get(mail + "/.authgw/leave")
	if b.cookie(mail, sessionCookie) != "" {
		t.Error("the cookie of a session that is over stays")
	}
}

func TestSignOutWithoutASession(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for name, p := range map[string]page{
		"form":                 b.post(auth + "/logout"),
		"page":                 b.get(auth + "/logout"),
		"from another site":    b.get(auth+"/logout", "Sec-Fetch-Site", "cross-site"),
		"on a service":         b.post(mail + "/.authgw/logout"),
		"the tour, by address": b.get(mail + "/.authgw/leave?then=agenda"),
	} {
		if end, _ := b.follow(p); end.status != http.StatusOK || !strings.Contains(end.body, textSignedOut) {
			t.Errorf("%s: %d %.200s, want the signed-out page", name, end.status, end.body)
		}
	}
}
