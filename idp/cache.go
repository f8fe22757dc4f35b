package idp

import (
	"sync"
	"sync/atomic"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// maxCached bounds the sessions in memory, by the tokens that they were found by. When it is reached, some are dropped: they are read
// again when they are asked for.
const maxCached = 200_000

// place is where a session was found: one token on one host.
type place struct {
	token token.Hash
	host  string
}

// entry is a session in memory. Its session is not changed; what moves is seen.
type entry struct {
	session store.Session
	seen    atomic.Int64 // last request, Unix milliseconds
	written atomic.Int64 // what the database was told
}

// cache keeps sessions that were read. It trusts itself only as far as somebody tells it what has changed: see Sessions.Run. It is safe
// for concurrent use.
type cache struct {
	mu         sync.RWMutex
	generation uint64 // counts what has made entries wrong, so that an entry read before is not put in after
	entries    map[place]*entry
	bySession  map[string]map[place]struct{}
	byAccount  map[string]map[string]struct{} // subject to session ids
}

func newCache() *cache {
	return &cache{entries: map[place]*entry{}, bySession: map[string]map[place]struct{}{}, byAccount: map[string]map[string]struct{}{}}
}

func (c *cache) get(p place) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[p]
}

// now returns the generation, to be had before a session is read and given to put afterwards.
func (c *cache) now() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.generation
}

// put keeps a session that was read since generation; or not, when something has changed meanwhile.
func (c *cache) put(p place, v store.Session, generation uint64) {
	e := &entry{session: v}
	e.seen.Store(v.SeenAt.UnixMilli())
	e.written.Store(v.SeenAt.UnixMilli())
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	if len(c.entries) >= maxCached {
		c.makeRoom()
	}
	c.remove(p)
	c.entries[p] = e
	add(c.bySession, v.ID, p)
	add(c.byAccount, v.Account.Subject, v.ID)
}

func add[K, V comparable](m map[K]map[V]struct{}, k K, v V) {
	if m[k] == nil {
		m[k] = map[V]struct{}{}
	}
	m[k][v] = struct{}{}
}

// makeRoom drops a sixteenth, whichever come first: a map has no order. c.mu is held.
func (c *cache) makeRoom() {
	n := len(c.entries) / 16
	for p := range c.entries {
		if n--; n < 0 {
			return
		}
		c.remove(p)
	}
}

// remove drops one entry. c.mu is held.
func (c *cache) remove(p place) {
	e := c.entries[p]
	if e == nil {
		return
	}
	delete(c.entries, p)
	id, subject := e.session.ID, e.session.Account.Subject
	if delete(c.bySession[id], p); len(c.bySession[id]) > 0 {
		return
	}
	delete(c.bySession, id)
	if delete(c.byAccount[subject], id); len(c.byAccount[subject]) == 0 {
		delete(c.byAccount, subject)
	}
}

// drop forgets what was found at a place.
func (c *cache) drop(p place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(p)
}

// forget drops a session, wherever it was found.
func (c *cache) forget(session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.forgetSession(session)
}

func (c *cache) forgetSession(session string) {
	for p := range c.bySession[session] {
		c.remove(p)
	}
}

// forgetAccount drops the sessions of an account, which are then read with what has changed in it.
func (c *cache) forgetAccount(subject string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for id := range c.byAccount[subject] {
		c.forgetSession(id)
	}
}

// unwritten returns when the sessions were last seen whose last request is at least every after what the database knows, and notes that
// it will be told. Of a session that was found in several places the latest counts.
func (c *cache) unwritten(every time.Duration) map[string]time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	late := map[string]time.Time{}
	for _, e := range c.entries {
		seen := e.seen.Load()
		if seen-e.written.Load() < every.Milliseconds() {
			continue
		}
		e.written.Store(seen)
		if at := time.UnixMilli(seen); at.After(late[e.session.ID]) {
			late[e.session.ID] = at
		}
	}
	return late
}
