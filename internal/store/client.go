package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"promess/authgw/internal/client"
	"promess/authgw/internal/token"
)

// ErrExists says that there is such a record already.
var ErrExists = errors.New("exists already")

const clientColumns = "id, settings, secret_hash, old_secret_hash, old_until, created_at, updated_at"

func scanClient(r row) (client.Record, error) {
	var v client.Record
	var secret, old []byte
	var until sql.NullInt64
	var created, updated int64
	err := r.Scan(&v.ID, &v.Settings, &secret, &old, &until, &created, &updated)
	copy(v.Secret[:], secret)
	copy(v.OldSecret[:], old)
	v.OldUntil, v.Created, v.Updated = moment(until), millis(created), millis(updated)
	return v, err
}

// kept is a hash as it is kept: NULL when there is none.
func kept(h token.Hash) any {
	if h == (token.Hash{}) {
		return nil
	}
	return h[:]
}

// AddClient writes a client with its settings and the hash of its secret, if it has one, and announces it. ErrExists: there is one of this id.
func (s *Store) AddClient(ctx context.Context, v client.Record, now time.Time) error {
	return failed("add client", s.atomically(ctx, func(c conn) error {
		err := c.once(ctx, `
			INSERT INTO clients (id, settings, secret_hash, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (id) DO NOTHING`,
			v.ID, v.Settings, kept(v.Secret), now.UnixMilli())
		if errors.Is(err, ErrNotFound) {
			return ErrExists
		}
		if err != nil {
			return err
		}
		return c.announce(ctx, ClientChanged, v.ID, now)
	}))
}

// Client returns a client. client.ErrUnknown: there is none of this id.
func (s *Store) Client(ctx context.Context, id string) (client.Record, error) {
	v, err := scanClient(s.db.row(ctx, "SELECT "+clientColumns+" FROM clients WHERE id = ?1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return client.Record{}, fmt.Errorf("find client: %w", client.ErrUnknown)
	}
	return v, failed("find client", err)
}

// Clients returns all clients, by their ids.
func (s *Store) Clients(ctx context.Context) ([]client.Record, error) {
	rows, err := s.db.query(ctx, "SELECT "+clientColumns+" FROM clients ORDER BY id")
	if err != nil {
		return nil, failed("list clients", err)
	}
	defer rows.Close()
	var all []client.Record
	for rows.Next() {
		v, err := scanClient(rows)
		if err != nil {
			return nil, failed("list clients", err)
		}
		all = append(all, v)
	}
	return all, failed("list clients", rows.Err())
}

// ChangeClient puts what after says in the place of a client that is still as before says, and announces it: settings, secrets and until when
// the old one is good. ErrNotFound: it was changed or removed meanwhile.
func (s *Store) ChangeClient(ctx context.Context, before, after client.Record, now time.Time) error {
	var until any
	if !after.OldUntil.IsZero() {
		until = after.OldUntil.UnixMilli()
	}
	at := max(now.UnixMilli(), before.Updated.UnixMilli()+1) // which tells it from before
	return failed("change client", s.atomically(ctx, func(c conn) error {
		err := c.once(ctx, `
			UPDATE clients SET settings = ?3, secret_hash = ?4, old_secret_hash = ?5, old_until = ?6, updated_at = ?7
			WHERE id = ?1 AND updated_at = ?2`,
			before.ID, before.Updated.UnixMilli(), after.Settings, kept(after.Secret), kept(after.OldSecret), until, at)
		if err != nil {
			return err
		}
		return c.announce(ctx, ClientChanged, before.ID, now)
	}))
}

// RemoveClient deletes a client with what it asked and what persons agreed to tell it, ends its grants, says how many there were, and announces
// both. ErrNotFound: there is none.
func (s *Store) RemoveClient(ctx context.Context, id string, now time.Time) (grants int64, err error) {
	err = s.atomically(ctx, func(c conn) error {
		if err := c.once(ctx, "DELETE FROM clients WHERE id = ?1", id); err != nil {
			return err
		}
		for _, q := range []string{
			"DELETE FROM oidc_requests WHERE client = ?1",
			"DELETE FROM oidc_devices WHERE client = ?1",
			"DELETE FROM oidc_consents WHERE client = ?1",
			"DELETE FROM oidc_logouts WHERE client = ?1",
		} {
			if _, err := c.exec(ctx, q, id); err != nil {
				return err
			}
		}
		if grants, err = c.endGrantsOf(ctx, id, now); err != nil {
			return err
		}
		return c.announce(ctx, ClientChanged, id, now)
	})
	return grants, failed("remove client", err)
}
