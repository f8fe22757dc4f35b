package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"promess/authgw/internal/store"
)

// Problem is what is wrong with records.
type Problem string

// The problems.
const (
	Removed   Problem = "removed"   // what was written under these numbers is not there
	Altered   Problem = "altered"   // it is not what was written
	Reordered Problem = "reordered" // it was written under another number
	Inserted  Problem = "inserted"  // it was never written
	Rewritten Problem = "rewritten" // the end was cut off, or written anew: a head that was noted is not there
)

// Finding is a problem of records that follow each other.
type Finding struct {
	First, Last int64 // their numbers; zero for Rewritten
	Problem     Problem
	Detail      string
	written     int64 // of Reordered: the number that First was written under
}

func (f Finding) String() string {
	var b strings.Builder
	switch {
	case f.Problem == Rewritten:
		b.WriteString("the trail")
	case f.First == f.Last:
		fmt.Fprintf(&b, "record %d", f.First)
	default:
		fmt.Fprintf(&b, "records %d to %d", f.First, f.Last)
	}
	b.WriteString(": " + string(f.Problem))
	switch {
	case f.Problem == Reordered && f.First == f.Last:
		fmt.Fprintf(&b, ": it was written as record %d", f.written)
	case f.Problem == Reordered:
		fmt.Fprintf(&b, ": they were written as records %d to %d", f.written, f.written+f.Last-f.First)
	case f.Detail != "":
		b.WriteString(": " + f.Detail)
	}
	return b.String()
}

// Report is what Verify has seen.
type Report struct {
	Records  int64  // how many there are
	Seq      int64  // number of the last
	Head     string // its hash
	Findings int64
	First    int64 // the lowest number of a finding; zero when there is none, or none that names a record
	NotedAt  int64 // the record whose hash is the head that was noted; zero: none, or the head of an empty trail
}

// Verify reads the whole trail and calls found with what is wrong, in no strict order: what is missing is known for sure at the end only.
// noted is a head of earlier, or empty. An end that was cut off is seen by the head that the database keeps; without a noted one, a trail
// that somebody has written anew from some record to the end, and that head with it, looks good. An error means that the question could not be answered.
func Verify(ctx context.Context, r Reader, noted string, found func(Finding)) (Report, error) {
	v := &verifier{noted: noted, found: found, next: 1, open: map[Problem]Finding{}, report: Report{Head: Empty}}
	// First: what is appended meanwhile may be read, and is after it.
	seq, hash, err := r.AuditHead(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Report{}, err
	}
	v.kept = head{seq, hash}
	if err := r.AuditRecords(ctx, store.AuditFilter{}, func(r store.AuditRecord) error { v.record(r); return nil }); err != nil {
		return Report{}, err
	}
	v.finish()
	return v.report, nil
}

// maxGaps bounds what a verifier remembers. The trail of an honest gateway has no gap.
const maxGaps = 1000

// span is numbers that follow each other, both included.
type span struct{ first, last int64 }

// link is a record that was looked at.
type link struct {
	at      int64  // where it stands
	written int64  // the number that it was written under, as far as one can tell
	prev    string // what it says it follows
	hash    string
	sound   bool // its hash is that of its content
}

// verifier looks at one record after the other. Whether all is well is one simple rule (follows); what is wrong otherwise is worked out
// from what each record says of itself.
type verifier struct {
	noted  string
	kept   head // that the database has; zero: none
	found  func(Finding)
	report Report
	open   map[Problem]Finding // not yet told: the next of the kind may be more of it

	last    link
	next    int64 // the lowest number above all that were seen
	missing []span
	twin    *link // a record with the same number as last, before it
	anew    bool  // where the database has its head there is another record
	strayed bool  // a record did not follow
	broken  int64 // the first of them
}

// follows is the rule: the record stands where it was written, directly after the one that it says it follows, is what was hashed, and
// its columns say what its body does.
func (v *verifier) follows(r store.AuditRecord, b body, l link) bool {
	return r.Seq == v.report.Records+1 && l.sound && b.Seq == r.Seq && b.Prev == v.report.Head && columns(r, b) == ""
}

func (v *verifier) record(r store.AuditRecord) {
	var b body
	parsed := json.Unmarshal([]byte(r.Body), &b) == nil
	l := link{at: r.Seq, written: b.Seq, prev: b.Prev, hash: r.Hash}
	if hash, ok := digest(b.Prev, b.Seq, r.Body); parsed && ok {
		l.sound = hash == r.Hash
	}
	good := v.follows(r, b, l)
	if !good && !v.strayed {
		v.strayed, v.broken = true, r.Seq
	}
	if v.strayed {
		v.explain(r, b, &l, parsed)
	}
	if l.sound && v.noted != "" && l.hash == v.noted {
		v.report.NotedAt = r.Seq
	}
	if l.sound && l.written == v.kept.seq && l.hash != v.kept.hash {
		v.anew = true
	}
	v.report.Records++
	v.report.Seq, v.report.Head = r.Seq, r.Hash
	v.last = l
	v.next = max(v.next, l.written+1)
}

// columns names those that do not say what the body does.
func columns(r store.AuditRecord, b body) string {
	var wrong []string
	if r.At.UnixMilli() != b.Time.UnixMilli() {
		wrong = append(wrong, "at")
	}
	if r.Kind != string(b.Kind) {
		wrong = append(wrong, "kind")
	}
	if r.Subject != b.Subject {
		wrong = append(wrong, "subject")
	}
	return strings.Join(wrong, ", ")
}

// explain reports what is wrong with a record, and settles which number it was written under.
func (v *verifier) explain(r store.AuditRecord, b body, l *link, parsed bool) {
	v.settleTwins(*l)
	switch wrong := columns(r, b); {
	case !parsed:
		v.tell(Finding{First: l.at, Last: l.at, Problem: Altered, Detail: "its body is no event"})
	case !l.sound:
		v.tell(Finding{First: l.at, Last: l.at, Problem: Altered, Detail: "its content is not what was hashed"})
	case wrong != "":
		v.tell(Finding{First: l.at, Last: l.at, Problem: Altered, Detail: "its body says other than these columns: " + wrong})
	}
	switch {
	case !l.sound: // what it says of itself is not to be believed: its neighbour stands for it
		l.written = l.at + v.last.written - v.last.at
	case l.written != l.at:
		v.tell(Finding{First: l.at, Last: l.at, Problem: Reordered, written: l.written})
	}
	v.place(*l)
	v.compare(*l)
}

// place looks for the number of a record among those that are still missing.
func (v *verifier) place(l link) {
	switch {
	case l.written > v.next:
		if v.missing = append(v.missing, span{v.next, l.written - 1}); len(v.missing) > maxGaps {
			v.removed(v.missing[0])
			v.missing = v.missing[1:]
		}
	case l.written == v.next, v.fill(l.written):
	case v.report.Records == 0 || v.last.written != l.written:
		v.tell(Finding{First: l.at, Last: l.at, Problem: Inserted, Detail: fmt.Sprintf("no record %d was to be written here", l.written)})
	case !v.last.sound:
		v.inserted(v.last.at)
	default: // which of two is the true one is seen from the next
		first := v.last
		v.twin = &first
	}
}

// fill takes a number from those that are missing and says whether it was among them.
func (v *verifier) fill(n int64) bool {
	for i, s := range v.missing {
		if n < s.first || n > s.last {
			continue
		}
		var rest []span
		if s.first < n {
			rest = append(rest, span{s.first, n - 1})
		}
		if n < s.last {
			rest = append(rest, span{n + 1, s.last})
		}
		v.missing = slices.Replace(v.missing, i, i+1, rest...)
		return true
	}
	return false
}

// settleTwins decides, with the record after them, which of two with the same number was inserted: nothing follows it.
func (v *verifier) settleTwins(l link) {
	if v.twin == nil {
		return
	}
	first := *v.twin
	v.twin = nil
	switch {
	case l.sound && l.prev == first.hash:
		v.inserted(v.last.at)
	case l.sound && l.prev == v.last.hash:
		v.inserted(first.at)
		return
	default:
		v.tell(Finding{First: first.at, Last: v.last.at, Problem: Inserted, Detail: "one of them was; no other record says which"})
	}
	v.last.sound = false // and so nothing is concluded from it
}

// compare looks at what a whole record says it follows. When that is not the whole record before it, the latter was exchanged: what was
// altered and hashed again is not what the next record knew.
func (v *verifier) compare(l link) {
	switch {
	case !l.sound:
	case l.written == 1:
		if l.prev != Empty {
			v.tell(Finding{First: l.at, Last: l.at, Problem: Altered, Detail: "it was hashed again: it follows a record, and is the first"})
		}
	case v.report.Records > 0 && v.last.sound && v.last.written+1 == l.written && l.prev != v.last.hash:
		v.tell(Finding{First: v.last.at, Last: v.last.at, Problem: Altered,
			Detail: fmt.Sprintf("it was hashed again, perhaps with records before it: record %d follows another", l.at)})
	}
}

func (v *verifier) inserted(at int64) {
	v.tell(Finding{First: at, Last: at, Problem: Inserted, Detail: "no other record follows it"})
}

func (v *verifier) removed(s span) {
	v.tell(Finding{First: s.first, Last: s.last, Problem: Removed})
}

// tell passes on a finding, together with those that it continues.
func (v *verifier) tell(f Finding) {
	if f.Problem != Rewritten && (v.report.Findings == 0 || f.First < v.report.First) {
		v.report.First = f.First
	}
	o, ok := v.open[f.Problem]
	if ok && o.Detail == f.Detail && o.Last+1 == f.First && (f.Problem != Reordered || o.written-o.First == f.written-f.First) {
		o.Last = f.Last
		v.open[f.Problem] = o
		return
	}
	if ok {
		v.found(o)
	}
	v.open[f.Problem] = f
	v.report.Findings++
}

// flush tells what is still open, by number.
func (v *verifier) flush() {
	byNumber := func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Problem, b.Problem))
	}
	for _, f := range slices.SortedFunc(maps.Values(v.open), byNumber) {
		v.found(f)
	}
	clear(v.open)
}

// finish tells what is known at the end only.
func (v *verifier) finish() {
	v.settleTwins(link{})
	if v.next <= v.kept.seq {
		v.missing = append(v.missing, span{v.next, v.kept.seq})
	}
	for _, s := range v.missing {
		v.removed(s)
	}
	if v.strayed && v.report.Findings == 0 { // unreachable, and if it is not, the trail is broken all the same
		v.tell(Finding{First: v.broken, Last: v.broken, Problem: Altered, Detail: "it does not follow the record before it"})
	}
	v.flush()
	if v.anew || v.kept.seq == 0 && v.report.Records > 0 {
		v.tell(Finding{Problem: Rewritten, Detail: "it does not end with the record that was appended last"})
	}
	v.flush()
	if v.noted != "" && v.noted != Empty && v.report.NotedAt == 0 {
		v.tell(Finding{Problem: Rewritten, Detail: "no record has the head that was noted: records at the end were removed, or written anew"})
	}
	v.flush()
}
