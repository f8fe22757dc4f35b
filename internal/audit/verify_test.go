package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

// renumber moves the records from a number on by some, in two steps: no number may be there twice meanwhile.
func renumber(from, by int) []string {
	return []string{
		fmt.Sprintf("UPDATE audit_events SET seq = -(seq + %d) WHERE seq >= %d", by, from),
		"UPDATE audit_events SET seq = -seq WHERE seq < 0",
	}
}

// swap exchanges two records, all but their numbers.
func swap(a, b int) []string {
	return []string{
		fmt.Sprintf("UPDATE audit_events SET seq = 1000 WHERE seq = %d", a),
		fmt.Sprintf("UPDATE audit_events SET seq = %d WHERE seq = %d", a, b),
		fmt.Sprintf("UPDATE audit_events SET seq = %d WHERE seq = 1000", b),
	}
}

// forge returns a statement that inserts a record with the right hash for what it says it follows.
func forge(t *testing.T, at int64, r store.AuditRecord, prev string, seq int64, subject string) string {
	body := fmt.Sprintf(`{"seq":%d,"prev":"%s","time":"%s","kind":"session_opened","subject":"%s"}`,
		seq, prev, r.At.Format("2006-01-02T15:04:05.000Z"), subject)
	return fmt.Sprintf("INSERT INTO audit_events (seq, at, kind, subject, body, hash) VALUES (%d, %d, 'session_opened', '%s', '%s', '%s')",
		at, r.At.UnixMilli(), subject, body, digest(t, prev, seq, body))
}

// Every way to change the past is found and named. Each starts with ten records as they were written, of u-1 to u-10.
func TestTampering(t *testing.T) {
	const altered = "altered: its content is not what was hashed"
	for _, tt := range []struct {
		name  string
		do    func(t *testing.T, all []store.AuditRecord) []string
		want  []string
		first int64 // that is named
	}{
		{"the body of one", say(`UPDATE audit_events SET body = replace(body, 'u-5', 'u-6'), subject = 'u-6' WHERE seq = 5`),
			[]string{"record 5: " + altered}, 5},
		{"a space in the body of one", say(`UPDATE audit_events SET body = replace(body, ',', ', ') WHERE seq = 5`), []string{"record 5: " + altered}, 5},
		{"the bodies of some that follow each other", say(`UPDATE audit_events SET body = replace(body, 'card', 'otp') WHERE seq BETWEEN 4 AND 6`),
			[]string{"records 4 to 6: " + altered}, 4},
		{"the bodies of the first and the last", say(`UPDATE audit_events SET body = replace(body, 'card', 'otp') WHERE seq IN (1, 10)`),
			[]string{"record 1: " + altered, "record 10: " + altered}, 1},
		{"the body of one, to what is no event", say(`UPDATE audit_events SET body = 'gone' WHERE seq = 5`),
			[]string{"record 5: altered: its body is no event"}, 5},
		{"the hash of one", say(`UPDATE audit_events SET hash = '` + empty + `' WHERE seq = 5`), []string{"record 5: " + altered}, 5},
		{"the hash of one, to what is none", say(`UPDATE audit_events SET hash = 'x' WHERE seq = 5`), []string{"record 5: " + altered}, 5},
		{"the hash of one, in capitals", say(`UPDATE audit_events SET hash = upper(hash) WHERE seq = 5`), []string{"record 5: " + altered}, 5},
		{"the column by which one is found", say(`UPDATE audit_events SET subject = 'u-6' WHERE seq = 5`),
			[]string{"record 5: altered: its body says other than these columns: subject"}, 5},
		{"the time by which one is found, and the kind", say(`UPDATE audit_events SET at = at + 1, kind = 'session_ended' WHERE seq = 5`),
			[]string{"record 5: altered: its body says other than these columns: at, kind"}, 5},

		{"one is removed", say(`DELETE FROM audit_events WHERE seq = 5`), []string{"record 5: removed"}, 5},
		{"the first are removed", say(`DELETE FROM audit_events WHERE seq < 4`), []string{"records 1 to 3: removed"}, 1},
		{"some are removed, here and there", say(`DELETE FROM audit_events WHERE seq IN (2, 3, 7)`), []string{"records 2 to 3: removed", "record 7: removed"}, 2},
		{"one is removed and the others renumbered", say(append([]string{`DELETE FROM audit_events WHERE seq = 5`}, renumber(6, -1)...)...),
			[]string{"record 5: removed", "records 5 to 9: reordered: they were written as records 6 to 10"}, 5},
		{"one is removed and another altered", say(`DELETE FROM audit_events WHERE seq = 3`, `UPDATE audit_events SET body = replace(body, 'card', 'otp') WHERE seq = 8`),
			[]string{"record 3: removed", "record 8: " + altered}, 3},

		{"two are exchanged", say(swap(5, 6)...),
			[]string{"record 5: reordered: it was written as record 6", "record 6: reordered: it was written as record 5"}, 5},
		{"two that are apart are exchanged", say(swap(2, 9)...),
			[]string{"record 2: reordered: it was written as record 9", "record 9: reordered: it was written as record 2"}, 2},
		{"one is moved to the end", say(`UPDATE audit_events SET seq = 11 WHERE seq = 5`), []string{"record 11: reordered: it was written as record 5"}, 11},

		{"one is inserted and the others renumbered", func(t *testing.T, all []store.AuditRecord) []string {
			return append(renumber(6, 1), forge(t, 6, all[4], all[4].Hash, 6, "u-0"))
		}, []string{"record 6: inserted: no other record follows it", "records 7 to 11: reordered: they were written as records 6 to 10"}, 6},
		{"one is inserted with anything as its hash", func(t *testing.T, all []store.AuditRecord) []string {
			return append(renumber(6, 1), strings.ReplaceAll(forge(t, 6, all[4], all[4].Hash, 6, "u-0"), "u-0", "u-00"))
		}, []string{
			"record 6: altered: its content is not what was hashed",
			"record 6: inserted: no other record follows it", "records 7 to 11: reordered: they were written as records 6 to 10",
		}, 6},
		{"one is inserted before the first", func(t *testing.T, all []store.AuditRecord) []string {
			return []string{forge(t, 0, all[0], empty, 0, "u-0")}
		}, []string{"record 0: inserted: no record 0 was to be written here"}, 0},
		{"a copy is put at the end", say(`INSERT INTO audit_events SELECT 11, at, kind, subject, body, hash FROM audit_events WHERE seq = 3`),
			[]string{"record 11: inserted: no record 3 was to be written here", "record 11: reordered: it was written as record 3"}, 11},
		{"a forged one is put at the end, far away", func(t *testing.T, all []store.AuditRecord) []string {
			return []string{forge(t, 1<<62, all[9], all[9].Hash, 1<<62, "u-0")}
		}, []string{"records 11 to 4611686018427387903: removed"}, 11},

		{"one is exchanged for another with a hash of its own", func(t *testing.T, all []store.AuditRecord) []string {
			return []string{`DELETE FROM audit_events WHERE seq = 5`, forge(t, 5, all[4], all[3].Hash, 5, "u-0")}
		}, []string{"record 5: altered: it was hashed again, perhaps with records before it: record 6 follows another"}, 5},
		{"the first is exchanged for one that follows another", func(t *testing.T, all []store.AuditRecord) []string {
			return []string{`DELETE FROM audit_events WHERE seq = 1`, forge(t, 1, all[0], all[9].Hash, 1, "u-0")}
		}, []string{
			"record 1: altered: it was hashed again: it follows a record, and is the first",
			"record 1: altered: it was hashed again, perhaps with records before it: record 2 follows another",
		}, 1},
		{"the hashes of two are exchanged", say(
			`UPDATE audit_events SET hash = (SELECT hash FROM audit_events b WHERE b.seq = 13 - audit_events.seq) WHERE seq IN (6, 7)`),
			nil, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newSQLite(t)
			w.fill(10)
			w.whole(10)
			w.exec(tt.do(t, w.records())...)
			report, found := w.verify("")
			if tt.want == nil { // what exactly is said is not the point
				if len(found) == 0 {
					t.Error("nothing is found")
				}
			} else if diff := cmp.Diff(tt.want, found); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if report.First != tt.first {
				t.Errorf("the first is %d, want %d", report.First, tt.first)
			}

		})
	}
}

func say(statements ...string) func(*testing.T, []store.AuditRecord) []string {
	return func(*testing.T, []store.AuditRecord) []string { return statements }
}

// What a chain alone cannot show is seen with a head that was noted.
func TestNotedHead(t *testing.T) {
	w := newSQLite(t)
	w.fill(5)
	noted := w.whole(5).Head
	w.fill(5)
	all := w.records()
	const lost = "the trail: rewritten: no record has the head that was noted: records at the end were removed, or written anew"

	for _, tt := range []struct {
		name, head string
		at         int64
	}{{"of an empty trail", audit.Empty, 0}, {"of the first", all[0].Hash, 1}, {"noted", noted, 5}, {"of the last", all[9].Hash, 10}} {
		report, found := w.verify(tt.head)
		if len(found) != 0 || report.NotedAt != tt.at || report.Head != all[9].Hash {
			t.Errorf("the head %s: %+v, %q", tt.name, report, found)
		}
	}
	// Somebody who writes to the database puts its own head where it suits them. Only what was noted elsewhere tells.
	w.exec("DELETE FROM audit_events WHERE seq > 4", "UPDATE audit_head SET seq = 4, hash = '"+all[3].Hash+"'")
	w.whole(4)
	if _, found := w.verify(noted); len(found) != 1 || found[0] != lost {
		t.Errorf("findings = %q, want %q", found, lost)
	}
	w.fill(3) // the gateway goes on, and the head is that of another record
	w.whole(7)
	if _, found := w.verify(noted); len(found) != 1 || found[0] != lost {
		t.Errorf("findings = %q, want %q", found, lost)
	}
	w.exec("DELETE FROM audit_events", "DELETE FROM audit_head")
	w.whole(0)
	if _, found := w.verify(noted); len(found) != 1 || found[0] != lost {
		t.Errorf("findings = %q, want %q", found, lost)
	}
}

// Records that are cut off at the end are missed, and go on being missed when others have followed.
func TestCutEndIsFound(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.fill(10)
		want := func(all ...string) {
			t.Helper()
			if _, found := w.verify(""); !slices.Equal(found, all) {
				t.Errorf("findings = %q, want %q", found, all)
			}
		}
		w.exec("DELETE FROM audit_events WHERE seq > 7")
		want("records 8 to 10: removed")
		w.fill(2)
		want("records 8 to 10: removed")
		w.exec("DELETE FROM audit_events")
		want("records 1 to 12: removed")
		w.fill(1)
		want("records 1 to 12: removed")
		w.exec("DELETE FROM audit_head")
		want("records 1 to 12: removed", "the trail: rewritten: it does not end with the record that was appended last")
	})
}

// The last record is like the others: what takes its place, hashed again, is not what was appended.
func TestLastRecordIsExchanged(t *testing.T) {
	w := newSQLite(t)
	w.fill(5)
	all := w.records()
	w.exec("DELETE FROM audit_events WHERE seq = 5", forge(t, 5, all[4], all[3].Hash, 5, "u-0"))
	const want = "the trail: rewritten: it does not end with the record that was appended last"
	if _, found := w.verify(""); len(found) != 1 || found[0] != want {
		t.Errorf("findings = %q, want %q", found, want)
	}
}

// A hash that stands in a record which does not have it is no proof that the head is there.
func TestNotedHeadIsNotBelieved(t *testing.T) {
	w := newSQLite(t)
	w.fill(5)
	noted := w.whole(5).Head
	w.exec("DELETE FROM audit_events WHERE seq = 5", "UPDATE audit_events SET hash = '"+noted+"' WHERE seq = 4")
	if report, _ := w.verify(noted); report.NotedAt != 0 || report.Findings != 3 {
		t.Errorf("verify = %+v, want the record, the one that is gone and the head", report)
	}
}

// Thousands of gaps are told all the same, with what one can remember.
func TestManyGaps(t *testing.T) {
	w := newSQLite(t)
	long(t, w.store(), 4000)
	w.exec("DELETE FROM audit_events WHERE seq % 3 = 0")
	report, found := w.verify("")
	if report.Findings != 1333 || report.Records != 4000-1333 || found[0] != "record 3: removed" {
		t.Errorf("verify = %+v, %.3q", report, found)
	}
}

// reader is a trail that is read from somewhere else.
type reader func(ctx context.Context, f store.AuditFilter, each func(store.AuditRecord) error) error

func (reader) AuditHead(context.Context) (int64, string, error) { return 0, "", store.ErrNotFound }

func (r reader) AuditRecords(ctx context.Context, f store.AuditFilter, each func(store.AuditRecord) error) error {
	return r(ctx, f, each)
}

// B10: a trail that cannot be read is not a good one.
func TestVerifyWithoutAnAnswer(t *testing.T) {
	r := reader(func(context.Context, store.AuditFilter, func(store.AuditRecord) error) error { return errDisk })
	if report, err := audit.Verify(t.Context(), r, "", nil); !errors.Is(err, errDisk) || report != (audit.Report{}) {
		t.Errorf("Verify = %+v, %v, want %v", report, err, errDisk)
	}
	w := newSQLite(t)
	w.fill(3)
	w.exec("ALTER TABLE audit_events RENAME TO away")
	if _, err := audit.Verify(t.Context(), w.store(), "", func(audit.Finding) {}); err == nil {
		t.Error("a trail that cannot be read was verified")
	}
}

// FuzzVerify changes one column of one record to anything: that is found, whatever it is, unless it is what was there.
func FuzzVerify(f *testing.F) {
	var all []store.AuditRecord
	w := newSQLite(f)
	w.fill(5)
	all = w.records()
	f.Add(2, 0, "7")
	f.Add(0, 1, all[1].Body)
	f.Add(4, 2, all[3].Hash)
	f.Add(3, 3, "")
	f.Add(1, 1, `{"seq":2,"prev":"","time":"","kind":1}`)
	f.Fuzz(func(t *testing.T, at, column int, text string) {
		if at < 0 || at >= len(all) {
			return
		}
		changed := append([]store.AuditRecord(nil), all...)
		r := &changed[at]
		switch column {
		case 0:
			r.Kind = text
		case 1:
			r.Body = text
		case 2:
			r.Hash = text
		case 3:
			r.Subject = text
		default:
			return
		}
		same := *r == all[at]
		report, err := audit.Verify(t.Context(), reader(func(_ context.Context, _ store.AuditFilter, each func(store.AuditRecord) error) error {
			for _, r := range changed {
				if err := each(r); err != nil {
					return err
				}
			}
			return nil
		}), "", func(audit.Finding) {})
		if err != nil || same != (report.Findings == 0) {
			t.Errorf("same = %t, but verify = %+v, %v", same, report, err)
		}
	})
}
