package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

// A record is what docs/operate.md says: body, hash, columns; and the copy is the body.
func TestRecordOfTrail(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		var out output
		l := w.start(w.config(&out))
		for _, e := range []audit.Event{
			{Kind: audit.SessionOpened, Subject: "u-1"},
			{Kind: audit.SessionEnded, Reason: "logout", Subject: "u-1", Detail: "<é>", Time: time.Now()},    // the log's clock counts
			{Kind: audit.LoginSucceeded, Subject: "u-1", Source: "192.0.2.1", Browser: "Firefox 153, Linux"}, // a key that the two before lack
		} {
			if err := l.Record(e); err != nil {
				t.Fatal(err)
			}
		}
		// The hashes are those of Python's hashlib over the documented bytes.
		const third = "9e9a9c379c11cdc94b66a5b34d16f23c35708691e83efdf5f48c5731f607aa3f"
		const first, second = "b5da9aeb212504625149b210b69421a1b0f6f567d5bcbb994d16818039f208c5", "9726444e7216b866b2f90abcb1a25f3424bd92226b0358f50b531ab42553eb67"
		want := []store.AuditRecord{
			{Seq: 1, At: noon.Truncate(time.Millisecond), Kind: "session_opened", Subject: "u-1", Hash: first,
				Body: `{"seq":1,"prev":"` + empty + `","time":"2026-03-02T12:00:00.123456789Z","kind":"session_opened","subject":"u-1"}`},
			{Seq: 2, At: noon.Add(time.Second).Truncate(time.Millisecond), Kind: "session_ended", Subject: "u-1", Hash: second,
				Body: `{"seq":2,"prev":"` + first + `","time":"2026-03-02T12:00:01.123456789Z","kind":"session_ended","reason":"logout","subject":"u-1","detail":"\u003cé\u003e"}`},
			{Seq: 3, At: noon.Add(2 * time.Second).Truncate(time.Millisecond), Kind: "login_succeeded", Subject: "u-1", Hash: third,
				Body: `{"seq":3,"prev":"` + second + `","time":"2026-03-02T12:00:02.123456789Z","kind":"login_succeeded","subject":"u-1","source":"192.0.2.1","browser":"Firefox 153, Linux"}`},
		}
		if diff := cmp.Diff(want, w.records()); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
		if got, want := out.String(), want[0].Body+"\n"+want[1].Body+"\n"+want[2].Body+"\n"; got != want {
			t.Errorf("lines = %s\nwant %s", got, want)
		}
		w.whole(3)
	})
}

// Three gateways on one database, each with many who sign in at once: one chain, nothing lost, nothing twice.
func TestThreeLogsOnOneTrail(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		const logs, persons, events = 3, 20, 10
		var wg sync.WaitGroup
		for i := range logs {
			l := w.start(w.config(nil))
			for j := range persons {
				wg.Go(func() {
					for k := range events {
						if err := l.Record(audit.Event{Kind: audit.LoginSucceeded, Subject: fmt.Sprintf("u-%d-%d-%d", i, j, k)}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
		}
		wg.Wait()
		w.whole(logs * persons * events)
		seen := map[string]bool{}
		last := map[string]int{} // what one person did stays in order
		for _, r := range w.records() {
			at := strings.LastIndex(r.Subject, "-")
			var k int
			if _, err := fmt.Sscan(r.Subject[at+1:], &k); err != nil || seen[r.Subject] || last[r.Subject[:at]] != k {
				t.Fatalf("record %d is of %s: twice, or out of order", r.Seq, r.Subject)
			}
			seen[r.Subject] = true
			last[r.Subject[:at]] = k + 1
		}
	})
}

// appender is a trail that does as it is told.
type appender func(ctx context.Context, next func(store.AuditRecord) ([]store.AuditRecord, error)) error

func (a appender) AppendAudit(ctx context.Context, next func(store.AuditRecord) ([]store.AuditRecord, error)) error {
	return a(ctx, next)
}

// Those who come while a transaction runs share the next one.
func TestGroupCommit(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var batches []int
	var last store.AuditRecord
	c := newSQLite(t).config(nil)
	opened := false
	c.Store = appender(func(_ context.Context, next func(store.AuditRecord) ([]store.AuditRecord, error)) error {
		if !opened {
			opened = true
			_, err := next(last)
			return err
		}
		if len(batches) == 0 {
			close(begun)
			<-release
		}
		all, err := next(last)
		batches, last = append(batches, len(all)), all[len(all)-1]
		return err
	})
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	record := func() {
		if err := l.Record(audit.Event{Kind: audit.SessionOpened}); err != nil {
			t.Error(err)
		}
	}
	wg.Go(record)
	<-begun
	for range 200 {
		wg.Go(record)
	}
	for end := time.Now().Add(time.Minute); l.Waiting()["trail"] < 200; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v wait, want 200", l.Waiting())
		}
	}
	close(release)
	wg.Wait()
	l.Close()
	sum := 0
	for _, n := range batches {
		sum += n
	}
	if sum != 201 || len(batches) > 10 {
		t.Errorf("batches of %v, want 201 events in far fewer transactions", batches)
	}
}

var errDisk = errors.New("disk full")

// B10: what cannot be written down does not happen.
func TestFailureOfTrail(t *testing.T) {
	down := false
	world := newSQLite(t)
	real := world.store()
	var out output
	c := world.config(&out)
	c.Store = appender(func(ctx context.Context, next func(store.AuditRecord) ([]store.AuditRecord, error)) error {
		if down {
			return errDisk
		}
		return real.AppendAudit(ctx, next)
	})
	event := audit.Event{Kind: audit.LoginSucceeded, Subject: "u-1"}

	t.Run("is an error to who records, and no copy tells of what did not happen", func(t *testing.T) {
		l := world.start(c)
		down = true
		if err := l.Record(event); !errors.Is(err, errDisk) {
			t.Errorf("Record = %v, want %v", err, errDisk)
		}
		if out.String() != "" {
			t.Errorf("lines = %q", out.String())
		}
		if got := l.Losses().Trail; got != 1 {
			t.Errorf("%d losses, want 1", got)
		}
		down = false
		if err := l.Record(event); err != nil { // and then it works again
			t.Error(err)
		}
		world.whole(1)
	})
	t.Run("is allowed on demand, loudly, and the copy is made", func(t *testing.T) {
		c.InsecureAllowLoss = true
		l := world.start(c)
		if !strings.Contains(world.log.String(), "security is lowered") {
			t.Errorf("log = %s, want a word on it at the start", world.log.String())
		}
		before := out.String()
		down = true
		if err := l.Record(event); err != nil {
			t.Errorf("Record = %v", err)
		}
		if log := world.log.String(); !strings.Contains(log, `"level":"ERROR","msg":"AUDIT EVENT LOST`) || !strings.Contains(log, errDisk.Error()) {
			t.Errorf("log = %s, want the loss", log)
		}
		var e audit.Event
		if err := json.Unmarshal([]byte(strings.TrimPrefix(out.String(), before)), &e); err != nil || e.Subject != "u-1" {
			t.Errorf("copy = %q, want the event", out.String())
		}
	})
	t.Run("stops the start", func(t *testing.T) {
		if _, err := audit.Open(t.Context(), c); !errors.Is(err, errDisk) {
			t.Errorf("Open = %v, want %v", err, errDisk)
		}
	})
}

// A real database that is full, or gone, refuses too.
func TestRefusedByDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		l := w.start(w.config(nil))
		w.exec("ALTER TABLE audit_events RENAME TO away")
		if err := l.Record(audit.Event{Kind: audit.LoginSucceeded}); err == nil {
			t.Error("Record worked without a table")
		}
		w.exec("ALTER TABLE away RENAME TO audit_events")
		if err := l.Record(audit.Event{Kind: audit.LoginSucceeded}); err != nil {
			t.Error(err)
		}
		w.whole(1)
	})
}

func TestClosedLog(t *testing.T) {
	w := newSQLite(t)
	var out output
	l := w.start(w.config(&out))
	var wg sync.WaitGroup
	kept := make(chan bool, 200)
	for range 200 { // some are in time
		wg.Go(func() {
			err := l.Record(audit.Event{Kind: audit.SessionOpened})
			if err != nil && !errors.Is(err, audit.ErrClosed) {
				t.Error(err)
			}
			kept <- err == nil
		})
	}
	l.Close()
	l.Close()
	wg.Wait()
	close(kept)
	n := 0
	for ok := range kept {
		if ok {
			n++
		}
	}
	w.whole(n)
	if got := strings.Count(out.String(), "\n"); got != n {
		t.Errorf("%d lines of %d events", got, n)
	}
	if err := l.Record(audit.Event{}); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("Record = %v, want %v", err, audit.ErrClosed)
	}
}

// What somebody else chose may be anything; it is kept as text that every database takes, and the chain holds.
func TestTextsOfOthers(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		l := w.start(w.config(nil))
		for _, s := range []string{"\x00", "\xff\xfe", strings.Repeat("é", 100_000), "\u2028\r\n", `"},{"`, "'; DROP TABLE audit_events; --"} {
			if err := l.Record(audit.Event{Kind: audit.LoginRefused, Subject: s, Detail: s}); err != nil {
				t.Errorf("Record of %.20q: %v", s, err)
			}
		}
		w.whole(6)
		for _, r := range w.records() {
			if len(r.Body) > 10_000 {
				t.Errorf("record %d has %d bytes, want a bound", r.Seq, len(r.Body))
			}
		}
	})
}

// The head is in the log at each start, for whoever compares it later.
func TestHeadAtStart(t *testing.T) {
	w := newSQLite(t)
	w.fill(2)
	head := w.records()[1].Hash
	w.log = output{}
	w.start(w.config(nil))
	if log := w.log.String(); !strings.Contains(log, `"records":2,"head":"`+head+`"`) {
		t.Errorf("log = %s, want the head %s", log, head)
	}
}

// A pipe that nobody reads, or a terminal that was stopped, must not stop logins: what leaves may be late or lost, what is kept is not.
func TestOutputThatBlocks(t *testing.T) {
	w := newSQLite(t)
	free := make(chan struct{})
	var out bytes.Buffer
	blocked := writer(func(p []byte) (int, error) {
		<-free
		return out.Write(p)
	})
	l := w.start(w.config(blocked))
	for range 20 { // the first waits for a second, the others do not
		if err := l.Record(audit.Event{Kind: audit.SessionOpened}); err != nil {
			t.Fatal(err)
		}
	}
	w.whole(20)
	close(free)
	l.Close()
	if got := len(read(t, strings.ReplaceAll(strip(out.String()), "\n\n", "\n"))); got != 20 {
		t.Errorf("%d lines, want 20", got)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// strip takes seq and prev from the lines, which events have not.
func strip(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		_, rest, _ := strings.Cut(line, `","time"`)
		b.WriteString(`{"time"` + rest)
	}
	return b.String()
}

// A disk that is full where the lines go, as /dev/full is always, refuses nobody: the event is kept.
func TestOutputThatFails(t *testing.T) {
	w := newSQLite(t)
	l := w.start(w.config(writer(func([]byte) (int, error) { return 0, errFull })))
	if err := l.Record(audit.Event{Kind: audit.SessionOpened}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if got := l.Losses(); got != (audit.Losses{Copies: 1}) {
		t.Errorf("losses = %+v, want one copy", got)
	}
	if log := w.log.String(); !strings.Contains(log, "copies of audit events lost") || !strings.Contains(log, errFull.Error()) {
		t.Errorf("log = %s, want the loss", log)
	}
	w.whole(1)
}

func TestFilter(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.fill(600) // more than a page
		seqs := func(f store.AuditFilter) (all []int64) {
			if err := w.store().AuditRecords(t.Context(), f, func(r store.AuditRecord) error {
				all = append(all, r.Seq)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return all
		}
		second := func(n int) time.Time { return noon.Add(time.Duration(n-1) * time.Second).Truncate(time.Millisecond) }
		for _, tt := range []struct {
			name   string
			filter store.AuditFilter
			want   []int64
		}{
			{"one account", store.AuditFilter{Subject: "u-599"}, []int64{599}},
			{"an account without events", store.AuditFilter{Subject: "u-0"}, nil},
			{"from a time, which is in it, to another, which is not", store.AuditFilter{From: second(5), To: second(7)}, []int64{5, 6}},
			{"from just after a time", store.AuditFilter{From: second(5).Add(1), To: second(7).Add(1)}, []int64{6, 7}},
			{"an account outside of the time", store.AuditFilter{Subject: "u-1", From: second(2)}, nil},
		} {
			if got := seqs(tt.filter); !slices.Equal(got, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			}
		}
		if got := seqs(store.AuditFilter{}); len(got) != 600 || !slices.IsSorted(got) {
			t.Errorf("all: %v", got)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *world{"SQLite": newSQLite, "PostgreSQL": newPostgres} {
		b.Run(name, func(b *testing.B) {
			w := open(b)
			l := w.start(audit.Config{Store: w.store(), Log: slog.New(slog.DiscardHandler)})
			e := audit.Event{
				Kind: audit.LoginSucceeded, Outcome: "success", Subject: "u-01234567890123456789", Method: "card", ACR: "eidas3",
				Source: "192.0.2.1", Fingerprint: strings.Repeat("ab", 32), Issuer: "CN=AC IGC-SANTE FORT PERSONNES,OU=IGC-SANTE,O=ASIP-SANTE,C=FR",
			}
			b.SetParallelism(50) // persons who sign in at once, on each core
			b.ResetTimer()       // the database was started for it
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := l.Record(e); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
