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
)

type counter = atomic.Uint64

// waiting is an event that somebody waits to be kept.
type waiting struct {
	event Event
	kept  chan error // has room for the answer
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
		batch := []waiting{first}
		for len(batch) < maxBatch && len(l.queue) > 0 {
			w, open := <-l.queue
			if !open {
				break
			}
			batch = append(batch, w)
		}
		l.keep(batch)
	}
	for _, c := range l.copies {
		c.close()
	}
}

// keep appends a batch to the trail, copies it, and tells who waits.
func (l *Log) keep(batch []waiting) {
	records, err := l.chain(batch)
	messages := make([]message, 0, len(batch))
	for i, w := range batch {
		switch {
		case err == nil:
			messages = append(messages, message{event: w.event, text: []byte(records[i].Body)})
		case l.allowLoss: // then the copies are all there is of it
			if line, err := json.Marshal(w.event); err == nil {
				messages = append(messages, message{event: w.event, text: line})
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
		if err == nil {
			w.kept <- nil
		} else {
			w.kept <- l.failed(w.event, err)
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
			r, err := end.seal(w.event)
			if err != nil {
				return nil, err
			}
			records = append(records, r)
			end = head{r.Seq, r.Hash}
		}
		return records, nil
	})
	return records, err
}

// failed says that an event was not kept, unless that is allowed.
func (l *Log) failed(e Event, err error) error {
	lost := l.lost.Add(1)
	if l.allowLoss {
		l.log.Error("AUDIT EVENT LOST, AND WHAT IT TELLS OF WAS ALLOWED", "kind", string(e.Kind), "error", err, "lost_since_start", lost)
		return nil
	}
	return fmt.Errorf("keep audit event: %w", err)
}
