package audit_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
)

// noon is when the first event of a test takes place.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 123456789, time.UTC)

// world is a database with a trail, and a way behind the back of the program.
type world struct {
	t    testing.TB
	name string // of the database
	raw  *sql.DB
	log  output // what logs say
}

// output is what a program writes, read while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func newSQLite(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, name: filepath.Join(t.TempDir(), "authgw.db")}
	w.store() // makes the schema
	return w.open("sqlite", w.name+"?_pragma=busy_timeout(5000)")
}

func newPostgres(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, name: pgtest.Database(t)}
	w.store()
	return w.open("pgx", w.name)
}

func (w *world) open(driver, name string) *world {
	w.t.Helper()
	var err error
	if w.raw, err = sql.Open(driver, name); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.raw.Close() })
	return w
}

// onBoth runs a test on each engine.
func onBoth(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) { test(t, newSQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, newPostgres(t)) })
}

// store opens the database once more, as another gateway does.
func (w *world) store() *store.Store {
	w.t.Helper()
	s, err := store.Open(w.t.Context(), store.Config{Name: w.name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

// config is that of a log on a store of its own, whose clock goes on by a second with each look.
func (w *world) config(lines io.Writer) audit.Config {
	now, mu := noon.Add(-time.Second), sync.Mutex{}
	return audit.Config{
		Store: w.store(), Lines: lines, Log: slog.New(slog.NewJSONHandler(&w.log, nil)),
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Second)
			return now
		},
	}
}

func (w *world) start(c audit.Config) *audit.Log {
	w.t.Helper()
	l, err := audit.Open(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(l.Close)
	return l
}

// fill records n events, one after the other.
func (w *world) fill(n int) {
	w.t.Helper()
	l := w.start(w.config(nil))
	defer l.Close()
	for i := range n {
		if err := l.Record(audit.Event{Kind: audit.SessionOpened, Subject: fmt.Sprintf("u-%d", i+1), Method: "card"}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// exec changes the database behind the back of the program.
func (w *world) exec(statements ...string) {
	w.t.Helper()
	for _, q := range statements {
		if _, err := w.raw.ExecContext(w.t.Context(), q); err != nil {
			w.t.Fatalf("%s: %v", q, err)
		}
	}
}

// records reads the trail behind the back of the program.
func (w *world) records() []store.AuditRecord {
	w.t.Helper()
	rows, err := w.raw.QueryContext(w.t.Context(), "SELECT seq, at, kind, subject, body, hash FROM audit_events ORDER BY seq")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	var all []store.AuditRecord
	for rows.Next() {
		var r store.AuditRecord
		var at int64
		if err := rows.Scan(&r.Seq, &at, &r.Kind, &r.Subject, &r.Body, &r.Hash); err != nil {
			w.t.Fatal(err)
		}
		r.At = time.UnixMilli(at).UTC()
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// verify returns what is found wrong.
func (w *world) verify(noted string) (audit.Report, []string) {
	w.t.Helper()
	var all []string
	report, err := audit.Verify(w.t.Context(), w.store(), noted, func(f audit.Finding) { all = append(all, f.String()) })
	if err != nil {
		w.t.Fatal(err)
	}
	if int(report.Findings) != len(all) {
		w.t.Errorf("%d findings in the report, %d told", report.Findings, len(all))
	}
	return report, all
}

// whole wants a trail of n records without a fault.
func (w *world) whole(n int) audit.Report {
	w.t.Helper()
	report, found := w.verify("")
	if len(found) != 0 || report.Records != int64(n) || report.Seq != int64(n) {
		w.t.Errorf("verify = %+v, %q, want %d records without a fault", report, found, n)
	}
	return report
}

// empty is the hash that the first record follows.
const empty = "0000000000000000000000000000000000000000000000000000000000000000"

// digest is the hash of a record, as docs/operate.md describes it.
func digest(t testing.TB, prev string, seq int64, body string) string {
	t.Helper()
	before, err := hex.DecodeString(prev)
	if err != nil {
		t.Fatal(err)
	}
	b := append([]byte("authgw audit record v1\x00"), before...)
	b = append(binary.BigEndian.AppendUint64(b, uint64(seq)), body...)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
