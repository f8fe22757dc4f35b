package idp_test

import (
	"path/filepath"
	"testing"
	"time"

	"promess/authgw/internal/pgtest"
)

// engine is a kind of database that people run.
type engine struct {
	name     string
	fresh    func(tb testing.TB) string // the name of a new, empty database
	patience time.Duration              // with its server; zero: the usual
}

func sqlite() engine {
	return engine{name: "SQLite", fresh: func(tb testing.TB) string { return filepath.Join(tb.TempDir(), "authgw.db") }}
}

func postgres() engine { return engine{name: "PostgreSQL", fresh: pgtest.Database} }

// each runs a test on each engine: one in which the database has a part. What pages and cookies do is tested on SQLite alone.
func each(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	for _, e := range []engine{sqlite(), postgres()} {
		t.Run(e.name, func(t *testing.T) { test(t, e) })
	}
}
