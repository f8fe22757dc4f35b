package store

import (
	"context"
	"fmt"
	"log/slog"
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
	CreatedAt   time.Time
	SeenAt      time.Time
	ExpiresAt   time.Time // absolute
}

// LogValue keeps the person out of logs.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.ID) }

// CreateSession writes a session with its first token, for host. watch may be the zero hash.
func (s *Store) CreateSession(ctx context.Context, v Session, host string, tok, watch token.Hash) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	defer tx.Rollback() // after Commit it does nothing
	var w []byte
	if watch != (token.Hash{}) {
		w = watch[:]
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO sessions (id, subject, method, acr, amr, auth_at, fingerprint, card_type, watch_hash, created_at, seen_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		v.ID, v.Account.Subject, v.Method, v.ACR, strings.Join(v.AMR, " "), v.AuthTime.UnixMilli(), v.Fingerprint, v.CardType, w,
		v.CreatedAt.UnixMilli(), v.SeenAt.UnixMilli(), v.ExpiresAt.UnixMilli())
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	if _, err = tx.ExecContext(ctx, "INSERT INTO session_tokens (hash, session_id, host) VALUES (?, ?, ?)", tok[:], v.ID, host); err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	return nil
}

const sessionQuery = `
	SELECT s.id, s.method, s.acr, s.amr, s.auth_at, s.fingerprint, s.card_type, s.created_at, s.seen_at, s.expires_at,
	       a.subject, a.id_type, a.national_id, a.given_name, a.family_name, a.title, a.profession, a.mailbox, a.state = 'disabled'
	FROM sessions s JOIN accounts a ON a.subject = s.subject`

type row interface{ Scan(...any) error }

func scanSession(r row) (Session, error) {
	var v Session
	var amr string
	var auth, created, seen, expires int64
	err := r.Scan(append([]any{&v.ID, &v.Method, &v.ACR, &amr, &auth, &v.Fingerprint, &v.CardType, &created, &seen, &expires},
		v.Account.fields()...)...)
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
	v, err := scanSession(s.db.QueryRowContext(ctx, sessionQuery+`
		JOIN session_tokens t ON t.session_id = s.id
		WHERE t.hash = ? AND t.host = ? AND s.ended_at IS NULL AND a.state = 'active'`, tok[:], host))
	if err != nil {
		return Session{}, notFound("find session", err)
	}
	return v, nil
}

// SessionByWatch returns the session that an agent watches the card of, by the rules of SessionByToken.
func (s *Store) SessionByWatch(ctx context.Context, watch token.Hash) (Session, error) {
	v, err := scanSession(s.db.QueryRowContext(ctx, sessionQuery+`
		WHERE s.watch_hash = ? AND s.ended_at IS NULL AND a.state = 'active'`, watch[:]))
	if err != nil {
		return Session{}, notFound("find session", err)
	}
	return v, nil
}

// TouchSession moves the time when the session was last seen.
func (s *Store) TouchSession(ctx context.Context, id string, seen time.Time) error {
	_, err := s.db.ExecContext(ctx, "UPDATE sessions SET seen_at = ?1 WHERE id = ?2 AND seen_at < ?1 AND ended_at IS NULL", seen.UnixMilli(), id)
	if err != nil {
		return fmt.Errorf("touch session: %w", err)
	}
	return nil
}

// EndSession ends a session, for a reason that the audit knows. ErrNotFound: it was over already.
func (s *Store) EndSession(ctx context.Context, id, reason string, now time.Time) error {
	return s.once(ctx, "end session", "UPDATE sessions SET ended_at = ?, end_reason = ? WHERE id = ? AND ended_at IS NULL",
		now.UnixMilli(), reason, id)
}

// SessionHosts returns the hosts that a session, open or over, has been opened on.
func (s *Store) SessionHosts(ctx context.Context, id string) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT DISTINCT host FROM session_tokens WHERE session_id = ? ORDER BY host", id)
	if err != nil {
		return nil, fmt.Errorf("list hosts of session: %w", err)
	}
	defer rows.Close()
	var hosts []string
	for rows.Next() {
		var h string
		if err := rows.Scan(&h); err != nil {
			return nil, fmt.Errorf("list hosts of session: %w", err)
		}
		hosts = append(hosts, h)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list hosts of session: %w", err)
	}
	return hosts, nil
}

// AddEntry writes a one-time code that lets the browser with a state open the session on another host.
func (s *Store) AddEntry(ctx context.Context, session, host string, code, state token.Hash, expires time.Time) error {
	_, err := s.db.ExecContext(ctx, "INSERT INTO entries (hash, session_id, host, state_hash, expires_at) VALUES (?, ?, ?, ?, ?)",
		code[:], session, host, state[:], expires.UnixMilli())
	if err != nil {
		return fmt.Errorf("add entry: %w", err)
	}
	return nil
}

// UseEntry uses up a code on host and gives the session the token tok there. A code is gone after its first use, whether or not
// the state was right. ErrNotFound: unknown, used, late, of another host or browser, or the session is over.
func (s *Store) UseEntry(ctx context.Context, host string, code, state, tok token.Hash, now time.Time) (Session, error) {
	var id, forHost string
	var wanted []byte
	var expires int64
	err := s.db.QueryRowContext(ctx, "DELETE FROM entries WHERE hash = ? RETURNING session_id, host, state_hash, expires_at", code[:]).
		Scan(&id, &forHost, &wanted, &expires)
	if err != nil {
		return Session{}, notFound("use entry", err)
	}
	if forHost != host || string(wanted) != string(state[:]) || now.UnixMilli() >= expires {
		return Session{}, fmt.Errorf("use entry: %w", ErrNotFound)
	}
	v, err := scanSession(s.db.QueryRowContext(ctx, sessionQuery+" WHERE s.id = ? AND s.ended_at IS NULL AND a.state = 'active'", id))
	if err != nil {
		return Session{}, notFound("use entry", err)
	}
	if _, err := s.db.ExecContext(ctx, "INSERT INTO session_tokens (hash, session_id, host) VALUES (?, ?, ?)", tok[:], id, host); err != nil {
		return Session{}, fmt.Errorf("use entry: %w", err)
	}
	return v, nil
}
