package mail

import (
	"regexp"
	"strings"
)

// Bounds of an address (RFC 5321, section 4.5.3.1; 254 follows from the bound of a path).
const (
	maxAddress = 254
	maxLocal   = 64
)

var (
	// RFC 5322, section 3.2.3, dot-atom, in ASCII. What would need quotes is not taken: no provider gives such an address to a person, and
	// programs disagree on where it ends.
	localForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$")
	labelForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) // RFC 1123, section 2.1
)

// ParseAddress returns an address as it is kept and compared: the domain in lower case, the part before it as it was written, since only
// its server knows whether case matters there (RFC 5321, section 2.4). It refuses whatever is not one address of one domain name, and so
// anything that could end a header or name a second recipient.
func ParseAddress(text string) (string, bool) {
	local, domain, found := strings.Cut(text, "@")
	if !found || strings.Contains(domain, "@") || len(text) > maxAddress || len(local) > maxLocal || !localForm.MatchString(local) {
		return "", false
	}
	domain = lower(domain)
	if !isDomain(domain) {
		return "", false
	}
	return local + "@" + domain, true
}

// lower is for ASCII: elsewhere there are letters whose lower case is an ASCII letter (the Kelvin sign).
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func isDomain(domain string) bool {
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if !labelForm.MatchString(label) {
			return false
		}
	}
	top := labels[len(labels)-1]
	return len(labels) > 1 && strings.Trim(top, "0123456789") != "" // an IP address is no domain
}

// DomainOf returns the domain of an address, in lower case; empty when it is none.
func DomainOf(address string) string {
	address, ok := ParseAddress(address)
	if !ok {
		return ""
	}
	return address[strings.IndexByte(address, '@')+1:]
}

// Within says whether a domain is another one or below it. Both are in lower case.
func Within(domain, other string) bool {
	return other != "" && (domain == other || strings.HasSuffix(domain, "."+other))
}

// Mask returns an address as it can be shown to whoever knows it: j…@example.fr.
func Mask(address string) string {
	local, domain, found := strings.Cut(address, "@")
	if !found || local == "" {
		return ""
	}
	return local[:1] + "…@" + domain
}
