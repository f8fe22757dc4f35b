package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"promess/authgw/internal/token"
)

// ErrUnknown says that there is no such client, or that what the database has of it is refused.
var ErrUnknown = errors.New("unknown client")

// Record is a client as the database keeps it.
type Record struct {
	ID        string
	Settings  string     // JSON: see ParseSettings
	Secret    token.Hash // zero: it has none
	OldSecret token.Hash // good until OldUntil; zero: there is none
	OldUntil  time.Time
	Created   time.Time
	Updated   time.Time
}

// Records is where clients are, besides those of the configuration: *store.Store.
type Records interface {
	// Client returns one of them. ErrUnknown: there is none of this id.
	Client(ctx context.Context, id string) (Record, error)
	// Clients returns all of them, by their ids.
	Clients(ctx context.Context) ([]Record, error)
}

// freshFor is how long a client is believed to be as it was read. Changes are told within two seconds; this bounds what a gateway does that
// hears of none.
const freshFor = time.Minute

// Registry finds clients by their id: those of the configuration first, then those of the database, which it remembers. It is safe for
// concurrent use.
type Registry struct {
	records Records
	now     func() time.Time

	mu         sync.RWMutex
	configured map[string]*Client
	own        Own
	kept       map[string]entry
	turn       uint64 // rises with each change, so that what was read before it is not remembered
}

// entry is a client of the database, until it must be looked at again.
type entry struct {
	client *Client
	until  time.Time
}

// NewRegistry returns one without clients of the configuration. records may be nil: then there are no others.
func NewRegistry(records Records, now func() time.Time) *Registry {
	return &Registry{records: records, now: now, configured: map[string]*Client{}, kept: map[string]entry{}}
}

// Use puts the clients of a configuration, and what the gateway has itself, in the place of those before.
func (r *Registry) Use(configured []*Client, own Own) {
	all := map[string]*Client{}
	for _, c := range configured {
		all[c.ID] = c
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.configured, r.own = all, own
	r.kept = map[string]entry{}
	r.turn++
}

// Forget has a client read again: it was changed or removed (store.ClientChanged).
func (r *Registry) Forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.kept, id)
	r.turn++
}

// Client returns a client. ErrUnknown: there is none, or what the database has of it does not hold together; the rest of the error says what,
// for the log. Another error means that the database does not answer.
func (r *Registry) Client(ctx context.Context, id string) (*Client, error) {
	if !idPattern.MatchString(id) { // the database is not asked about anything
		return nil, ErrUnknown
	}
	now := r.now()
	r.mu.RLock()
	c, configured := r.configured[id]
	e, kept := r.kept[id]
	turn, own := r.turn, r.own
	r.mu.RUnlock()
	switch {
	case configured:
		return c, nil
	case kept && now.Before(e.until):
		return e.client, nil
	case r.records == nil:
		return nil, ErrUnknown
	}
	record, err := r.records.Client(ctx, id)
	if err != nil {
		if errors.Is(err, ErrUnknown) {
			return nil, ErrUnknown
		}
		return nil, fmt.Errorf("find client: %w", err)
	}
	e = entry{until: now.Add(freshFor)}
	if e.client, err = record.Client(now, own); err != nil {
		return nil, fmt.Errorf("%w: what the database has of %q is refused: %w", ErrUnknown, id, err)
	}
	if len(e.client.SecretHashes) > 1 && record.OldUntil.Before(e.until) {
		e.until = record.OldUntil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turn == turn {
		r.kept[id] = e
	}
	return e.client, nil
}

// All returns all clients, by their ids, but those of the database that do not hold together.
func (r *Registry) All(ctx context.Context) ([]*Client, error) {
	r.mu.RLock()
	configured, own := r.configured, r.own // neither is changed
	r.mu.RUnlock()
	all := slices.Collect(maps.Values(configured))
	if r.records != nil {
		records, err := r.records.Clients(ctx)
		if err != nil {
			return nil, fmt.Errorf("list clients: %w", err)
		}
		for _, record := range records {
			c, err := record.Client(r.now(), own)
			if _, first := configured[record.ID]; err == nil && !first {
				all = append(all, c)
			}
		}
	}
	slices.SortFunc(all, func(a, b *Client) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// Client returns the client that a record is now. It is wholly right, or there is none.
func (v Record) Client(now time.Time, own Own) (*Client, error) {
	s, err := ParseSettings(v.Settings)
	if err != nil {
		return nil, err
	}
	if s.ID != v.ID {
		return nil, errors.New("parse settings: they are another client's")
	}
	c, err := s.Client(own)
	if err != nil {
		return nil, err
	}
	secret := v.Secret != token.Hash{}
	switch {
	case c.Auth == SharedSecret && !secret:
		return nil, errors.New("it has no secret; 'authgw client rotate-secret' gives it one")
	case c.Auth != SharedSecret:
		return c, nil // a secret of before, when it proved itself so, is worth nothing
	}
	c.SecretHashes = append(c.SecretHashes, v.Secret)
	if (v.OldSecret != token.Hash{}) && now.Before(v.OldUntil) {
		c.SecretHashes = append(c.SecretHashes, v.OldSecret)
	}
	return c, nil
}
