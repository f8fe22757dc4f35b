package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// Each function of this file reads one kind of value. Its error says what was expected and what was given.

var (
	namePattern  = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	labelPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) // RFC 1123, section 2.1, in lower case
	phonePattern = regexp.MustCompile(`^\+?[0-9][0-9 .()-]{1,30}$`)
	mailPattern  = regexp.MustCompile(`^[A-Za-z0-9._+-]{1,64}$`) // the part before the @: what needs no quoting in a mailto link
)

// shortName reads a name that stands in URLs and in the audience of assertions.
func shortName(v value) (string, error) {
	text, err := v.text()
	if err != nil || !namePattern.MatchString(text) {
		return "", v.want("a name of 1 to 32 lower-case letters, digits and hyphens")
	}
	return text, nil
}

// isHost reports whether name is a host name in lower case, without a final dot, that nobody takes for an address.
func isHost(name string) bool {
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !labelPattern.MatchString(label) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(name) <= 253 && strings.ContainsFunc(last, unicode.IsLetter)
}

func hostName(v value) (string, error) {
	text, err := v.text()
	if err != nil || !isHost(text) {
		return "", v.want("a host name in lower case such as auth.example.fr, without scheme or port,")
	}
	return text, nil
}

// whole reads a number from low to high, written plainly in base ten.
func whole(v value, low, high int, what string) (int, error) {
	want := fmt.Sprintf("%s from %d to %d", what, low, high)
	n, ok := v.node.(*ast.IntegerNode)
	if !ok {
		return 0, v.want(want)
	}
	digits := n.GetToken().Value
	number, err := strconv.Atoi(digits)
	if err != nil || number < low || number > high || strconv.Itoa(number) != digits {
		return 0, v.want(want)
	}
	return number, nil
}

func port(v value) (uint16, error) {
	n, err := whole(v, 1, 65535, "a port")
	return uint16(n), err
}

// portOrFree reads a port, where 0 means one that is free.
func portOrFree(v value) (uint16, error) {
	n, err := whole(v, 0, 65535, "a port")
	return uint16(n), err
}

// listenAddress reads the address of a listener. An address must be said: ":443" means other things to other programs.
func listenAddress(v value) (netip.AddrPort, error) {
	const want = "an IP address and a port such as 0.0.0.0:443"
	text, err := v.text()
	if err != nil {
		return netip.AddrPort{}, v.want(want)
	}
	if n, err := strconv.ParseUint(strings.TrimPrefix(text, ":"), 10, 16); err == nil && strings.HasPrefix(text, ":") && n > 0 {
		return netip.AddrPort{}, fmt.Errorf("%w: write 0.0.0.0:%d for every IPv4 address, [::]:%d for IPv6 as well", v.want(want), n, n)
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 {
		return netip.AddrPort{}, v.want(want)
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

// adminAddress reads the address of the admin listener: it asks for no password, so it must not be reachable from everywhere.
// "off" is the zero value.
func adminAddress(v value) (netip.AddrPort, error) {
	if text, err := v.text(); err == nil && text == "off" {
		return netip.AddrPort{}, nil
	}
	a, err := listenAddress(v)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w (or off)", err)
	}
	if !a.Addr().IsLoopback() && !a.Addr().IsPrivate() && !a.Addr().IsLinkLocalUnicast() {
		return netip.AddrPort{}, v.want("a loopback address, or a private one of a management network (the admin listener asks for no password),")
	}
	return a, nil
}

// dialAddress reads host:port, where the host is a name or an address.
func dialAddress(v value) (string, error) {
	const want = "host:port"
	text, err := v.text()
	if err != nil {
		return "", v.want(want)
	}
	if a, err := netip.ParseAddrPort(text); err == nil && a.Port() > 0 {
		return a.String(), nil
	}
	host, digits, found := strings.Cut(text, ":")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !found || err != nil || n == 0 || digits[0] == '0' || digits[0] == '+' || !isHost(host) {
		return "", v.want(want)
	}
	return text, nil
}

// origin reads https://host[:port] and returns it as browsers write it: without the port when it is 443.
func origin(v value) (string, error) {
	const want = "an https origin such as https://auth.example.fr or https://auth.example.fr:8443"
	text, err := v.text()
	if err != nil {
		return "", v.want(want)
	}
	u, err := bareURL(text)
	if err != nil || u.Scheme != "https" || !isHost(u.Hostname()) {
		return "", v.want(want)
	}
	return "https://" + strings.TrimSuffix(u.Host, ":443"), nil
}

// backend reads the URL of a backend. A path in it would have to be joined with the request's, and two programs that join
// paths differently disagree on what a rule protects (security lesson C1); a password in it would show in process lists.
func backend(v value) (*url.URL, error) {
	const want = "an http or https URL of host and port alone, such as http://127.0.0.1:8080,"
	text, err := v.text()
	if err != nil {
		return nil, v.want(want)
	}
	u, err := bareURL(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, v.want(want)
	}
	return u, nil
}

var errNotBare = errors.New("not scheme://host[:port]")

// bareURL parses scheme://host[:port], with at most a / after it.
func bareURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errNotBare // not err: it repeats the text
	}
	host := u.Hostname()
	if address, err := netip.ParseAddr(host); !isHost(host) && (err != nil || address.Zone() != "") {
		return nil, errNotBare
	}
	if p := u.Port(); p != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != p {
			return nil, errNotBare
		}
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host}
	if text != bare.String() && text != bare.String()+"/" { // user, path, query, fragment, capitals
		return nil, errNotBare
	}
	return &bare, nil
}

// syslogServer reads where a syslog server listens.
func syslogServer(v value) (*url.URL, error) {
	const want = "a syslog server such as unix:///dev/log, udp://host:514, tcp://host:601 or tls://host:6514"
	text, err := v.text()
	if err != nil {
		return nil, v.want(want)
	}
	if file, ok := strings.CutPrefix(text, "unix://"); ok && isFile(file) {
		return &url.URL{Scheme: "unix", Path: file}, nil
	}
	u, err := bareURL(text)
	if err != nil || u.Port() == "" || u.Scheme != "udp" && u.Scheme != "tcp" && u.Scheme != "tls" {
		return nil, v.want(want)
	}
	return u, nil
}

// isFile reports whether name is an absolute path of a file, written plainly.
func isFile(name string) bool {
	return filepath.IsAbs(name) && filepath.Clean(name) == name && name != "/" && !strings.ContainsFunc(name, isSpaceOrControl)
}

// homePath reads the path that a portal link opens. It stays on the service's host: no scheme, so no javascript: (security
// lesson G8), no //other.host, no backslash that a browser would read as a slash.
func homePath(v value) (string, error) {
	const want = "a path such as /mail/, without scheme or host,"
	text, err := v.text()
	if err != nil {
		return "", v.want(want)
	}
	u, err := url.Parse(text)
	bad := err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(text, "/") ||
		strings.HasPrefix(text, "//") || strings.ContainsRune(text, '\\') || strings.ContainsFunc(text, isSpaceOrControl)
	if bad {
		return "", v.want(want)
	}
	return text, nil
}

func isSpaceOrControl(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// words reads a line of text for people, of at most limit characters.
func words(limit int) func(value) (string, error) {
	return func(v value) (string, error) {
		text, err := v.text()
		if err != nil {
			return "", err
		}
		bad := func(r rune) bool { return !unicode.IsPrint(r) }
		if utf8.RuneCountInString(text) > limit || strings.ContainsFunc(text, bad) || text != strings.TrimSpace(text) {
			return "", v.want(fmt.Sprintf("one line of text of at most %d characters", limit))
		}
		return text, nil
	}
}

func phone(v value) (string, error) {
	text, err := v.text()
	if err != nil {
		return "", err
	}
	if !phonePattern.MatchString(text) {
		return "", v.want(`a telephone number such as "+33 1 23 45 67 89"`)
	}
	return text, nil
}

func mail(v value) (string, error) {
	text, err := v.text()
	if err != nil {
		return "", v.want("a mail address")
	}
	user, host, _ := strings.Cut(text, "@")
	if !mailPattern.MatchString(user) || !isHost(host) {
		return "", v.want("a mail address in lower case after the @, such as help@example.fr,")
	}
	return text, nil
}

// Identifiers as cards have them: codes of professions, and structures with the digit of their type in front.
var (
	professionPattern = regexp.MustCompile(`^[0-9]{1,3}$`)
	structurePattern  = regexp.MustCompile(`^[0-9][0-9A-Z]{1,20}$`)
)

// matching reads a text of a pattern; what says which.
func matching(pattern *regexp.Regexp, what string) func(value) (string, error) {
	return func(v value) (string, error) {
		text, err := v.text()
		if err != nil || !pattern.MatchString(text) {
			return "", v.want(what)
		}
		return text, nil
	}
}

// duration reads a time such as 90s, 30m or 1h30m, from low to high.
func duration(low, high time.Duration) func(value) (time.Duration, error) {
	return func(v value) (time.Duration, error) {
		want := fmt.Sprintf("a duration from %s to %s, such as 90s or 30m,", short(low), short(high))
		text, err := v.text()
		if err != nil {
			return 0, v.want(want)
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < low || d > high {
			return 0, v.want(want)
		}
		return d, nil
	}
}

// short writes a duration without its zero parts: 4h and not 4h0m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// oneOf reads one of the given words.
func oneOf(choices ...string) func(value) (string, error) {
	return func(v value) (string, error) {
		text, err := v.text()
		if err == nil && slices.Contains(choices, text) {
			return text, nil
		}
		err = v.want("one of " + strings.Join(choices, ", "))
		if near := Nearest(text, choices); text != "" && near != "" {
			err = fmt.Errorf("%w; did you mean %q?", err, near)
		}
		return "", err
	}
}
