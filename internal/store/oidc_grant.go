package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"promess/authgw/internal/token"
)

// ErrReused says that a refresh token was used before, by its client or by somebody who took it. Nobody knows which, so all that was given
// with it has ended.
var ErrReused = errors.New("used before")

// Grant is what one client was given in one session: a family of tokens, which ends as a whole.
type Grant struct {
	ID, Client string
	Session    string // that it lives with
	SID        string // that session, as the client knows it
	Body       []byte // JSON, of package oidc
	Created    time.Time
	Expires    time.Time // whatever of it is used; never later than the session
	Ended      bool
}

// RefreshToken is one of a grant.
type RefreshToken struct {
	Hash    token.Hash
	Scope   string // words, separated by a space
	Created time.Time
	Expires time.Time // at the latest: a grant that is over has no tokens
	Used    time.Time // when another took its place; zero: it is the last

	next []byte // that other; nil: its place was taken by none
}

// AddGrant writes a grant, with a refresh token or nil, all at once. It ends with its session, if not before. ErrExists: there is one of this id,
// as that of a code which was used. ErrNotFound: the session is over.
func (s *Store) AddGrant(ctx context.Context, g Grant, refresh *RefreshToken, now time.Time) error {
	if refresh == nil { // one statement, which is a transaction by itself
		_, err := s.passing.addGrant(ctx, g, now)
		return failed("add grant", err)
	}
	return failed("add grant", s.passing.atomically(ctx, func(c conn) error {
		end, err := c.addGrant(ctx, g, now)
		if err != nil {
			return err
		}
		return c.addRefresh(ctx, g.ID, end, *refresh)
	}))
}

// addGrant writes a grant and returns its end.
func (c conn) addGrant(ctx context.Context, g Grant, now time.Time) (time.Time, error) {
	var end int64
	err := c.change(ctx, `
		INSERT INTO oidc_grants (id, client, session_id, sid, body, created_at, expires_at)
		SELECT ?1, ?2, id, ?4, ?5, ?6, CASE WHEN expires_at < ?7 THEN expires_at ELSE ?7 END
		FROM sessions WHERE id = ?3 AND ended_at IS NULL AND expires_at > ?6`+c.engine.share+`
		ON CONFLICT (id) DO NOTHING RETURNING expires_at`,
		g.ID, g.Client, g.Session, g.SID, string(g.Body), now.UnixMilli(), g.Expires.UnixMilli()).Scan(&end)
	if !errors.Is(err, sql.ErrNoRows) {
		return millis(end), err
	}
	var n int
	if err := c.row(ctx, "SELECT count(*) FROM oidc_grants WHERE id = ?1", g.ID).Scan(&n); err != nil {
		return time.Time{}, err
	}
	if n > 0 {
		return time.Time{}, ErrExists
	}
	return time.Time{}, ErrNotFound
}

// addRefresh writes a refresh token of a grant, which it does not outlive.
func (c conn) addRefresh(ctx context.Context, grant string, end time.Time, t RefreshToken) error {
	if t.Expires.After(end) {
		t.Expires = end
	}
	_, err := c.exec(ctx, "INSERT INTO oidc_tokens (hash, grant_id, kind, scope, created_at, expires_at) VALUES (?1, ?2, 'refresh', ?3, ?4, ?5)",
		t.Hash[:], grant, t.Scope, t.Created.UnixMilli(), t.Expires.UnixMilli())
	return err
}

const grantColumns = "g.id, g.client, g.session_id, g.sid, g.body, g.created_at, g.expires_at, g.ended_at"

func scanGrant(r row, more ...any) (Grant, error) {
	var g Grant
	var ended sql.NullInt64
	var created, expires int64
	err := r.Scan(append([]any{&g.ID, &g.Client, &g.Session, &g.SID, &g.Body, &created, &expires, &ended}, more...)...)
	if err != nil {
		return Grant{}, err
	}
	g.Created, g.Expires, g.Ended = millis(created), millis(expires), ended.Valid
	return g, nil
}

// GrantByID returns a grant, whatever has become of it: the caller looks. ErrNotFound: there is none.
func (s *Store) GrantByID(ctx context.Context, id string) (Grant, error) {
	g, err := scanGrant(s.db.row(ctx, "SELECT "+grantColumns+" FROM oidc_grants g WHERE g.id = ?1", id))
	return g, failed("find grant", err)
}

// GrantOfAccess returns the grant of an access token, which says whose it is. ErrNotFound: the grant is unknown, late or over, or the token was
// revoked.
func (s *Store) GrantOfAccess(ctx context.Context, id string, access token.Hash, now time.Time) (Grant, error) {
	g, err := scanGrant(s.db.row(ctx, "SELECT "+grantColumns+` FROM oidc_grants g
		WHERE g.id = ?1 AND g.ended_at IS NULL AND g.expires_at > ?3 AND NOT EXISTS (SELECT 1 FROM oidc_tokens t WHERE t.hash = ?2)`,
		id, access[:], now.UnixMilli()))
	if err != nil {
		return Grant{}, failed("find grant", err)
	}
	return g, nil
}

// refreshOf returns a refresh token with its grant, whatever has become of them.
func (c conn) refreshOf(ctx context.Context, hash token.Hash) (RefreshToken, Grant, error) {
	t := RefreshToken{Hash: hash}
	var created, expires int64
	var used sql.NullInt64
	g, err := scanGrant(c.row(ctx, "SELECT "+grantColumns+`, t.scope, t.created_at, t.expires_at, t.used_at, t.next_hash
		FROM oidc_tokens t JOIN oidc_grants g ON g.id = t.grant_id WHERE t.hash = ?1 AND t.kind = 'refresh'`, hash[:]),
		&t.Scope, &created, &expires, &used, &t.next)
	t.Created, t.Expires, t.Used = millis(created), millis(expires), moment(used)
	return t, g, err
}

// GrantByRefresh returns a refresh token that is good at a time, or was used before: what becomes of such a one is for RotateRefresh to say.
// ErrNotFound: unknown, late, or over.
func (s *Store) GrantByRefresh(ctx context.Context, hash token.Hash, now time.Time) (RefreshToken, Grant, error) {
	t, g, err := s.db.refreshOf(ctx, hash)
	if err == nil && (g.Ended || !now.Before(g.Expires) || !now.Before(t.Expires)) {
		err = ErrNotFound
	}
	if err != nil {
		return RefreshToken{}, Grant{}, failed("find refresh token", err)
	}
	return t, g, nil
}

// Rotation is the use of a refresh token.
type Rotation struct {
	Old    token.Hash
	Client string        // that uses it
	Next   RefreshToken  // takes its place
	Grace  time.Duration // for which a used one is taken again, as long as nobody has used the one that took its place: the answer was lost
}

// RotateRefresh puts a refresh token in the place of another. ErrNotFound: unknown, another client's, late, or over.
// ErrReused: it was used before, and not within grace; its grant has ended. A token that took the place of another whose answer was lost is
// used from then on.
func (s *Store) RotateRefresh(ctx context.Context, r Rotation, now time.Time) error {
	var grant string
	err := s.passing.atomically(ctx, func(c conn) (err error) {
		grant, err = c.rotate(ctx, r, now)
		return err
	})
	if errors.Is(err, ErrReused) {
		if over := s.EndGrant(ctx, grant, now); over != nil && !errors.Is(over, ErrNotFound) {
			return failed("rotate refresh token", over)
		}
	}
	return failed("rotate refresh token", err)
}

func (c conn) rotate(ctx context.Context, r Rotation, now time.Time) (grant string, err error) {
	// The grant's row is what those wait for who use tokens of one family at the same time.
	err = c.row(ctx, "SELECT id FROM oidc_grants WHERE id = (SELECT grant_id FROM oidc_tokens WHERE hash = ?1)"+c.engine.lock, r.Old[:]).Scan(&grant)
	if err != nil {
		return "", err
	}
	old, g, err := c.refreshOf(ctx, r.Old)
	switch {
	case err != nil:
		return "", err
	case g.Client != r.Client || g.Ended || !now.Before(g.Expires) || !now.Before(old.Expires):
		return "", ErrNotFound
	}
	if !old.Used.IsZero() {
		if now.Sub(old.Used) > r.Grace || old.next == nil {
			return grant, ErrReused
		}
		// RFC 9700, section 4.14.2: what both a client and a thief have is not to go on. The one that was lost is used up without another
		// in its place, so that whoever has it after all ends the family.
		err := c.once(ctx, "UPDATE oidc_tokens SET used_at = ?2 WHERE hash = ?1 AND used_at IS NULL", old.next, now.UnixMilli())
		if errors.Is(err, ErrNotFound) {
			return grant, ErrReused
		}
		if err != nil {
			return "", err
		}
	}
	err = c.once(ctx, "UPDATE oidc_tokens SET used_at = CASE WHEN used_at IS NULL THEN ?2 ELSE used_at END, next_hash = ?3 WHERE hash = ?1",
		r.Old[:], now.UnixMilli(), r.Next.Hash[:])
	if err != nil {
		return "", err
	}
	return grant, c.addRefresh(ctx, grant, g.Expires, r.Next)
}

// EndGrant ends a grant with its tokens, and announces it. ErrNotFound: it was over already.
func (s *Store) EndGrant(ctx context.Context, id string, now time.Time) error {
	return failed("end grant", s.atomically(ctx, func(c conn) error {
		if err := c.once(ctx, "UPDATE oidc_grants SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL", id, now.UnixMilli()); err != nil {
			return err
		}
		return c.announce(ctx, GrantEnded, id, now)
	}))
}

// EndGrantsOf ends all grants of a client, and says how many there were. What gateways know of its tokens they forget by GrantsEnded.
func (s *Store) EndGrantsOf(ctx context.Context, client string, now time.Time) (ended int64, err error) {
	err = s.atomically(ctx, func(c conn) error {
		ended, err = c.endGrantsOf(ctx, client, now)
		return err
	})
	return ended, failed("end grants", err)
}

// endGrantsOf is EndGrantsOf in a transaction.
func (c conn) endGrantsOf(ctx context.Context, client string, now time.Time) (int64, error) {
	ended, err := c.changed(ctx, "UPDATE oidc_grants SET ended_at = ?2 WHERE client = ?1 AND ended_at IS NULL", client, now.UnixMilli())
	if err != nil || ended == 0 {
		return 0, err
	}
	return ended, c.announce(ctx, GrantsEnded, client, now)
}

// EndAccess revokes an access token of a grant, which is good until expires, and nothing else, and announces that. ErrNotFound: it was revoked before.
func (s *Store) EndAccess(ctx context.Context, hash token.Hash, grant string, expires, now time.Time) error {
	return failed("end token", s.atomically(ctx, func(c conn) error {
		err := c.once(ctx, `
			INSERT INTO oidc_tokens (hash, grant_id, kind, scope, created_at, expires_at)
			SELECT ?1, id, 'revoked', '', ?3, ?4 FROM oidc_grants WHERE id = ?2 ON CONFLICT (hash) DO NOTHING`,
			hash[:], grant, now.UnixMilli(), expires.UnixMilli())
		if err != nil {
			return err
		}
		return c.announce(ctx, GrantEnded, grant, now)
	}))
}

// MoveGrants lets the grants of a session go on with another session of the same account, which takes its place. They last no longer than
// either. ErrNotFound: that other is over, or not of the same account.
func (s *Store) MoveGrants(ctx context.Context, from, to string, now time.Time) error {
	return failed("move grants", s.atomically(ctx, func(c conn) error {
		var expires int64
		err := c.row(ctx, `
			SELECT expires_at FROM sessions WHERE id = ?2 AND id <> ?1 AND ended_at IS NULL AND expires_at > ?3
			AND subject = (SELECT subject FROM sessions WHERE id = ?1)`+c.engine.share, from, to, now.UnixMilli()).Scan(&expires)
		if err != nil {
			return err
		}
		rows, err := c.query(ctx, `
			UPDATE oidc_grants SET session_id = ?2, expires_at = CASE WHEN expires_at < ?3 THEN expires_at ELSE ?3 END
			WHERE session_id = ?1 AND ended_at IS NULL RETURNING id`, from, to, expires)
		if err != nil {
			return err
		}
		moved, err := texts(rows)
		for _, id := range moved {
			if err == nil {
				err = c.announce(ctx, GrantEnded, id, now) // gateways know it by its session
			}
		}
		return err
	}))
}

// toldFor is how long a client is tried to be told that a session is over. It keeps no session longer than that, one hopes.
const toldFor = 24 * time.Hour

// endGrants ends the grants of a session that is ended in the same transaction, and writes down whom to tell: the clients that were given
// something, each once for each name that they know the session by. Whether a client wants to be told is not known here.
func (c conn) endGrants(ctx context.Context, session string, now time.Time) error {
	_, err := c.exec(ctx, "UPDATE oidc_grants SET ended_at = ?2 WHERE session_id = ?1 AND ended_at IS NULL", session, now.UnixMilli())
	if err != nil {
		return err
	}
	rows, err := c.query(ctx, `
		SELECT DISTINCT g.client, g.sid, s.subject FROM oidc_grants g JOIN sessions s ON s.id = g.session_id
		WHERE g.session_id = ?1 ORDER BY g.client, g.sid`, session)
	if err != nil {
		return err
	}
	defer rows.Close()
	type told struct{ client, sid, subject string }
	var all []told
	for rows.Next() {
		var v told
		if err := rows.Scan(&v.client, &v.sid, &v.subject); err != nil {
			return err
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list clients of session: %w", err)
	}
	for _, v := range all {
		_, err := c.exec(ctx, `
			INSERT INTO oidc_logouts (id, client, subject, sid, tries, created_at, next_at, expires_at) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5, ?6)`,
			strings.ToLower(rand.Text()), v.client, v.subject, v.sid, now.UnixMilli(), now.Add(toldFor).UnixMilli())
		if err != nil {
			return err
		}
	}
	return nil
}
