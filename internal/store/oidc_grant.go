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

// Grant is what one client was given in one session: a family of tokens, which begins with a code and ends as a whole.
type Grant struct {
	ID, Client string
	Session    string // that it lives with
	SID        string // that session, as the client knows it
	Body       []byte // JSON, of package oidc
	Code       token.Hash
	CodeUntil  time.Time // zero: it has no code
	Created    time.Time
	Expires    time.Time // whatever of it is used; never later than the session
	CodeUsed   bool
	Ended      bool
}

// TokenKind is what a token of a grant is for.
type TokenKind string

// The kinds.
const (
	AccessToken  TokenKind = "access"
	RefreshToken TokenKind = "refresh"
)

// GrantToken is a token of a grant.
type GrantToken struct {
	Hash    token.Hash
	Kind    TokenKind
	Scope   string // words, separated by a space
	Created time.Time
	Expires time.Time // at the latest: a grant that is over has no tokens
	Used    time.Time // of a refresh token, when another took its place; zero: it is the last

	next []byte // that other; nil: its place was taken by none
}

// AddGrant writes a grant. It ends with its session, if not before. ErrNotFound: the session is over.
func (s *Store) AddGrant(ctx context.Context, g Grant, now time.Time) error {
	return failed("add grant", s.passing.atomically(ctx, func(c conn) error { return c.addGrant(ctx, g, now) }))
}

func (c conn) addGrant(ctx context.Context, g Grant, now time.Time) error {
	var code, until any
	if !g.CodeUntil.IsZero() {
		code, until = g.Code[:], g.CodeUntil.UnixMilli()
	}
	return c.once(ctx, `
		INSERT INTO oidc_grants (id, client, session_id, sid, body, code_hash, code_until, created_at, expires_at)
		SELECT ?1, ?2, id, ?4, ?5, ?6, ?7, ?8, CASE WHEN expires_at < ?9 THEN expires_at ELSE ?9 END
		FROM sessions WHERE id = ?3 AND ended_at IS NULL AND expires_at > ?8`+c.engine.share,
		g.ID, g.Client, g.Session, g.SID, string(g.Body), code, until, now.UnixMilli(), g.Expires.UnixMilli())
}

const grantColumns = "g.id, g.client, g.session_id, g.sid, g.body, g.code_hash, g.code_until, g.code_used_at, g.created_at, g.expires_at, g.ended_at"

func scanGrant(r row, more ...any) (Grant, error) {
	var g Grant
	var code []byte
	var until, used, ended sql.NullInt64
	var created, expires int64
	err := r.Scan(append([]any{&g.ID, &g.Client, &g.Session, &g.SID, &g.Body, &code, &until, &used, &created, &expires, &ended}, more...)...)
	if err != nil {
		return Grant{}, err
	}
	copy(g.Code[:], code)
	g.CodeUntil, g.Created, g.Expires = moment(until), millis(created), millis(expires)
	g.CodeUsed, g.Ended = used.Valid, ended.Valid
	return g, nil
}

// GrantByCode returns the grant of a code, be it used, late or over: the caller looks. ErrNotFound: no such code was given.
func (s *Store) GrantByCode(ctx context.Context, code token.Hash) (Grant, error) {
	g, err := scanGrant(s.db.row(ctx, "SELECT "+grantColumns+" FROM oidc_grants g WHERE g.code_hash = ?1", code[:]))
	return g, failed("find grant", err)
}

// UseGrantCode uses up a code and gives its client tokens, all at once. ErrNotFound: unknown, another client's, late, used, or its session is over.
func (s *Store) UseGrantCode(ctx context.Context, code token.Hash, client string, tokens []GrantToken, now time.Time) error {
	return failed("use code", s.passing.atomically(ctx, func(c conn) error {
		var id string
		var expires int64
		err := c.row(ctx, `
			UPDATE oidc_grants SET code_used_at = ?3
			WHERE code_hash = ?1 AND client = ?2 AND code_used_at IS NULL AND code_until > ?3 AND ended_at IS NULL AND expires_at > ?3
			RETURNING id, expires_at`, code[:], client, now.UnixMilli()).Scan(&id, &expires)
		if err != nil {
			return err
		}
		return c.addTokensUntil(ctx, id, millis(expires), tokens)
	}))
}

// addTokens writes tokens of a grant, none of which outlives it.
func (c conn) addTokens(ctx context.Context, grant string, tokens []GrantToken) error {
	var end int64
	if err := c.row(ctx, "SELECT expires_at FROM oidc_grants WHERE id = ?1", grant).Scan(&end); err != nil {
		return err
	}
	return c.addTokensUntil(ctx, grant, millis(end), tokens)
}

// addTokensUntil is addTokens where the end of the grant is known.
func (c conn) addTokensUntil(ctx context.Context, grant string, end time.Time, tokens []GrantToken) error {
	for _, t := range tokens {
		if t.Expires.After(end) {
			t.Expires = end
		}
		_, err := c.exec(ctx, "INSERT INTO oidc_tokens (hash, grant_id, kind, scope, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
			t.Hash[:], grant, string(t.Kind), t.Scope, t.Created.UnixMilli(), t.Expires.UnixMilli())
		if err != nil {
			return err
		}
	}
	return nil
}

const tokenColumns = "t.kind, t.scope, t.created_at, t.expires_at, t.used_at, t.next_hash"

// tokenOf returns a token with its grant, whatever has become of them.
func (c conn) tokenOf(ctx context.Context, kind TokenKind, hash token.Hash) (GrantToken, Grant, error) {
	t := GrantToken{Hash: hash}
	var created, expires int64
	var used sql.NullInt64
	g, err := scanGrant(c.row(ctx, "SELECT "+grantColumns+", "+tokenColumns+`
		FROM oidc_tokens t JOIN oidc_grants g ON g.id = t.grant_id WHERE t.hash = ?1 AND t.kind = ?2`, hash[:], string(kind)),
		&t.Kind, &t.Scope, &created, &expires, &used, &t.next)
	t.Created, t.Expires, t.Used = millis(created), millis(expires), moment(used)
	return t, g, err
}

// GrantByToken returns a token that is good at a time, with its grant. ErrNotFound: unknown, of another kind, late, used, or over.
func (s *Store) GrantByToken(ctx context.Context, kind TokenKind, hash token.Hash, now time.Time) (GrantToken, Grant, error) {
	t, g, err := s.db.tokenOf(ctx, kind, hash)
	if err == nil && (g.Ended || !now.Before(g.Expires) || !now.Before(t.Expires) || !t.Used.IsZero()) {
		err = ErrNotFound
	}
	if err != nil {
		return GrantToken{}, Grant{}, failed("find token", err)
	}
	return t, g, nil
}

// GrantByRefresh is GrantByToken for a refresh token that somebody wants to use, with those that were used before: what becomes of them is
// for RotateRefresh to say.
func (s *Store) GrantByRefresh(ctx context.Context, hash token.Hash, now time.Time) (GrantToken, Grant, error) {
	t, g, err := s.db.tokenOf(ctx, RefreshToken, hash)
	if err == nil && (g.Ended || !now.Before(g.Expires) || !now.Before(t.Expires)) {
		err = ErrNotFound
	}
	if err != nil {
		return GrantToken{}, Grant{}, failed("find token", err)
	}
	return t, g, nil
}

// Rotation is the use of a refresh token.
type Rotation struct {
	Old    token.Hash
	Client string // that uses it
	Access GrantToken
	Next   GrantToken    // takes its place
	Grace  time.Duration // for which a used one is taken again, as long as nobody has used the one that took its place: the answer was lost
}

// RotateRefresh gives a client new tokens for a refresh token, all at once. ErrNotFound: unknown, another client's, late, or over.
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
	old, g, err := c.tokenOf(ctx, RefreshToken, r.Old)
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
	return grant, c.addTokensUntil(ctx, grant, g.Expires, []GrantToken{r.Access, r.Next})
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

// EndAccess ends an access token of a client's and nothing else, and announces that. ErrNotFound: there is none.
func (s *Store) EndAccess(ctx context.Context, hash token.Hash, client string, now time.Time) error {
	return failed("end token", s.atomically(ctx, func(c conn) error {
		var grant string
		err := c.row(ctx, `
			DELETE FROM oidc_tokens WHERE hash = ?1 AND kind = 'access' AND grant_id IN (SELECT id FROM oidc_grants WHERE client = ?2)
			RETURNING grant_id`, hash[:], client).Scan(&grant)
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

// endGrants ends the grants of a session that is ended in the same transaction, and writes down whom to tell: the clients that have used
// what they were given, each once for each name that they know the session by. Whether a client wants to be told is not known here.
func (c conn) endGrants(ctx context.Context, session string, now time.Time) error {
	_, err := c.exec(ctx, "UPDATE oidc_grants SET ended_at = ?2 WHERE session_id = ?1 AND ended_at IS NULL", session, now.UnixMilli())
	if err != nil {
		return err
	}
	rows, err := c.query(ctx, `
		SELECT DISTINCT g.client, g.sid, s.subject FROM oidc_grants g JOIN sessions s ON s.id = g.session_id
		WHERE g.session_id = ?1 AND (g.code_used_at IS NOT NULL OR g.code_hash IS NULL) ORDER BY g.client, g.sid`, session)
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
