package idp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"promess/authgw/internal/token"
)

const fragmentCookie = "__Host-authgw-fragment"

// The part of an address after the # arrives where it was asked for, and nowhere and as nothing else: the cookie is not sealed.
func TestFragmentComesBackFromTheLogin(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name, kept string // STATE is that of the login
		want       string
	}{
		{"what was asked for", "STATE#/message/12;part=2,3%20?d=%C3%A9&x", "#/message/12;part=2,3%20?d=%C3%A9&x"},
		{"nothing", "", ""},
		{"an empty one", "STATE#", ""},
		{"no state", "#x", ""},
		{"the state of another login", token.New() + "#x", ""},
		{"a state alone", "STATE", ""},
		{"too long", "STATE#" + strings.Repeat("x", 1025), ""},
		{"as long as may be", "STATE#" + strings.Repeat("x", 1024), "#" + strings.Repeat("x", 1024)},
		{"a line break", "STATE#x\r\nSet-Cookie: a=b", ""},
		{"a blank", "STATE#x y", ""},
		{"markup", "STATE#<script>", ""},
		{"bytes that no browser leaves as they are", "STATE#\xc3\xa9", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := w.browser(t)
			login := b.get(mail + "/deep").location
			at, err := url.Parse(login)
			if err != nil {
				t.Fatal(err)
			}
			b.get(login)
			if test.kept != "" {
				// As encodeURIComponent writes it (ECMA-262).
				b.setCookie(auth, fragmentCookie, strings.ReplaceAll(url.QueryEscape(strings.ReplaceAll(test.kept, "STATE", at.Query().Get("state"))), "+", "%20"))
			}
			p := b.post(auth + "/login/card")
			enter, fragment, found := strings.Cut(p.location, "#")
			if p.status != http.StatusSeeOther || !strings.HasPrefix(enter, mail+"/.authgw/enter?code=") || found != (test.want != "") || found && "#"+fragment != test.want {
				t.Errorf("the login leads to %d %q, want the entry of the service with %q", p.status, p.location, test.want)
			}
			if b.cookie(auth, fragmentCookie) != "" {
				t.Error("the browser still has it")
			}
			if p := b.get(enter); p.location != mail+"/deep" {
				t.Errorf("the service leads to %q", p.location)
			}
		})
	}
}
