package psc

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Beginning a login costs a row in the database, and a logout token a signature, and neither asks for a proof, so each network address
// may do so often. A hospital may have thousands of people behind one.
const (
	startsPerSecond = 10
	startsAtOnce    = 200
	sourcesKnown    = 10_000 // when there are more, all are forgotten: a flood from many addresses is for the network to stop
)

// limits counts what network addresses begin. It is safe for concurrent use.
type limits struct {
	mu      sync.Mutex
	sources map[string]*rate.Limiter
}

func (l *limits) allow(source string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.sources[source]
	if limiter == nil {
		if len(l.sources) >= sourcesKnown || l.sources == nil {
			l.sources = map[string]*rate.Limiter{}
		}
		limiter = rate.NewLimiter(startsPerSecond, startsAtOnce)
		l.sources[source] = limiter
	}
	return limiter.AllowN(now, 1)
}
