package idp

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// maxCached bounds the places that sessions are found in, about two for each. When it is reached, some are dropped: they are read again
// when they are asked for.
const maxCached = 250_000

// place is where a session was found: one token on one host.
type place struct {
	token token.Hash
	host  string
}

// entry is a session in memory, however many places it was found in. Its session is not changed; what moves is seen.
type entry struct {
	session packed
	places  []place      // guarded by cache.mu
	seen    atomic.Int64 // last request, Unix milliseconds
	written atomic.Int64 // what the database was told
}

// cache keeps sessions that were read. It trusts itself only as far as somebody tells it what has changed: see Sessions.Run. It is safe
// for concurrent use.
type cache struct {
	mu         sync.RWMutex
	generation uint64 // counts what has made entries wrong, so that an entry read before is not put in after
	entries    map[place]*entry
	bySession  map[string]*entry   // by id
	byAccount  map[string][]*entry // by subject
}

func newCache() *cache {
	return &cache{entries: map[place]*entry{}, bySession: map[string]*entry{}, byAccount: map[string][]*entry{}}
}

func (c *cache) get(p place) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[p]
}

// byID returns a session that was found anywhere.
func (c *cache) byID(id string) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.bySession[id]
}

// now returns the generation, to be had before a session is read and given to put afterwards.
func (c *cache) now() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.generation
}

// put keeps a session that was read since generation; or not, when something has changed meanwhile.
func (c *cache) put(p place, v store.Session, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	if len(c.entries) >= maxCached {
		c.makeRoom()
	}
	e := c.bySession[v.ID]
	if e == nil {
		session, ok := pack(v)
		if !ok {
			return
		}
		e = &entry{session: session}
		e.written.Store(v.SeenAt.UnixMilli())
		c.bySession[session.id()] = e
		c.byAccount[session.subject()] = append(c.byAccount[session.subject()], e)
	}
	e.seen.Store(max(e.seen.Load(), v.SeenAt.UnixMilli()))
	if c.entries[p] != e {
		c.entries[p] = e
		e.places = append(e.places, p)
	}
}

// makeRoom drops a sixteenth, whichever come first: a map has no order. c.mu is held.
func (c *cache) makeRoom() {
	least := len(c.entries) * 15 / 16
	for _, e := range c.bySession {
		if len(c.entries) <= least {
			return
		}
		c.remove(e)
	}
}

// remove drops a session. c.mu is held.
func (c *cache) remove(e *entry) {
	for _, p := range e.places {
		delete(c.entries, p)
	}
	delete(c.bySession, e.session.id())
	subject := e.session.subject()
	rest := slices.DeleteFunc(c.byAccount[subject], func(other *entry) bool { return other == e })
	if c.byAccount[subject] = rest; len(rest) == 0 {
		delete(c.byAccount, subject)
	}
}

// drop forgets what was found at a place.
func (c *cache) drop(p place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[p]; e != nil {
		c.remove(e)
	}
}

// forget drops a session that is not any more what it was.
func (c *cache) forget(session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	if e := c.bySession[session]; e != nil {
		c.remove(e)
	}
}

// forgetAccount drops the sessions of an account, which are then read with what has changed in it.
func (c *cache) forgetAccount(subject string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for _, e := range slices.Clone(c.byAccount[subject]) {
		c.remove(e)
	}
}

// unwritten returns when the sessions were last seen whose last request is at least every after what the database knows, and notes that
// it will be told.
func (c *cache) unwritten(every time.Duration) map[string]time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	late := map[string]time.Time{}
	for id, e := range c.bySession {
		if seen := e.seen.Load(); seen-e.written.Load() >= every.Milliseconds() {
			e.written.Store(seen)
			late[id] = time.UnixMilli(seen)
		}
	}
	return late
}
