// Package limit bounds how often each network address may do what costs something and asks for no proof: begin a login, say. It owns what counts
// as one address.
//
// It counts in memory, for one gateway, and decides nothing else. A Sources is safe for concurrent use.
package limit

import (
	"net/netip"
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
	source = Network(source)
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

// Network is what counts as one source: an IPv4 address, however it is written (B5), or the /64 of an IPv6 address, which is what one
// subscriber has at least and takes as many addresses from as they like. Addresses that cannot be read are one together.
func Network(source string) string {
	a, err := netip.ParseAddr(source)
	if err != nil {
		return "unknown"
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return "unknown" // unreachable: it has 128 bits
	}
	return p.String()
}
