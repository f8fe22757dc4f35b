package password

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxBytes bounds what is prepared and hashed at all.
const maxBytes = 1024

// prepare returns the password as it is hashed, or false when it is none: nobody can have set it.
// RFC 8265, section 4.2: (2) additional mapping of spaces, (4) normalization to NFC; section 4.1: not empty, no control characters.
func prepare(password string) (string, bool) {
	if password == "" || len(password) > maxBytes || !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl) {
		return "", false
	}
	spaces := func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}
	return norm.NFC.String(strings.Map(spaces, password)), true
}
