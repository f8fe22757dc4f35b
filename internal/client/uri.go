package client

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxURI bounds a URI, in bytes.
const maxURI = 2000

var (
	labelPattern  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) // RFC 1123, section 2.1, in lower case
	schemePattern = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)                  // RFC 3986, section 3.1, in lower case
	numberPattern = regexp.MustCompile(`^(0x[0-9a-f]*|[0-9]+)$`)               // what a browser takes for part of an IPv4 address
	// What stands in a path or a query as it is, or escaped (RFC 3986, sections 3.3 and 3.4), but @: a reader that errs takes what is before it
	// for a user (F1). Nor does ' in a query, which browsers escape.
	pathPattern  = regexp.MustCompile(`^([A-Za-z0-9._~!$&'()+,;=:/-]|%[0-9A-Fa-f]{2})*$`)
	queryPattern = regexp.MustCompile(`^([A-Za-z0-9._~!$&()+,;=:/?-]|%[0-9A-Fa-f]{2})*$`)
	// Escapes of control characters, of a backslash and of DEL, which servers in between decode.
	escapePattern = regexp.MustCompile(`(?i)%([01][0-9a-f]|5c|7f)`)
	// A segment that is . or .., escaped or not, which browsers take away.
	dotsPattern = regexp.MustCompile(`(?i)(^|/)(\.|%2e){1,2}(/|$)`)
)

// checkWeb says why a text is not the URL, of https, of a place outside of the gateway, in the one spelling that every program reads alike.
func checkWeb(text string, own []string) error {
	u, err := checkForm(text)
	switch {
	case err != nil:
		return err
	case u.Scheme == "http":
		return errors.New("https expected, http given: what is sent there could be read on the way")
	case u.Scheme != "https":
		return fmt.Errorf("https expected, the scheme %s given", quote(u.Scheme))
	}
	return checkPlace(u, own)
}

// checkRedirect is checkWeb for a URI that a browser is sent to. RFC 8252, section 7: a program on a person's own machine may be answered at
// a loopback address, or by a scheme of its own.
func checkRedirect(text string, native bool, own []string) error {
	u, err := checkForm(text)
	switch {
	case err != nil:
		return err
	case u.Scheme == "https":
		return checkPlace(u, own)
	case u.Scheme == "http" && native && isLoopback(u.Hostname()):
		return checkPlace(u, own)
	case u.Scheme == "http" && native:
		return errors.New("https expected, http given: only on 127.0.0.1 or [::1] is it taken, by a native client; not on localhost, which may be another address")
	case u.Scheme == "http":
		return errors.New("https expected, http given: the code that is sent there could be read on the way")
	case !native:
		return fmt.Errorf("https expected, the scheme %s given (a scheme of its own is for a native client alone)", quote(u.Scheme))
	case !strings.Contains(u.Scheme, "."): // RFC 8252, section 7.1: nobody else owns the name
		return fmt.Errorf("https or a scheme of its own with a dot in it, such as fr.example.app:/callback, expected, the scheme %s given", quote(u.Scheme))
	}
	return checkPrivate(u)
}

// checkForm reads a URI, strictly. The text in errors is a piece of it at most.
func checkForm(text string) (*url.URL, error) {
	const what = "an absolute URL such as https://service.example.fr/callback"
	switch {
	case text == "":
		return nil, errors.New(what + " expected, nothing given")
	case len(text) > maxURI:
		return nil, fmt.Errorf("a URL of at most %d characters expected, one of %d given", maxURI, len(text))
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return nil, errors.New("a space or a control character is in it; take it out")
	case strings.ContainsFunc(text, func(r rune) bool { return r > '~' }):
		return nil, errors.New("a character beyond ASCII is in it; write the host name as xn--…, and the rest with percent signs")
	case strings.Contains(text, "*"):
		return nil, errors.New("wildcards are not taken; list each URL")
	case strings.Contains(text, `\`):
		return nil, errors.New("a backslash is in it, which some programs read as a slash; take it out")
	case strings.Contains(text, "@"):
		return nil, errors.New("an @ is in it, before which some programs read a user; take it out, or write %40 in the path")
	case strings.Contains(text, "#"):
		return nil, errors.New("a fragment (#) is in it; take it out")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New(what + " expected, something else given") // not err: it repeats the text
	}
	scheme, _, found := strings.Cut(text, ":")
	switch {
	case u.Scheme == "" || !found:
		return nil, fmt.Errorf("%s expected, %s given", what, quote(text))
	case scheme != u.Scheme || !schemePattern.MatchString(scheme):
		return nil, fmt.Errorf("the scheme in lower case expected, %s given: write %s", quote(scheme), quote(strings.ToLower(scheme)))
	}
	return u, checkRest(u, text)
}

// checkRest checks what follows the host.
func checkRest(u *url.URL, text string) error {
	switch {
	case u.Opaque != "":
		if u.Scheme == "https" || u.Scheme == "http" || strings.Contains(u.Scheme, ".") {
			return fmt.Errorf("%s: a slash expected after it, %s given", u.Scheme+":", quote(text))
		}
		return fmt.Errorf("https expected, the scheme %s given", quote(u.Scheme))
	case u.ForceQuery:
		return errors.New("a ? without anything behind it is in it; take it out")
	case escapePattern.MatchString(text):
		return errors.New("a control character or a backslash is in it, behind a percent sign; take it out")
	case !pathPattern.MatchString(u.EscapedPath()) || !queryPattern.MatchString(u.RawQuery):
		return errors.New("a character is in it that does not stand in a URL as it is; write it with a percent sign")
	case dotsPattern.MatchString(u.EscapedPath()):
		return errors.New("a path without . and .. expected, which browsers take away")
	}
	for name := range u.Query() {
		if slices.Contains([]string{"code", "state", "iss", "error", "error_description", "error_uri", "session_state", "id_token", "access_token", "response"}, name) {
			return fmt.Errorf("the parameter %s is in its query, which the answer will have too; take it out", name)
		}
	}
	if again := u.String(); again != text {
		return fmt.Errorf("the plain spelling expected, another given: write %s", quote(again))
	}
	return nil
}

// checkPlace checks host and port of http and https.
func checkPlace(u *url.URL, own []string) error {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" || a.String() != host {
			return fmt.Errorf("an IPv6 address in its plain spelling expected in brackets, %s given", quote(host))
		}
	} else if err := checkHost(host); err != nil {
		return err
	}
	if err := checkPort(u); err != nil {
		return err
	}
	if slices.Contains(own, host) {
		return fmt.Errorf("a host of the service expected, %s given, which is the gateway's own", quote(host))
	}
	return nil
}

func checkPort(u *url.URL) error {
	port := u.Port()
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return errors.New("a port expected behind the colon, nothing given; take the colon out")
		}
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("a port from 1 to 65535 expected, %s given", quote(port))
	}
	if u.Scheme == "https" && n == 443 || u.Scheme == "http" && n == 80 {
		return fmt.Errorf("the plain spelling expected: take :%s out, which is the port of %s anyway", port, u.Scheme)
	}
	return nil
}

// checkHost says why a text is not a host name or an IPv4 address in its plain spelling.
func checkHost(host string) error {
	if host == "" {
		return errors.New("a host expected behind the scheme, none given: write https://service.example.fr/…")
	}
	if lower := strings.ToLower(host); lower != host {
		return fmt.Errorf("the host in lower case expected, %s given: write %s", quote(host), quote(lower))
	}
	if len(host) > 253 {
		return errors.New("a host name of at most 253 characters expected, a longer one given")
	}
	labels := strings.Split(host, ".")
	if numberPattern.MatchString(labels[len(labels)-1]) { // a browser reads an address
		a, err := netip.ParseAddr(host)
		if err != nil || a.String() != host {
			return fmt.Errorf("an IPv4 address in its plain spelling expected, such as 192.0.2.1, %s given", quote(host))
		}
		return nil
	}
	for _, label := range labels {
		if !labelPattern.MatchString(label) {
			return fmt.Errorf("a host name such as service.example.fr expected, %s given", quote(host))
		}
	}
	return nil
}

// checkPrivate checks a URI of a scheme of a program's own: scheme:/path, or scheme://name/path as some systems want it.
func checkPrivate(u *url.URL) error {
	switch {
	case u.Host == "" && !strings.HasPrefix(u.Path, "/"):
		return fmt.Errorf("a slash expected after %s:, none given", u.Scheme)
	case u.Port() != "" || strings.HasSuffix(u.Host, ":"):
		return errors.New("no port expected behind a scheme of its own, one given")
	case u.Host != "":
		return checkHost(u.Host)
	}
	return nil
}

func isLoopback(host string) bool { return host == "127.0.0.1" || host == "::1" }

// hostOf returns the host of a URI, without its port; empty when there is none.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// originOf returns scheme, host and port of a URI that was checked.
func originOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Answered says whether the client may be answered at a redirect URI: one of its own, compared character for character. RFC 8252, section
// 7.3: that of a native client at a loopback address may have any port.
func (c *Client) Answered(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	if !c.Native || !strings.HasPrefix(uri, "http://") || checkRedirect(uri, true, nil) != nil {
		return false
	}
	plain := withoutPort(uri)
	return slices.ContainsFunc(c.RedirectURIs, func(own string) bool { return strings.HasPrefix(own, "http://") && withoutPort(own) == plain })
}

// withoutPort returns a URI of http that was checked without its port.
func withoutPort(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	return u.String()
}

// ComesBack says whether a person may come back to a URI after the logout: one of the client's own, compared likewise.
func (c *Client) ComesBack(uri string) bool {
	return slices.Contains(c.AfterLogout, uri)
}

// special are addresses that are nobody's in the Internet, besides those that package netip knows: RFC 6890 and the registries that follow it.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// MayTell says whether a logout may be told to an address: a public one, or one of the client's own networks (F10). Who connects asks it about
// the address that it connects to.
func (c *Client) MayTell(a netip.Addr) bool {
	a = a.Unmap()
	within := func(p netip.Prefix) bool { return p.Contains(a) }
	if slices.ContainsFunc(c.BackChannelPrivate, within) {
		return true
	}
	return a.IsValid() && a.Zone() == "" && a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(special, within)
}
