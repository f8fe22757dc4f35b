package store

import (
	"context"
	"time"

	"promess/authgw/internal/token"
)

// QueuedLogout is a client that is to be told that a session is over.
type QueuedLogout struct {
	ID      string
	Client  string
	Subject string // of the account: ours
	SID     string // the session, as the client knows it
	Tries   int    // so far, with the one that it was taken for
	Created time.Time
	Expires time.Time // it is not told later
}

// LogoutsToTake says which of those that are due are taken.
type LogoutsToTake struct {
	Lease  time.Duration // for which nobody else is given them
	Most   int           // in all
	Each   int           // of one client
	Except []string      // clients to leave alone; of more than MostExcept only the first so many
}

// MostExcept is how many clients a look leaves alone.
const MostExcept = 8

// TakeLogouts takes logouts that are due, late ones too, first those that have waited longest. Of a client that has many it takes a few, so
// that they do not hold up others.
func (s *Store) TakeLogouts(ctx context.Context, t LogoutsToTake, now time.Time) ([]QueuedLogout, error) {
	var due bool // a look costs no writing when there is nothing to do
	err := s.db.row(ctx, "SELECT EXISTS (SELECT 1 FROM oidc_logouts WHERE next_at <= ?1)", now.UnixMilli()).Scan(&due)
	if err != nil || !due {
		return nil, failed("look for logouts", err)
	}
	var all []QueuedLogout
	err = s.atomically(ctx, func(c conn) error {
		all, err = c.takeLogouts(ctx, t, now)
		return err
	})
	if err != nil {
		return nil, failed("take logouts", err)
	}
	return all, nil
}

func (c conn) takeLogouts(ctx context.Context, t LogoutsToTake, now time.Time) ([]QueuedLogout, error) {
	lock := c.engine.lock
	if lock != "" {
		lock += " SKIP LOCKED" // what another gateway is just taking
	}
	args := []any{now.UnixMilli(), t.Most, now.Add(t.Lease).UnixMilli(), t.Each}
	for i := range MostExcept {
		name := "" // is nobody's
		if i < len(t.Except) {
			name = t.Except[i]
		}
		args = append(args, name)
	}
	rows, err := c.query(ctx, `
		WITH due AS MATERIALIZED (
			SELECT id FROM oidc_logouts WHERE next_at <= ?1 AND id IN (
				SELECT id FROM (
					SELECT id, row_number() OVER (PARTITION BY client ORDER BY next_at, id) AS place FROM oidc_logouts
					WHERE next_at <= ?1 AND client NOT IN (?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
				) AS waiting WHERE place <= ?4
			) ORDER BY next_at, id LIMIT ?2`+lock+`)
		UPDATE oidc_logouts SET tries = tries + 1, next_at = ?3 WHERE id IN (SELECT id FROM due)
		RETURNING id, client, subject, sid, tries, created_at, expires_at`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []QueuedLogout
	for rows.Next() {
		var v QueuedLogout
		var created, expires int64
		if err := rows.Scan(&v.ID, &v.Client, &v.Subject, &v.SID, &v.Tries, &created, &expires); err != nil {
			return nil, err
		}
		v.Created, v.Expires = millis(created), millis(expires)
		all = append(all, v)
	}
	return all, rows.Err()
}

// PostponeLogout gives back one that was taken, to be due at a time. Whoever let their lease run out changes nothing.
func (s *Store) PostponeLogout(ctx context.Context, v QueuedLogout, next time.Time) error {
	_, err := s.db.exec(ctx, "UPDATE oidc_logouts SET next_at = ?3 WHERE id = ?1 AND tries = ?2", v.ID, v.Tries, next.UnixMilli())
	return failed("postpone logout", err)
}

// RemoveLogout forgets one, whoever has taken it: the client was told, or is not to be any more.
func (s *Store) RemoveLogout(ctx context.Context, id string) error {
	_, err := s.db.exec(ctx, "DELETE FROM oidc_logouts WHERE id = ?1", id)
	return failed("remove logout", err)
}

// CountLogouts returns how many wait.
func (s *Store) CountLogouts(ctx context.Context) (int, error) {
	var n int
	err := s.db.row(ctx, "SELECT count(*) FROM oidc_logouts").Scan(&n)
	return n, failed("count logouts", err)
}

// SessionName is what a client knows a session by.
type SessionName struct {
	Client string `json:"client"`
	SID    string `json:"sid"`
}

// SessionNames returns the clients that were given something in a session, open or over, with what each knows it by: at most so many,
// in the order of their names.
func (s *Store) SessionNames(ctx context.Context, session string, most int) ([]SessionName, error) {
	rows, err := s.db.query(ctx, `
		SELECT DISTINCT client, sid FROM oidc_grants WHERE session_id = ?1
		ORDER BY client, sid LIMIT ?2`, session, most)
	if err != nil {
		return nil, failed("list clients of session", err)
	}
	defer rows.Close()
	var all []SessionName
	for rows.Next() {
		var v SessionName
		if err := rows.Scan(&v.Client, &v.SID); err != nil {
			return nil, failed("list clients of session", err)
		}
		all = append(all, v)
	}
	return all, failed("list clients of session", rows.Err())
}

// TakeDeparture uses up, once, what was kept for the end of a sign-out: a request (AddRequest) without a browser, under a handle of its own
// kind. ErrNotFound: unknown, used, or late.
func (s *Store) TakeDeparture(ctx context.Context, handle token.Hash, now time.Time) (Request, error) {
	q, err := scanRequest(s.passing.change(ctx, "DELETE FROM oidc_requests WHERE hash = ?1 AND browser_hash IS NULL RETURNING "+requestColumns, handle[:]))
	if err == nil && !now.Before(q.Expires) {
		err = ErrNotFound
	}
	if err != nil {
		return Request{}, failed("take departure", err)
	}
	return q, nil
}
