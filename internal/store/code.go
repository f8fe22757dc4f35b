package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Purpose is what a code is good for.
type Purpose string

// The purposes.
const (
	ForAddress Purpose = "address" // proves that an address is the account's
	ForLogin   Purpose = "login"   // the second factor of a login
)

// Code is a code that was sent to an address.
type Code struct {
	Purpose Purpose
	Subject string
	Holder  string // id of the session or login that asked for it, and alone may use it
	Address string
	MAC     string // of the code, with a key that is not in the database
	Tries   int    // left
	Sent    time.Time
	Expires time.Time
}

// CodeLimits bound how many messages an account has sent.
type CodeLimits struct {
	Interval time.Duration // between two
	Round    time.Duration // in which at most Most are sent
	Most     int
}

// AddCode puts a code in the place of the one before it, whatever became of that. When the limits allow none yet, it changes
// nothing and says how long to wait; zero: it is there. c.Sent is now.
func (s *Store) AddCode(ctx context.Context, c Code, l CodeLimits) (wait time.Duration, err error) {
	if err = s.db.addCode(ctx, c, l); errors.Is(err, errTooSoon) {
		return s.codeWait(ctx, c, l)
	}
	return 0, failed("add code", err)
}

// AddLoginCode is AddCode for a login in progress, which then goes on for as long as the code: both, or neither. ErrNotFound: it is settled or
// over.
func (s *Store) AddLoginCode(ctx context.Context, c Code, l CodeLimits, of Login) (wait time.Duration, err error) {
	err = s.atomically(ctx, func(in conn) error {
		if err := in.prolongLogin(ctx, of, c.Expires, c.Sent); err != nil {
			return err
		}
		return in.addCode(ctx, c, l)
	})
	if errors.Is(err, errTooSoon) {
		return s.codeWait(ctx, c, l)
	}
	return 0, failed("add code", err)
}

var errTooSoon = errors.New("too soon")

// addCode is AddCode, but that it returns errTooSoon where the limits allow none.
func (c conn) addCode(ctx context.Context, v Code, l CodeLimits) error {
	now := v.Sent.UnixMilli()
	n, err := c.changed(ctx, `
		INSERT INTO codes (purpose, subject, address, code_mac, holder, tries, sent_at, expires_at, round_at, round)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?7, 1)
		ON CONFLICT (purpose, subject) DO UPDATE SET address = ?3, code_mac = ?4, holder = ?5, tries = ?6, sent_at = ?7, expires_at = ?8,
			round_at = CASE WHEN codes.round_at <= ?10 THEN ?7 ELSE codes.round_at END,
			round = CASE WHEN codes.round_at <= ?10 THEN 1 ELSE codes.round + 1 END
		WHERE codes.sent_at <= ?9 AND (codes.round_at <= ?10 OR codes.round < ?11)`,
		v.Purpose, v.Subject, v.Address, v.MAC, v.Holder, v.Tries, now, v.Expires.UnixMilli(),
		v.Sent.Add(-l.Interval).UnixMilli(), v.Sent.Add(-l.Round).UnixMilli(), l.Most)
	if err == nil && n == 0 {
		err = errTooSoon
	}
	return err
}

// codeWait returns how long to wait for a code that was refused now.
func (s *Store) codeWait(ctx context.Context, c Code, l CodeLimits) (time.Duration, error) {
	var sent, began int64
	var round int
	err := s.db.row(ctx, "SELECT sent_at, round_at, round FROM codes WHERE purpose = ?1 AND subject = ?2", c.Purpose, c.Subject).Scan(&sent, &began, &round)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, failed("find code", err)
	}
	open := millis(sent).Add(l.Interval)
	if end := millis(began).Add(l.Round); round >= l.Most && end.After(open) {
		open = end
	}
	return max(open.Sub(c.Sent), time.Second), nil // what kept it may be gone by now: it was refused all the same
}

// DropCode makes a code worthless that could not be sent; another may be asked for at once. It still counts in its round.
func (s *Store) DropCode(ctx context.Context, c Code) error {
	_, err := s.db.exec(ctx, "UPDATE codes SET holder = '', tries = 0, sent_at = 0 WHERE purpose = ?1 AND subject = ?2 AND code_mac = ?3",
		c.Purpose, c.Subject, c.MAC)
	return failed("drop code", err)
}

const codeColumns = "purpose, subject, holder, address, code_mac, tries, sent_at, expires_at"

func scanCode(r row) (Code, error) {
	var c Code
	var sent, expires int64
	err := r.Scan(&c.Purpose, &c.Subject, &c.Holder, &c.Address, &c.MAC, &c.Tries, &sent, &expires)
	c.Sent, c.Expires = millis(sent), millis(expires)
	return c, err
}

// CodeOf returns the code that a holder asked for and has not used, late and without tries left too. ErrNotFound: none.
func (s *Store) CodeOf(ctx context.Context, p Purpose, subject, holder string) (Code, error) {
	c, err := scanCode(s.passing.row(ctx, "SELECT "+codeColumns+" FROM codes WHERE purpose = ?1 AND subject = ?2 AND holder = ?3", p, subject, holder))
	return c, failed("find code", err)
}

// TryCode takes one of the tries of a holder's code, whatever is tried, and returns the code to compare with, with what is left. Tries at
// once take one each. ErrNotFound: no code, a late one, or no try left.
func (s *Store) TryCode(ctx context.Context, p Purpose, subject, holder string, now time.Time) (Code, error) {
	c, err := scanCode(s.db.change(ctx, `
		UPDATE codes SET tries = tries - 1
		WHERE purpose = ?1 AND subject = ?2 AND holder = ?3 AND tries > 0 AND expires_at > ?4 RETURNING `+codeColumns,
		p, subject, holder, now.UnixMilli()))
	return c, failed("try code", err)
}

// UseCode uses a code up, once. ErrNotFound: it was used meanwhile, or another was sent.
func (s *Store) UseCode(ctx context.Context, c Code, now time.Time) error {
	return failed("use code", s.db.useCode(ctx, c, now))
}

// UseAddressCode uses a code up and records the address that it proves: both, once, or neither. ErrNotFound: it was used meanwhile, or
// another was sent.
func (s *Store) UseAddressCode(ctx context.Context, c Code, now time.Time) error {
	return failed("use address code", s.atomically(ctx, func(in conn) error {
		if c.Purpose != ForAddress {
			return ErrNotFound
		}
		if err := in.useCode(ctx, c, now); err != nil {
			return err
		}
		return in.setAddress(ctx, c.Subject, c.Address, now)
	}))
}

func (c conn) useCode(ctx context.Context, used Code, now time.Time) error {
	return c.once(ctx, `
		UPDATE codes SET holder = '', tries = 0
		WHERE purpose = ?1 AND subject = ?2 AND holder = ?3 AND holder <> '' AND code_mac = ?4 AND expires_at > ?5`,
		used.Purpose, used.Subject, used.Holder, used.MAC, now.UnixMilli())
}

func (c conn) setAddress(ctx context.Context, subject, address string, now time.Time) error {
	if err := c.once(ctx, "UPDATE accounts SET address = ?2, updated_at = ?3 WHERE subject = ?1", subject, address, now.UnixMilli()); err != nil {
		return err
	}
	return c.announce(ctx, AccountChanged, subject, now)
}
