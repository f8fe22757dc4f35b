package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"promess/authgw/internal/config"
)

// withDatabase is smallYAML with other lines in place of the one of the database.
func withDatabase(lines string) string {
	return strings.Replace(smallYAML, "database: authgw.db\n", lines+"\n", 1)
}

// databaseDirectory has what the URLs of these tests name.
func databaseDirectory(t *testing.T) (dir, file string) {
	t.Helper()
	dir = directory(t)
	write(t, filepath.Join(dir, "password"), "hunter2\n", 0o600)
	write(t, filepath.Join(dir, "open.key"), "a key", 0o640)
	write(t, filepath.Join(dir, "long"), strings.Repeat("x", 1025), 0o600)
	return dir, filepath.Join(dir, "c.yaml")
}

func TestDatabasesOfPostgres(t *testing.T) {
	dir, file := databaseDirectory(t)
	for _, url := range []string{
		"postgres://authgw@db.example.fr/authgw?sslmode=verify-full",
		"postgresql://authgw@db.example.fr:5433/authgw?sslmode=verify-full",
		"postgres://authgw@192.0.2.1/authgw?sslmode=verify-full&sslrootcert=" + dir + "/server.pem",
		"postgres://authgw@db/authgw?sslmode=verify-full&sslcert=" + dir + "/server.pem&sslkey=" + dir + "/server.key",
		"postgres://authgw@one.example.fr:5432,two.example.fr:5432/authgw?sslmode=verify-full&target_session_attrs=read-write",
		"postgres://authgw@localhost/authgw",
		"postgres://authgw@127.0.0.1:5432/authgw?sslmode=disable",
		"postgres://authgw@[::1]:5432/authgw?sslmode=prefer",
		"postgres://authgw@/authgw?host=/run/postgresql",
		"postgres://authgw@/authgw?host=/run/postgresql&port=5433",
	} {
		for _, password := range []string{"", "password"} {
			text := withDatabase(`database: "` + url + `"`)
			want := ""
			if password != "" {
				text += "database_password_file: password\n"
				want = filepath.Join(dir, password)
			}
			g, err := config.ParseGateway([]byte(text), file)
			if err != nil {
				t.Errorf("%s: %v", url, err)
				continue
			}
			if g.Database != url || g.DatabasePasswordFile != want {
				t.Errorf("database = %q, %q, want %q, %q", g.Database, g.DatabasePasswordFile, url, want)
			}
			checkGatewayDump(t, []byte(text), file)
		}
	}
}

func TestDatabasesThatAreRefused(t *testing.T) {
	dir, file := databaseDirectory(t)
	const (
		form     = `6: database: a URL such as postgres://authgw@db.example.fr/authgw?sslmode=verify-full (or postgres://authgw@/authgw?host=/run/postgresql) expected, something else given`
		password = `6: database: a URL without a password expected, one with a password given: put the password alone into a file (chmod 600), and name the file in database_password_file`
		options  = `6: database: after the question mark, only host, port, sslmode, sslrootcert, sslcert, sslkey, target_session_attrs expected, each once and with a value; something else given`
		socket   = `6: database: after host=, the absolute path of the directory of a socket expected, and then no host before it; something else given`
	)
	weak := func(host string) string {
		return `6: database: sslmode=verify-full expected for a server that is not on this machine (` + host + `): without it, whoever answers in its place gets the password and every session`
	}
	for _, tt := range []struct{ name, database, more, want string }{
		{"a password", "postgres://authgw:hunter2@db.example.fr/authgw?sslmode=verify-full", "", password},
		{"an empty password", "postgres://authgw:@db.example.fr/authgw?sslmode=verify-full", "", password},
		{"a password as an option", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&password=hunter2", "", password},
		{"a password as an option, in other letters", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&%70assword=hunter2", "", password},
		{"the password of a key", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&sslpassword=hunter2", "", password},
		{"a password that is no part of a URL", "postgres://authgw:hunter2/x@db.example.fr/authgw", "", form},
		{"a password without a name", "postgres://authgw:hunter2", "", form},
		{"a password in a database of another make", "mysql://authgw:hunter2@db.example.fr/authgw", "", `6: database: a path, or a URL that begins with postgres://, expected, another URL given`},
		{"capitals", "Postgres://authgw:hunter2@db.example.fr/authgw", "", `6: database: a path, or a URL that begins with postgres://, expected, another URL given`},
		{"no encryption", "postgres://authgw@db.example.fr/authgw?sslmode=disable", "", weak("db.example.fr")},
		{"encryption for whoever answers", "postgres://authgw@db.example.fr/authgw?sslmode=require", "", weak("db.example.fr")},
		{"the certificate of any host", "postgres://authgw@db.example.fr/authgw?sslmode=verify-ca", "", weak("db.example.fr")},
		{"encryption when it pleases (the default)", "postgres://authgw@db.example.fr/authgw", "", weak("db.example.fr")},
		{"a private address", "postgres://authgw@10.0.0.1/authgw", "", weak("10.0.0.1")},
		{"one far host among near ones", "postgres://authgw@localhost,db.example.fr/authgw", "", weak("db.example.fr")},
		{"a name that begins as this machine's", "postgres://authgw@localhost.example.fr/authgw", "", weak("localhost.example.fr")},
		{"no role", "postgres://db.example.fr/authgw?sslmode=verify-full", "", form},
		{"no database", "postgres://authgw@db.example.fr/?sslmode=verify-full", "", form},
		{"no host", "postgres://authgw@/authgw", "", form},
		{"a host that is none", "postgres://authgw@db_1/authgw?sslmode=verify-full", "", form},
		{"a fragment", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full#x", "", form},
		{"a letter that is not ASCII", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&host=é", "", form},
		{"a port beside the one of the host", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&port=5433", "", form},
		{"an option that is unknown here", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&passfile=/tmp/x", "", options},
		{"an option twice", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&sslmode=disable", "", options},
		{"an option without a value", "postgres://authgw@db.example.fr/authgw?sslmode=", "", options},
		{"another host as an option", "postgres://authgw@localhost/authgw?host=db.example.fr", "", socket},
		{"another host as an option alone", "postgres://authgw@/authgw?host=db.example.fr", "", socket},
		{"authorities at a relative path", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&sslrootcert=server.pem", "", `6: database: an absolute path expected after sslrootcert=, another one given`},
		{"no authorities (A1)", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&sslrootcert=DIR/none.pem", "", `6: database: a PEM file of certificates expected at "DIR/none.pem": no such file or directory`},
		{"garbage as authorities (A1)", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&sslrootcert=DIR/garbage.pem", "", `6: database: a PEM file of certificates expected at "DIR/garbage.pem": it holds no certificate`},
		{"a key that others may read", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&sslcert=DIR/server.pem&sslkey=DIR/open.key", "", `6: database: a file that only its owner may read expected at "DIR/open.key", mode 0640 given: chmod 600`},
		{"a key without its certificate", "postgres://authgw@db.example.fr/authgw?sslmode=verify-full&sslkey=DIR/server.key", "", `6: database: both sslcert and sslkey expected, or neither; one given`},
		{"a password file for SQLite", "authgw.db", "password", `7: database_password_file: the URL of a PostgreSQL database expected beside it, the path of a SQLite file given`},
		{"a password file that others may read", "postgres://authgw@localhost/authgw", "open.key", `7: database_password_file: a file that only its owner may read expected at "DIR/open.key", mode 0640 given: chmod 600`},
		{"a password file that is missing", "postgres://authgw@localhost/authgw", "none", `7: database_password_file: a file with a password expected at "DIR/none": no such file or directory`},
		{"a password file that is empty", "postgres://authgw@localhost/authgw", "empty.pem", `7: database_password_file: a file with a password expected at "DIR/empty.pem": the file is empty`},
		{"a password file that is something else", "postgres://authgw@localhost/authgw", "long", `7: database_password_file: a file with a password expected at "DIR/long": the file has more than 1024 bytes`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := withDatabase(`database: "` + strings.ReplaceAll(tt.database, "DIR", dir) + `"`)
			if tt.more != "" {
				text += "database_password_file: " + tt.more + "\n"
			}
			_, err := config.ParseGateway([]byte(text), file)
			var refused *config.Refused
			if !errors.As(err, &refused) {
				t.Fatalf("error = %v, want a *config.Refused", err)
			}
			got := strings.ReplaceAll(strings.ReplaceAll(refused.Lines(), file+":", ""), dir, "DIR")
			if got != tt.want {
				t.Errorf("message:\n%s\nwant:\n%s", got, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the message shows the password")
			}
		})
	}
}

func TestDatabasePassword(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, text, password, want string }{
		{"a line", "h'unter 2é\n", "h'unter 2é", ""},
		{"a line without its end", "hunter2", "hunter2", ""},
		{"a line of Windows", "hunter2\r\n", "hunter2", ""},
		{"two lines", "hunter2\nx\n", "", "something else than one line"},
		{"an empty line", "\n", "", "something else than one line"},
		{"zeros", "hunter2\x00", "", "something else than one line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(dir, "password")
			write(t, file, tt.text, 0o600)
			got, err := (&config.Gateway{DatabasePasswordFile: file}).DatabasePassword()
			if got != tt.password || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("DatabasePassword = %q, %v, want %q, %q", got, err, tt.password, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the message shows the password")
			}
		})
	}
	if _, err := (&config.Gateway{DatabasePasswordFile: filepath.Join(dir, "none")}).DatabasePassword(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("DatabasePassword without its file = %v, want %v", err, os.ErrNotExist)
	}
	if got, err := (&config.Gateway{}).DatabasePassword(); got != "" || err != nil {
		t.Errorf("DatabasePassword of none = %q, %v", got, err)
	}
}
