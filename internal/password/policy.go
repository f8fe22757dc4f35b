package password

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Reason is why a password may not be chosen. The zero value is none: it may.
type Reason string

// The reasons.
const (
	TooShort  Reason = "too_short"
	TooLong   Reason = "too_long"
	Malformed Reason = "malformed" // control characters, or no UTF-8
	Personal  Reason = "personal"  // little besides the person's own names and identifiers
	InList    Reason = "breached"  // on the operator's list
)

// Lengths, in characters of the prepared password. NIST SP 800-63B, section 3.1.1.2: at least 15 where it is the only factor, at least 8
// where it is one of two, and at least 64 allowed.
const (
	DefaultMinLength = 12
	LeastMinLength   = 8
	MaxLength        = 128
)

// besides is how many characters must be left of a password without what is personal in it.
const besides = 8

// Policy says which passwords may be chosen. There are no rules about kinds of characters: NIST SP 800-63B, section 3.1.1.2, "verifiers
// and CSPs SHALL NOT impose other composition rules".
type Policy struct {
	MinLength int       // zero: DefaultMinLength
	Breached  *Breached // nil: no list
}

// Check returns why a person may not choose a password. personal are their names, identifiers and addresses. An error means that the list
// could not be read, and then the password may not be chosen either.
func (p Policy) Check(password string, personal []string) (Reason, error) {
	least := p.MinLength
	if least == 0 {
		least = DefaultMinLength
	}
	if len(password) > maxBytes {
		return TooLong, nil
	}
	if password == "" {
		return TooShort, nil
	}
	prepared, ok := prepare(password)
	if !ok {
		return Malformed, nil
	}
	switch n := utf8.RuneCountInString(prepared); {
	case n < least:
		return TooShort, nil
	case n > MaxLength:
		return TooLong, nil
	case isPersonal(prepared, personal):
		return Personal, nil
	}
	if p.Breached == nil {
		return "", nil
	}
	found, err := p.Breached.Contains(prepared)
	if err != nil {
		return "", fmt.Errorf("check password: %w", err)
	}
	if found {
		return InList, nil
	}
	return "", nil
}

// shortest is the length of the shortest word that is looked for: "de" is in many words.
const shortest = 3

// isPersonal says whether too little is left of a password without a person's words.
func isPersonal(password string, personal []string) bool {
	var words []string
	for _, text := range personal {
		text = fold(text)
		words = append(words, text)
		words = append(words, strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
	}
	words = slices.DeleteFunc(words, func(w string) bool { return utf8.RuneCountInString(w) < shortest })
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) }) // or "martinez" would leave "ez"
	rest := fold(password)
	for _, w := range words {
		rest = strings.ReplaceAll(rest, w, "")
	}
	return len(rest) < len(fold(password)) && utf8.RuneCountInString(rest) < besides
}

// fold makes texts the same that differ in case and accents only.
func fold(text string) string {
	accents := func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}
	return strings.ToLower(strings.Map(accents, norm.NFKD.String(text)))
}
