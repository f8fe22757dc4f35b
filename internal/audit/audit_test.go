package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/audit"
)

// read returns the events of a log.
func read(t *testing.T, raw string) []audit.Event {
	t.Helper()
	var all []audit.Event
	for line := range strings.Lines(raw) {
		var e audit.Event
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

func TestRecord(t *testing.T) {
	var out bytes.Buffer
	paris := time.FixedZone("CET", 3600)
	l := audit.New(&out, func() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, paris) })
	want := audit.Event{
		Kind: audit.LoginRefused, Outcome: "refused", Reason: "revoked", Subject: "u-1", Method: "card", Source: "192.0.2.1",
		Detail: "a line\nbreak, \"quotes\" and \u2028", Time: time.Now(), // the log's clock counts, not the caller's
	}
	if err := l.Record(want); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), `{"time":"2026-03-02T11:00:00Z","kind":"login_refused",`) {
		t.Errorf("line = %q, want the time first, in UTC", out.String())
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d line breaks, want the one at the end: %q", n, out.String())
	}
	want.Time = time.Date(2026, 3, 2, 11, 0, 0, 0, time.UTC)
	if diff := cmp.Diff([]audit.Event{want}, read(t, out.String())); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// whole fails the test when it is written to in any other way than one line at a time by one goroutine at a time.
type whole struct {
	t    *testing.T
	busy sync.Mutex
	bytes.Buffer
}

func (w *whole) Write(p []byte) (int, error) {
	if !w.busy.TryLock() {
		w.t.Error("two writes at once")
		return len(p), nil
	}
	defer w.busy.Unlock()
	if bytes.Count(p, []byte("\n")) != 1 || p[len(p)-1] != '\n' {
		w.t.Errorf("a write of %q, want one line", p)
	}
	return w.Buffer.Write(p)
}

func TestRecordTogether(t *testing.T) {
	out := &whole{t: t}
	var mu sync.Mutex
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	l := audit.New(out, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				if err := l.Record(audit.Event{Kind: audit.SessionOpened, Detail: strings.Repeat("x", 500)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all := read(t, out.String())
	if len(all) != 400 {
		t.Fatalf("%d events, want 400", len(all))
	}
	for i := 1; i < len(all); i++ {
		if !all[i].Time.After(all[i-1].Time) {
			t.Fatalf("event %d is of %v, after one of %v", i, all[i].Time, all[i-1].Time)
		}
	}
}

// full is a disk that takes some bytes and then, for one write, no more.
type full struct {
	room int
	bytes.Buffer
}

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if f.room < 0 || len(p) <= f.room {
		return f.Buffer.Write(p)
	}
	n, _ := f.Buffer.Write(p[:f.room])
	f.room = -1
	return n, errFull
}

func TestWriteError(t *testing.T) {
	for _, room := range []int{0, 10} {
		out := &full{room: room}
		l := audit.New(out, time.Now)
		if err := l.Record(audit.Event{Kind: audit.SessionOpened}); !errors.Is(err, errFull) {
			t.Errorf("Record = %v, want %v", err, errFull)
		}
		// What was cut off must not take the next event with it.
		if err := l.Record(audit.Event{Kind: audit.SessionEnded}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if got := read(t, lines[len(lines)-1]); len(got) != 1 || got[0].Kind != audit.SessionEnded {
			t.Errorf("with %d bytes of room: the last line is %q, want the second event whole", room, lines[len(lines)-1])
		}
	}
	if err := audit.New(short{}, time.Now).Record(audit.Event{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Record = %v, want %v", err, io.ErrShortWrite)
	}
}

// short breaks the rule of io.Writer: it takes a part and says nothing.
type short struct{}

func (short) Write(p []byte) (int, error) { return len(p) / 2, nil }

// An event has nowhere to put a secret: a field with such a name would be filled some day.
func TestEventHasNoPlaceForSecrets(t *testing.T) {
	secrets := []string{"pin", "password", "passwd", "secret", "token", "cookie", "code", "otp", "key", "seed", "credential", "authorization", "bearer", "assertion", "email", "mailbox", "name", "nationalid", "body", "header"}
	for f := range reflect.TypeFor[audit.Event]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		for _, secret := range secrets {
			for _, n := range []string{strings.ToLower(f.Name), strings.ReplaceAll(name, "_", "")} {
				if strings.Contains(n, secret) {
					t.Errorf("field %s (%q) looks like a place for a %s; audit events are kept for years and read by many", f.Name, name, secret)
				}
			}
		}
		if k := f.Type.Kind(); k != reflect.String && f.Type != reflect.TypeFor[time.Time]() {
			t.Errorf("field %s is a %s, want words only: anything could be in it", f.Name, k)
		}
	}
}

// keys returns the names of an event's fields in JSON, in order.
func keys() (all []string) {
	for f := range reflect.TypeFor[audit.Event]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, name)
	}
	return all
}
