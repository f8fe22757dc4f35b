package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
)

// Inspection is what Inspect found.
type Inspection struct {
	Version int64 // of the schema; zero: there is none yet
	Known   int64 // the version that this program makes of it
}

// Errors of Inspect about PostgreSQL, beside ErrClock.
var (
	ErrLogin    = errors.New("the server does not let this role in")
	ErrDatabase = errors.New("the server has no such database")
	ErrRights   = errors.New("the role may not do what a gateway does")
)

// Inspect looks at a database without making or migrating anything. An error says that it cannot be opened or not be written to; that of
// a SQLite file that is not there is fs.ErrNotExist.
func Inspect(ctx context.Context, c Config) (Inspection, error) {
	s := &Store{}
	var err error
	if IsPostgres(c.Name) {
		err = s.usePostgres(c)
	} else if _, err = os.Stat(c.Name); err == nil {
		err = s.useSQLite(c)
	}
	if err != nil {
		return Inspection{}, fmt.Errorf("open database: %w", err)
	}
	defer s.Close()
	if err := s.Ping(ctx); err != nil {
		return Inspection{}, judged(err)
	}
	if s.listen != nil {
		if err := checkClock(ctx, s.sql); err != nil {
			return Inspection{}, err
		}
	}
	files, err := s.db.engine.files()
	if err != nil {
		return Inspection{}, err
	}
	p, err := goose.NewProvider(s.db.engine.dialect, s.sql, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return Inspection{}, fmt.Errorf("read migrations: %w", err)
	}
	var v Inspection
	for _, m := range p.ListSources() {
		v.Known = max(v.Known, m.Version)
	}
	// Goose would make its table to answer.
	var version sql.NullInt64
	err = s.sql.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	if err != nil && !noTable(err) {
		return Inspection{}, fmt.Errorf("read schema version: %w", judged(err))
	}
	if v.Version = version.Int64; v.Version < v.Known {
		if err := s.mayMigrate(ctx); err != nil {
			return v, err
		}
	}
	if v.Version == 0 {
		return v, nil // it is made at the first start
	}
	tx, err := s.sql.BeginTx(ctx, nil)
	if err != nil {
		return v, fmt.Errorf("write to database: %w", err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "DELETE FROM logins WHERE 1 = 0"); err != nil {
		return v, fmt.Errorf("write to database: %w", judged(err))
	}
	return v, nil
}

// mayMigrate says whether the role of a PostgreSQL database may make tables. Since PostgreSQL 15 only the owner of a database may, unless
// somebody has said otherwise.
func (s *Store) mayMigrate(ctx context.Context) error {
	if s.listen == nil {
		return nil
	}
	var may bool
	err := s.sql.QueryRowContext(ctx, "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)").Scan(&may)
	if err == nil && !may {
		err = fmt.Errorf("%w: make tables", ErrRights)
	}
	return failed("look at the rights of the role", err)
}

// judged says what an error of PostgreSQL is about, when that is known.
func judged(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code { // PostgreSQL, appendix A
	case "28000", "28P01": // invalid_authorization_specification, invalid_password
		return fmt.Errorf("%w: %w", ErrLogin, err)
	case "3D000": // invalid_catalog_name
		return fmt.Errorf("%w: %w", ErrDatabase, err)
	case "42501": // insufficient_privilege
		return fmt.Errorf("%w: %w", ErrRights, err)
	}
	return err
}

// noTable says whether a statement failed for want of its table.
func noTable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "42P01" // undefined_table
	}
	return strings.Contains(err.Error(), "no such table") // SQLite has no code for it
}
