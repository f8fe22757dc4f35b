package store

import (
	"context"
	"database/sql"
	"time"
)

// QueuedMail is a message that waits to be sent, sealed: the store cannot read it.
type QueuedMail struct {
	ID      string
	Subject string // of the account that it is for
	Sealed  string
	Tries   int // so far, with the one that it was taken for
	Created time.Time
	Expires time.Time // it is not sent later
}

// MailLimits bound how many messages wait.
type MailLimits struct {
	Account int // for one account: exactly
	All     int // in all: about, when several are added at once
}

// AddMail adds a message that is due at once. m.Created is now. It says no, and adds nothing, when too many wait. ErrNotFound: no such
// account.
func (s *Store) AddMail(ctx context.Context, m QueuedMail, l MailLimits) (added bool, err error) {
	err = s.atomically(ctx, func(c conn) error {
		var one int // two that add for one account come one after the other
		if err := c.row(ctx, "SELECT 1 FROM accounts WHERE subject = ?1"+c.engine.lock, m.Subject).Scan(&one); err != nil {
			return err
		}
		n, err := c.changed(ctx, `
			INSERT INTO mail_queue (id, subject, sealed, tries, created_at, next_at, expires_at)
			SELECT ?1, ?2, ?3, 0, ?4, ?4, ?5
			WHERE (SELECT count(*) FROM mail_queue WHERE subject = ?2) < ?6 AND (SELECT count(*) FROM mail_queue) < ?7`,
			m.ID, m.Subject, m.Sealed, m.Created.UnixMilli(), m.Expires.UnixMilli(), l.Account, l.All)
		added = n == 1
		return err
	})
	return added && err == nil, failed("add mail", err)
}

// TakeMail takes messages that are due, late ones too: at most so many, first those that expire first. Nobody else is given them until the
// lease is over.
func (s *Store) TakeMail(ctx context.Context, now time.Time, lease time.Duration, most int) ([]QueuedMail, error) {
	var due bool // a look costs no writing when there is nothing to do
	err := s.db.row(ctx, "SELECT EXISTS (SELECT 1 FROM mail_queue WHERE next_at <= ?1)", now.UnixMilli()).Scan(&due)
	if err != nil || !due {
		return nil, failed("look for mail", err)
	}
	var all []QueuedMail
	err = s.atomically(ctx, func(c conn) error {
		all, err = c.takeMail(ctx, now, lease, most)
		return err
	})
	if err != nil {
		return nil, failed("take mail", err)
	}
	return all, nil
}

func (c conn) takeMail(ctx context.Context, now time.Time, lease time.Duration, most int) ([]QueuedMail, error) {
	lock := c.engine.lock
	if lock != "" {
		lock += " SKIP LOCKED" // what another gateway is just taking
	}
	return mails(c.query(ctx, `
		WITH due AS MATERIALIZED (SELECT id FROM mail_queue WHERE next_at <= ?1 ORDER BY expires_at, id LIMIT ?2`+lock+`)
		UPDATE mail_queue SET tries = tries + 1, next_at = ?3 WHERE id IN (SELECT id FROM due)
		RETURNING `+mailColumns, now.UnixMilli(), most, now.Add(lease).UnixMilli()))
}

const mailColumns = "id, subject, sealed, tries, created_at, expires_at"

// mails reads what a query found.
func mails(rows *sql.Rows, err error) ([]QueuedMail, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []QueuedMail
	for rows.Next() {
		var m QueuedMail
		var created, expires int64
		if err := rows.Scan(&m.ID, &m.Subject, &m.Sealed, &m.Tries, &created, &expires); err != nil {
			return nil, err
		}
		m.Created, m.Expires = millis(created), millis(expires)
		all = append(all, m)
	}
	return all, rows.Err()
}

// MailOf returns the messages that wait for an account, also those that are just being sent.
func (s *Store) MailOf(ctx context.Context, subject string) ([]QueuedMail, error) {
	all, err := mails(s.db.query(ctx, "SELECT "+mailColumns+" FROM mail_queue WHERE subject = ?1", subject))
	return all, failed("find mail", err)
}

// PostponeMail gives a message back that was taken, to be due at a time. Whoever let their lease run out changes nothing.
func (s *Store) PostponeMail(ctx context.Context, m QueuedMail, next time.Time) error {
	_, err := s.db.exec(ctx, "UPDATE mail_queue SET next_at = ?3 WHERE id = ?1 AND tries = ?2", m.ID, m.Tries, next.UnixMilli())
	return failed("postpone mail", err)
}

// RemoveMail forgets a message, whoever has taken it: it was sent, or is given up.
func (s *Store) RemoveMail(ctx context.Context, id string) error {
	_, err := s.db.exec(ctx, "DELETE FROM mail_queue WHERE id = ?1", id)
	return failed("remove mail", err)
}

// CountMail returns how many messages wait.
func (s *Store) CountMail(ctx context.Context) (int, error) {
	var n int
	err := s.db.row(ctx, "SELECT count(*) FROM mail_queue").Scan(&n)
	return n, failed("count mail", err)
}
