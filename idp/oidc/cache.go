package oidc

import (
	"sync"
	"time"

	"promess/authgw/internal/token"
)

const (
	// maxCached bounds the access tokens in memory, about half a kilobyte each.
	maxCached = 100_000
	// freshFor is how long one is believed without a look at its session's limits of time.
	freshFor = time.Minute
)

// entry is an access token that was looked up. It is not changed.
type entry struct {
	grant, client, session string
	granted                granted
	scopes                 []string
	created, expires       time.Time
	until                  time.Time              // must be looked up again
	answer                 func() ([]byte, error) // of introspection; made once
}

// cache keeps access tokens that were looked up. It is told what ends (see Provider.hear), and believed only while that is heard. What is not
// good is not kept: it may be good a moment later. It is safe for concurrent use.
type cache struct {
	mu         sync.RWMutex
	closed     bool
	generation uint64 // counts what has made entries wrong, so that one read before is not put in after
	entries    map[token.Hash]*entry
	bySession  map[string]map[token.Hash]struct{}
	byGrant    map[string]map[token.Hash]struct{}
}

func newCache() *cache {
	c := &cache{}
	c.clear()
	return c
}

// clear drops all. c.mu is held.
func (c *cache) clear() {
	c.generation++
	c.entries, c.bySession, c.byGrant = map[token.Hash]*entry{}, map[string]map[token.Hash]struct{}{}, map[string]map[token.Hash]struct{}{}
}

// close makes it forget, for good.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.clear()
}

func (c *cache) get(h token.Hash, now time.Time) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.entries[h]
	if e == nil || !now.Before(e.until) {
		return nil
	}
	return e
}

// now returns the generation, to be had before a token is read and given to put afterwards.
func (c *cache) now() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.generation
}

// put keeps a token that was read since generation; or not, when something has ended meanwhile.
func (c *cache) put(h token.Hash, e *entry, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || generation != c.generation {
		return
	}
	if len(c.entries) >= maxCached {
		c.makeRoom()
	}
	c.remove(h)
	c.entries[h] = e
	index(c.bySession, e.session, h)
	index(c.byGrant, e.grant, h)
}

func index(m map[string]map[token.Hash]struct{}, key string, h token.Hash) {
	if m[key] == nil {
		m[key] = map[token.Hash]struct{}{}
	}
	m[key][h] = struct{}{}
}

func unindex(m map[string]map[token.Hash]struct{}, key string, h token.Hash) {
	if delete(m[key], h); len(m[key]) == 0 {
		delete(m, key)
	}
}

// makeRoom drops a sixteenth, whichever come first: a map has no order. c.mu is held.
func (c *cache) makeRoom() {
	least := maxCached * 15 / 16
	for h := range c.entries {
		if len(c.entries) <= least {
			return
		}
		c.remove(h)
	}
}

// remove drops one. c.mu is held.
func (c *cache) remove(h token.Hash) {
	e := c.entries[h]
	if e == nil {
		return
	}
	delete(c.entries, h)
	unindex(c.bySession, e.session, h)
	unindex(c.byGrant, e.grant, h)
}

// dropSession drops the tokens of a session.
func (c *cache) dropSession(id string) {
	c.dropAll(func() map[token.Hash]struct{} { return c.bySession[id] })
}

// dropGrant drops the tokens of a grant.
func (c *cache) dropGrant(id string) {
	c.dropAll(func() map[token.Hash]struct{} { return c.byGrant[id] })
}

// dropClient drops the tokens of a client.
func (c *cache) dropClient(id string) {
	c.dropAll(func() map[token.Hash]struct{} {
		all := map[token.Hash]struct{}{}
		for h, e := range c.entries {
			if e.client == id {
				all[h] = struct{}{}
			}
		}
		return all
	})
}

func (c *cache) dropAll(which func() map[token.Hash]struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for h := range which() {
		c.remove(h) // of what is ranged over, which is allowed
	}
}
