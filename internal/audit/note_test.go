package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

// What is noted is there soon, in its place in the chain: with the next that somebody waits for, by itself, or when the log is closed.
func TestNotedEventsAreKept(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		l := w.start(w.config(nil))
		note := func(subject string) {
			if err := l.Note(audit.Event{Kind: audit.AuthorizationGranted, Subject: subject}); err != nil {
				t.Fatal(err)
			}
		}
		note("u-1")
		note("u-2")
		if err := l.Record(audit.Event{Kind: audit.LoginSucceeded, Subject: "u-3"}); err != nil {
			t.Fatal(err)
		}
		w.whole(3)
		note("u-4")
		for deadline := time.Now().Add(30 * time.Second); len(w.records()) < 4; {
			if time.Now().After(deadline) {
				t.Fatal("an event that is alone is not kept")
			}
			time.Sleep(10 * time.Millisecond) // between two looks
		}
		note("u-5")
		l.Close()
		w.whole(5)
		for i, r := range w.records() {
			if want := []string{"u-1", "u-2", "u-3", "u-4", "u-5"}[i]; r.Subject != want {
				t.Errorf("record %d is of %s, want %s", r.Seq, r.Subject, want)
			}
		}
		if err := l.Note(audit.Event{}); !errors.Is(err, audit.ErrClosed) {
			t.Errorf("Note of a closed log = %v, want %v", err, audit.ErrClosed)
		}
	})
}

// Nobody waits for its error, so one that cannot be kept is in the log and counted.
func TestNotedEventThatIsLostIsTold(t *testing.T) {
	w := newSQLite(t)
	c := w.config(nil)
	broken := false
	kept := c.Store
	c.Store = appender(func(ctx context.Context, next func(store.AuditRecord) ([]store.AuditRecord, error)) error {
		if broken {
			return errors.New("the disk is full")
		}
		return kept.AppendAudit(ctx, next)
	})
	l := w.start(c)
	broken = true // before anything is put into the queue, which append reads from
	if err := l.Note(audit.Event{Kind: audit.AuthorizationGranted, Subject: "u-1"}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if got := l.Losses().Trail; got != 1 {
		t.Errorf("%d losses, want 1", got)
	}
	if log := w.log.String(); !strings.Contains(log, "audit event lost") || !strings.Contains(log, "the disk is full") || strings.Contains(log, "u-1") {
		t.Errorf("log = %s", log)
	}
}

// What is recorded together follows each other in the chain, however many record at once; and when it cannot be kept, none of it is.
func TestEventsRecordedTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		c, broken := w.config(nil), atomic.Bool{}
		kept := c.Store
		c.Store = appender(func(ctx context.Context, next func(store.AuditRecord) ([]store.AuditRecord, error)) error {
			return kept.AppendAudit(ctx, func(last store.AuditRecord) ([]store.AuditRecord, error) {
				records, err := next(last)
				if err == nil && broken.Load() {
					err = errors.New("the disk is full")
				}
				return records, err
			})
		})
		l := w.start(c)
		login := func(subject string) error {
			return l.Record(audit.Event{Kind: audit.LoginSucceeded, Subject: subject}, audit.Event{Kind: audit.SessionOpened, Subject: subject})
		}
		const persons = 20
		var all sync.WaitGroup
		for i := range persons {
			all.Go(func() {
				if err := login(fmt.Sprint("u-", i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		broken.Store(true)
		if err := login("u-lost"); err == nil {
			t.Error("Record on a full disk = nil, want an error")
		}
		if got := l.Losses().Trail; got != 2 {
			t.Errorf("%d events lost, want 2", got)
		}
		w.whole(2 * persons)
		records := w.records()
		for i := 0; i < len(records); i += 2 {
			a, b := records[i], records[i+1]
			if a.Kind != "login_succeeded" || b.Kind != "session_opened" || a.Subject != b.Subject || !a.At.Equal(b.At) {
				t.Errorf("records %d and %d are %s of %s and %s of %s, want a login and its session", a.Seq, b.Seq, a.Kind, a.Subject, b.Kind, b.Subject)
			}
		}
	})
}
