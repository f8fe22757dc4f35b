package idp

import (
	"net/http"
	"net/url"
	"strings"
)

// fragmentCookie holds the part after the # of the address that a person asked for, with the state of the login before it. Browsers carry
// that part through redirects, up to the login page, and tell it to no server; there app.js keeps it, so nobody has sealed it. All that it
// decides is where on the service's page, whose address is sealed, the person arrives: as a link to the service may.
const fragmentCookie = "__Host-authgw-fragment"

// maxFragment bounds what is carried on, in bytes. app.js knows it.
const maxFragment = 1024

// takeFragment returns what the browser of a request has kept for the login with a state, with its #; "" when that is nothing. It is
// removed from the browser.
func takeFragment(w http.ResponseWriter, r *http.Request, state string) string {
	cookies := r.CookiesNamed(fragmentCookie)
	if len(cookies) == 0 {
		return ""
	}
	http.SetCookie(w, &http.Cookie{Name: fragmentCookie, Path: "/", MaxAge: -1, Secure: true, SameSite: http.SameSiteLaxMode})
	text, err := url.PathUnescape(cookies[0].Value)
	of, fragment, ok := strings.Cut(text, "#")
	if err != nil || !ok || of == "" || of != state || len(cookies) != 1 || !validFragment(fragment) {
		return ""
	}
	return "#" + fragment
}

// validFragment says whether s is what browsers make of a fragment: printable ASCII, without what they write as %XX (URL Standard, fragment
// percent-encode set).
func validFragment(s string) bool {
	return s != "" && len(s) <= maxFragment && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= 0x20 || c > 0x7e || strings.ContainsRune("\"<>`", c)
	})
}
