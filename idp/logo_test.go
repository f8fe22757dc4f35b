package idp_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/idp"
)

const drawing = `<svg xmlns="http://www.w3.org/2000/svg"><script>parent.run()</script></svg>`

// withLogos is a world whose services both have a logo; the second is for nobody.
func withLogos(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, func(c *idp.Config) {
		c.Services[0].Logo = idp.NewLogo("image/svg+xml", []byte(drawing))
		c.Services[1].Logo = idp.NewLogo("image/png", []byte("\x89PNG"))
		c.Services[1].Rule = idp.Rule{Professions: []string{"60"}}
	})
}

var logoOnPage = regexp.MustCompile(`src="(/logo/[^"]*)"`)

// Only what the person may open is on the portal. The image itself is for everybody, and asks for no session.
func TestLogoIsOnThePortalOfWhoMayOpenTheService(t *testing.T) {
	w := withLogos(t)
	b := w.browser(t)
	b.logIn()
	portal := b.get(auth + "/")
	found := logoOnPage.FindAllStringSubmatch(portal.body, -1)
	if len(found) != 1 || !strings.HasPrefix(found[0][1], "/logo/mail?v=") {
		t.Fatalf("logos on the portal: %q, want that of mail alone", found)
	}
	if policy := portal.header.Get("Content-Security-Policy"); !strings.Contains(policy, "img-src 'self'") {
		t.Errorf("the portal's policy %q shows no image of this host", policy)
	}
	got := w.browser(t).get(auth + found[0][1])
	if got.status != http.StatusOK || got.body != drawing || got.header.Get("Set-Cookie") != "" {
		t.Errorf("logo = %d %q with cookie %q, want the image", got.status, got.body, got.header.Get("Set-Cookie"))
	}
	if got := w.browser(t).get(auth + "/logo/agenda"); got.status != http.StatusOK || got.header.Get("Content-Type") != "image/png" {
		t.Errorf("logo of a service for others = %d %s, want the image", got.status, got.header.Get("Content-Type"))
	}
}

// G8: an SVG is a document that may hold scripts, and its origin is that of the login. Opened by itself it is a sandbox in which none runs.
func TestG8LogoIsServedSoThatNothingOfItRuns(t *testing.T) {
	w := withLogos(t)
	got := w.browser(t).get(auth + "/logo/mail")
	for name, want := range map[string]string{
		"Content-Type": "image/svg+xml", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
		"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
	} {
		if v := got.header.Values(name); len(v) != 1 || v[0] != want {
			t.Errorf("%s = %q, want %q", name, v, want)
		}
	}
}

// The address on the portal is that of the image as it is now, and may be kept; any other is asked for again.
func TestChangedLogoIsSeen(t *testing.T) {
	w := withLogos(t)
	b := w.browser(t)
	b.logIn()
	path := logoOnPage.FindStringSubmatch(b.get(auth + "/").body)[1]
	if got := b.get(auth + path); !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
		t.Errorf("Cache-Control of the address on the portal = %q", got.header.Get("Cache-Control"))
	}
	old := b.get(auth + "/logo/mail?v=0000000000000000")
	if old.body != drawing || old.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("address of another image: Cache-Control = %q, want it asked for again", old.header.Get("Cache-Control"))
	}
	if got := b.get(auth+"/logo/mail", "If-None-Match", old.header.Get("ETag")); got.status != http.StatusNotModified || got.body != "" {
		t.Errorf("asked with its ETag = %d, want 304", got.status)
	}
	other := newWorldWith(t, func(c *idp.Config) { c.Services[0].Logo = idp.NewLogo("image/svg+xml", []byte(drawing+" ")) })
	b = other.browser(t)
	b.logIn()
	if next := logoOnPage.FindStringSubmatch(b.get(auth + "/").body); next == nil || next[1] == path {
		t.Errorf("address of another image = %q, want another one than %q", next, path)
	}
	if got := b.get(auth+"/logo/mail", "If-None-Match", old.header.Get("ETag")); got.status != http.StatusOK {
		t.Errorf("another image, asked with the ETag of the first = %d, want 200", got.status)
	}
}

func TestLogoThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.logIn()
	if strings.Contains(b.get(auth+"/").body, "/logo/") {
		t.Error("the portal refers to a logo that nobody has given")
	}
	for _, path := range []string{"/logo/mail", "/logo/", "/logo/nobody", "/logo/mail/x", "/logo/..%2fmail"} {
		b.get(auth+path).wantError(t, http.StatusNotFound, textNotFound)
	}
	if got := withLogos(t).browser(t).send(http.MethodHead, auth+"/logo/mail", nil); got.status != http.StatusOK || got.body != "" {
		t.Errorf("HEAD = %d %q", got.status, got.body)
	}
}
