package store

import (
	"context"
	"time"
)

// AddressCode is a code that was sent to an address, to prove that it is the account's.
type AddressCode struct {
	Subject string
	Session string // that asked for it, and alone may use it
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

// AddAddressCode puts a code in the place of the one before it, whatever became of that. It says no, and changes nothing, when the limits
// allow none yet. c.Sent is now.
func (s *Store) AddAddressCode(ctx context.Context, c AddressCode, l CodeLimits) (bool, error) {
	now := c.Sent.UnixMilli()
	n, err := s.db.changed(ctx, `
		INSERT INTO address_codes (subject, address, code_mac, session_id, tries, sent_at, expires_at, round_at, round)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, 1)
		ON CONFLICT (subject) DO UPDATE SET address = ?2, code_mac = ?3, session_id = ?4, tries = ?5, sent_at = ?6, expires_at = ?7,
			round_at = CASE WHEN address_codes.round_at <= ?9 THEN ?6 ELSE address_codes.round_at END,
			round = CASE WHEN address_codes.round_at <= ?9 THEN 1 ELSE address_codes.round + 1 END
		WHERE address_codes.sent_at <= ?8 AND (address_codes.round_at <= ?9 OR address_codes.round < ?10)`,
		c.Subject, c.Address, c.MAC, c.Session, c.Tries, now, c.Expires.UnixMilli(),
		c.Sent.Add(-l.Interval).UnixMilli(), c.Sent.Add(-l.Round).UnixMilli(), l.Most)
	return n == 1, failed("add address code", err)
}

// DropAddressCode makes a code worthless that could not be sent; another may be asked for at once. It still counts in its round.
func (s *Store) DropAddressCode(ctx context.Context, c AddressCode) error {
	_, err := s.db.exec(ctx, "UPDATE address_codes SET session_id = '', tries = 0, sent_at = 0 WHERE subject = ?1 AND code_mac = ?2", c.Subject, c.MAC)
	return failed("drop address code", err)
}

const addressCodeColumns = "subject, session_id, address, code_mac, tries, sent_at, expires_at"

func scanAddressCode(r row) (AddressCode, error) {
	var c AddressCode
	var sent, expires int64
	err := r.Scan(&c.Subject, &c.Session, &c.Address, &c.MAC, &c.Tries, &sent, &expires)
	c.Sent, c.Expires = millis(sent), millis(expires)
	return c, err
}

// AddressCodeOf returns the code that a session asked for and has not used, late and without tries left too. ErrNotFound: none.
func (s *Store) AddressCodeOf(ctx context.Context, subject, session string) (AddressCode, error) {
	c, err := scanAddressCode(s.db.row(ctx, "SELECT "+addressCodeColumns+" FROM address_codes WHERE subject = ?1 AND session_id = ?2", subject, session))
	return c, failed("find address code", err)
}

// TryAddressCode takes one of the tries of a session's code, whatever is tried, and returns the code to compare with, with what is left.
// Tries at once take one each. ErrNotFound: no code, a late one, or no try left.
func (s *Store) TryAddressCode(ctx context.Context, subject, session string, now time.Time) (AddressCode, error) {
	c, err := scanAddressCode(s.db.change(ctx, `
		UPDATE address_codes SET tries = tries - 1
		WHERE subject = ?1 AND session_id = ?2 AND tries > 0 AND expires_at > ?3 RETURNING `+addressCodeColumns,
		subject, session, now.UnixMilli()))
	return c, failed("try address code", err)
}

// UseAddressCode uses a code up and records the address that it proves: both, once, or neither. ErrNotFound: it was used meanwhile, or
// another was sent.
func (s *Store) UseAddressCode(ctx context.Context, c AddressCode, now time.Time) error {
	return failed("use address code", s.atomically(ctx, func(in conn) error {
		err := in.once(ctx, `
			UPDATE address_codes SET session_id = '', tries = 0
			WHERE subject = ?1 AND session_id = ?2 AND code_mac = ?3 AND expires_at > ?4`, c.Subject, c.Session, c.MAC, now.UnixMilli())
		if err != nil {
			return err
		}
		return in.setAddress(ctx, c.Subject, c.Address, now)
	}))
}

func (c conn) setAddress(ctx context.Context, subject, address string, now time.Time) error {
	if err := c.once(ctx, "UPDATE accounts SET address = ?2, updated_at = ?3 WHERE subject = ?1", subject, address, now.UnixMilli()); err != nil {
		return err
	}
	return c.announce(ctx, AccountChanged, subject, now)
}
