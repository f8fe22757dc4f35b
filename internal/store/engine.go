package store

import (
	"archive/zip"
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/pressly/goose/v3/database"
	sqlitedriver "modernc.org/sqlite" // in Go, so that the gateway needs no C
)

// engine is what differs between the two databases. Statements are written for SQLite, with numbered parameters (?1) everywhere.
type engine struct {
	dialect database.Dialect
	dollar  bool   // parameters are $1 instead of ?1
	blob    string // the type of bytes
	rowid   string // ends a table that is kept by its primary key alone
	share   string // ends a SELECT whose rows nobody is to change before the transaction ends
	lock    string // the same for rows that the transaction itself will change
}

// The engines. They are never written to.
var (
	sqlite   = engine{dialect: database.DialectSQLite3, blob: "BLOB", rowid: " WITHOUT ROWID"} // whose transactions are one at a time
	postgres = engine{dialect: database.DialectPostgres, dollar: true, blob: "BYTEA", share: " FOR SHARE", lock: " FOR UPDATE"}
)

// statement writes a statement as the engine reads it. No statement of this package has a question mark that is no parameter.
func (e engine) statement(q string) string {
	if e.dollar {
		return strings.ReplaceAll(q, "?", "$")
	}
	return q
}

//go:embed migrations/*.sql
var migrations embed.FS

// files returns the migrations in the engine's words: a file system in memory.
func (e engine) files() (fs.FS, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		f, err := z.Create(path.Base(name))
		if err != nil {
			return nil, err
		}
		text = bytes.ReplaceAll(text, []byte("BLOB"), []byte(e.blob))
		if _, err := f.Write(bytes.ReplaceAll(text, []byte(" WITHOUT ROWID"), []byte(e.rowid))); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
}

// Memory, as the path of Open, is a SQLite database that lives with the process and leaves nothing behind.
const Memory = ":memory:"

// sqliteConnections: readers beside one writer.
const sqliteConnections = 4

func openSQLite(path string) (*sql.DB, error) {
	// As SQLite does by itself where it is compiled for Linux, and wait does: at a checkpoint too.
	_, _ = sqlitedriver.Fdatasync(true)
	if path != Memory {
		if err := create(path); err != nil {
			return nil, err
		}
	}
	db, err := sql.Open("sqlite", sqliteDSN(path))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(sqliteConnections)
	if path == Memory {
		db.SetMaxOpenConns(1) // each connection would be a database of its own
		db.SetConnMaxLifetime(0)
	}
	return db, nil
}

// create makes the file before the driver does, which would leave it readable by others.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func sqliteDSN(path string) string {
	q := url.Values{}
	// The system keeps the file's pages in memory already, once for all connections: half a megabyte each is enough here. A checkpoint
	// writes each page once, however often it has changed, so it costs less in all when it comes after 16 MB of log than after SQLite's 4.
	for _, p := range []string{"journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)", "busy_timeout(10000)", "wal_autocheckpoint(4000)", "cache_size(-500)"} {
		q.Add("_pragma", p)
	}
	q.Set("_txlock", "immediate") // a transaction that will write waits at its start, not in its middle
	if path == Memory {
		return path + "?" + q.Encode()
	}
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?" + q.Encode()
}

// statements are the prepared statements of a database: as many as this package has, since none is composed of data. SQLite would
// otherwise compile each anew, every time. It is safe for concurrent use.
type statements struct {
	sql *sql.DB
	mu  sync.RWMutex
	all map[string]*sql.Stmt
}

func newStatements(db *sql.DB) *statements {
	return &statements{sql: db, all: map[string]*sql.Stmt{}}
}

// get returns a statement that was prepared before, or nil.
func (s *statements) get(q string) *sql.Stmt {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all[q]
}

// prepare prepares a statement for whoever asks next. That it fails is for that one to find out.
func (s *statements) prepare(ctx context.Context, q string) *sql.Stmt {
	stmt, err := s.sql.PrepareContext(ctx, q)
	if err != nil {
		return nil
	}
	other := s.keep(q, stmt)
	if other != stmt {
		stmt.Close() // waits for the connection that it is on, which may wait for a transaction that asks for a statement here
	}
	return other
}

// keep keeps a statement unless there is one, and returns the one that is kept.
func (s *statements) keep(q string, stmt *sql.Stmt) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.all[q]; other != nil {
		return other
	}
	s.all[q] = stmt
	return stmt
}

// gate lets one writer of this process at a time to a SQLite file, in the order in which they came. SQLite itself lets those who wait
// try again now and then, so that one of many may wait for ever. Those of another process still take their chance. A nil gate is open.
type gate chan struct{}

func (g gate) enter(ctx context.Context) error {
	if g == nil {
		return nil
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) leave() {
	if g != nil {
		<-g
	}
}

// conn is where a statement runs: the database, or a transaction. A conn of a transaction is used by one goroutine.
type conn struct {
	engine   engine
	prepared *statements
	writing  gate      // nil in a transaction, which has passed it
	log      wal       // that a write waits for before it is done; empty: for none, or in a transaction
	tx       *sql.Tx   // nil outside one
	missing  *[]string // statements of a transaction that were not prepared: its connection may be the only one, so they are afterwards
}

// steady returns a context for statements of SQLite that nothing breaks off. Whoever could break one off would be waited for by two
// goroutines, of database/sql and of the driver, and these cost more than the statement. It waits for nothing but a transaction of another
// process, 10 s at most (busy_timeout); those of this process it has let pass before, and for that wait ctx counts. A context that is over
// stays so: no statement begins, and no transaction is committed.
func (e engine) steady(ctx context.Context) context.Context {
	if e.dollar || ctx.Err() != nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// stmt returns a statement ready to run, or nil when it is to be run as it is.
func (c conn) stmt(ctx context.Context, q string) *sql.Stmt {
	stmt := c.prepared.get(q)
	switch {
	case c.tx == nil && stmt == nil:
		return c.prepared.prepare(ctx, q)
	case c.tx == nil:
		return stmt
	case stmt == nil:
		*c.missing = append(*c.missing, q)
		return nil
	}
	return c.tx.StmtContext(ctx, stmt)
}

func (c conn) exec(ctx context.Context, q string, args ...any) (sql.Result, error) {
	done, err := c.run(ctx, q, args...)
	if err == nil {
		err = c.log.wait()
	}
	return done, err
}

// run is exec without the wait for the disk.
func (c conn) run(ctx context.Context, q string, args ...any) (sql.Result, error) {
	q = c.engine.statement(q)
	if err := c.writing.enter(ctx); err != nil {
		return nil, err
	}
	defer c.writing.leave()
	ctx = c.engine.steady(ctx)
	if stmt := c.stmt(ctx, q); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	if c.tx != nil {
		return c.tx.ExecContext(ctx, q, args...)
	}
	return c.prepared.sql.ExecContext(ctx, q, args...)
}

func (c conn) query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	q, ctx = c.engine.statement(q), c.engine.steady(ctx)
	if stmt := c.stmt(ctx, q); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	if c.tx != nil {
		return c.tx.QueryContext(ctx, q, args...)
	}
	return c.prepared.sql.QueryContext(ctx, q, args...)
}

func (c conn) row(ctx context.Context, q string, args ...any) *sql.Row {
	q, ctx = c.engine.statement(q), c.engine.steady(ctx)
	if stmt := c.stmt(ctx, q); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	if c.tx != nil {
		return c.tx.QueryRowContext(ctx, q, args...)
	}
	return c.prepared.sql.QueryRowContext(ctx, q, args...)
}

// written is the row of a statement that changes it. Until Scan has read it, others wait.
type written struct {
	row *sql.Row
	err error
	was conn
}

func (w written) Scan(into ...any) error {
	if w.err != nil {
		return w.err
	}
	if err := w.read(into...); err != nil {
		return err
	}
	return w.was.log.wait()
}

// read is Scan without the wait for the disk.
func (w written) read(into ...any) error {
	defer w.was.writing.leave()
	return w.row.Scan(into...)
}

// change runs a statement that changes one row and returns it. The caller scans what it returns, once.
func (c conn) change(ctx context.Context, q string, args ...any) written {
	if err := c.writing.enter(ctx); err != nil {
		return written{err: err}
	}
	return written{row: c.row(ctx, q, args...), was: c}
}

// changed runs a statement and returns how many rows it changed.
func (c conn) changed(ctx context.Context, q string, args ...any) (int64, error) {
	r, err := c.exec(ctx, q, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// once runs a statement that must change exactly one row, and returns ErrNotFound when it changed none.
func (c conn) once(ctx context.Context, q string, args ...any) error {
	n, err := c.changed(ctx, q, args...)
	if err == nil && n != 1 {
		err = ErrNotFound
	}
	return err
}

// atomically runs do in a transaction, which is undone when do fails. do may run again, in another transaction.
func (s *Store) atomically(ctx context.Context, do func(conn) error) error {
	return s.db.atomically(ctx, do)
}

// attempts bounds how often a transaction is begun again that PostgreSQL undid in favour of another.
const attempts = 5

// atomically is Store.atomically where c is.
func (c conn) atomically(ctx context.Context, do func(conn) error) error {
	var err error
	for range attempts {
		if err = c.transaction(ctx, do); !isConflict(err) {
			break
		}
	}
	return err
}

func (c conn) transaction(ctx context.Context, do func(conn) error) error {
	if err := c.commit(ctx, do); err != nil {
		return err
	}
	return c.log.wait()
}

// commit is transaction without the wait for the disk.
func (c conn) commit(ctx context.Context, do func(conn) error) error {
	if err := c.writing.enter(ctx); err != nil {
		return err
	}
	defer c.writing.leave()
	tx, err := c.prepared.sql.BeginTx(c.engine.steady(ctx), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	var missing []string
	if err := do(conn{engine: c.engine, prepared: c.prepared, tx: tx, missing: &missing}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	for _, q := range missing {
		c.prepared.prepare(ctx, q)
	}
	return nil
}

// failed names what failed. A row that is not there is ErrNotFound.
func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return fmt.Errorf("%s: %w", what, err)
}
