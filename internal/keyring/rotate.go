package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"promess/authgw/internal/store"
)

// clockSkew is how far the clocks of two gateways may be apart: package store lets each be five seconds from that of the database.
const clockSkew = 10 * time.Second

// ErrNext says that a key waits already to take the place of the one in use.
var ErrNext = errors.New("a new key is published already and waits to be used")

// Rotation is what Rotate has done.
type Rotation struct {
	Alg     string
	ID      string // of the new key
	Active  time.Time
	Old     string // id of the one whose place it takes
	Expires time.Time
}

// Rotate puts a new key in the place of the newest of ES256, RS256 or Cookie. It is published at once and used after Lead; the old one
// stays published for Overlap after that. With atOnce, for a key that somebody else may have, the new one is used at once, and what any other of
// the same alg has made is good no more. ErrNoKey: there is none yet. ErrNext: the last rotation is not over.
func (r *Ring) Rotate(ctx context.Context, alg string, atOnce bool) (Rotation, error) {
	if alg == Pairwise {
		return Rotation{}, errors.New("the secret of pairwise subjects is never replaced: clients would know nobody again")
	}
	keys := r.sealing()
	if keys == nil {
		return Rotation{}, errors.New("without seal_keys in the configuration keys are in memory, and new at each start")
	}
	old, err := r.newest(ctx, alg)
	if err != nil {
		return Rotation{}, err
	}
	now := r.now()
	if !atOnce && old.Active.After(now) {
		return Rotation{}, fmt.Errorf("%s: %w: %q, from %s", alg, ErrNext, old.ID, old.Active.Format(time.RFC3339))
	}
	h, err := generate(alg, now)
	if err != nil {
		return Rotation{}, err
	}
	var end time.Time
	if atOnce { // at a gateway whose clock is behind too
		h.active = now.Add(-clockSkew)
		end = h.active
	} else {
		h.active = now.Add(Lead)
		end = h.active.Add(Overlap)
	}
	row, err := h.row(keys)
	if err != nil {
		return Rotation{}, err
	}
	err = r.store.ReplaceKey(ctx, old.ID, row, end)
	if errors.Is(err, store.ErrNotFound) {
		return Rotation{}, fmt.Errorf("another rotation of %s was faster; nothing was done", alg)
	}
	if err != nil {
		return Rotation{}, err
	}
	return Rotation{Alg: alg, ID: h.id, Active: h.active, Old: old.ID, Expires: end}, r.Refresh(ctx)
}

// newest returns the newest key of an alg.
func (r *Ring) newest(ctx context.Context, alg string) (store.Key, error) {
	rows, err := r.store.Keys(ctx)
	if err != nil {
		return store.Key{}, err
	}
	for _, row := range rows {
		if row.Alg == alg && row.Expires.IsZero() {
			return row, nil
		}
	}
	return store.Key{}, fmt.Errorf("%s: %w: it is made when it is first needed", alg, ErrNoKey)
}
