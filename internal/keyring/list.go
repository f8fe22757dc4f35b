package keyring

import (
	"cmp"
	"context"
	"slices"
	"time"

	"promess/authgw/internal/store"
)

// The states of keys.
const (
	Next     = "next"     // published, and waits to be used
	Current  = "current"  // used for what is new
	Previous = "previous" // published for what it made
	Expired  = "expired"  // or withdrawn: what it made is refused
)

// Info is what may be said of a key.
type Info struct {
	ID      string
	Alg     string
	State   string
	Created time.Time
	Active  time.Time
	Expires time.Time // zero: no other has taken its place
}

// List returns the keys of a database, the newest of each alg first. It needs no key file.
func List(ctx context.Context, st *store.Store, now time.Time) ([]Info, error) {
	rows, err := st.Keys(ctx)
	if err != nil {
		return nil, err
	}
	var every []*held // without what is secret
	for _, row := range rows {
		every = append(every, &held{id: row.ID, alg: row.Alg, created: row.Created, active: row.Active, expires: row.Expires})
	}
	var all []Info
	for _, h := range every {
		k := Info{h.id, h.alg, Expired, h.created, h.active, h.expires}
		good := inOrder(every, h.alg, now)
		switch {
		case !slices.Contains(good, h):
		case good[0] == h:
			k.State = Current
		case h.active.After(now):
			k.State = Next
		default:
			k.State = Previous
		}
		all = append(all, k)
	}
	slices.SortStableFunc(all, func(a, b Info) int { return cmp.Or(cmp.Compare(a.Alg, b.Alg), b.Active.Compare(a.Active)) })
	return all, nil
}
