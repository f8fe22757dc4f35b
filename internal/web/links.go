package web

import (
	"html/template"
	"net/url"
	"regexp"
	"strings"
)

// AgentScheme is the URL scheme that starts the agent from a page.
const AgentScheme = "authgw-agent"

// The functions below decide which addresses may become a link or the action of a form. What they do not know becomes an empty
// string, and the templates then show no link at all: better no button than one that runs a script (lesson G8).

// link returns s when it is a path of this host or an http or https URL, else an empty string.
func link(s string) string {
	if localPath(s) != "" {
		return s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return ""
	}
	return s
}

// localPath returns s when it is a path of this host, else an empty string. "//host" and "/\host" lead to another host.
func localPath(s string) string {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "\\\t\r\n") {
		return ""
	}
	if _, err := url.Parse(s); err != nil {
		return ""
	}
	return s
}

var (
	ownSchemeForm = regexp.MustCompile(`^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+$`)
	unsafeInURL   = regexp.MustCompile(`[\x00-\x20\x7f"'<>\\^` + "`" + `{|}]`)
)

// clientURL returns s when it is a URL that a client of the OpenID provider may be answered at: of http or https, or of a scheme of its own, which
// has a dot in it (RFC 8252, section 7.1), as none has that runs a script. Hence the type.
func clientURL(s string) template.URL {
	if unsafeInURL.MatchString(s) {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || !isOrigin(u.Scheme+"://"+u.Host) && !ownSchemeForm.MatchString(u.Scheme) {
		return ""
	}
	return template.URL(s)
}

// formTarget returns what the directive form-action calls the place of a URL (CSP Level 3, section 2.3.1), or an empty string.
func formTarget(s string) string {
	u, err := url.Parse(s)
	if err != nil || clientURL(s) == "" {
		return ""
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// frameOrigin returns the origin of a URL that a page may load in a frame, of https, or an empty string.
func frameOrigin(s string) string {
	if !strings.HasPrefix(s, "https://") {
		return ""
	}
	return formTarget(s)
}

// frame returns s when it is a URL that a page may load in a frame.
func frame(s string) string {
	if frameOrigin(s) == "" {
		return ""
	}
	return s
}

var agentURLForm = regexp.MustCompile(`^` + AgentScheme + `:[A-Za-z0-9/._~:?=&%-]*$`)

// agentURL returns s when it is a URL for the agent. html/template refuses schemes that it does not know, hence the type.
func agentURL(s string) template.URL {
	if !agentURLForm.MatchString(s) {
		return ""
	}
	return template.URL(s)
}

var phoneForm = regexp.MustCompile(`^\+?[0-9][0-9 .\x{00a0}\x{202f}-]{1,30}$`)

// phoneURL returns the tel: URL of a phone number, or an empty string for what is not only a number ("extension 12").
func phoneURL(s string) template.URL {
	if !phoneForm.MatchString(s) {
		return ""
	}
	digits := strings.Map(func(r rune) rune {
		if r == '+' || (r >= '0' && r <= '9') {
			return r
		}
		return -1
	}, s)
	return template.URL("tel:" + digits)
}

var mailForm = regexp.MustCompile(`^[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+$`)

// mailURL returns the mailto: URL of an address, or an empty string for anything else.
func mailURL(s string) string {
	if !mailForm.MatchString(s) {
		return ""
	}
	return "mailto:" + s
}

var originForm = regexp.MustCompile(`^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)

// isOrigin tells whether s is scheme://host[:port] and can be written into a header as it is.
func isOrigin(s string) bool { return originForm.MatchString(s) }
