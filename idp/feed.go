package idp

import (
	"context"
	"log/slog"
	"time"

	"promess/authgw/internal/store"
)

// How Run keeps up with other gateways, and with the commands of an administrator.
const (
	lookEvery   = time.Second     // at the latest: what another gateway ends is over here within two
	lookTimeout = 5 * time.Second // of one look
	writeEvery  = 5 * time.Second // when sessions were last seen
	listenAgain = 2 * time.Second // after the connection was lost
	knownFor    = time.Minute     // for which a change is remembered, so that it is not taken twice
)

// Run hears of what others change until ctx ends, and writes when sessions were last seen. It looks every second, and at once when the
// database says so.
func (s *Sessions) Run(ctx context.Context, log *slog.Logger) {
	told := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		s.listen(ctx, told, log)
	}()
	look, write := time.NewTicker(lookEvery), time.NewTicker(writeEvery)
	over := time.NewTicker(expireEvery)
	defer look.Stop()
	defer write.Stop()
	defer over.Stop()
	f := feed{sessions: s, log: log, since: s.now(), known: map[string]time.Time{}}
	for {
		f.look(ctx)
		select {
		case <-ctx.Done():
			s.write(context.WithoutCancel(ctx), log)
			<-done
			return
		case <-look.C:
		case <-told:
		case <-write.C:
			s.write(ctx, log)
		case <-over.C:
			if s.Hears() {
				s.expire(ctx, log)
			}
		}
	}
}

// listen passes on what the database tells, and listens anew when the connection is lost.
func (s *Sessions) listen(ctx context.Context, told chan<- struct{}, log *slog.Logger) {
	for ctx.Err() == nil {
		err := s.store.Listen(ctx, func() {
			select {
			case told <- struct{}{}:
			default: // it has been told, and has not looked yet
			}
		})
		if ctx.Err() != nil {
			return
		}
		log.Warn("the database tells of no changes, they are looked for every second", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// write tells the database when sessions were last seen. What it could not be told is told with the next request of the session.
func (s *Sessions) write(ctx context.Context, log *slog.Logger) {
	late := s.cache.unwritten(s.touch())
	if len(late) == 0 {
		return
	}
	ctx, done := context.WithTimeout(ctx, lookTimeout)
	defer done()
	if err := s.store.TouchSessions(ctx, late); err != nil {
		log.Warn("when sessions were last seen was not written", "sessions", len(late), "error", err)
	}
}

// feed is what Run knows of changes. It is used by one goroutine.
type feed struct {
	sessions *Sessions
	log      *slog.Logger
	since    time.Time            // of the last look that worked
	known    map[string]time.Time // changes that were taken, and when
	failing  bool
}

// look takes the changes since the last look.
func (f *feed) look(ctx context.Context) {
	now := f.sessions.now()
	within, done := context.WithTimeout(ctx, lookTimeout)
	defer done()
	changes, err := f.sessions.store.Changes(within, f.since)
	if err != nil {
		if !f.failing && ctx.Err() == nil {
			f.log.Error("the database does not answer; open sessions go on for a while", "grace", f.sessions.grace, "error", err)
			f.failing = true
		}
		return
	}
	if f.failing {
		f.log.Info("the database answers again")
		f.failing = false
	}
	for _, c := range changes {
		if _, ok := f.known[c.ID]; !ok {
			f.take(c)
			f.known[c.ID] = now
		}
	}
	for id, at := range f.known {
		if now.Sub(at) > knownFor {
			delete(f.known, id)
		}
	}
	f.since = now
	f.sessions.heard.Store(now.UnixMilli())
}

func (f *feed) take(c store.Change) {
	switch c.Kind {
	case store.SessionEnded:
		f.sessions.release(c.Ref) // which tells the listeners
		return
	case store.AccountChanged:
		f.sessions.cache.forgetAccount(c.Ref)
	case store.LoginChanged:
		f.sessions.Changed(c.Ref)
	}
	f.sessions.listeners.tell(c.Kind, c.Ref)
}
