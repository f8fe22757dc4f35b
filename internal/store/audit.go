package store

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"
)

// AuditRecord is a row of the audit trail. Package audit says what is in it; here it is kept as it comes. Nothing changes or deletes one.
type AuditRecord struct {
	Seq     int64
	At      time.Time // in milliseconds
	Kind    string
	Subject string
	Body    string
	Hash    string
}

const (
	// auditLock is the advisory lock of PostgreSQL under which one gateway at a time appends. The number is ours alone.
	auditLock = 0x617564697400
	// auditChunk records are written by one statement: a database at the other end of a network costs a round trip for each.
	auditChunk = 16
	// auditPage bounds what one statement reads: what is held in memory, and how long the database is held up.
	auditPage = 500

	auditColumns = "seq, at, kind, subject, body, hash"
)

// The statements that write one record and auditChunk of them.
var (
	insertAuditOne   = insertAudit(1)
	insertAuditChunk = insertAudit(auditChunk)
)

func insertAudit(n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO audit_events (" + auditColumns + ") VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(")
		for j := range 6 {
			if j > 0 {
				b.WriteString(", ")
			}
			b.WriteString("?" + strconv.Itoa(6*i+j+1))
		}
		b.WriteString(")")
	}
	return b.String()
}

// AppendAudit gives the last record of the trail to next (a zero one when there is none; the number and the hash alone when it was removed
// since) and appends the records that it returns. Both
// are one transaction that no other append, of this gateway or another, takes part in: all of the records are there afterwards, durably,
// or none. An error of next undoes it. When the database was lost during the commit, the error does not tell whether they are there.
func (s *Store) AppendAudit(ctx context.Context, next func(last AuditRecord) ([]AuditRecord, error)) error {
	return failed("append audit records", s.atomically(ctx, func(c conn) error {
		if c.engine.dollar { // SQLite transactions of this package are exclusive from their start
			if _, err := c.exec(ctx, "SELECT pg_advisory_xact_lock(?1)", int64(auditLock)); err != nil {
				return err
			}
		}
		last, err := c.lastAudit(ctx)
		if err != nil {
			return err
		}
		records, err := next(last)
		if err != nil || len(records) == 0 {
			return err
		}
		end := records[len(records)-1]
		for len(records) >= auditChunk {
			if _, err := c.exec(ctx, insertAuditChunk, auditArguments(records[:auditChunk])...); err != nil {
				return err
			}
			records = records[auditChunk:]
		}
		for i := range records {
			if _, err := c.exec(ctx, insertAuditOne, auditArguments(records[i:i+1])...); err != nil {
				return err
			}
		}
		_, err = c.exec(ctx, "INSERT INTO audit_head (id, seq, hash) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE SET seq = ?1, hash = ?2", end.Seq, end.Hash)
		return err
	}))
}

// lastAudit returns the last record. Who removes it does not make it one that never was: what follows takes the next number, and the gap stays.
func (c conn) lastAudit(ctx context.Context) (last AuditRecord, err error) {
	rows, err := c.query(ctx, "SELECT * FROM (SELECT "+auditColumns+` FROM audit_events ORDER BY seq DESC LIMIT 1) e
		UNION ALL SELECT seq, 0, '', '', '', hash FROM audit_head`)
	if err != nil {
		return last, err
	}
	defer rows.Close()
	for rows.Next() {
		var r AuditRecord
		if err := scanAudit(rows, &r); err != nil {
			return last, err
		}
		switch {
		case r.Seq < last.Seq:
		case r.Kind != "":
			last = r
		case r.Seq > last.Seq:
			last = AuditRecord{Seq: r.Seq, Hash: r.Hash}
		}
	}
	return last, rows.Err()
}

// AuditHead returns the number and the hash of the record that was appended last, whatever became of it. ErrNotFound: none ever was.
func (s *Store) AuditHead(ctx context.Context) (seq int64, hash string, err error) {
	return s.db.auditHead(ctx)
}

func (c conn) auditHead(ctx context.Context) (seq int64, hash string, err error) {
	err = c.row(ctx, "SELECT seq, hash FROM audit_head").Scan(&seq, &hash)
	return seq, hash, failed("find the end of the audit trail", err)
}

func auditArguments(records []AuditRecord) []any {
	args := make([]any, 0, 6*len(records))
	for _, r := range records {
		args = append(args, r.Seq, r.At.UnixMilli(), r.Kind, r.Subject, r.Body, r.Hash)
	}
	return args
}

func scanAudit(r row, a *AuditRecord) error {
	var at int64
	err := r.Scan(&a.Seq, &at, &a.Kind, &a.Subject, &a.Body, &a.Hash)
	a.At = millis(at)
	return err
}

// AuditFilter chooses records. The zero value is all of them.
type AuditFilter struct {
	Subject  string    // of this account only
	From, To time.Time // not before From, and before To
}

// AuditRecords calls each with the records that f chooses, in the order of their numbers, until it returns an error, which AuditRecords
// returns as it is. It holds a bounded number of records, and no connection while each works. Records that are appended meanwhile may
// be among them.
func (s *Store) AuditRecords(ctx context.Context, f AuditFilter, each func(AuditRecord) error) error {
	begin, from, to := int64(math.MinInt64), int64(math.MinInt64), int64(math.MaxInt64)
	if !f.From.IsZero() {
		from = ceilMillis(f.From)
	}
	if !f.To.IsZero() {
		to = ceilMillis(f.To) - 1
	}
	page := make([]AuditRecord, 0, auditPage)
	for {
		var err error
		if page, err = s.auditPage(ctx, page[:0], begin, from, to, f.Subject); err != nil {
			return failed("read audit records", err)
		}
		for _, r := range page {
			if err := each(r); err != nil {
				return err
			}
		}
		if len(page) < auditPage || page[len(page)-1].Seq == math.MaxInt64 {
			return nil
		}
		begin = page[len(page)-1].Seq + 1
	}
}

// The statements that read a page. There is no index by time on purpose: with one, a planner reads by time and sorts the whole trail
// for each page, and every event pays for it.
const (
	selectAudit = "SELECT " + auditColumns + ` FROM audit_events
		WHERE seq >= ?1 AND at >= ?2 AND at <= ?3 ORDER BY seq LIMIT ?4`
	selectAuditOf = "SELECT " + auditColumns + ` FROM audit_events
		WHERE seq >= ?1 AND at >= ?2 AND at <= ?3 AND subject = ?5 ORDER BY seq LIMIT ?4`
)

// auditPage appends to page the records from a number on, as many as fit.
func (s *Store) auditPage(ctx context.Context, page []AuditRecord, begin, from, to int64, subject string) ([]AuditRecord, error) {
	q, args := selectAudit, []any{begin, from, to, auditPage}
	if subject != "" {
		q, args = selectAuditOf, append(args, subject)
	}
	rows, err := s.db.query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r AuditRecord
		if err := scanAudit(rows, &r); err != nil {
			return nil, err
		}
		page = append(page, r)
	}
	return page, rows.Err()
}

// ceilMillis returns the first millisecond that is not before t.
func ceilMillis(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}
