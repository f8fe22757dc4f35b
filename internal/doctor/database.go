package doctor

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"

	"promess/authgw/internal/store"
)

// Free space below which something is said, in bytes.
const (
	spaceLow  = 1 << 30
	spaceNone = 100 << 20
)

// database opens it as the gateway does, and changes nothing.
func (d *doctor) database(ctx context.Context) {
	ctx, done := context.WithTimeout(ctx, 2*timeout)
	defer done()
	if !store.IsPostgres(d.Gateway.Database) {
		d.space(filepath.Dir(d.Gateway.Database))
	}
	password, err := d.Gateway.DatabasePassword()
	if err != nil {
		d.fail("database", "write the password, one line, into the file", "%v", err)
		return
	}
	v, err := store.Inspect(ctx, store.Config{Name: d.Gateway.Database, Password: password, Log: slog.New(slog.DiscardHandler)})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.missingDatabase()
	case err != nil:
		d.fail("database", adviceOf(err), "%s: %v", d.Gateway.Database, err)
	case v.Version > v.Known:
		d.fail("database", "install the authgw that wrote it, or a newer one", "its schema has version %d, and this program knows %d", v.Version, v.Known)
	case v.Version == 0:
		d.ok("database", "%s opens; its schema is made at the first start", d.Gateway.Database)
	case v.Version < v.Known:
		d.warn("database", "make a backup before the next start", "its schema has version %d; the next start makes version %d of it", v.Version, v.Known)
	default:
		d.ok("database", "%s opens, with schema version %d, and may be written", d.Gateway.Database, v.Version)
	}
}

// adviceOf is what to do about an error of a database.
func adviceOf(err error) string {
	switch {
	case errors.Is(err, store.ErrClock):
		return "set the clocks of this machine and of the database by NTP"
	case errors.Is(err, store.ErrLogin):
		return "compare the role in database and the password in database_password_file with the server's, and see that its pg_hba.conf lets this machine in"
	case errors.Is(err, store.ErrDatabase):
		return "make the database, with the role of the gateway as its owner (createdb --owner)"
	case errors.Is(err, store.ErrRights):
		return "make the role of the gateway the owner of the database and of its tables"
	}
	return "see that it runs, and that this user may open and write it"
}

// missingDatabase is about a SQLite file that is not there yet.
func (d *doctor) missingDatabase() {
	dir := filepath.Dir(d.Gateway.Database)
	if err := writable(dir); err != nil {
		d.fail("database", "chown the directory to the user of the gateway", "%s is made at the first start, and this user may not write into %s", d.Gateway.Database, dir)
		return
	}
	d.ok("database", "%s is made at the first start", d.Gateway.Database)
}

func (d *doctor) space(dir string) {
	free, err := freeSpace(dir)
	switch {
	case err != nil:
		d.warn("disk", "look at it with other means", "the space left at %s is not known", dir)
	case free < spaceNone:
		d.fail("disk", "make room: without it nobody can sign in", "%d MB are left at %s", free>>20, dir)
	case free < spaceLow:
		d.warn("disk", "make room", "%d MB are left at %s", free>>20, dir)
	default:
		d.ok("disk", "%d GB are left at %s", free>>30, dir)
	}
}
