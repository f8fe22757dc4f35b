package store

import (
	"context"
	"database/sql"
	"time"

	"promess/authgw/internal/token"
)

// Login is a login in progress.
type Login struct {
	Browser token.Hash // of the browser that began it
	Method  string
	Expires time.Time
	Fetched bool
	Settled bool
	Watch   token.Hash // of the agent, zero when there is nothing to watch
	Outcome []byte     // what the method wrote when it settled it
}

// CreateLogin writes a login that waits for a proof.
func (s *Store) CreateLogin(ctx context.Context, handle token.Hash, l Login, now time.Time) error {
	_, err := s.passing.exec(ctx, "INSERT INTO logins (handle_hash, browser_hash, method, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
		handle[:], l.Browser[:], l.Method, now.UnixMilli(), l.Expires.UnixMilli())
	return failed("create login", err)
}

// FetchLogin notes that an agent has taken the login up, and returns when it ends. ErrNotFound: unknown, late or settled.
func (s *Store) FetchLogin(ctx context.Context, handle token.Hash, method string, now time.Time) (time.Time, error) {
	var expires int64
	err := s.passing.change(ctx, `
		UPDATE logins SET fetched_at = coalesce(fetched_at, ?1)
		WHERE handle_hash = ?2 AND method = ?3 AND settled_at IS NULL AND expires_at > ?1 RETURNING expires_at`,
		now.UnixMilli(), handle[:], method).Scan(&expires)
	if err != nil {
		return time.Time{}, failed("fetch login", err)
	}
	return millis(expires), nil
}

// SettleLogin writes the outcome of a login, once, with the code that brings it to the browser. ErrNotFound: unknown, late, or
// settled before.
func (s *Store) SettleLogin(ctx context.Context, handle token.Hash, method string, code, watch token.Hash, outcome []byte, now, expires time.Time) error {
	var w []byte
	if watch != (token.Hash{}) {
		w = watch[:]
	}
	return failed("settle login", s.passing.once(ctx, `
		UPDATE logins SET settled_at = ?1, code_hash = ?2, watch_hash = ?3, outcome = ?4, expires_at = ?5
		WHERE handle_hash = ?6 AND method = ?7 AND settled_at IS NULL AND expires_at > ?1`,
		now.UnixMilli(), code[:], w, string(outcome), expires.UnixMilli(), handle[:], method))
}

// UseLogin uses a login's code up and returns the login: once, whoever asks, so that a code that was seen by another browser is
// worth nothing afterwards. ErrNotFound: unknown, late or used.
func (s *Store) UseLogin(ctx context.Context, code token.Hash, method string, now time.Time) (Login, error) {
	l, err := scanLogin(s.passing.change(ctx, `
		UPDATE logins SET used_at = ?1
		WHERE code_hash = ?2 AND method = ?3 AND used_at IS NULL AND expires_at > ?1 RETURNING `+loginColumns,
		now.UnixMilli(), code[:], method))
	if err != nil {
		return Login{}, failed("use login", err)
	}
	return l, nil
}

// usedLately is how long after its code was used a login may still be on its way to becoming a session.
const usedLately = 10 * time.Second

// LoginByWatch says how far the login is that an agent watches the card of: open until its code is used, and used for a few seconds
// after that, until the session is there. ErrNotFound: neither, or there is or was a session, which SessionByWatch knows.
func (s *Store) LoginByWatch(ctx context.Context, watch token.Hash, now time.Time) (used bool, err error) {
	err = s.passing.row(ctx, `
		SELECT used_at IS NOT NULL FROM logins
		WHERE watch_hash = ?1 AND (used_at IS NULL AND expires_at > ?2 OR used_at > ?3)
			AND NOT EXISTS (SELECT 1 FROM sessions WHERE watch_hash = ?1)`,
		watch[:], now.UnixMilli(), now.Add(-usedLately).UnixMilli()).Scan(&used)
	if err != nil {
		return false, failed("find watched login", err)
	}
	return used, nil
}

// CancelLogin uses a login's code up in favour of nobody, and nobody watches it any more. ErrNotFound: it is used or over.
func (s *Store) CancelLogin(ctx context.Context, watch token.Hash, now time.Time) error {
	return failed("cancel login", s.passing.once(ctx, "UPDATE logins SET used_at = ?1, watch_hash = NULL WHERE watch_hash = ?2 AND used_at IS NULL AND expires_at > ?1",
		now.UnixMilli(), watch[:]))
}

// LoginOfBrowser returns the newest login that a browser began and that is not over. ErrNotFound: none.
func (s *Store) LoginOfBrowser(ctx context.Context, browser token.Hash, now time.Time) (Login, error) {
	l, err := scanLogin(s.passing.row(ctx, "SELECT "+loginColumns+` FROM logins
		WHERE browser_hash = ?1 AND used_at IS NULL AND expires_at > ?2 ORDER BY created_at DESC LIMIT 1`, browser[:], now.UnixMilli()))
	if err != nil {
		return Login{}, failed("find login", err)
	}
	return l, nil
}

const loginColumns = "browser_hash, method, expires_at, fetched_at, settled_at, watch_hash, outcome"

func scanLogin(r row) (Login, error) {
	var l Login
	var browser, watch []byte
	var expires int64
	var fetched, settled sql.NullInt64
	var outcome string
	if err := r.Scan(&browser, &l.Method, &expires, &fetched, &settled, &watch, &outcome); err != nil {
		return Login{}, err
	}
	copy(l.Browser[:], browser)
	copy(l.Watch[:], watch)
	l.Expires, l.Fetched, l.Settled, l.Outcome = millis(expires), fetched.Valid, settled.Valid, []byte(outcome)
	return l, nil
}
