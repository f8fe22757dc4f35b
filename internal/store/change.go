package store

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ChangeKind is what other gateways must hear of.
type ChangeKind string

// The kinds of changes.
const (
	SessionEnded   ChangeKind = "session_ended"   // Ref is the id of the session
	AccountChanged ChangeKind = "account_changed" // Ref is the subject
	LoginChanged   ChangeKind = "login_changed"   // Ref is the ID of a login that a browser waits for
	GrantEnded     ChangeKind = "grant_ended"     // Ref is the id of a grant; or one of its tokens has ended, or it goes on with another session
	GrantsEnded    ChangeKind = "grants_ended"    // Ref is the client whose grants have all ended
	ClientChanged  ChangeKind = "client_changed"  // Ref is the id of a client that was added, changed or removed
	KeysChanged    ChangeKind = "keys_changed"    // Ref is the id of a new key
)

// Change is one of them.
type Change struct {
	ID   string // tells it from others
	Kind ChangeKind
	Ref  string
}

// channel is the name by which PostgreSQL tells that there is a change.
const channel = "authgw"

// announce writes a change beside what it tells of.
func (c conn) announce(ctx context.Context, k ChangeKind, ref string, now time.Time) error {
	_, err := c.exec(ctx, "INSERT INTO changes (id, at, kind, ref) VALUES (?1, ?2, ?3, ?4)",
		strings.ToLower(rand.Text()), now.UnixMilli(), string(k), ref)
	if err == nil && c.engine.dollar {
		_, err = c.exec(ctx, "SELECT pg_notify(?1, '')", channel) // is told with the commit
	}
	return err
}

// changesOverlap is how far back a look goes behind the one before. A change is seen with its commit, which may be later than its time.
const changesOverlap = 15 * time.Second

// Changes returns the changes since a look at the given time, some of which that look may have returned too.
func (s *Store) Changes(ctx context.Context, since time.Time) ([]Change, error) {
	rows, err := s.db.query(ctx, "SELECT id, kind, ref FROM changes WHERE at >= ?1 ORDER BY at", since.Add(-changesOverlap).UnixMilli())
	if err != nil {
		return nil, failed("read changes", err)
	}
	defer rows.Close()
	var all []Change
	for rows.Next() {
		var c Change
		if err := rows.Scan(&c.ID, &c.Kind, &c.Ref); err != nil {
			return nil, failed("read changes", err)
		}
		all = append(all, c)
	}
	return all, failed("read changes", rows.Err())
}

// listenAnswer bounds the server's answers to Listen. It is asked for one when it has told nothing for as long as its silence is borne: that
// is how Listen finds out that its connection is gone when nobody says so.
const listenAnswer = 5 * time.Second

// Listen calls told whenever the database says that there are changes, until ctx ends. It holds a connection of its own. Without anybody
// to tell (SQLite) it waits for ctx alone. Another error than ctx's means that the connection is gone: what was told meanwhile is not
// repeated, so the caller looks.
func (s *Store) Listen(ctx context.Context, told func()) error {
	if s.listen == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	c, err := pgx.ConnectConfig(ctx, s.listen)
	if err != nil {
		return failed("listen for changes", err)
	}
	defer hangUp(ctx, c)
	if err := begin(ctx, c); err != nil {
		return failed("listen for changes", err)
	}
	told() // of what was announced before anybody listened
	for {
		ok, err := next(ctx, c, s.patience)
		if err != nil {
			return failed("listen for changes", err)
		}
		if ok {
			told()
		}
	}
}

// hangUp closes a connection, politely when that is quick.
func hangUp(ctx context.Context, c *pgx.Conn) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	c.Close(ctx)
}

func begin(ctx context.Context, c *pgx.Conn) error {
	ctx, done := context.WithTimeout(ctx, listenAnswer)
	defer done()
	_, err := c.Exec(ctx, "LISTEN "+channel)
	return err
}

// next waits for a notification, for a while, after which the server must answer.
func next(ctx context.Context, c *pgx.Conn, patience time.Duration) (bool, error) {
	idle, done := context.WithTimeout(ctx, patience)
	defer done()
	_, err := c.WaitForNotification(idle)
	if err == nil || ctx.Err() != nil || idle.Err() == nil || c.IsClosed() {
		return err == nil, err
	}
	ping, done := context.WithTimeout(ctx, listenAnswer)
	defer done()
	return false, c.Ping(ping)
}
