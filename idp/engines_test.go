package idp_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
)

// engine is a kind of database that people run.
type engine struct {
	name     string
	fresh    func(tb testing.TB) string // the name of a new, empty database
	patience time.Duration              // with its server; zero: the usual
}

func sqlite() engine { return engine{name: "SQLite", fresh: copySQLite} }

func postgres() engine { return engine{name: "PostgreSQL", fresh: copyPostgres} }

// The tables are made once for each engine, and copied: most of a test would be to wait for the disk that keeps them.
var (
	copyPostgres = pgtest.Filled(makeTables)

	sqliteTables = sync.OnceValues(func() ([]byte, error) {
		dir, err := os.MkdirTemp("", "idp-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		name := filepath.Join(dir, "authgw.db")
		if err := makeTables(name); err != nil {
			return nil, err
		}
		return os.ReadFile(name)
	})
)

func makeTables(name string) error {
	s, err := store.Open(context.Background(), store.Config{Name: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return s.Close() // which leaves no log beside a SQLite file
}

func copySQLite(tb testing.TB) string {
	tb.Helper()
	tables, err := sqliteTables()
	if err != nil {
		tb.Fatal(err)
	}
	name := filepath.Join(tb.TempDir(), "authgw.db")
	if err := os.WriteFile(name, tables, 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

// each runs a test on each engine, both at once: one in which the database has a part. What pages and cookies do is tested on SQLite alone.
func each(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	for _, e := range []engine{sqlite(), postgres()} {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel() // they wait for disks and clocks more than they compute
			test(t, e)
		})
	}
}
