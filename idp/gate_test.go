package idp_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/token"
)

func TestUnauthenticatedRequests(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name, method string
		headers      []string
		status       int
		want         string // in the body or the address
	}{
		{"a page goes to the login", http.MethodGet, nil, http.StatusSeeOther, auth + "/login?service=mail&state="},
		{"HEAD of a page", http.MethodHead, nil, http.StatusSeeOther, auth + "/login?service=mail&state="},
		{"a browser without fetch metadata", http.MethodGet, []string{"Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "Sec-Fetch-Site", ""}, http.StatusSeeOther, auth + "/login"},
		{"an XMLHttpRequest", http.MethodGet, []string{"X-Requested-With", "XMLHttpRequest"}, http.StatusUnauthorized, `{"error":"login_required","login":"` + mail + `/inbox"}`},
		{"a fetch", http.MethodGet, []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, http.StatusUnauthorized, `"login_required"`},
		{"a picture", http.MethodGet, []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, http.StatusUnauthorized, `"login_required"`},
		{"a program", http.MethodGet, []string{"Sec-Fetch-Mode", "", "Accept", "application/json"}, http.StatusUnauthorized, `"login_required"`},
		{"a program that accepts anything", http.MethodGet, []string{"Sec-Fetch-Mode", "", "Accept", "*/*"}, http.StatusUnauthorized, `"login_required"`},
		{"a program that posts", http.MethodPost, []string{"Sec-Fetch-Mode", "", "Accept", "application/json"}, http.StatusUnauthorized, `"login_required"`},
		{"a frame is told, and not sent", http.MethodGet, []string{"Sec-Fetch-Dest", "iframe"}, http.StatusUnauthorized, textOver},
		{"a form is told that it was not sent", http.MethodPost, nil, http.StatusUnauthorized, textOver},
		{"a delete of a page", http.MethodDelete, nil, http.StatusUnauthorized, textOver},
		{"a WebSocket", http.MethodGet, []string{"Sec-Fetch-Mode", "websocket", "Connection", "Upgrade", "Upgrade", "websocket"}, http.StatusUnauthorized, `"login_required"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := w.browser(t)
			p := b.send(test.method, mail+"/a/b?c=d", nil, test.headers...)
			if p.status != test.status || !strings.Contains(p.location+p.body, test.want) {
				t.Errorf("answer = %d %s %.200q, want %d with %q", p.status, p.location, p.body, test.status, test.want)
			}
			if got := p.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control = %q, want no-store", got)
			}
			if p.status == http.StatusUnauthorized && strings.HasPrefix(p.body, "{") {
				// RFC 9110, section 15.5.2: a 401 has a challenge. No browser knows the scheme, so none asks for a password.
				if got := p.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Authgw ") {
					t.Errorf("WWW-Authenticate = %q", got)
				}
				if !json.Valid([]byte(p.body)) {
					t.Errorf("%q is not JSON", p.body)
				}
			}
		})
	}
	if n := w.backend.count(); n != 0 {
		t.Errorf("%d requests reached the service", n)
	}
}

func TestIsPageAndIsPerson(t *testing.T) {
	for _, test := range []struct {
		name, method string
		headers      map[string]string
		page, person bool
	}{
		{"a navigation", "GET", navigation, true, true},
		{"a form", "POST", navigation, false, true},
		{"an old browser", "GET", map[string]string{"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, true, true},
		{"curl", "GET", map[string]string{"Accept": "*/*"}, false, false},
		{"nothing at all", "GET", nil, false, false},
		{"a fetch that asks for HTML", "GET", map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "cors"}, false, false},
		{"jQuery that asks for HTML", "GET", map[string]string{"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}, false, false},
		{"an iframe", "GET", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, false, true},
		{"an object", "GET", map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"}, false, true},
		{"an upgrade that looks like a page", "GET", map[string]string{"Accept": "text/html", "Upgrade": "websocket"}, false, true},
		{"HEAD", "HEAD", navigation, true, true},
		{"PUT", "PUT", navigation, false, true},
		{"an unknown mode", "GET", map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "teleport"}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, mail+"/", nil)
			for k, v := range test.headers {
				r.Header.Set(k, v)
			}
			if page, person := idp.IsPage(r), idp.IsPerson(r); page != test.page || person != test.person {
				t.Errorf("page, person = %t, %t, want %t, %t", page, person, test.page, test.person)
			}
		})
	}
}

// A page that was asked for is the page that the person sees after the login, to the letter.
func TestLoginComesBackToTheSameAddress(t *testing.T) {
	w := newWorld(t)
	long := "/" + strings.Repeat("x", idp.MaxReturn-1)
	for _, test := range []struct{ name, path, want string }{
		{"a path with a query", "/mail/12?folder=a%20b&x=1;y=2", ""},
		{"slashes in the middle, which are part of the address", "/a//b/c?next=//d", ""},
		{"encoded slashes and dots", "/a%2Fb/%2e%2e/c", ""},
		{"letters beyond ASCII", "/caf%C3%A9?q=%E2%82%AC", ""},
		{"the longest address that fits into the cookie", long, ""},
		{"one that does not", long + "x", "/inbox"},
		{"the root", "/", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := w.browser(t)
			b.follow(b.get(mail + test.path))
			p := b.post(auth + "/login/card")
			entered := b.get(p.location, "Sec-Fetch-Site", "same-site")
			want := test.want
			if want == "" {
				want = test.path
			}
			if got := entered.header.Get("Location"); got != mail+want {
				t.Fatalf("after the login: %d %q, want %q", entered.status, got, mail+want)
			}
			if p := b.get(entered.location); p.status != http.StatusOK {
				t.Errorf("the page = %d, want 200", p.status)
			}
			if got := w.backend.last().RequestURI; got != want {
				t.Errorf("the service was asked for %q, want %q", got, want)
			}
		})
	}
}

// F2: whatever the path, the browser stays on the service host.
func TestF2ReturnStaysOnTheServiceHost(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{
		"//evil.example", "///evil.example", `/\evil.example`, `/\/evil.example`, "//evil.example/%2e%2e", "/%5cevil.example",
		"/%2f/evil.example", "/.//evil.example", "/..//evil.example", "/%0d%0aLocation:%20https://evil.example", "/?next=https://evil.example",
		"/@evil.example", "//user@evil.example", "/%09/evil.example",
	} {
		t.Run(path, func(t *testing.T) {
			b := w.browser(t)
			r := httptest.NewRequest(http.MethodGet, mail+"/", nil)
			r.RequestURI = ""
			r.URL = &url.URL{Scheme: "https", Host: "mail.example.test", Opaque: path}
			for k, v := range navigation {
				r.Header.Set(k, v)
			}
			answer, err := b.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusSeeOther {
				return // refused, or tidied up on the host itself
			}
			to := answer.Header.Get("Location")
			if !strings.HasPrefix(to, auth+"/login?") {
				t.Fatalf("without a session: %s, want the login", to)
			}
			b.get(to)
			entered := b.get(b.post(auth + "/login/card").location)
			if at, err := url.Parse(entered.location); err != nil || at.Host != "mail.example.test" || at.Scheme != "https" || at.User != nil {
				t.Errorf("after the login: %q", entered.location)
			}
		})
	}
}

// The way in is made of a code and a state: each works once, in time, on its host, in its browser (E7).
func TestEntryCodes(t *testing.T) { each(t, testEntryCodes) }

func testEntryCodes(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	// enter begins a visit of the mailbox and returns the address with the code.
	enter := func(t *testing.T, b *browser) *url.URL {
		t.Helper()
		b.follow(b.get(mail + "/deep"))
		at, err := url.Parse(b.post(auth + "/login/card").location)
		if err != nil || at.Path != "/.authgw/enter" {
			t.Fatalf("after the login: %v, %v, want the entry of the service", at, err)
		}
		return at
	}
	t.Run("a code works once", func(t *testing.T) {
		b := w.browser(t)
		at := enter(t, b)
		if p := b.get(at.String()); p.location != mail+"/deep" {
			t.Fatalf("first use = %d %s, want the page", p.status, p.location)
		}
		if p := b.get(at.String()); p.location != mail+"/inbox" {
			t.Errorf("second use in the same browser = %d %s, want the home of the service, where it has a session", p.status, p.location)
		}
		w.browser(t).get(at.String()).wantError(t, http.StatusForbidden, textUnknown)
	})
	t.Run("login CSRF: a code of somebody else's session, in a browser that asked for another", func(t *testing.T) {
		attacker, victim := w.browser(t), w.browser(t)
		at := enter(t, attacker)
		victim.follow(victim.get(mail + "/"))
		victim.get(at.String()).wantError(t, http.StatusForbidden, textUnknown)
		if victim.cookie(mail, sessionCookie) != "" {
			t.Error("the victim has a session")
		}
		// With the victim's own state: the code is used up, and refused.
		own, _ := url.Parse(victim.get(mail + "/").location)
		q := at.Query()
		q.Set("state", own.Query().Get("state"))
		at.RawQuery = q.Encode()
		victim.get(at.String()).wantError(t, http.StatusForbidden, textUnknown)
	})
	t.Run("a code that another browser has tried with its own state is burnt", func(t *testing.T) {
		b, other := w.browser(t), w.browser(t)
		at := enter(t, b)
		own, _ := url.Parse(other.get(mail + "/").location)
		q := url.Values{"code": {at.Query().Get("code")}, "state": {own.Query().Get("state")}}
		other.get(mail+"/.authgw/enter?"+q.Encode()).wantError(t, http.StatusForbidden, textUnknown)
		b.get(at.String()).wantError(t, http.StatusForbidden, textUnknown)
	})
	t.Run("a code is good for 30 seconds", func(t *testing.T) {
		b := w.browser(t)
		at := enter(t, b)
		w.advance(30 * time.Second)
		b.get(at.String()).wantError(t, http.StatusForbidden, textUnknown)
	})
	t.Run("a code of one host opens no other", func(t *testing.T) {
		b := w.browser(t)
		at := enter(t, b)
		own, _ := url.Parse(b.get(agenda + "/").location)
		q := url.Values{"code": {at.Query().Get("code")}, "state": {own.Query().Get("state")}}
		b.get(agenda+"/.authgw/enter?"+q.Encode()).wantError(t, http.StatusForbidden, textUnknown)
	})
	t.Run("a code whose session has ended", func(t *testing.T) {
		b := w.browser(t)
		at := enter(t, b)
		b.post(auth + "/logout")
		b.get(at.String()).wantError(t, http.StatusForbidden, textUnknown)
	})
	t.Run("codes and states that are none", func(t *testing.T) {
		b := w.browser(t)
		at := enter(t, b)
		state, code := at.Query().Get("state"), at.Query().Get("code")
		for _, q := range []url.Values{
			{}, {"code": {code}}, {"state": {state}}, {"code": {code[1:]}, "state": {state}}, {"code": {code}, "state": {state[1:]}},
			{"code": {token.New()}, "state": {token.New()}}, {"code": {strings.Repeat("a", 5000)}, "state": {state}},
		} {
			b.get(mail+"/.authgw/enter?"+q.Encode()).wantError(t, http.StatusForbidden, textUnknown)
		}
		if p := b.get(at.String()); p.location != mail+"/deep" {
			t.Errorf("the code was burnt by requests that did not hold it: %d", p.status)
		}
	})
}

// Two tabs that asked at the same time share one cookie. The one that loses is shown the service, not an alarm.
func TestSecondTabIsShownTheService(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	first, second := b.get(mail+"/one"), b.get(mail+"/two")
	b.get(first.location)
	b.get(second.location)
	if _, last := b.follow(b.post(auth + "/login/card")); last != mail+"/two" {
		t.Fatalf("the tab with the login arrives at %s, want /two", last)
	}
	// The other tab is loaded again: it has the old login page.
	for _, stale := range []page{first, second} {
		if p, last := b.follow(stale); p.status != http.StatusOK || last != mail+"/inbox" {
			t.Errorf("the other tab arrives at %s with %d, want the home of the service", last, p.status)
		}
	}
}

// A body that comes without a session is not read, however large.
func TestLargePostWithoutASessionIsNotRead(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	body := &counted{r: io.LimitReader(zeros{}, 1<<30)}
	p := b.send(http.MethodPost, mail+"/upload", body)
	p.wantError(t, http.StatusUnauthorized, textOver)
	if n := body.n.Load(); n > 16<<20 {
		t.Errorf("%d bytes were sent before the answer", n)
	}
	if w.backend.count() != 0 {
		t.Error("the request reached the service")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counted struct {
	r io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// What is below /.authgw/ is the gateway's, in any spelling: the service never sees it.
func TestOwnPathsNeverReachTheService(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.logIn()
	b.follow(b.get(mail + "/"))
	reached := w.backend.count()
	for _, path := range []string{"/.authgw", "/.authgw/", "/.authgw/x", "/%2eauthgw/x", "/.authgw%2fx", "/.authgw/../.authgw/x", "/.authgw/enter/x"} {
		if p := b.get(mail + path); p.status != http.StatusNotFound && p.status != http.StatusTemporaryRedirect && p.status != http.StatusMovedPermanently {
			t.Errorf("%s = %d, want 404", path, p.status)
		}
	}
	b.send(http.MethodDelete, mail+"/.authgw/leave", nil).wantError(t, http.StatusNotFound, textNotFound)
	if n := w.backend.count(); n != reached {
		t.Errorf("%d requests reached the service", n-reached)
	}
}

// C2, C5: what goes without a session are the gateway's own paths alone. A path that only begins like one, has one further on, or names one behind a
// question mark or a number sign, in whatever spelling, is the service's, and leads to the login; so is what other programs let pass.
func TestC2C5OnlyOwnPathsGoWithoutASession(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for _, path := range []string{
		"/.authgwx", "/.authgw-x/enter", "/.authgw.x/enter", "/x/.authgw/enter", "/authgw/enter", // C5
		"/inbox?/.authgw/enter", "/inbox?x=/.authgw/", "/inbox%23/.authgw/enter", "/inbox%3f/.authgw/enter", "/inbox;/.authgw/enter", "/?.authgw/", // C2
		"/favicon.ico", "/robots.txt", "/.well-known/acme-challenge/x", "/ping", "/ready", "/healthz", "/login", "/oauth/token", "/auth/verify", "/static/x.css",
	} {
		if p := b.get(mail + path); p.status != http.StatusSeeOther || !strings.HasPrefix(p.location, auth+"/login?") {
			t.Errorf("%s without a session = %d %s, want the login", path, p.status, p.location)
		}
	}
	if n := w.backend.count(); n != 0 {
		t.Errorf("%d requests reached the service", n)
	}
}
