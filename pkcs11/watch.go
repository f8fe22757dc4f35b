package pkcs11

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/ebfe/scard"
)

// seat is a card in its reader, known by the reader's count of events: another card, or the same one again, has another count.
type seat struct {
	reader  string
	state   scard.StateFlag
	removed chan struct{} // closed once the card is gone; only while somebody watches
}

// WaitRemoved returns nil once the card that is in reader now is gone, even for an instant; at once when there is none. A service
// that ends, or a reader that is unplugged, takes the card with it. It fails with ErrNoService, ErrNoReader or the cause of ctx.
func WaitRemoved(ctx context.Context, reader string) error {
	readers, err := Readers(ctx)
	if err != nil {
		return err
	}
	for _, r := range readers {
		if r.Name == reader {
			if !r.Present {
				return nil
			}
			return (&seat{reader: r.Name, state: r.state}).waitRemoved(ctx)
		}
	}
	return ErrNoReader
}

func (s *seat) waitRemoved(ctx context.Context) error {
	// Not through inContext: this wait ends with ctx by itself.
	c, err := openPCSC()
	if err != nil {
		return err
	}
	defer c.release()
	for ctx.Err() == nil {
		states := []scard.ReaderState{{Reader: s.reader, CurrentState: s.state}}
		err := c.wait(ctx, states)
		switch {
		case errors.Is(err, ErrNoService), errors.Is(err, scard.ErrUnknownReader), errors.Is(err, scard.ErrReaderUnavailable):
			return nil // nobody can say any more that the card is there
		case err != nil:
			return err
		case states[0].EventState != 0 && s.gone(states[0].EventState):
			return nil
		}
		if states[0].EventState != 0 {
			s.state = states[0].EventState &^ scard.StateChanged
		}
	}
	return context.Cause(ctx)
}

func (s *seat) gone(now scard.StateFlag) bool {
	return !present(now) || events(now) != events(s.state) || now&(scard.StateUnknown|scard.StateUnavailable) != 0
}

// watchSeats begins to watch every card that is in a reader. Without PC/SC there is nothing to watch, which is no error here:
// the module may need none.
func watchSeats(ctx context.Context, log *slog.Logger) *watched {
	watching, cancel := context.WithCancel(context.Background())
	w := &watched{cancel: cancel}
	readers, err := Readers(ctx)
	if err != nil {
		log.Debug("cards are not watched", "reason", err.Error())
		return w
	}
	w.before = readers
	for _, r := range readers {
		if !r.Present {
			continue
		}
		s := &seat{reader: r.Name, state: r.state, removed: make(chan struct{})}
		w.seats = append(w.seats, s)
		own := &seat{reader: r.Name, state: r.state} // follows the state, which s keeps
		w.done.Go(func() {
			if err := own.waitRemoved(watching); err != nil {
				if watching.Err() == nil {
					log.Debug("a card is not watched any more", "reason", err.Error())
				}
				return
			}
			close(s.removed)
		})
	}
	return w
}

// stop ends the watches. It waits for them only as long as a service that answers needs; one that hangs keeps them.
func (w *watched) stop() {
	w.cancel()
	done := make(chan struct{})
	go func() { w.done.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(2 * slice):
	}
}

// find returns the seat of the reader that a module calls by name. PKCS#11 cuts names at 64 bytes.
func (w *watched) find(name string) *seat {
	const slotDescription = 64
	for _, s := range w.seats {
		if s.reader == name || len(name) >= slotDescription-1 && strings.HasPrefix(s.reader, name) {
			return s
		}
	}
	return nil
}

// changed reports whether a card came or went since the watch began.
func (w *watched) changed(ctx context.Context) bool {
	now, err := Readers(ctx)
	if err != nil {
		return w.before != nil
	}
	if len(now) != len(w.before) {
		return true
	}
	for i, r := range now {
		b := w.before[i]
		if r.Name != b.Name || r.Present != b.Present || events(r.state) != events(b.state) {
			return true
		}
	}
	return false
}

// EventKind says what happened.
type EventKind int

// The events of Watch.
const (
	ReaderAdded EventKind = iota + 1
	ReaderRemoved
	CardInserted
	CardRemoved
	ServiceLost  // PC/SC does not answer: nothing is known of readers and cards
	ServiceFound // it answers again: events tell anew what is there
)

// String names the kind for logs.
func (k EventKind) String() string {
	switch k {
	case ReaderAdded:
		return "reader added"
	case ReaderRemoved:
		return "reader removed"
	case CardInserted:
		return "card inserted"
	case CardRemoved:
		return "card removed"
	case ServiceLost:
		return "service lost"
	case ServiceFound:
		return "service found"
	}
	return "unknown event"
}

// Event is something that happened to a reader, or with an empty Reader to the service.
type Event struct {
	Kind   EventKind
	Reader string
}

// Watch calls f, from this goroutine, for each event until ctx ends, and returns its cause. It begins with the readers and cards that are
// there. It needs no service to begin with: it waits for one, less and less often, up to every ten seconds.
func Watch(ctx context.Context, f func(Event)) error {
	const first, last = 250 * time.Millisecond, 10 * time.Second
	pause, lost := first, false
	for ctx.Err() == nil {
		began, err := watchOnce(ctx, f, lost)
		if ctx.Err() != nil {
			break
		}
		if began {
			pause, lost = first, false
		}
		if err != nil && !lost {
			lost = true
			f(Event{Kind: ServiceLost})
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, last)
	}
	return context.Cause(ctx)
}

// watchOnce watches in one context of PC/SC until that fails. It reports whether it began at all.
func watchOnce(ctx context.Context, f func(Event), found bool) (began bool, err error) {
	c, err := openPCSC()
	if err != nil {
		return false, err
	}
	defer c.release()
	var known []Reader
	for ctx.Err() == nil {
		now, err := c.readers()
		if err != nil {
			return began, err
		}
		if !began && found {
			f(Event{Kind: ServiceFound})
		}
		began = true
		tell(f, known, now)
		known = now
		if err := c.waitAny(ctx, known); err != nil {
			return began, err
		}
	}
	return began, nil
}

// waitAny waits for a change of the readers' states or number.
func (c *pcsc) waitAny(ctx context.Context, readers []Reader) error {
	states := []scard.ReaderState{{Reader: `\\?PnP?\Notification`}}
	for _, r := range readers {
		states = append(states, scard.ReaderState{Reader: r.Name, CurrentState: r.state &^ scard.StateChanged})
	}
	err := c.wait(ctx, states)
	if !errors.Is(err, scard.ErrUnknownReader) {
		return err
	}
	// A reader has just gone; or this system has no notification of readers (macOS), and the slices see to it.
	if len(readers) > 0 {
		if err = c.wait(ctx, states[1:]); err == nil || errors.Is(err, scard.ErrUnknownReader) {
			return nil
		}
		return err
	}
	select {
	case <-time.After(slice):
	case <-ctx.Done():
	}
	return nil
}

// tell reports the way from one list of readers to the next.
func tell(f func(Event), before, now []Reader) {
	for _, b := range before {
		if n := named(now, b.Name); b.Present && (n == nil || !n.Present || events(n.state) != events(b.state)) {
			f(Event{CardRemoved, b.Name})
		}
		if named(now, b.Name) == nil {
			f(Event{ReaderRemoved, b.Name})
		}
	}
	for _, n := range now {
		b := named(before, n.Name)
		if b == nil {
			f(Event{ReaderAdded, n.Name})
		}
		if n.Present && (b == nil || !b.Present || events(n.state) != events(b.state)) {
			f(Event{CardInserted, n.Name})
		}
	}
}

func named(readers []Reader, name string) *Reader {
	for i := range readers {
		if readers[i].Name == name {
			return &readers[i]
		}
	}
	return nil
}
