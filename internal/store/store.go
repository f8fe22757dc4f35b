// Package store keeps accounts, sessions and logins in progress in a SQL database.
//
// It owns the schema and every statement; it decides nothing about who may sign in. Tokens reach it as hashes only. What must
// happen once (settling a login, using a code) is one statement whose affected rows tell who won, so that two requests at once,
// or two gateways, cannot both do it. A Store is safe for concurrent use.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver, in Go, so that the gateway needs no C
)

// ErrNotFound says that there is no such record, or that it is over or used: a caller is never told which.
var ErrNotFound = errors.New("not found")

//go:embed migrations/*.sql
var migrations embed.FS

// Memory, as the path of Open, is a database that lives with the process and leaves nothing behind.
const Memory = ":memory:"

// Store is an open database with the current schema.
type Store struct {
	db *sql.DB
}

// Open opens the SQLite file at path, makes it when it is not there (mode 0600: it holds names and identifiers), and brings its
// schema up to date.
func Open(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	if path != Memory {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, fmt.Errorf("open database %q: %w", path, err)
	}
	db.SetMaxOpenConns(4)
	if path == Memory {
		db.SetMaxOpenConns(1) // each connection would be a database of its own
		db.SetConnMaxLifetime(0)
	}
	s := &Store{db: db}
	if err := s.migrate(ctx, log); err != nil {
		db.Close()
		return nil, fmt.Errorf("open database %q: %w", path, err)
	}
	return s, nil
}

// create makes the file before the driver does, which would leave it readable by others.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func dsn(path string) string {
	q := url.Values{}
	// FULL: a session that was ended must not come back after a power cut.
	for _, p := range []string{"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)"} {
		q.Add("_pragma", p)
	}
	q.Set("_txlock", "immediate") // a transaction that will write waits at its start, not in its middle
	if path == Memory {
		return path + "?" + q.Encode()
	}
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?" + q.Encode()
}

func (s *Store) migrate(ctx context.Context, log *slog.Logger) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if current > target {
		return fmt.Errorf("the schema has version %d and this program knows %d: it was written by a newer authgw", current, target)
	}
	for {
		done, err := p.Up(ctx)
		for _, m := range done {
			log.Info("database migrated", "version", m.Source.Version, "duration", m.Duration)
		}
		if err == nil {
			return nil
		}
		// Another process may be migrating the same file. A step is a transaction: of two that take it, the second finds it done and
		// fails. So a failure counts only when the schema has not moved on.
		before := current
		if current, _, _ = p.GetVersions(ctx); current <= before {
			return fmt.Errorf("migrate schema: %w", err)
		}
	}
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Sweep deletes what has been over since before: logins and entries at once, sessions with their tokens.
func (s *Store) Sweep(ctx context.Context, before time.Time) error {
	for _, q := range []string{
		"DELETE FROM logins WHERE expires_at < ?1",
		"DELETE FROM entries WHERE expires_at < ?1",
		"DELETE FROM sessions WHERE expires_at < ?1 OR ended_at < ?1",
	} {
		if _, err := s.db.ExecContext(ctx, q, before.UnixMilli()); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	return nil
}

// once runs a statement that must change exactly one row, and returns ErrNotFound when it changed none.
func (s *Store) once(ctx context.Context, what, q string, args ...any) error {
	r, err := s.db.ExecContext(ctx, q, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n != 1 {
		return fmt.Errorf("%s: %w", what, ErrNotFound)
	}
	return nil
}

func notFound(what string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return fmt.Errorf("%s: %w", what, err)
}

func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
