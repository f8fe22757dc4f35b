// Package store keeps accounts, sessions, logins in progress and the audit trail in a SQL database.
//
// It owns the schema and every statement; it decides nothing about who may sign in. Two engines, one schema: SQLite for one gateway,
// PostgreSQL for several. Tokens reach it as hashes only. What must happen once (settling a login, using a code) is one statement whose
// affected rows tell who won, so that two requests at once, or two gateways, cannot both do it. What other gateways must hear of is
// written as a Change in the transaction that brings it about. A Store is safe for concurrent use.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// ErrNotFound says that there is no such record, or that it is over or used: a caller is never told which.
var ErrNotFound = errors.New("not found")

// Store is an open database with the current schema.
type Store struct {
	sql *sql.DB
	db  conn
	// passing is for what may be lost in a power cut: logins in progress, which begin anew, and when a session was last seen. A session that was
	// ended must not come back.
	passing conn
	listen  *pgx.ConnConfig // of PostgreSQL, for LISTEN; nil for SQLite

	patience time.Duration // with a PostgreSQL server that says nothing
}

// Config says which database.
type Config struct {
	Name     string // path of a SQLite file, Memory, or the URL of a PostgreSQL database without a password: postgres://user@host/db
	Password string // for PostgreSQL; may be empty where the server asks for none, or ~/.pgpass has it
	Log      *slog.Logger

	// Patience is how long a PostgreSQL server may leave a statement without a word before it counts as lost; zero: 15 s. The server
	// itself refuses to wait for a lock after 10 s, which is to come first.
	Patience time.Duration
}

// Open opens the database, makes the SQLite file when it is not there (mode 0600: it holds names and identifiers), and brings the
// schema up to date. A PostgreSQL database must exist.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{}
	var err error
	if IsPostgres(c.Name) {
		err = s.usePostgres(c)
	} else {
		err = s.useSQLite(c)
	}
	if err == nil {
		if err = s.prepare(ctx, c.Log); err != nil {
			s.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open database %q: %w", c.Name, err)
	}
	return s, nil
}

func (s *Store) usePostgres(c Config) (err error) {
	if s.listen, err = parsePostgres(c.Name, c.Password); err != nil {
		return err
	}
	if s.patience = c.Patience; s.patience <= 0 {
		s.patience = defaultPatience
	}
	s.sql = openPostgres(s.listen, s.patience)
	s.db = conn{engine: postgres, prepared: newStatements(s.sql)}
	s.passing = s.db
	return nil
}

func (s *Store) useSQLite(c Config) (err error) {
	if s.sql, err = openSQLite(c.Name); err != nil {
		return err
	}
	s.passing = conn{engine: sqlite, prepared: newStatements(s.sql), writing: make(gate, 1)}
	s.db = s.passing
	if c.Name != Memory {
		s.db.log = wal(c.Name + "-wal")
	}
	return nil
}

// prepare brings the schema up to date.
func (s *Store) prepare(ctx context.Context, log *slog.Logger) error {
	if s.listen == nil {
		return s.migrate(ctx, s.sql, log)
	}
	if err := checkClock(ctx, s.sql); err != nil {
		return err
	}
	unlimited := stdlib.OpenDB(*s.listen) // a step may take longer than other statements may
	defer unlimited.Close()
	return alone(ctx, s.listen, func() error { return s.migrate(ctx, unlimited, log) })
}

func (s *Store) migrate(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	files, err := s.db.engine.files()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(s.db.engine.dialect, db, files, goose.WithDisableGlobalRegistry(true))
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
		// Another process may be migrating the same SQLite file. A step is a transaction: of two that take it, the second finds it done
		// and fails. So a failure counts only when the schema has not moved on.
		before := current
		if current, _, _ = p.GetVersions(ctx); current <= before {
			return fmt.Errorf("migrate schema: %w", err)
		}
	}
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return failed("ping database", s.db.row(ctx, "SELECT 1").Scan(&one))
}

// Close closes the database.
func (s *Store) Close() error {
	return s.sql.Close()
}

// sweepBatch bounds what one statement deletes, and so how long a login waits for it where there is one writer at a time.
const sweepBatch = 500

// Sweep deletes what has been over since before: logins, entries, codes, invitations, messages, failed attempts, browsers, keys and changes,
// what clients asked and were given, and sessions with their tokens.
func (s *Store) Sweep(ctx context.Context, before time.Time) error {
	for _, q := range []string{
		"DELETE FROM logins WHERE handle_hash IN (SELECT handle_hash FROM logins WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM entries WHERE hash IN (SELECT hash FROM entries WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM codes WHERE (purpose, subject) IN (SELECT purpose, subject FROM codes WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM invitations WHERE subject IN (SELECT subject FROM invitations WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM mail_queue WHERE id IN (SELECT id FROM mail_queue WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM attempts WHERE counter IN (SELECT counter FROM attempts WHERE empty_at < ?1 LIMIT ?2)",
		"DELETE FROM known_browsers WHERE (hash, subject) IN (SELECT hash, subject FROM known_browsers WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM psc_logouts WHERE (issuer, jti) IN (SELECT issuer, jti FROM psc_logouts WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM oidc_requests WHERE hash IN (SELECT hash FROM oidc_requests WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM oidc_devices WHERE hash IN (SELECT hash FROM oidc_devices WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM oidc_assertions WHERE (client, jti_hash) IN (SELECT client, jti_hash FROM oidc_assertions WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM oidc_logouts WHERE id IN (SELECT id FROM oidc_logouts WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM keys WHERE id IN (SELECT id FROM keys WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM changes WHERE id IN (SELECT id FROM changes WHERE at < ?1 LIMIT ?2)",
		"DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < ?1 LIMIT ?2)",
		"DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE ended_at < ?1 LIMIT ?2)",
	} {
		for n := int64(sweepBatch); n == sweepBatch; { // less is the end of it
			var err error
			if n, err = s.db.changed(ctx, q, before.UnixMilli(), sweepBatch); err != nil {
				return failed("sweep", err)
			}
		}
	}
	return nil
}

func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// moment is a time that may be absent.
func moment(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return millis(ms.Int64)
}
