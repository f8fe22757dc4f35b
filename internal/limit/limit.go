// Package limit bounds how often each network address may do what costs something and asks for no proof: begin a login, say.
//
// It counts in memory, for one gateway, and decides nothing else. A Sources is safe for concurrent use.
package limit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// known is how many addresses are counted. When there are more, all are forgotten: a flood from many addresses is for the network to stop.
const known = 10_000

// Sources counts what network addresses do. A hospital may have thousands of people behind one.
type Sources struct {
	PerSecond rate.Limit // of one address, in the long run
	AtOnce    int        // of one address, before that counts

	mu  sync.Mutex
	all map[string]*rate.Limiter
}

// Allow says whether source may do it once more, and counts it.
func (s *Sources) Allow(source string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	limiter := s.all[source]
	if limiter == nil {
		if len(s.all) >= known || s.all == nil {
			s.all = map[string]*rate.Limiter{}
		}
		limiter = rate.NewLimiter(s.PerSecond, s.AtOnce)
		s.all[source] = limiter
	}
	return limiter.AllowN(now, 1)
}
