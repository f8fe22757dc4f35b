package idp

import (
	"context"
	"log/slog"
	"time"
)

// When sessions are ended whose time is over. Find refuses them at once; but what clients hold of one lasts until it has ended, and they
// are to be told that it has.
const (
	expireEvery = 30 * time.Second
	expireLate  = time.Minute // what the database knows of "last seen" is behind by touchEvery and writeEvery
	expireMost  = 20          // batches at once
)

// expire ends sessions in the database whose time is over, on whatever gateway they were seen last. It grants what others may not have
// written yet: their usual delay, and as long as they go on without the database.
func (s *Sessions) expire(ctx context.Context, log *slog.Logger) {
	ctx, done := context.WithTimeout(ctx, lookTimeout)
	defer done()
	for range expireMost {
		now := s.now()
		ended, err := s.store.EndExpired(ctx, now.Add(-s.idle.get()-expireLate-s.grace), now)
		if err != nil {
			log.Warn("sessions whose time is over were not ended", "error", err)
			return
		}
		if len(ended) == 0 {
			return
		}
		for _, v := range ended {
			s.release(v.ID)
			if s.ended != nil {
				s.ended(v)
			}
		}
	}
}
