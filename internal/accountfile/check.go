package accountfile

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/store"
)

// Bounds of what an account holds.
const (
	maxName       = 200 // characters
	maxIdentifier = 64
	maxAddress    = 254 // RFC 5321, section 4.5.3.1.3, without the angle brackets
	maxList       = 50
)

// idTypes are the first characters of a PS_IdNat by the type that they say, as package certs reads them from a card.
var idTypes = map[string]byte{
	"ADELI": '0', "ADELI_CABINET": '1', "DRASS": '2', "FINESS": '3', "SIREN": '4', "SIRET": '5', "RPPS_CABINET": '6', "RPPS": '8', "STUDENT": '9',
}

var (
	rpps       = regexp.MustCompile(`^8[0-9]{11}$`)
	profession = regexp.MustCompile(`^[0-9A-Za-z]{1,8}$`)
	// RFC 5322, section 3.2.3 (dot-atom), without the sign that separates addresses here and without the backquote.
	local  = regexp.MustCompile(`^[0-9A-Za-z!#$%&'*+/=?^_{}~-]+(\.[0-9A-Za-z!#$%&'*+/=?^_{}~-]+)*$`)
	domain = regexp.MustCompile(`^([0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?\.)+[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?$`)
)

// Check returns what is wrong with an entry, by column. It never repeats what the entry says. protected are the domains that the gateway
// opens mailboxes of, in lower case: no ordinary address is there.
func Check(e store.Entry, protected []string) []Problem {
	c := &checker{}
	c.identifier(e.IDType, e.NationalID)
	c.text("given_name", e.GivenName)
	c.text("family_name", e.FamilyName)
	if e.Profession != "" && !profession.MatchString(e.Profession) {
		c.report("profession", "a code of nomenclature G15 expected, such as 10")
	}
	seen := map[string]bool{}
	c.mailboxes("mailboxes", e.Nominative, seen)
	c.mailboxes("organisational_mailboxes", e.Organisational, seen)
	c.structures(e.Structures)
	if e.LoginName != "" && !store.IsLoginName(e.LoginName) {
		c.report("login_name", "2 to 64 of the characters a-z, 0-9, dot, hyphen and underscore expected, and no RPPS or ADELI number")
	}
	c.address(e, protected)
	if e.State != "" && e.State != store.StateActive && e.State != store.StateDisabled {
		c.report("state", "active or disabled expected")
	}
	return c.problems
}

type checker struct{ problems []Problem }

func (c *checker) report(column, format string, args ...any) {
	c.problems = append(c.problems, Problem{Column: column, Text: fmt.Sprintf(format, args...)})
}

// identifier is as strict as cards are: what no card can say would be an account that nobody ever reaches.
func (c *checker) identifier(idType, id string) {
	first, known := idTypes[idType]
	if !known {
		c.report("id_type", "one of %s expected", strings.Join(slices.Sorted(maps.Keys(idTypes)), ", "))
	}
	other := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case len(id) < 2 || len(id) > maxIdentifier || strings.ContainsFunc(id, other):
		c.report("national_id", "2 to %d visible ASCII characters without spaces expected", maxIdentifier)
	case known && id[0] != first:
		c.report("national_id", "an identifier of type %s begins with %c, the digit of its type, which is missing or another", idType, first)
	case idType == "RPPS" && !rpps.MatchString(id):
		c.report("national_id", "the digit 8 and the 11 digits of the RPPS number expected")
	}
}

func (c *checker) text(column, text string) {
	switch {
	case text == "":
		c.report(column, "missing")
	case !isText(text):
		c.report(column, "one line of text of at most %d characters, without spaces around it, expected", maxName)
	}
}

// isText tells whether a text is printable, which line ends and other control characters are not.
func isText(text string) bool {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	return text != "" && utf8.ValidString(text) && utf8.RuneCountInString(text) <= maxName && !strings.ContainsFunc(text, hidden) && text == strings.TrimSpace(text)
}

// isAddress tells whether a text is a mail address: exactly one @ (F8), no display name, no quotes, a domain with a dot.
func isAddress(text string) bool {
	user, host, _ := strings.Cut(text, "@")
	return len(text) <= maxAddress && len(user) <= 64 && local.MatchString(user) && domain.MatchString(host)
}

func (c *checker) mailboxes(column string, all []string, seen map[string]bool) {
	if len(all) > maxList {
		c.report(column, "at most %d expected", maxList)
		return
	}
	for i, m := range all {
		if !isAddress(m) {
			c.report(column, "a mail address expected as number %d, with one @ and a domain, such as jeanne.martin@example.fr", i+1)
			continue
		}
		if seen[strings.ToLower(m)] {
			c.report(column, "number %d is given twice", i+1)
		}
		seen[strings.ToLower(m)] = true
	}
}

func (c *checker) structures(all []store.Structure) {
	if len(all) > maxList {
		c.report("structures", "at most %d expected", maxList)
		return
	}
	seen := map[string]bool{}
	for i, s := range all {
		if !isStructureID(s.ID) || !isText(s.Name) {
			c.report("structures", "ID=NAME expected as number %d, such as 10B0057881=HOPITAL: an identifier with the digit of its type in front, and one line of text", i+1)
			continue
		}
		if seen[s.ID] {
			c.report("structures", "number %d is given twice", i+1)
		}
		seen[s.ID] = true
	}
}

func isStructureID(id string) bool {
	other := func(r rune) bool { return r <= ' ' || r > '~' || r == '=' || r == '|' }
	return len(id) >= 2 && len(id) <= maxIdentifier && !strings.ContainsFunc(id, other)
}

// address is as strict as the page where persons give theirs.
func (c *checker) address(e store.Entry, protected []string) {
	if e.Address == "" {
		return
	}
	if _, ok := mail.ParseAddress(e.Address); !ok {
		c.report("address", "a mail address expected, with one @ and a domain, such as jeanne@example.fr")
		return
	}
	if mail.Circular(e.Address, protected, slices.Concat(e.Nominative, e.Organisational)) {
		c.report("address", "an address outside the domains of the mailboxes and of mail.protected_domains expected: codes are sent there to open these")
	}
}

// ParseStructure reads ID=NAME.
func ParseStructure(text string) (store.Structure, error) {
	id, name, ok := strings.Cut(text, "=")
	if !ok {
		return store.Structure{}, errors.New("ID=NAME expected")
	}
	return store.Structure{ID: strings.TrimSpace(id), Name: strings.TrimSpace(name)}, nil
}
