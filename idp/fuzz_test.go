package idp_test

import (
	"net/url"
	"testing"

	"promess/authgw/idp"
)

// FuzzIsLocalPath checks that where a browser is sent is on the host that sends it. Property: a path that passes, resolved as a
// browser does, keeps scheme, host and user. Browsers read a backslash as a slash, drop tabs and line ends, and strip spaces and control
// characters around an address (URL standard, "basic URL parser"), so the path is resolved with that done too.
func FuzzIsLocalPath(f *testing.F) {
	for _, s := range []string{
		"/", "/inbox?x=1", "//evil.example", `/\evil.example`, "/\t/evil.example", "/\n/evil.example", "/%2f/evil.example", "/.//evil.example",
		"https://evil.example", "javascript:alert(1)", "", "\\/evil.example", " //evil.example", "/\x00/evil.example", "/a?b#c", "/@evil",
	} {
		f.Add(s)
	}
	base, err := url.Parse(mail + "/a/b")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !idp.IsLocalPath(path) {
			return
		}
		for _, spelling := range []string{path, asBrowsersRead(path)} {
			if len(spelling) > 1 && spelling[0] == '/' && spelling[1] == '/' {
				t.Fatalf("%q begins with another host", spelling)
			}
			to, err := base.Parse(spelling)
			if err != nil {
				continue // a browser parses it, but within the path: it began with one slash
			}
			if to.Scheme != base.Scheme || to.Host != base.Host || to.User != nil {
				t.Fatalf("%q leads to %s", spelling, to)
			}
		}
	})
}

// asBrowsersRead does what browsers do to an address before they take it apart.
func asBrowsersRead(s string) string {
	var b []byte
	for _, c := range []byte(s) {
		switch c {
		case '\t', '\n', '\r':
		case '\\':
			b = append(b, '/')
		default:
			b = append(b, c)
		}
	}
	for len(b) > 0 && b[0] <= ' ' {
		b = b[1:]
	}
	return string(b)
}
