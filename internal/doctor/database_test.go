package doctor_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/doctor"
	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
)

// onPostgres is an installation with a database on a server of its own, whose schema is that of this program.
func onPostgres(t *testing.T) (*installation, *pgtest.Server) {
	t.Helper()
	i, server := newInstallation(t), pgtest.Start(t, pgtest.Config{})
	server.Exec(t, pgtest.Superuser, "CREATE ROLE authgw LOGIN PASSWORD 'hunter2'")
	server.Exec(t, pgtest.Superuser, "CREATE DATABASE authgw OWNER authgw")
	server.Exec(t, pgtest.Superuser, "CREATE DATABASE empty OWNER authgw")
	server.Exec(t, pgtest.Superuser, "CREATE DATABASE foreign_one")
	i.use(t, server, "authgw")
	s := must(t, func() (*store.Store, error) {
		return store.Open(t.Context(), store.Config{Name: i.config.Database, Password: "hunter2", Log: slog.New(slog.DiscardHandler)})
	})
	s.Close()
	return i, server
}

// use names a database of a server in the configuration.
func (i *installation) use(t *testing.T, server *pgtest.Server, name string) {
	t.Helper()
	i.write(t, "password", []byte("hunter2\n"))
	i.config.Database, i.config.DatabasePasswordFile = fmt.Sprintf("postgres://authgw@127.0.0.1:%d/%s", server.Port, name), i.path("password")
}

// wantDatabase wants a finding about the database, with words in it and in what to do about it.
func (i *installation) wantDatabase(t *testing.T, status doctor.Status, words, do string) {
	t.Helper()
	all := i.examine(t)
	wantFinding(t, all, "database", status, words)
	for _, f := range all {
		if f.Check == "database" && !strings.Contains(f.Do, do) {
			t.Errorf("to do: %q, want %q in it", f.Do, do)
		}
		if strings.Contains(f.Text+f.Do, "hunter") {
			t.Errorf("%+v shows a password", f)
		}
	}
}

func TestPostgres(t *testing.T) {
	i, server := onPostgres(t)
	i.wantDatabase(t, doctor.OK, "opens, with schema version ", "")
	for _, f := range i.examine(t) {
		if f.Check == "disk" {
			t.Errorf("%+v: the disk is that of another machine", f)
		}
	}

	i.use(t, server, "empty")
	for range 2 { // looking leaves nothing behind
		i.wantDatabase(t, doctor.OK, "its schema is made at the first start", "")
	}
	i.use(t, server, "none")
	i.wantDatabase(t, doctor.Error, "the server has no such database", "createdb")
	i.use(t, server, "foreign_one")
	i.wantDatabase(t, doctor.Error, "the role may not do what a gateway does: make tables", "owner of the database")

	i.use(t, server, "authgw")
	i.write(t, "password", []byte("hunter3\n"))
	i.wantDatabase(t, doctor.Error, "password authentication failed", "database_password_file")
	i.use(t, server, "authgw")

	server.Exec(t, "authgw", "ALTER TABLE logins OWNER TO postgres")
	i.wantDatabase(t, doctor.Error, "permission denied for table logins", "owner of the database")
	server.Exec(t, "authgw", "ALTER TABLE logins OWNER TO authgw")

	server.Exec(t, "authgw", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)")
	i.wantDatabase(t, doctor.Error, "its schema has version 9999, and this program knows ", "install the authgw that wrote it")
	server.Exec(t, "authgw", "DELETE FROM goose_db_version WHERE version_id = 9999")
	i.wantDatabase(t, doctor.OK, "opens", "")

	server.Stop(t)
	i.wantDatabase(t, doctor.Error, "connection refused", "see that it runs")
}

// A clock of the server that is wrong is played by a function in front of the server's own.
func TestPostgresWhoseClockIsWrong(t *testing.T) {
	i, server := onPostgres(t)
	server.Exec(t, "authgw", `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 minute' $$`)
	server.Exec(t, "authgw", "ALTER DATABASE authgw SET search_path = public, pg_catalog")
	i.wantDatabase(t, doctor.Error, "set both by NTP", "NTP")
	c := store.Config{Name: i.config.Database, Password: "hunter2", Log: slog.New(slog.DiscardHandler)}
	if s, err := store.Open(t.Context(), c); err == nil {
		s.Close()
		t.Error("a gateway starts on it")
	}
}

// A server that takes the connection and says nothing does not hold the doctor up.
func TestPostgresThatSaysNothing(t *testing.T) {
	t.Parallel()
	i, server := onPostgres(t)
	server.Freeze(t)
	begun := time.Now()
	i.wantDatabase(t, doctor.Error, "", "see that it runs")
	if d := time.Since(begun); d > time.Minute {
		t.Errorf("it took %v", d)
	}
}

func TestPostgresWithTheWrongCertificate(t *testing.T) {
	i := newInstallation(t)
	cert := must(t, func() (tls.Certificate, error) { return i.pki.ServerCertificate("db.example.test") })
	server := pgtest.Start(t, pgtest.Config{Certificate: &cert})
	i.use(t, server, "postgres")
	i.write(t, "ca.pem", testpki.CertificatePEM(i.pki.Server.Certificate))
	i.config.Database += "?sslmode=verify-full&sslrootcert=" + i.path("ca.pem")
	i.wantDatabase(t, doctor.Error, "certificate", "see that it runs")
}
