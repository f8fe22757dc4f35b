// Package audit records who did what: a typed event for each thing that a security officer asks about later.
//
// It owns the events, the chain of their records in the database, and the copies that leave as they happen (JSON lines, syslog). An
// event has no field for a secret, a PIN or a token, so none can be recorded; persons are named by their opaque subject. Nothing here
// changes or deletes a record. Each record holds the hash of the one before: Verify finds what somebody else has changed. What no chain
// can show is that its end was cut off, or that all of it was written anew from some point on: for that, a head is noted elsewhere, and
// every copy of a record that leaves is one. A Log is safe for concurrent use, and several of them may append to one database.
package audit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"promess/authgw/internal/store"
)

// Appender keeps the records.
type Appender interface {
	// AppendAudit gives the last record to next (a zero one when there is none) and appends what it returns, in one transaction that
	// no other append takes part in. Without an error all of it is there for good; with one, none of it is, unless the database was
	// lost during the commit.
	AppendAudit(ctx context.Context, next func(last store.AuditRecord) ([]store.AuditRecord, error)) error
}

// Reader reads them back.
type Reader interface {
	// AuditHead returns the number and the hash of the record that was appended last; store.ErrNotFound: none ever was.
	AuditHead(ctx context.Context) (seq int64, hash string, err error)
	// AuditRecords calls each with the chosen records, by number, and returns the first error of each as it is.
	AuditRecords(ctx context.Context, f store.AuditFilter, each func(store.AuditRecord) error) error
}

var (
	_ Appender = (*store.Store)(nil)
	_ Reader   = (*store.Store)(nil)
)

// Errors of Record.
var (
	ErrClosed = errors.New("the audit log is closed")
	ErrBusy   = errors.New("too many audit events wait for the database")
)

// Config is what a Log with a database is made of. Store and Log are needed.
type Config struct {
	Store  Appender
	Lines  io.Writer // gets a copy of each record as a JSON line; nil: nobody does
	Syslog *Syslog   // gets a copy too; nil: none is sent
	// InsecureAllowLoss makes Record work when the event cannot be kept, for who would rather have logins than a trail of them. The
	// loss is logged as an error, and the copies are still made.
	InsecureAllowLoss bool
	Log               *slog.Logger
	Now               func() time.Time // default time.Now
}

// Log records events.
type Log struct {
	now   func() time.Time
	plain *lines // of New; nil: all that follows is of Open

	store     Appender
	allowLoss bool
	log       *slog.Logger
	copies    []*copier
	lost      counter

	mu     sync.RWMutex // held for reading while an event is put into the queue
	closed bool
	queue  chan waiting
	ended  chan struct{}
}

// New returns a log that writes JSON lines to w and has no database. now is the clock.
func New(w io.Writer, now func() time.Time) *Log {
	return &Log{now: now, plain: &lines{w: w}}
}

// Open returns a log that appends to the trail of a database and copies what it has appended. Close must follow. It logs the head of
// the trail, which shows later, when it is compared, that nothing before it was cut off or written anew.
func Open(ctx context.Context, c Config) (*Log, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	l := &Log{
		now: c.Now, store: c.Store, allowLoss: c.InsecureAllowLoss, log: c.Log.With("component", "audit"),
		queue: make(chan waiting, maxBatch), ended: make(chan struct{}),
	}
	var end head
	err := c.Store.AppendAudit(ctx, func(last store.AuditRecord) ([]store.AuditRecord, error) {
		end = headOf(last)
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	l.log.Info("audit trail opened", "records", end.seq, "head", end.hash)
	if c.InsecureAllowLoss {
		l.log.Warn("security is lowered by the configuration", "settings", "audit.required: logins go on when they cannot be recorded")
	}
	if c.Lines != nil {
		w := &lines{w: c.Lines}
		l.copies = append(l.copies, (&copier{
			name: "stdout", log: l.log, send: func(m message) error { return w.print(m.text) },
		}).start())
	}
	if c.Syslog != nil {
		l.copies = append(l.copies, newSyslogCopier(c.Syslog, l.log))
	}
	go l.append() // until Close
	return l, nil
}

// Record keeps events in their order, with the time of the call, and returns when they are there for good: all of them, or none. An error
// means that they may not be: who asks for a login then refuses it.
func (l *Log) Record(events ...Event) error {
	if l.plain != nil {
		return l.plain.record(l.now, events...)
	}
	w := waiting{l.stamped(events), make(chan error, 1)}
	if err := l.enqueue(w); err != nil {
		return l.failed(w.events, err)
	}
	return <-w.kept // within two times appendTimeout, or SQLite's wait for another process: append answers each that is in the queue
}

// stamped returns events as they are kept, of now.
func (l *Log) stamped(events []Event) []Event {
	now, all := l.now().UTC(), make([]Event, 0, len(events))
	for _, e := range events {
		e.Time = now
		all = append(all, e.clean())
	}
	return all
}

// Note keeps an event, with the time of the call, and does not wait until it is there: it goes with the next that somebody waits for, or within
// noteDelay. What is lost when the process ends at once is of that time. An error means that it will not be kept; what cannot be kept later is
// logged and counted as lost.
func (l *Log) Note(e Event) error {
	if l.plain != nil {
		return l.plain.record(l.now, e)
	}
	w := waiting{events: l.stamped([]Event{e})}
	if err := l.enqueue(w); err != nil {
		return l.failed(w.events, err)
	}
	return nil
}

// Close waits until what was recorded is kept and the copies have left, for a bounded time, and ends the log. The database stays open.
func (l *Log) Close() {
	if l.plain != nil {
		return
	}
	l.mu.Lock()
	already := l.closed
	l.closed = true
	l.mu.Unlock()
	if !already {
		close(l.queue)
	}
	<-l.ended
}

// Losses are events since the start that did not arrive.
type Losses struct {
	Trail  uint64 // not kept in the database, be it that somebody was refused or that this was allowed
	Copies uint64 // kept, but not written to standard output or not sent to syslog
}

// Losses returns them.
func (l *Log) Losses() Losses {
	n := Losses{Trail: l.lost.Load()}
	for _, c := range l.copies {
		n.Copies += c.lost.Load()
	}
	return n
}

// Waiting returns how many events wait now: for the database, under "trail", and to be copied, under "stdout" and "syslog" where these are.
func (l *Log) Waiting() map[string]int {
	n := map[string]int{"trail": len(l.queue)}
	for _, c := range l.copies {
		n[c.name] = len(c.queue)
	}
	return n
}
