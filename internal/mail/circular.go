package mail

import "strings"

// Circular says whether a code that is sent to an address could be read only by who is signed in, who has no need of it (D2): the address is
// in a domain that the gateway opens mailboxes of, or of one of the person's own mailboxes, or below such a domain. The domains are in
// lower case. What is no address is circular too: nobody can tell where it leads.
func Circular(address string, protected, mailboxes []string) bool {
	domain := DomainOf(address)
	if domain == "" {
		return true
	}
	for _, p := range protected {
		if Within(domain, p) {
			return true
		}
	}
	for _, m := range mailboxes {
		if _, own, _ := strings.Cut(m, "@"); Within(domain, lower(own)) {
			return true
		}
	}
	return false
}
