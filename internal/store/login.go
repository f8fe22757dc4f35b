package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"time"

	"promess/authgw/internal/token"
)

// Login is a login in progress.
type Login struct {
	Handle  token.Hash
	Browser token.Hash // of the browser that began it
	Method  string
	Expires time.Time
	Fetched bool
	Settled bool
	Watch   token.Hash // of the agent, zero when there is nothing to watch
	// Progress is what the method wrote of the steps before it is settled.
	Progress []byte
	Outcome  []byte // what the method wrote when it settled it
}

// ID names the login in changes and as the holder of codes. It opens nothing.
func (l Login) ID() string { return hex.EncodeToString(l.Handle[:8]) }

// CreateLogin writes a login that waits for a proof.
func (s *Store) CreateLogin(ctx context.Context, handle token.Hash, l Login, now time.Time) error {
	return failed("create login", s.passing.createLogin(ctx, handle, l, now))
}

func (c conn) createLogin(ctx context.Context, handle token.Hash, l Login, now time.Time) error {
	_, err := c.exec(ctx, "INSERT INTO logins (handle_hash, browser_hash, method, created_at, expires_at, progress) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
		handle[:], l.Browser[:], l.Method, now.UnixMilli(), l.Expires.UnixMilli(), string(l.Progress))
	return err
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

// LoginByHandle returns a login that is not over, by the handle that was given away for it. ErrNotFound: unknown, late or used.
func (s *Store) LoginByHandle(ctx context.Context, handle token.Hash, method string, now time.Time) (Login, error) {
	l, err := scanLogin(s.passing.row(ctx, "SELECT "+loginColumns+` FROM logins
		WHERE handle_hash = ?1 AND method = ?2 AND used_at IS NULL AND expires_at > ?3`, handle[:], method, now.UnixMilli()))
	return l, failed("find login", err)
}

// AdvanceLogin writes how far a login is now, if it still is where l says: of two steps at once, one is taken. With tell, every gateway
// hears of it (LoginChanged, with the login's ID). ErrNotFound: it is elsewhere by now, settled, or over.
func (s *Store) AdvanceLogin(ctx context.Context, l Login, progress []byte, tell bool, now time.Time) error {
	return failed("advance login", s.passing.atomically(ctx, func(in conn) error {
		err := in.advanceLogin(ctx, l, progress, now)
		if err != nil || !tell {
			return err
		}
		return in.announce(ctx, LoginChanged, l.ID(), now)
	}))
}

func (c conn) advanceLogin(ctx context.Context, l Login, progress []byte, now time.Time) error {
	return c.once(ctx, `
		UPDATE logins SET progress = ?1
		WHERE handle_hash = ?2 AND progress = ?3 AND settled_at IS NULL AND used_at IS NULL AND expires_at > ?4`,
		string(progress), l.Handle[:], string(l.Progress), now.UnixMilli())
}

// prolongLogin lets a login that waits go on until a time.
func (c conn) prolongLogin(ctx context.Context, l Login, until, now time.Time) error {
	return c.once(ctx, "UPDATE logins SET expires_at = ?2 WHERE handle_hash = ?1 AND settled_at IS NULL AND used_at IS NULL AND expires_at > ?3",
		l.Handle[:], until.UnixMilli(), now.UnixMilli())
}

// SettleWaiting writes the outcome of a login that the browser waits for, if it still is where l says, and tells every gateway
// (LoginChanged). ErrNotFound as for AdvanceLogin.
func (s *Store) SettleWaiting(ctx context.Context, l Login, outcome []byte, now, expires time.Time) error {
	return failed("settle login", s.passing.atomically(ctx, func(in conn) error {
		err := in.once(ctx, `
			UPDATE logins SET settled_at = ?1, outcome = ?2, expires_at = ?3
			WHERE handle_hash = ?4 AND progress = ?5 AND settled_at IS NULL AND used_at IS NULL AND expires_at > ?1`,
			now.UnixMilli(), string(outcome), expires.UnixMilli(), l.Handle[:], string(l.Progress))
		if err != nil {
			return err
		}
		return in.announce(ctx, LoginChanged, l.ID(), now)
	}))
}

// FinishLogin uses a login up, once, for the browser that began it. settled says whether it must have been settled before, or must not.
// ErrNotFound: it is not so, or it is over or used.
func (s *Store) FinishLogin(ctx context.Context, l Login, settled bool, now time.Time) error {
	return failed("finish login", s.passing.finishLogin(ctx, l, settled, now))
}

func (c conn) finishLogin(ctx context.Context, l Login, settled bool, now time.Time) error {
	return c.once(ctx, `
		UPDATE logins SET used_at = ?1
		WHERE handle_hash = ?2 AND browser_hash = ?3 AND used_at IS NULL AND expires_at > ?1 AND (settled_at IS NOT NULL) = ?4`,
		now.UnixMilli(), l.Handle[:], l.Browser[:], settled)
}

// DropLogin ends a login without an outcome, and tells every gateway. What is over already is not an error.
func (s *Store) DropLogin(ctx context.Context, l Login, now time.Time) error {
	return failed("drop login", s.passing.atomically(ctx, func(in conn) error {
		n, err := in.changed(ctx, "UPDATE logins SET used_at = ?1 WHERE handle_hash = ?2 AND used_at IS NULL", now.UnixMilli(), l.Handle[:])
		if err != nil || n == 0 {
			return err
		}
		return in.announce(ctx, LoginChanged, l.ID(), now)
	}))
}

// LoginOfBrowser returns the newest login with a method that a browser began and that is not over. ErrNotFound: none.
func (s *Store) LoginOfBrowser(ctx context.Context, browser token.Hash, method string, now time.Time) (Login, error) {
	l, err := scanLogin(s.passing.row(ctx, "SELECT "+loginColumns+` FROM logins
		WHERE browser_hash = ?1 AND method = ?2 AND used_at IS NULL AND expires_at > ?3 ORDER BY created_at DESC LIMIT 1`,
		browser[:], method, now.UnixMilli()))
	if err != nil {
		return Login{}, failed("find login", err)
	}
	return l, nil
}

const loginColumns = "handle_hash, browser_hash, method, expires_at, fetched_at, settled_at, watch_hash, progress, outcome"

func scanLogin(r row) (Login, error) {
	var l Login
	var handle, browser, watch []byte
	var expires int64
	var fetched, settled sql.NullInt64
	var progress, outcome string
	if err := r.Scan(&handle, &browser, &l.Method, &expires, &fetched, &settled, &watch, &progress, &outcome); err != nil {
		return Login{}, err
	}
	copy(l.Handle[:], handle)
	copy(l.Browser[:], browser)
	copy(l.Watch[:], watch)
	l.Expires, l.Fetched, l.Settled, l.Outcome = millis(expires), fetched.Valid, settled.Valid, []byte(outcome)
	l.Progress = []byte(progress)
	return l, nil
}
