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
	all := make([]Info, 0, len(rows))
	current := map[string]string{} // by alg, the last of those that are active
	for _, row := range rows {
		all = append(all, Info{row.ID, row.Alg, Expired, row.Created, row.Active, row.Expires})
		if !row.Active.After(now) {
			current[row.Alg] = row.ID
		}
	}
	for i, k := range all {
		switch {
		case !k.Expires.IsZero() && !now.Before(k.Expires):
		case current[k.Alg] == k.ID:
			all[i].State = Current
		case k.Active.After(now):
			all[i].State = Next
		default:
			all[i].State = Previous
		}
	}
	slices.SortStableFunc(all, func(a, b Info) int { return cmp.Or(cmp.Compare(a.Alg, b.Alg), b.Active.Compare(a.Active)) })
	return all, nil
}
