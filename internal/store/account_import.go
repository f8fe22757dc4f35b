package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Imported is an account that an import has written.
type Imported struct {
	Subject string
	Added   bool
	State   string   // the new one of an account that had another; empty otherwise
	Ended   []string // sessions that were ended, because it is disabled from now on
}

// importBatch is how many accounts are written in one transaction: few enough that a login waits for a moment only.
const importBatch = 1000

// Import does what a plan says, many accounts at a time, and calls done with each lot that is written. It refuses a plan with
// conflicts. When it fails, the lots before are written, and the same import takes up from there. Accounts that were changed since
// the plan are judged anew.
func (s *Store) Import(ctx context.Context, p *Plan, now func() time.Time, done func([]Imported) error) error {
	if len(p.Conflicts) > 0 {
		return fmt.Errorf("import: %d conflicts", len(p.Conflicts))
	}
	release := p.release
	for steps := range slices.Chunk(p.steps, importBatch) {
		began := now()
		lot, err := s.importLot(ctx, steps, release, began)
		if err != nil {
			return failed("import", err)
		}
		release = nil
		if err := done(lot); err != nil {
			return err
		}
		if err := s.yield(ctx, now().Sub(began)/3); err != nil {
			return failed("import", err)
		}
	}
	return nil
}

// yield leaves SQLite's only place for a writer free for a while, or those that wait for it, who look now and then, would not get it
// until the end.
func (s *Store) yield(ctx context.Context, d time.Duration) error {
	if s.db.engine.dollar {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (s *Store) importLot(ctx context.Context, steps []step, release []release, now time.Time) (lot []Imported, err error) {
	err = s.atomically(ctx, func(c conn) error {
		lot = make([]Imported, 0, len(steps))
		for _, r := range release {
			if _, err := c.exec(ctx, "DELETE FROM account_mailboxes WHERE subject = ?1 AND address = ?2", r.subject, r.address); err != nil {
				return err
			}
		}
		for _, v := range steps {
			one, wrote, err := c.importOne(ctx, v, now)
			if err != nil {
				return err
			}
			if wrote {
				lot = append(lot, one)
			}
		}
		return nil
	})
	return lot, err
}

// importOne writes one step. wrote is false when somebody has done the same meanwhile.
func (c conn) importOne(ctx context.Context, v step, now time.Time) (one Imported, wrote bool, err error) {
	if !v.known {
		subject, err := c.addPerson(ctx, v.entry, now)
		if err == nil || !errors.Is(err, ErrNotFound) {
			return Imported{Subject: subject, Added: true}, err == nil, err
		}
		// Whose first login came since the plan.
	}
	return c.changePerson(ctx, v, now)
}

// addPerson makes an account. ErrNotFound: there is one already.
func (c conn) addPerson(ctx context.Context, e Entry, now time.Time) (subject string, err error) {
	subject = strings.ToLower(rand.Text())
	p := person{}.after(e)
	err = c.once(ctx, `
		INSERT INTO accounts (subject, id_type, national_id, given_name, family_name, title, profession, login_name, address, state, created_at, updated_at)
		VALUES (?1, ?2, ?3, ?4, ?5, '', ?6, ?10, ?7, ?8, ?9, ?9)
		ON CONFLICT (id_type, national_id) DO NOTHING`,
		subject, e.IDType, e.NationalID, p.GivenName, p.FamilyName, p.Profession, p.Address, p.State(), now.UnixMilli(), p.LoginName)
	if err != nil {
		return "", err
	}
	if err := c.addMailboxes(ctx, subject, p); err != nil {
		return "", err
	}
	return subject, c.addStructures(ctx, subject, p)
}

func (c conn) addMailboxes(ctx context.Context, subject string, p person) error {
	position := 0
	for _, kind := range []string{nominative, organisational} {
		all := p.nominative
		if kind == organisational {
			all = p.organisational
		}
		for _, m := range all {
			_, err := c.exec(ctx, "INSERT INTO account_mailboxes (subject, address, kind, position) VALUES (?1, ?2, ?3, ?4)", subject, m, kind, position)
			if err != nil {
				return err
			}
			position++
		}
	}
	return nil
}

func (c conn) addStructures(ctx context.Context, subject string, p person) error {
	for _, v := range p.structures {
		_, err := c.exec(ctx, "INSERT INTO account_structures (subject, structure_id, name) VALUES (?1, ?2, ?3)", subject, v.ID, v.Name)
		if err != nil {
			return err
		}
	}
	return nil
}

// changePerson makes an entry hold for an account that exists, and announces it.
func (c conn) changePerson(ctx context.Context, v step, now time.Time) (one Imported, wrote bool, err error) {
	old, err := c.lockPerson(ctx, identity{v.entry.IDType, v.entry.NationalID})
	if err != nil {
		return one, false, err
	}
	one.Subject = old.Subject
	p := old.after(v.entry)
	if old.same(p) && !v.released {
		return one, false, nil
	}
	_, err = c.exec(ctx, "UPDATE accounts SET given_name = ?2, family_name = ?3, profession = ?4, address = ?5, updated_at = ?6, login_name = ?7 WHERE subject = ?1",
		p.Subject, p.GivenName, p.FamilyName, p.Profession, p.Address, now.UnixMilli(), p.LoginName)
	if err == nil && !old.sameMailboxes(p) {
		if _, err = c.exec(ctx, "DELETE FROM account_mailboxes WHERE subject = ?1", p.Subject); err == nil {
			err = c.addMailboxes(ctx, p.Subject, p)
		}
	}
	if err == nil && !slices.Equal(old.structures, p.structures) {
		if _, err = c.exec(ctx, "DELETE FROM account_structures WHERE subject = ?1", p.Subject); err == nil {
			err = c.addStructures(ctx, p.Subject, p)
		}
	}
	switch {
	case err != nil:
	case old.Disabled == p.Disabled:
		err = c.announce(ctx, AccountChanged, p.Subject, now)
	default: // which announces it
		one.State = p.State()
		if err = c.setState(ctx, p.Subject, old.State(), p.State(), now); err == nil && p.Disabled {
			one.Ended, err = c.endSessionsOf(ctx, p.Subject, "", "disabled", now)
		}
	}
	return one, err == nil, err
}

// lockPerson reads a person, whom nobody else writes until the transaction ends: it begins with a write.
func (c conn) lockPerson(ctx context.Context, id identity) (p person, err error) {
	err = c.once(ctx, "UPDATE accounts SET updated_at = updated_at WHERE id_type = ?1 AND national_id = ?2", id.idType, id.nationalID)
	if err != nil {
		return p, err
	}
	row := c.row(ctx, "SELECT "+accountColumns+" FROM accounts a WHERE a.id_type = ?1 AND a.national_id = ?2", id.idType, id.nationalID)
	if err := scanAccount(row, &p.Account); err != nil {
		return p, err
	}
	mailboxes, err := c.mailboxesOf(ctx, p.Subject)
	if err != nil {
		return p, err
	}
	for _, m := range mailboxes {
		p.add(m)
	}
	rows, err := c.query(ctx, "SELECT structure_id, name FROM account_structures WHERE subject = ?1", p.Subject)
	if err != nil {
		return p, err
	}
	p.structures, err = scanStructures(rows)
	return p, err
}

// scanStructures reads rows of structures, and closes them.
func scanStructures(rows *sql.Rows) ([]Structure, error) {
	defer rows.Close()
	var all []Structure
	for rows.Next() {
		var v Structure
		if err := rows.Scan(&v.ID, &v.Name); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b Structure) int { return strings.Compare(a.ID, b.ID) })
	return all, rows.Err()
}
