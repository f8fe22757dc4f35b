package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"promess/authgw/internal/store"
)

const (
	// maxBatch events are kept by one transaction, and as many may wait for the next.
	maxBatch = 1024
	// appendTimeout bounds a transaction, and the wait for a place in the queue.
	appendTimeout = 5 * time.Second
	// noteDelay is how long events that nobody waits for may wait for others.
	noteDelay = 100 * time.Millisecond
)

type counter = atomic.Uint64

// waiting is what is to be kept together: all of it, or nothing.
type waiting struct {
	events []Event
	kept   chan error // has room for the answer; nil: nobody waits
}

// enqueue puts an event where append finds it.
func (l *Log) enqueue(w waiting) error {
	l.mu.RLock() // not for long: append empties the queue
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	select {
	case l.queue <- w:
		return nil
	default:
	}
	timer := time.NewTimer(appendTimeout)
	defer timer.Stop()
	select {
	case l.queue <- w:
		return nil
	case <-timer.C:
		return ErrBusy
	}
}

// append keeps events, all that wait at a time in one transaction, until the queue is closed. One transaction costs the disk the same
// for one event and for a hundred.
func (l *Log) append() {
	defer close(l.ended)
	for first := range l.queue {
		l.keep(l.collect(first))
	}
	for _, c := range l.copies {
		c.close()
	}
}

// collect returns an event with those that wait beside it. Where nobody waits for any, it waits for others a while.
func (l *Log) collect(first waiting) []waiting {
	batch, urgent := []waiting{first}, first.kept != nil
	late := time.NewTimer(noteDelay)
	defer late.Stop()
	for len(batch) < maxBatch && (!urgent || len(l.queue) > 0) {
		select {
		case w, open := <-l.queue:
			if !open {
				return batch
			}
			batch, urgent = append(batch, w), urgent || w.kept != nil
		case <-late.C:
			return batch
		}
	}
	return batch
}

// keep appends a batch to the trail, copies it, and tells who waits.
func (l *Log) keep(batch []waiting) {
	records, err := l.chain(batch)
	messages := make([]message, 0, len(records))
	for _, w := range batch {
		for _, e := range w.events {
			switch {
			case err == nil:
				messages = append(messages, message{event: e, text: []byte(records[len(messages)].Body)})
			case l.allowLoss: // then the copies are all there is of it
				if line, err := json.Marshal(e); err == nil {
					messages = append(messages, message{event: e, text: line})
				}
			}
		}
	}
	for _, c := range l.copies {
		c.copy(messages)
	}
	for _, c := range l.copies {
		c.await()
	}
	for _, w := range batch {
		failed := err
		if err != nil {
			failed = l.failed(w.events, err)
		}
		switch {
		case w.kept != nil:
			w.kept <- failed
		case failed != nil:
			l.log.Error("audit event lost", "kind", string(w.events[0].Kind), "error", failed)
		}
	}
}

// chain appends the records of a batch to the trail and returns them.
func (l *Log) chain(batch []waiting) ([]store.AuditRecord, error) {
	ctx, cancel := context.WithTimeout(context.Background(), appendTimeout) // not of a request: others wait for the batch too
	defer cancel()
	var records []store.AuditRecord
	var end head
	err := l.store.AppendAudit(ctx, func(last store.AuditRecord) ([]store.AuditRecord, error) {
		records, end = make([]store.AuditRecord, 0, len(batch)), headOf(last)
		for _, w := range batch {
			for _, e := range w.events {
				r, err := end.seal(e)
				if err != nil {
					return nil, err
				}
				records = append(records, r)
				end = head{r.Seq, r.Hash}
			}
		}
		return records, nil
	})
	return records, err
}

// failed says that events were not kept, unless that is allowed.
func (l *Log) failed(events []Event, err error) error {
	lost := l.lost.Add(uint64(len(events)))
	if l.allowLoss {
		for _, e := range events {
			l.log.Error("AUDIT EVENT LOST, AND WHAT IT TELLS OF WAS ALLOWED", "kind", string(e.Kind), "error", err, "lost_since_start", lost)
		}
		return nil
	}
	return fmt.Errorf("keep audit event: %w", err)
}
