package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"promess/authgw/internal/token"
)

// Session is what one login proved, and how long that holds.
type Session struct {
	ID          string // opens nothing; names the session in audit and assertions
	Account     Account
	Method      string
	ACR         string
	AMR         []string
	AuthTime    time.Time
	Fingerprint string // SHA-256 of the certificate, in hex; empty without one
	CardType    string
	Source      string // network address of the login
	Browser     string // short name of the browser
	Situation   string // JSON: in which of several situations the person works; empty: not known
	CreatedAt   time.Time
	SeenAt      time.Time
	ExpiresAt   time.Time // absolute
}

// LogValue keeps the person out of logs.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.ID) }

// CreateSession writes a session with its first token, for host. watch may be the zero hash. The browser, where there is one, is known to the
// person from now on. ErrNotFound: the account is not there, or disabled by now. A power cut may take it with it, unless a write that survives
// one follows: what the audit has of the login does.
func (s *Store) CreateSession(ctx context.Context, v Session, host string, tok, watch token.Hash, browser ...KnownBrowser) error {
	var w []byte
	if watch != (token.Hash{}) {
		w = watch[:]
	}
	return failed("create session", s.passing.atomically(ctx, func(c conn) error {
		err := c.once(ctx, `
			INSERT INTO sessions (id, subject, method, acr, amr, auth_at, fingerprint, card_type, source, browser, watch_hash, created_at, seen_at, expires_at, situation)
			SELECT ?1, subject, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15 FROM accounts WHERE subject = ?2 AND state = 'active'`+c.engine.share,
			v.ID, v.Account.Subject, v.Method, v.ACR, strings.Join(v.AMR, " "), v.AuthTime.UnixMilli(), v.Fingerprint, v.CardType, v.Source, v.Browser,
			w, v.CreatedAt.UnixMilli(), v.SeenAt.UnixMilli(), v.ExpiresAt.UnixMilli(), v.Situation)
		if err != nil {
			return err
		}
		for _, b := range browser {
			if err := c.rememberBrowser(ctx, b, v.Account.Subject, v.CreatedAt); err != nil {
				return err
			}
		}
		return c.addToken(ctx, tok, v.ID, host)
	}))
}

func (c conn) addToken(ctx context.Context, tok token.Hash, session, host string) error {
	_, err := c.exec(ctx, "INSERT INTO session_tokens (hash, session_id, host) VALUES (?1, ?2, ?3)", tok[:], session, host)
	return err
}

const sessionQuery = `
	SELECT s.id, s.method, s.acr, s.amr, s.auth_at, s.fingerprint, s.card_type, s.source, s.browser, s.situation, s.created_at, s.seen_at, s.expires_at,
	       ` + accountColumns + `
	FROM sessions s JOIN accounts a ON a.subject = s.subject`

type row interface{ Scan(...any) error }

func scanSession(r row) (Session, error) {
	var v Session
	var amr string
	var auth, created, seen, expires int64
	err := scanAccount(r, &v.Account, &v.ID, &v.Method, &v.ACR, &amr, &auth, &v.Fingerprint, &v.CardType, &v.Source, &v.Browser, &v.Situation, &created, &seen, &expires)
	if err != nil {
		return Session{}, err
	}
	v.AMR = strings.Fields(amr)
	v.AuthTime, v.CreatedAt, v.SeenAt, v.ExpiresAt = millis(auth), millis(created), millis(seen), millis(expires)
	return v, nil
}

// SessionByToken returns the session of a token on host, unless it was ended or its account is disabled. Its times are the
// caller's to judge.
func (s *Store) SessionByToken(ctx context.Context, host string, tok token.Hash) (Session, error) {
	v, err := scanSession(s.db.row(ctx, sessionQuery+`
		JOIN session_tokens t ON t.session_id = s.id
		WHERE t.hash = ?1 AND t.host = ?2 AND s.ended_at IS NULL AND a.state = 'active'`, tok[:], host))
	return v, failed("find session", err)
}

// SessionByWatch returns the session that an agent watches the card of, by the rules of SessionByToken.
func (s *Store) SessionByWatch(ctx context.Context, watch token.Hash) (Session, error) {
	v, err := scanSession(s.db.row(ctx, sessionQuery+`
		WHERE s.watch_hash = ?1 AND s.ended_at IS NULL AND a.state = 'active'`, watch[:]))
	return v, failed("find session", err)
}

// SessionsOf returns the open sessions of an account at a time, the newest first.
func (s *Store) SessionsOf(ctx context.Context, subject string, idle time.Duration, now time.Time) ([]Session, error) {
	rows, err := s.db.query(ctx, sessionQuery+`
		WHERE s.subject = ?1 AND s.ended_at IS NULL AND s.expires_at > ?2 AND s.seen_at > ?3 AND a.state = 'active'
		ORDER BY s.created_at DESC LIMIT 200`, subject, now.UnixMilli(), now.Add(-idle).UnixMilli())
	if err != nil {
		return nil, failed("list sessions", err)
	}
	defer rows.Close()
	var all []Session
	for rows.Next() {
		v, err := scanSession(rows)
		if err != nil {
			return nil, failed("list sessions", err)
		}
		all = append(all, v)
	}
	return all, failed("list sessions", rows.Err())
}

// TouchSession moves the time when the session was last seen.
func (s *Store) TouchSession(ctx context.Context, id string, seen time.Time) error {
	_, err := s.passing.exec(ctx, "UPDATE sessions SET seen_at = ?1 WHERE id = ?2 AND seen_at < ?1 AND ended_at IS NULL", seen.UnixMilli(), id)
	return failed("touch session", err)
}

// TouchSessions is TouchSession for many, by their ids, at once.
func (s *Store) TouchSessions(ctx context.Context, seen map[string]time.Time) error {
	return failed("touch sessions", s.passing.atomically(ctx, func(c conn) error {
		for _, id := range slices.Sorted(maps.Keys(seen)) { // in one order, so that two gateways do not wait for each other
			_, err := c.exec(ctx, "UPDATE sessions SET seen_at = ?1 WHERE id = ?2 AND seen_at < ?1 AND ended_at IS NULL", seen[id].UnixMilli(), id)
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// EndSession ends a session, for a reason that the audit knows, and announces it. ErrNotFound: it was over already.
func (s *Store) EndSession(ctx context.Context, id, reason string, now time.Time) error {
	return failed("end session", s.atomically(ctx, func(c conn) error {
		return c.endSession(ctx, id, reason, now)
	}))
}

func (c conn) endSession(ctx context.Context, id, reason string, now time.Time) error {
	err := c.once(ctx, "UPDATE sessions SET ended_at = ?1, end_reason = ?2 WHERE id = ?3 AND ended_at IS NULL", now.UnixMilli(), reason, id)
	if err == nil {
		err = c.endGrants(ctx, id, now)
	}
	if err != nil {
		return err
	}
	return c.announce(ctx, SessionEnded, id, now)
}

// EndSessionsOf ends the open sessions of an account but the one named except, which may be empty, and returns their ids.
func (s *Store) EndSessionsOf(ctx context.Context, subject, except, reason string, now time.Time) (ended []string, err error) {
	err = s.atomically(ctx, func(c conn) error {
		ended, err = c.endSessionsOf(ctx, subject, except, reason, now)
		return err
	})
	return ended, failed("end sessions", err)
}

func (c conn) endSessionsOf(ctx context.Context, subject, except, reason string, now time.Time) ([]string, error) {
	rows, err := c.query(ctx, `
		UPDATE sessions SET ended_at = ?1, end_reason = ?2 WHERE ended_at IS NULL AND id IN (
			SELECT id FROM sessions WHERE subject = ?3 AND id <> ?4 AND ended_at IS NULL ORDER BY id`+c.engine.lock+`)
		RETURNING id`, now.UnixMilli(), reason, subject, except)
	if err != nil {
		return nil, err
	}
	ids, err := texts(rows)
	for _, id := range ids {
		if err == nil {
			err = c.endGrants(ctx, id, now)
		}
		if err == nil {
			err = c.announce(ctx, SessionEnded, id, now)
		}
	}
	return ids, err
}

// overBatch bounds how many sessions one statement ends, and so how long others wait for it.
const overBatch = 200

// EndExpired ends at most a few hundred of the sessions whose time is over: "idle" those that were last seen at idle or before, "expired"
// those that have reached their end. It returns them; none is left when it returns none.
func (s *Store) EndExpired(ctx context.Context, idle, now time.Time) (ended []EndedSession, err error) {
	var id string
	err = s.db.row(ctx, "SELECT id FROM sessions WHERE "+overCondition+" LIMIT 1", now.UnixMilli(), idle.UnixMilli()).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // nearly always; nobody that writes has waited
	}
	if err == nil {
		err = s.atomically(ctx, func(c conn) error {
			ended, err = c.endExpired(ctx, idle, now)
			return err
		})
	}
	return ended, failed("end expired sessions", err)
}

const overCondition = "ended_at IS NULL AND (expires_at <= ?1 OR seen_at <= ?2)"

// EndedSession is a session that EndExpired has ended.
type EndedSession struct{ ID, Subject, Method, Reason string }

func (c conn) endExpired(ctx context.Context, idle, now time.Time) ([]EndedSession, error) {
	rows, err := c.query(ctx, `
		UPDATE sessions SET ended_at = ?1, end_reason = CASE WHEN expires_at <= ?1 THEN 'expired' ELSE 'idle' END
		WHERE `+overCondition+` AND id IN (SELECT id FROM sessions WHERE `+overCondition+` ORDER BY id LIMIT ?3`+c.engine.lock+`)
		RETURNING id, subject, method, end_reason`, now.UnixMilli(), idle.UnixMilli(), overBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []EndedSession
	for rows.Next() {
		var v EndedSession
		if err := rows.Scan(&v.ID, &v.Subject, &v.Method, &v.Reason); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, v := range all {
		if err := c.endGrants(ctx, v.ID, now); err != nil {
			return nil, err
		}
		if err := c.announce(ctx, SessionEnded, v.ID, now); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// texts reads rows of one text each, and closes them.
func texts(rows *sql.Rows) ([]string, error) {
	defer rows.Close()
	var all []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// EndReason returns why the session of a token on host was ended. ErrNotFound: there is none, or it was not ended.
func (s *Store) EndReason(ctx context.Context, host string, tok token.Hash) (string, error) {
	var reason string
	err := s.db.row(ctx, `
		SELECT s.end_reason FROM sessions s JOIN session_tokens t ON t.session_id = s.id
		WHERE t.hash = ?1 AND t.host = ?2 AND s.ended_at IS NOT NULL`, tok[:], host).Scan(&reason)
	return reason, failed("find end of session", err)
}

// SessionHosts returns the hosts that a session, open or over, has been opened on.
func (s *Store) SessionHosts(ctx context.Context, id string) ([]string, error) {
	rows, err := s.db.query(ctx, "SELECT DISTINCT host FROM session_tokens WHERE session_id = ?1 ORDER BY host", id)
	if err != nil {
		return nil, failed("list hosts of session", err)
	}
	hosts, err := texts(rows)
	return hosts, failed("list hosts of session", err)
}

// AddEntry writes a one-time code that lets the browser with a state open the session on another host.
func (s *Store) AddEntry(ctx context.Context, session, host string, code, state token.Hash, expires time.Time) error {
	_, err := s.passing.exec(ctx, "INSERT INTO entries (hash, session_id, host, state_hash, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
		code[:], session, host, state[:], expires.UnixMilli())
	return failed("add entry", err)
}

// UseEntry uses up a code on host and gives the session the token tok there. A code is gone after its first use, whether or not
// the state was right. ErrNotFound: unknown, used, late, of another host or browser, or the session is over.
func (s *Store) UseEntry(ctx context.Context, host string, code, state, tok token.Hash, now time.Time) (Session, error) {
	var id, forHost string
	var wanted []byte
	var expires int64
	err := s.passing.change(ctx, "DELETE FROM entries WHERE hash = ?1 RETURNING session_id, host, state_hash, expires_at", code[:]).
		Scan(&id, &forHost, &wanted, &expires)
	if err != nil {
		return Session{}, failed("use entry", err)
	}
	if forHost != host || string(wanted) != string(state[:]) || now.UnixMilli() >= expires {
		return Session{}, fmt.Errorf("use entry: %w", ErrNotFound)
	}
	v, err := scanSession(s.passing.row(ctx, sessionQuery+" WHERE s.id = ?1 AND s.ended_at IS NULL AND a.state = 'active'", id))
	if err == nil {
		err = s.passing.addToken(ctx, tok, id, host)
	}
	if err != nil {
		return Session{}, failed("use entry", err)
	}
	return v, nil
}
