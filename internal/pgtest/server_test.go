//go:build unix

package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"promess/authgw/internal/pgtest"
)

// connect returns a connection that is closed with the test.
func connect(t *testing.T, name string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(t.Context()) })
	return c
}

func TestDatabasesAreOfOneTest(t *testing.T) {
	one, other := connect(t, pgtest.Database(t)), connect(t, pgtest.Database(t))
	if _, err := one.Exec(t.Context(), "CREATE TABLE mine (n BIGINT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "SELECT n FROM mine"); err == nil {
		t.Error("the table of one test is in the database of another")
	}
	var encoding string
	if err := one.QueryRow(t.Context(), "SHOW server_encoding").Scan(&encoding); err != nil || encoding != "UTF8" {
		t.Errorf("encoding %q, %v, want UTF8", encoding, err)
	}
}

func TestServerIsKilledAndKeepsWhatWasCommitted(t *testing.T) {
	var dir string
	t.Run("while it runs", func(t *testing.T) {
		s := pgtest.Start(t, pgtest.Config{Durable: true})
		name := s.Database(t)
		dir = directoryOf(t, name)
		c := connect(t, name)
		var fsync string
		if err := c.QueryRow(t.Context(), "SHOW fsync").Scan(&fsync); err != nil || fsync != "on" {
			t.Errorf("fsync %q, %v, want on", fsync, err)
		}
		s.Exec(t, strings.TrimPrefix(c.Config().Database, "/"), "CREATE TABLE kept (n BIGINT)")
		port := s.Port
		for _, end := range []func(testing.TB){s.Kill, s.Stop} {
			end(t)
			end(t) // does nothing
			if _, err := pgx.Connect(t.Context(), name); err == nil {
				t.Error("a server that was ended answers")
			}
			s.Restart(t)
			if s.Port != port {
				t.Errorf("port %d after a restart, want %d", s.Port, port)
			}
			if _, err := connect(t, name).Exec(t.Context(), "SELECT n FROM kept"); err != nil {
				t.Errorf("after a restart: %v", err)
			}
		}
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func directoryOf(t *testing.T, name string) string {
	t.Helper()
	u, err := url.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("host")
}

// childVariable makes TestChild what its name says.
const childVariable = "PGTEST_CHILD"

// TestChild is run by the test below, in a process of its own, and waits to be killed.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		return
	}
	t.Logf("database %s end", pgtest.Database(t))
	select {
	case <-time.After(time.Minute):
	case <-t.Context().Done():
	}
}

func TestServerEndsWithAProcessThatIsKilled(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var name string
	for lines := bufio.NewScanner(out); name == "" && lines.Scan(); {
		if _, rest, found := strings.Cut(lines.Text(), "database "); found {
			name, _, _ = strings.Cut(rest, " end")
		}
	}
	if name == "" {
		t.Fatal("the child has not made a database")
	}
	connect(t, name)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	dir := directoryOf(t, name)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) { // polls, with a bound
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", dir)
		}
	}
}

func TestServerThatIsFrozenSaysNothingAndGoesOn(t *testing.T) {
	s := pgtest.Start(t, pgtest.Config{})
	name := s.Database(t)
	before := connect(t, name)
	s.Freeze(t)
	for what, ask := range map[string]func(context.Context) error{
		"a connection of before": func(ctx context.Context) error { return before.Ping(ctx) },
		"a new connection":       func(ctx context.Context) error { _, err := pgx.Connect(ctx, name); return err },
	} {
		ctx, done := context.WithTimeout(t.Context(), time.Second)
		if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s to a server that is frozen = %v, want no answer", what, err)
		}
		done()
	}
	s.Thaw()
	if err := connect(t, name).Ping(t.Context()); err != nil {
		t.Errorf("after the thaw: %v", err)
	}
}

func TestFilledDatabasesAreOfOneTestToo(t *testing.T) {
	fills := 0
	fresh := pgtest.Filled(func(url string) error {
		fills++
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			return err
		}
		if _, err := c.Exec(t.Context(), "CREATE TABLE mine (n BIGINT)"); err != nil {
			return err
		}
		return c.Close(t.Context())
	})
	one, other := connect(t, fresh(t)), connect(t, fresh(t))
	if _, err := one.Exec(t.Context(), "INSERT INTO mine VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := other.QueryRow(t.Context(), "SELECT count(*) FROM mine").Scan(&n); err != nil || n != 0 || fills != 1 {
		t.Errorf("%d rows of another test, %v, filled %d times, want none, no error and once", n, err, fills)
	}
}
