package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// Account is a person, however they sign in.
type Account struct {
	Subject    string // ours, opaque, stable
	IDType     string // RPPS, ADELI …
	NationalID string // unique within its type, compared exactly
	GivenName  string
	FamilyName string
	Title      string
	Profession string
	LoginName  string    // by which the person may sign in, in lower case; empty: none
	Structures []string  // their identifiers
	Mailbox    string    // the first of its mailboxes, which services are told; empty: none
	Address    string    // ordinary e-mail; empty until it was proved
	Registered time.Time // when the person had seen what is recorded; zero: not yet
	Disabled   bool
}

// LogValue keeps the person out of logs: only the opaque subject is written.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.Subject) }

// accountColumns are those of scanAccount, of accounts under the name a.
const accountColumns = `a.subject, a.id_type, a.national_id, a.given_name, a.family_name, a.title, a.profession,
	coalesce((SELECT m.address FROM account_mailboxes m WHERE m.subject = a.subject ORDER BY m.position LIMIT 1), ''),
	coalesce((SELECT string_agg(t.structure_id, ' ' ORDER BY t.structure_id) FROM account_structures t WHERE t.subject = a.subject), ''),
	a.login_name, a.address, a.registered_at, a.state = 'disabled'`

// scanAccount reads what stands before the account in a row, and the account.
func scanAccount(r row, a *Account, before ...any) error {
	var registered sql.NullInt64
	var structures string
	err := r.Scan(append(before, &a.Subject, &a.IDType, &a.NationalID, &a.GivenName, &a.FamilyName, &a.Title, &a.Profession, &a.Mailbox,
		&structures, &a.LoginName, &a.Address, &registered, &a.Disabled)...)
	a.Registered = moment(registered)
	if structures != "" {
		a.Structures = strings.Fields(structures)
	}
	return err
}

// AccountByNationalID returns the account of an identifier, or ErrNotFound.
func (s *Store) AccountByNationalID(ctx context.Context, idType, id string) (Account, error) {
	var a Account
	err := scanAccount(s.passing.row(ctx, "SELECT "+accountColumns+" FROM accounts a WHERE a.id_type = ?1 AND a.national_id = ?2", idType, id), &a)
	return a, failed("find account", err)
}

// AccountBySubject returns an account, or ErrNotFound.
func (s *Store) AccountBySubject(ctx context.Context, subject string) (Account, error) {
	var a Account
	err := scanAccount(s.passing.row(ctx, "SELECT "+accountColumns+" FROM accounts a WHERE a.subject = ?1", subject), &a)
	return a, failed("find account", err)
}

// OpenAccount returns the account of a's identifier with the names that a carries, as the newest card has them; it makes the
// account, with a's subject, when there is none. Its subject, mailboxes, address and state are never changed by it.
func (s *Store) OpenAccount(ctx context.Context, a Account, now time.Time) (Account, error) {
	if a.IDType == "" || a.NationalID == "" || a.Subject == "" {
		return Account{}, errors.New("open account: no identifier or no subject")
	}
	got, err := s.RefreshAccount(ctx, a, now)
	if !errors.Is(err, ErrNotFound) {
		return got, err
	}
	_, err = s.db.exec(ctx, `
		INSERT INTO accounts (subject, id_type, national_id, given_name, family_name, title, profession, created_at, updated_at)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
		ON CONFLICT (id_type, national_id) DO NOTHING`,
		a.Subject, a.IDType, a.NationalID, a.GivenName, a.FamilyName, a.Title, a.Profession, now.UnixMilli())
	if err != nil {
		return Account{}, failed("open account", err)
	}
	return s.RefreshAccount(ctx, a, now) // somebody may have been faster
}

// RefreshAccount is OpenAccount without making any: ErrNotFound when there is none.
func (s *Store) RefreshAccount(ctx context.Context, a Account, now time.Time) (Account, error) {
	got, err := s.AccountByNationalID(ctx, a.IDType, a.NationalID)
	if err != nil || got.GivenName == a.GivenName && got.FamilyName == a.FamilyName && got.Title == a.Title && got.Profession == a.Profession {
		return got, err // nearly always: reading costs less than a write that changes nothing
	}
	err = s.atomically(ctx, func(c conn) error {
		err := c.once(ctx, "UPDATE accounts SET given_name = ?2, family_name = ?3, title = ?4, profession = ?5, updated_at = ?6 WHERE subject = ?1",
			got.Subject, a.GivenName, a.FamilyName, a.Title, a.Profession, now.UnixMilli())
		if err != nil {
			return err
		}
		return c.announce(ctx, AccountChanged, got.Subject, now) // a profession opens services
	})
	if err != nil {
		return Account{}, failed("refresh account", err)
	}
	got.GivenName, got.FamilyName, got.Title, got.Profession = a.GivenName, a.FamilyName, a.Title, a.Profession
	return got, nil
}

// AddStructure notes that a person works in a structure, as their card says, under the name that the newest card has for it.
func (s *Store) AddStructure(ctx context.Context, subject, id, name string, now time.Time) error {
	return failed("add structure", s.atomically(ctx, func(c conn) error {
		added, err := c.changed(ctx, `
			INSERT INTO account_structures (subject, structure_id, name) VALUES (?1, ?2, ?3)
			ON CONFLICT (subject, structure_id) DO NOTHING`, subject, id, name)
		if err != nil {
			return err
		}
		if added == 0 { // sessions carry no names of structures, so nobody need hear of this one
			_, err := c.exec(ctx, "UPDATE account_structures SET name = ?3 WHERE subject = ?1 AND structure_id = ?2", subject, id, name)
			return err
		}
		return c.announce(ctx, AccountChanged, subject, now)
	}))
}

// Structure is where a person works.
type Structure struct{ ID, Name string }

// StructuresOf returns the structures of an account, by id.
func (s *Store) StructuresOf(ctx context.Context, subject string) ([]Structure, error) {
	rows, err := s.passing.query(ctx, "SELECT structure_id, name FROM account_structures WHERE subject = ?1 ORDER BY structure_id", subject)
	if err != nil {
		return nil, failed("list structures", err)
	}
	defer rows.Close()
	var all []Structure
	for rows.Next() {
		var v Structure
		if err := rows.Scan(&v.ID, &v.Name); err != nil {
			return nil, failed("list structures", err)
		}
		all = append(all, v)
	}
	return all, failed("list structures", rows.Err())
}

// DisableAccount refuses the account from now on and ends its sessions, whose ids it returns. ErrNotFound: no such account, or it is
// disabled already.
func (s *Store) DisableAccount(ctx context.Context, subject string, now time.Time) (ended []string, err error) {
	err = s.atomically(ctx, func(c conn) error {
		if err := c.setState(ctx, subject, "active", "disabled", now); err != nil {
			return err
		}
		ended, err = c.endSessionsOf(ctx, subject, "", "disabled", now)
		return err
	})
	return ended, failed("disable account", err)
}

// EnableAccount undoes DisableAccount; sessions stay ended. ErrNotFound: no such account, or it is active already.
func (s *Store) EnableAccount(ctx context.Context, subject string, now time.Time) error {
	return failed("enable account", s.atomically(ctx, func(c conn) error {
		return c.setState(ctx, subject, "disabled", "active", now)
	}))
}

func (c conn) setState(ctx context.Context, subject, from, to string, now time.Time) error {
	err := c.once(ctx, "UPDATE accounts SET state = ?3, updated_at = ?4 WHERE subject = ?1 AND state = ?2", subject, from, to, now.UnixMilli())
	if err != nil {
		return err
	}
	return c.announce(ctx, AccountChanged, subject, now)
}

// SetAddress records an ordinary address that was proved.
func (s *Store) SetAddress(ctx context.Context, subject, address string, now time.Time) error {
	return failed("set address", s.atomically(ctx, func(c conn) error {
		return c.setAddress(ctx, subject, address, now)
	}))
}

// SetRegistered notes that the person has seen what is recorded. It does nothing the second time.
func (s *Store) SetRegistered(ctx context.Context, subject string, now time.Time) error {
	return failed("finish registration", s.atomically(ctx, func(c conn) error {
		_, err := c.exec(ctx, "UPDATE accounts SET registered_at = coalesce(registered_at, ?2) WHERE subject = ?1", subject, now.UnixMilli())
		if err != nil {
			return err
		}
		return c.announce(ctx, AccountChanged, subject, now)
	}))
}
