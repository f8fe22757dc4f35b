package idp

import (
	"sync/atomic"
	"time"
)

// duration is one that may change while it is read.
type duration struct{ nanoseconds atomic.Int64 }

func (d *duration) get() time.Duration { return time.Duration(d.nanoseconds.Load()) }

// SetLimits changes how long sessions last. A new idle time holds at once, for open sessions too; a new absolute one for those that are
// opened from now on, since the others were told when they end.
func (s *Sessions) SetLimits(idle, absolute time.Duration) {
	s.idle.nanoseconds.Store(int64(idle))
	s.absolute.nanoseconds.Store(int64(absolute))
}
