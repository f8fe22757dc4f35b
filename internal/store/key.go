package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Key is a key that all gateways have in common, sealed: the store cannot read it.
type Key struct {
	ID      string
	Alg     string // what it is for; each has one newest key
	Sealed  string
	Created time.Time
	Active  time.Time // since when it is used for what is new
	Expires time.Time // when nothing that it made is good any more; zero: it is the newest
}

// Keys returns all keys, those that have expired and were not swept yet too, the oldest first.
func (s *Store) Keys(ctx context.Context) ([]Key, error) {
	rows, err := s.db.query(ctx, "SELECT id, alg, sealed, created_at, active_at, expires_at FROM keys ORDER BY alg, active_at, created_at, id")
	if err != nil {
		return nil, failed("read keys", err)
	}
	defer rows.Close()
	var all []Key
	for rows.Next() {
		var k Key
		var created, active int64
		var expires sql.NullInt64
		if err := rows.Scan(&k.ID, &k.Alg, &k.Sealed, &created, &active, &expires); err != nil {
			return nil, failed("read keys", err)
		}
		k.Created, k.Active, k.Expires = millis(created), millis(active), moment(expires)
		all = append(all, k)
	}
	return all, failed("read keys", rows.Err())
}

// AddFirstKey adds a key, and announces it, unless there is one of its Alg that nothing has taken the place of: of two gateways that both make the
// first one, both have that of one of them.
func (s *Store) AddFirstKey(ctx context.Context, k Key) error {
	err := s.atomically(ctx, func(c conn) error {
		if err := c.addKey(ctx, k, " ON CONFLICT DO NOTHING"); err != nil {
			return err
		}
		return c.announce(ctx, KeysChanged, k.ID, k.Created)
	})
	if errors.Is(err, ErrNotFound) {
		return nil // somebody else was first
	}
	return failed("add key", err)
}

func (c conn) addKey(ctx context.Context, k Key, conflict string) error {
	return c.once(ctx, "INSERT INTO keys (id, alg, sealed, created_at, active_at) VALUES (?1, ?2, ?3, ?4, ?5)"+conflict,
		k.ID, k.Alg, k.Sealed, k.Created.UnixMilli(), k.Active.UnixMilli())
}

// ReplaceKey puts a key in the place of the newest of its Alg, which is that of an id, and announces it. Of the others none is good for longer
// than to the given end. ErrNotFound: that one is not the newest any more.
func (s *Store) ReplaceKey(ctx context.Context, old string, k Key, end time.Time) error {
	return failed("replace key", s.atomically(ctx, func(c conn) error {
		err := c.once(ctx, "UPDATE keys SET expires_at = ?3 WHERE id = ?1 AND alg = ?2 AND expires_at IS NULL", old, k.Alg, end.UnixMilli())
		if err != nil {
			return err
		}
		if _, err := c.exec(ctx, "UPDATE keys SET expires_at = ?2 WHERE alg = ?1 AND expires_at > ?2", k.Alg, end.UnixMilli()); err != nil {
			return err
		}
		if err := c.addKey(ctx, k, ""); err != nil {
			return err
		}
		return c.announce(ctx, KeysChanged, k.ID, k.Created)
	}))
}

// ResealKey notes a key as it was sealed anew. Where it is not sealed any more as it was, nothing is done.
func (s *Store) ResealKey(ctx context.Context, id, old, sealed string) error {
	_, err := s.db.exec(ctx, "UPDATE keys SET sealed = ?3 WHERE id = ?1 AND sealed = ?2", id, old, sealed)
	return failed("seal key anew", err)
}
