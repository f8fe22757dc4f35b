package conformance

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/idptest"
)

// visitor is a person who does what a page asks: signs in, agrees, goes on.
type visitor struct {
	*idptest.Browser
	pages  []string // that were shown, by their paths
	login  string   // the last login page
	frames []string // that pages have loaded
	refuse bool     // to agree
	leaves bool     // when asked whether to be signed out
}

// arrival is where a browser ends up: at a relying party, or on a page of the auth host.
type arrival struct {
	at     string     // URL at a relying party, without what was added; empty: a page
	answer url.Values // that came with it
	posted bool
	page   idptest.Answer
}

var (
	formTag  = regexp.MustCompile(`(?s)<form[^>]* action="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	frameTag = regexp.MustCompile(`<iframe[^>]* src="([^"]*)"`)
)

// follow brings the browser to an address, as a link of another site does, and on from there.
func (v *visitor) follow(t *testing.T, to string) arrival {
	t.Helper()
	return v.from(t, v.open(t, to))
}

// open brings the browser to an address and no further.
func (v *visitor) open(t *testing.T, to string) idptest.Answer {
	t.Helper()
	path, ok := strings.CutPrefix(to, idptest.Origin)
	if !ok {
		t.Fatalf("%q is not on the auth host", to)
	}
	return v.Do(http.MethodGet, path, "", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
}

// from goes on from an answer.
func (v *visitor) from(t *testing.T, got idptest.Answer) arrival {
	t.Helper()
	for range 20 {
		for _, f := range frameTag.FindAllStringSubmatch(got.Body, -1) {
			v.frames = append(v.frames, html.UnescapeString(f[1]))
		}
		next := got.Header.Get("Location")
		if _, rest, ok := strings.Cut(got.Header.Get("Refresh"), "; url="); ok && next == "" {
			next = rest
		}
		if next == "" {
			action, fields := formOf(got.Body)
			if at, err := url.Parse(action); err == nil && at.IsAbs() {
				return arrival{at: action, answer: fields, posted: true}
			}
			if v.leaves && fields.Has("session") {
				var pairs []string
				for name := range fields {
					pairs = append(pairs, name, fields.Get(name))
				}
				got = v.Post(action, pairs...)
				continue
			}
			if !fields.Has("request") || !strings.Contains(got.Body, `value="agree"`) {
				return arrival{page: got}
			}
			v.pages = append(v.pages, action)
			answer := "agree"
			if v.refuse {
				answer = "refuse"
			}
			got = v.Post(action, "request", fields.Get("request"), "answer", answer)
			continue
		}
		u, err := url.Parse(next)
		if err != nil {
			t.Fatalf("led to %q: %v", next, err)
		}
		if u.IsAbs() && u.Scheme+"://"+u.Host != idptest.Origin {
			return arrival{at: next}
		}
		v.pages = append(v.pages, u.Path)
		got = v.Get(u.RequestURI())
		if u.Path == "/login" && got.Status == http.StatusOK {
			v.login = got.Body
			got = v.Post("/login/believed")
		}
	}
	t.Fatalf("led on and on: %q", v.pages)
	return arrival{}
}

// formOf returns where the first form of a page leads that says something, and what. The menu's sign-out does not.
func formOf(page string) (action string, fields url.Values) {
	for _, m := range formTag.FindAllStringSubmatch(page, -1) {
		fields = url.Values{}
		for _, f := range inputTag.FindAllStringSubmatch(m[2], -1) {
			fields.Add(html.UnescapeString(f[1]), html.UnescapeString(f[2]))
		}
		if len(fields) > 0 {
			return html.UnescapeString(m[1]), fields
		}
	}
	return "", nil
}

// saw says how often a page was shown since the last look, and begins anew.
func (v *visitor) saw(path string) int {
	n := 0
	for _, p := range v.pages {
		if p == path {
			n++
		}
	}
	v.pages = nil
	return n
}

// wantErrorPage wants an error that the person is shown, and nobody else.
func (a arrival) wantErrorPage(t *testing.T) {
	t.Helper()
	if a.at != "" || a.page.Status < 400 || a.page.Status >= 500 || !strings.Contains(a.page.Body, `class="code"`) {
		t.Errorf("at %q with %d %q: want an error page with a support code", a.at, a.page.Status, a.page.Body)
	}
}
