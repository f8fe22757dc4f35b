package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"promess/authgw/internal/store"
)

// auditRecord is a record of a number. What package audit puts into it is nothing to the store.
func auditRecord(seq int64) store.AuditRecord {
	n := fmt.Sprint(seq)
	return store.AuditRecord{Seq: seq, At: noon.Add(time.Duration(seq) * time.Second), Kind: "k" + n, Subject: "u-" + n, Body: "b" + n, Hash: "h" + n}
}

// auditRecords returns the whole trail.
func auditRecords(t *testing.T, s *store.Store) []store.AuditRecord {
	t.Helper()
	var all []store.AuditRecord
	if err := s.AuditRecords(t.Context(), store.AuditFilter{}, func(r store.AuditRecord) error {
		all = append(all, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// Each append sees the last record of the one before, and leaves what it was given, however many they are.
func TestAppendAudit(t *testing.T) { each(t, testAppendAudit) }

func testAppendAudit(t *testing.T, s *store.Store) {
	var want []store.AuditRecord
	for _, n := range []int64{0, 1, 15, 16, 17, 33, 600, 0} { // around the size of a statement, and of a page
		err := s.AppendAudit(t.Context(), func(last store.AuditRecord) ([]store.AuditRecord, error) {
			if len(want) > 0 {
				diff(t, "last record", last, want[len(want)-1])
			} else if last.Seq != 0 {
				t.Errorf("last record of an empty trail = %+v", last)
			}
			var more []store.AuditRecord
			for i := range n {
				more = append(more, auditRecord(last.Seq+i+1))
			}
			want = append(want, more...)
			return more, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	diff(t, "trail", auditRecords(t, s), want)
}

var errAudit = errors.New("not now")

// What fails in the middle leaves nothing.
func TestAppendAuditIsUndone(t *testing.T) { each(t, testAppendAuditIsUndone) }

func testAppendAuditIsUndone(t *testing.T, s *store.Store) {
	err := s.AppendAudit(t.Context(), func(store.AuditRecord) ([]store.AuditRecord, error) {
		return []store.AuditRecord{auditRecord(1)}, errAudit
	})
	check(t, "AppendAudit whose caller fails", err, errAudit)
	err = s.AppendAudit(t.Context(), func(store.AuditRecord) ([]store.AuditRecord, error) {
		var all []store.AuditRecord
		for i := range int64(20) {
			all = append(all, auditRecord(i+1))
		}
		return append(all, auditRecord(7)), nil
	})
	if err == nil {
		t.Error("a number was written twice")
	}
	if got := auditRecords(t, s); len(got) != 0 {
		t.Errorf("%d records are left, want none", len(got))
	}
}

// The trail outlives what it tells of: a sweep does not touch it.
func TestSweepLeavesAudit(t *testing.T) { each(t, testSweepLeavesAudit) }

func testSweepLeavesAudit(t *testing.T, s *store.Store) {
	err := s.AppendAudit(t.Context(), func(store.AuditRecord) ([]store.AuditRecord, error) {
		return []store.AuditRecord{auditRecord(1), auditRecord(2)}, nil
	})
	if err == nil {
		err = s.Sweep(t.Context(), noon.AddDate(10, 0, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := auditRecords(t, s); len(got) != 2 {
		t.Errorf("%d records are left, want 2", len(got))
	}
}

// A database that fails is an error, never an empty trail (B10).
func TestAuditOfAFailingDatabase(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	none := func(store.AuditRecord) ([]store.AuditRecord, error) { return nil, nil }
	check(t, "AppendAudit", s.AppendAudit(ctx, none), context.Canceled)
	check(t, "AuditRecords", s.AuditRecords(ctx, store.AuditFilter{}, func(store.AuditRecord) error { return nil }), context.Canceled)
	check(t, "AuditRecords whose reader fails", func() error {
		if err := s.AppendAudit(t.Context(), func(store.AuditRecord) ([]store.AuditRecord, error) {
			return []store.AuditRecord{auditRecord(1)}, nil
		}); err != nil {
			return err
		}
		return s.AuditRecords(t.Context(), store.AuditFilter{}, func(store.AuditRecord) error { return errAudit })
	}(), errAudit)
}
