package store

import (
	"context"
	"errors"
	"strings"
	"time"
)

// ErrAmbiguous says that a reference means more than one account. Whose it is must be decided by a person (A25).
var ErrAmbiguous = errors.New("means more than one account")

// FindAccount returns the account that an administrator means by its subject or by its national identifier, compared exactly.
// ErrNotFound: there is none. ErrAmbiguous: there are several, as the same number may stand in two types.
func (s *Store) FindAccount(ctx context.Context, reference string) (Account, error) {
	rows, err := s.db.query(ctx, "SELECT "+accountColumns+" FROM accounts a WHERE a.subject = ?1 OR a.national_id = ?1 LIMIT 2", reference)
	if err != nil {
		return Account{}, failed("find account", err)
	}
	defer rows.Close()
	var a Account
	found := 0
	for ; rows.Next(); found++ {
		if err := scanAccount(rows, &a); err != nil {
			return Account{}, failed("find account", err)
		}
	}
	err = rows.Err()
	switch {
	case err != nil:
	case found == 0:
		err = ErrNotFound
	case found > 1:
		err = ErrAmbiguous
	}
	if err != nil {
		return Account{}, failed("find account", err)
	}
	return a, nil
}

// Filter chooses accounts. Its zero value is all of them.
type Filter struct {
	State  string // StateActive, StateDisabled; empty: any
	Search string // in names, identifiers and addresses, whatever the case
}

// States of an account.
const (
	StateActive   = "active"
	StateDisabled = "disabled"
)

// State returns the word for whether an account may be used.
func (a Account) State() string {
	if a.Disabled {
		return StateDisabled
	}
	return StateActive
}

// matches is decided here and not by the database: the engines do not agree on what letters are the same in another case.
func (f Filter) matches(a Account) bool {
	if f.State != "" && f.State != a.State() {
		return false
	}
	text := strings.ToLower(strings.Join([]string{
		a.GivenName, a.FamilyName, a.GivenName, a.NationalID, a.Subject, a.Mailbox, a.Address, // the names in either order
	}, " "))
	return strings.Contains(text, strings.ToLower(f.Search))
}

// EachAccount calls do with each account that f chooses, by family name, and ends with the first error of do. It holds one account at
// a time in memory. do does not use the Store.
func (s *Store) EachAccount(ctx context.Context, f Filter, do func(Account) error) error {
	rows, err := s.db.query(ctx, "SELECT "+accountColumns+" FROM accounts a ORDER BY a.family_name, a.given_name, a.subject")
	if err != nil {
		return failed("list accounts", err)
	}
	defer rows.Close()
	for rows.Next() {
		var a Account
		if err := scanAccount(rows, &a); err != nil {
			return failed("list accounts", err)
		}
		if !f.matches(a) {
			continue
		}
		if err := do(a); err != nil {
			return err
		}
	}
	return failed("list accounts", rows.Err())
}

// Mailbox is an address in the secure messaging space.
type Mailbox struct {
	Address        string
	Organisational bool // of a service or an establishment, which several persons may open; otherwise the person's own
}

// The kinds of mailboxes.
const (
	nominative     = "nominative"
	organisational = "organisational"
)

// Mailboxes returns the mailboxes of an account with their kinds. The first is the one that services are told.
func (s *Store) Mailboxes(ctx context.Context, subject string) ([]Mailbox, error) {
	all, err := s.db.mailboxesOf(ctx, subject)
	return all, failed("list mailboxes", err)
}

func (c conn) mailboxesOf(ctx context.Context, subject string) ([]Mailbox, error) {
	rows, err := c.query(ctx, "SELECT address, kind = 'organisational' FROM account_mailboxes WHERE subject = ?1 ORDER BY position", subject)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Mailbox
	for rows.Next() {
		var m Mailbox
		if err := rows.Scan(&m.Address, &m.Organisational); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, rows.Err()
}

// ForgetAddress forgets the ordinary address of an account, the code that was sent to prove another and the invitation that was sent to it,
// so that the person is asked for one at the next login. ErrNotFound: no such account.
func (s *Store) ForgetAddress(ctx context.Context, subject string, now time.Time) error {
	return failed("forget address", s.atomically(ctx, func(c conn) error {
		err := c.once(ctx, "UPDATE accounts SET address = '', registered_at = NULL, updated_at = ?2 WHERE subject = ?1", subject, now.UnixMilli())
		if err != nil {
			return err
		}
		if _, err := c.exec(ctx, "DELETE FROM codes WHERE subject = ?1", subject); err != nil {
			return err
		}
		if _, err := c.exec(ctx, "DELETE FROM invitations WHERE subject = ?1", subject); err != nil {
			return err
		}
		return c.announce(ctx, AccountChanged, subject, now)
	}))
}
