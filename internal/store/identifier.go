package store

import (
	"context"
	"regexp"
	"strings"
	"unicode"
)

// maxIdentifier is longer than anything by which an account is found: an address has 254 characters at most.
const maxIdentifier = 254

// number is an RPPS or ADELI number, with or without the digit of its type in front. In Corsica, the department is 2A or 2B.
var number = regexp.MustCompile(`^[0-9]{1,2}[0-9ab][0-9]{7,10}$`)

// IsLoginName says whether a text may be a login name: it cannot be taken for a number, nor for an address.
func IsLoginName(text string) bool { return loginName.MatchString(text) && !number.MatchString(text) }

var loginName = regexp.MustCompile(`^[a-z0-9._-]{2,64}$`)

// NormalIdentifier returns an identifier as it is compared, the same for each way to type it: without the spaces that people group digits
// with, in lower case, with the digit of its type before a number. It is empty for what can be nobody's.
func NormalIdentifier(typed string) string {
	if len(typed) > 4*maxIdentifier {
		return ""
	}
	text := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return -1
		case r >= 'A' && r <= 'Z': // nothing else, or two identifiers could become one (A24)
			return r - 'A' + 'a'
		}
		return r
	}, typed)
	if len(text) > maxIdentifier || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	switch {
	case len(text) == 11 && number.MatchString(text):
		return "8" + text // RPPS
	case len(text) == 9 && number.MatchString(text):
		return "0" + text // ADELI
	}
	return text
}

// AccountByIdentifier returns the account that a person means by what they typed: their RPPS or ADELI number, with or without the digit of
// its type in front, the address of a mailbox that is theirs alone, or their login name; spaces and case do not count (D17). ErrNotFound:
// no account, or more than one (A25).
func (s *Store) AccountByIdentifier(ctx context.Context, typed string) (Account, error) {
	a, err := s.accountByIdentifier(ctx, NormalIdentifier(typed))
	return a, failed("find account", err)
}

func (s *Store) accountByIdentifier(ctx context.Context, id string) (Account, error) {
	if id == "" {
		return Account{}, ErrNotFound
	}
	rows, err := s.passing.query(ctx, "SELECT "+accountColumns+` FROM accounts a WHERE a.subject IN (
		SELECT subject FROM accounts WHERE id_type IN ('RPPS', 'ADELI') AND national_id = ?1
		UNION SELECT subject FROM accounts WHERE login_name = ?2 AND login_name <> ''
		UNION SELECT subject FROM account_mailboxes WHERE lower(address) = ?2 AND kind = 'nominative') LIMIT 2`,
		strings.ToUpper(id), id) // the A and B of Corsica
	if err != nil {
		return Account{}, err
	}
	defer rows.Close()
	var found []Account
	for rows.Next() {
		var a Account
		if err := scanAccount(rows, &a); err != nil {
			return Account{}, err
		}
		found = append(found, a)
	}
	if err := rows.Err(); err != nil {
		return Account{}, err
	}
	if len(found) != 1 {
		return Account{}, ErrNotFound
	}
	return found[0], nil
}
