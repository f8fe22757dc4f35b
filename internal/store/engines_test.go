package store_test

import (
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
)

// engine is a kind of database that people run. What is tested holds on each.
type engine struct {
	name   string
	driver string                     // of database/sql, to look behind the store's back; empty: nobody else sees the database
	fresh  func(tb testing.TB) string // the name of a new, empty database
}

var (
	sqliteFile   = engine{"SQLite", "sqlite", func(tb testing.TB) string { return filepath.Join(tb.TempDir(), "authgw.db") }}
	sqliteMemory = engine{"SQLite in memory", "", func(testing.TB) string { return store.Memory }}
	postgres     = engine{"PostgreSQL", "pgx", pgtest.Database}
)

// each runs a test on an empty store of each engine.
func each(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	for _, e := range []engine{sqliteFile, sqliteMemory, postgres} {
		t.Run(e.name, func(t *testing.T) { test(t, open(t, e.fresh(t))) })
	}
}

// eachShared runs a test on each engine whose databases several stores may open at once.
func eachShared(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	for _, e := range []engine{sqliteFile, postgres} {
		t.Run(e.name, func(t *testing.T) { test(t, e) })
	}
}

// behind opens a database behind the back of the store.
func (e engine) behind(t testing.TB, name string) *sql.DB {
	t.Helper()
	db, err := sql.Open(e.driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// exec changes a database behind the back of the store.
func (e engine) exec(t testing.TB, name, query string, args ...any) {
	t.Helper()
	if _, err := e.behind(t, name).ExecContext(t.Context(), e.statement(query), args...); err != nil {
		t.Fatal(err)
	}
}

// scan reads one row behind the back of the store.
func (e engine) scan(t testing.TB, name, query string, into ...any) {
	t.Helper()
	if err := e.behind(t, name).QueryRowContext(t.Context(), query).Scan(into...); err != nil {
		t.Fatal(err)
	}
}

// statement has numbered parameters, as the engine writes them.
func (e engine) statement(query string) string {
	if e.driver == postgres.driver {
		return strings.ReplaceAll(query, "?", "$")
	}
	return query
}

// silent is a store's configuration for a name.
func silent(name string) store.Config {
	return store.Config{Name: name, Log: slog.New(slog.DiscardHandler)}
}
