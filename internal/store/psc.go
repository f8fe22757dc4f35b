package store

import (
	"context"
	"fmt"
	"time"
)

// PSCSession is what a session has at Pro Santé Connect.
type PSCSession struct {
	ID          string // of the session here
	Issuer, Sub string
	SID         string // of the session there; may be empty
	Tokens      string // sealed
	Refreshed   time.Time
	Due         time.Time // when they are to be renewed, if the person has been active since
}

// PSCSubject returns the subject of the account that (iss, sub) is known for. ErrNotFound: it is not known.
func (s *Store) PSCSubject(ctx context.Context, issuer, sub string) (string, error) {
	var subject string
	err := s.db.row(ctx, "SELECT subject FROM psc_subjects WHERE issuer = ?1 AND sub = ?2", issuer, sub).Scan(&subject)
	return subject, failed("find identity", err)
}

// LinkPSCSession notes what a session that has just been opened has at Pro Santé Connect, and that its (iss, sub) is the account's.
// ErrNotFound: (iss, sub) is another account's by now, or the session is over.
func (s *Store) LinkPSCSession(ctx context.Context, v PSCSession) error {
	return failed("link session", s.atomically(ctx, func(c conn) error {
		_, err := c.exec(ctx, `
			INSERT INTO psc_subjects (issuer, sub, subject) SELECT ?1, ?2, subject FROM sessions WHERE id = ?3
			ON CONFLICT (issuer, sub) DO NOTHING`, v.Issuer, v.Sub, v.ID)
		if err != nil {
			return err
		}
		return c.once(ctx, `
			INSERT INTO psc_sessions (session_id, issuer, sub, sid, tokens, refreshed_at, due_at)
			SELECT s.id, ?2, ?3, ?4, ?5, ?6, ?7 FROM sessions s JOIN psc_subjects p ON p.subject = s.subject
			WHERE s.id = ?1 AND s.ended_at IS NULL AND p.issuer = ?2 AND p.sub = ?3`,
			v.ID, v.Issuer, v.Sub, v.SID, v.Tokens, v.Refreshed.UnixMilli(), v.Due.UnixMilli())
	}))
}

// AddPSCSubject notes that (iss, sub) is of the account of a subject too. ErrNotFound: it is another's.
func (s *Store) AddPSCSubject(ctx context.Context, issuer, sub, subject string) error {
	_, err := s.db.exec(ctx, "INSERT INTO psc_subjects (issuer, sub, subject) VALUES (?1, ?2, ?3) ON CONFLICT (issuer, sub) DO NOTHING", issuer, sub, subject)
	if err != nil {
		return failed("note identity", err)
	}
	owner, err := s.PSCSubject(ctx, issuer, sub)
	if err == nil && owner != subject {
		err = fmt.Errorf("note identity: %w", ErrNotFound)
	}
	return err
}

const pscColumns = "session_id, issuer, sub, sid, tokens, refreshed_at, due_at"

func scanPSC(r row) (PSCSession, error) {
	var v PSCSession
	var refreshed, due int64
	err := r.Scan(&v.ID, &v.Issuer, &v.Sub, &v.SID, &v.Tokens, &refreshed, &due)
	v.Refreshed, v.Due = millis(refreshed), millis(due)
	return v, err
}

// PSCSession returns what a session, open or over, has at Pro Santé Connect, or ErrNotFound.
func (s *Store) PSCSession(ctx context.Context, id string) (PSCSession, error) {
	v, err := scanPSC(s.db.row(ctx, "SELECT "+pscColumns+" FROM psc_sessions WHERE session_id = ?1", id))
	return v, failed("find session", err)
}

// LeasePSC takes at most limit open sessions whose tokens are due, of persons who have been active since they were renewed, the longest
// due first. Until the lease is over, no other call, here or at another gateway, takes them: it is one statement.
func (s *Store) LeasePSC(ctx context.Context, limit int, now, until time.Time) ([]PSCSession, error) {
	if err := s.passing.writing.enter(ctx); err != nil {
		return nil, failed("lease sessions", err)
	}
	defer s.passing.writing.leave()
	rows, err := s.passing.query(ctx, `
		UPDATE psc_sessions SET lease_until = ?3 WHERE lease_until <= ?2 AND session_id IN (
			SELECT p.session_id FROM psc_sessions p JOIN sessions s ON s.id = p.session_id
			WHERE p.due_at <= ?2 AND p.lease_until <= ?2 AND s.seen_at > p.refreshed_at AND s.ended_at IS NULL AND s.expires_at > ?2
			ORDER BY p.due_at LIMIT ?1)
		RETURNING `+pscColumns, limit, now.UnixMilli(), until.UnixMilli())
	if err != nil {
		return nil, failed("lease sessions", err)
	}
	defer rows.Close()
	var all []PSCSession
	for rows.Next() {
		v, err := scanPSC(rows)
		if err != nil {
			return nil, failed("lease sessions", err)
		}
		all = append(all, v)
	}
	return all, failed("lease sessions", rows.Err())
}

// RenewPSC writes the new tokens of a leased session and ends the lease. It is durable: the old ones are worth nothing any more.
func (s *Store) RenewPSC(ctx context.Context, v PSCSession) error {
	return failed("renew session", s.db.once(ctx, `
		UPDATE psc_sessions SET sub = ?2, tokens = ?3, refreshed_at = ?4, due_at = ?5, lease_until = 0 WHERE session_id = ?1`,
		v.ID, v.Sub, v.Tokens, v.Refreshed.UnixMilli(), v.Due.UnixMilli()))
}

// PostponePSC ends the lease of a session whose tokens could not be renewed now.
func (s *Store) PostponePSC(ctx context.Context, id string, due time.Time) error {
	_, err := s.passing.exec(ctx, "UPDATE psc_sessions SET due_at = ?2, lease_until = 0 WHERE session_id = ?1", id, due.UnixMilli())
	return failed("postpone session", err)
}

// OpenSession returns an open session by its id, or ErrNotFound.
func (s *Store) OpenSession(ctx context.Context, id string) (Session, error) {
	v, err := scanSession(s.db.row(ctx, sessionQuery+" WHERE s.id = ?1 AND s.ended_at IS NULL", id))
	return v, failed("find session", err)
}

// PSCSessionsOf returns the ids of the open sessions of an issuer that have its session id, or, when that is empty, its sub.
func (s *Store) PSCSessionsOf(ctx context.Context, issuer, sid, sub string) ([]string, error) {
	rows, err := s.db.query(ctx, `
		SELECT p.session_id FROM psc_sessions p JOIN sessions s ON s.id = p.session_id
		WHERE s.ended_at IS NULL AND p.issuer = ?1 AND (?2 <> '' AND p.sid = ?2 OR ?2 = '' AND p.sub = ?3)`, issuer, sid, sub)
	if err != nil {
		return nil, failed("find sessions", err)
	}
	ids, err := texts(rows)
	return ids, failed("find sessions", err)
}

// PSCLogoutUsed says whether a logout token was noted.
func (s *Store) PSCLogoutUsed(ctx context.Context, issuer, jti string) (bool, error) {
	var n int
	err := s.db.row(ctx, "SELECT count(*) FROM psc_logouts WHERE issuer = ?1 AND jti = ?2", issuer, jti).Scan(&n)
	return n > 0, failed("find logout", err)
}

// UsePSCLogout notes a logout token. ErrNotFound: it was taken before.
func (s *Store) UsePSCLogout(ctx context.Context, issuer, jti string, expires time.Time) error {
	return failed("note logout", s.db.once(ctx, "INSERT INTO psc_logouts (issuer, jti, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT (issuer, jti) DO NOTHING",
		issuer, jti, expires.UnixMilli()))
}
