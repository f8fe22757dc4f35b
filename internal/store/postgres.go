package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// IsPostgres says whether the name of a database is the URL of a PostgreSQL one, rather than the path of a SQLite file.
func IsPostgres(name string) bool {
	return strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://")
}

const (
	// postgresConnections bounds what one gateway takes of the server's, which has 100 for all by default.
	postgresConnections = 16

	connectTimeout = 5 * time.Second
	// lostAfter is how long a connection may be without a sign of the other side.
	lostAfter = 15 * time.Second
)

// limits are what the server holds our connections to, so that no statement waits for ever, and no gateway that has stopped in the middle
// of a transaction makes the others wait. In milliseconds.
var limits = map[string]string{
	"statement_timeout":                   "60000",
	"lock_timeout":                        "10000",
	"idle_in_transaction_session_timeout": "10000",
}

// parsePostgres reads the URL of a database without a password; the password comes apart, so that the URL can be shown.
func parsePostgres(name, password string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(name)
	if err != nil {
		return nil, errors.New("not the URL of a PostgreSQL database, or one of a file that cannot be read") // the driver's text may quote it
	}
	if password != "" {
		config.Password = password
	}
	config.RuntimeParams["application_name"] = "authgw"
	config.ConnectTimeout = connectTimeout
	dialer := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: lostAfter / 3, Interval: lostAfter / 3, Count: 2},
		Control:         giveUp,
	}
	config.DialFunc = dialer.DialContext
	return config, nil
}

func openPostgres(config *pgx.ConnConfig, patience time.Duration) *sql.DB {
	limited := config.Copy()
	s := &silence{patience: patience}
	limited.DialFunc = s.dial(limited.DialFunc)
	for name, value := range limits {
		limited.RuntimeParams[name] = value
	}
	db := sql.OpenDB(s.connector(limited))
	db.SetMaxOpenConns(postgresConnections)
	db.SetMaxIdleConns(postgresConnections)
	return db
}

// isConflict says whether the server undid a transaction for no fault of its own: two had waited for each other.
func isConflict(err error) bool {
	var e *pgconn.PgError
	// PostgreSQL, appendix A: serialization_failure, deadlock_detected.
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}

const (
	// migrationLock is the advisory lock under which one gateway at a time brings the schema up to date. The number is ours alone.
	migrationLock = 0x617574686777
	migrationWait = time.Minute
)

// alone runs do while no other gateway does the same on this database.
func alone(ctx context.Context, config *pgx.ConnConfig, do func() error) error {
	waiting, done := context.WithTimeout(ctx, migrationWait)
	defer done()
	c, err := pgx.ConnectConfig(waiting, config)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx)) // which gives up the lock
	if _, err := c.Exec(waiting, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another gateway to migrate the schema: %w", err)
	}
	return do()
}

// clockTolerance is how far the clocks of a gateway and its database may be apart: changes are told to others by their time.
const clockTolerance = 5 * time.Second

// checkClock compares this machine's clock with that of the server.
func checkClock(ctx context.Context, db *sql.DB) error {
	var ms int64
	before := time.Now()
	if err := db.QueryRowContext(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").Scan(&ms); err != nil {
		return fmt.Errorf("read its clock: %w", err)
	}
	return compareClocks(before, millis(ms), time.Now())
}

// ErrClock says that the clocks of a gateway and its database are too far apart.
var ErrClock = errors.New("set both by NTP")

// compareClocks refuses a time of the server that was read between two of ours and is far from both.
func compareClocks(before, server, after time.Time) error {
	if server.Before(before.Add(-clockTolerance)) || server.After(after.Add(clockTolerance)) {
		return fmt.Errorf("its clock shows %s and this machine's %s: %w", server.Format(time.TimeOnly), after.UTC().Format(time.TimeOnly), ErrClock)
	}
	return nil
}
