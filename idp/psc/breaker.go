package psc

import (
	"sync"
	"time"
)

const (
	breakAfter = 5                // failures in a row
	breakFor   = 30 * time.Second // before one request tries again
)

// breaker keeps requests from a server that does not answer: after some failures in a row there are none for a while, and then one that
// tries. It is safe for concurrent use.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	until    time.Time // while it is open
	trying   bool      // one request is under way to find out
}

// open says whether requests are refused, and will be for a while.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= breakAfter && b.now().Before(b.until)
}

// allow says whether a request may be made. done must follow when it may.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return true
	}
	if b.trying || b.now().Before(b.until) {
		return false
	}
	b.trying = true
	return true
}

// result is what a request says of the server.
type result int

const (
	nothing result = iota // the client did not wait
	answered
	unanswered
)

// done takes the result of a request that was allowed.
func (b *breaker) done(r result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
	switch r {
	case answered:
		b.failures = 0
	case unanswered:
		b.failures = min(b.failures+1, breakAfter)
		if b.failures == breakAfter {
			b.until = b.now().Add(breakFor)
		}
	}
}
