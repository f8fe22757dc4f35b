//go:build unix

package pgtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience bounds each start and stop of a server. A start after a kill replays the log first.
const patience = time.Minute

// Superuser is the role that may do everything. The socket, in a directory that nobody else may enter, asks it for no password.
const Superuser = "postgres"

// Config says what a test needs of its server.
type Config struct {
	// Durable makes a commit wait for the disk, as it does where people use it. Without it a killed server keeps its commits all the
	// same: only a machine that stops would lose them.
	Durable bool

	// Certificate, with its key, makes the server speak TLS on 127.0.0.1, and nothing else there. Without one it refuses TLS.
	Certificate *tls.Certificate
}

// Server is a PostgreSQL of one's own.
type Server struct {
	Port int // on 127.0.0.1, where every role needs its password

	bin, dir  string
	owner     *syscall.Credential // nil: the user of the test
	args      []string
	process   *os.Process
	ended     chan struct{} // closed when the process is gone
	guard     *guard        // held, or its input would be collected, and closed
	frozen    []int         // the processes that Freeze has stopped
	databases atomic.Int64
}

// shared is the server of the tests of this process that need nothing special. Its guard ends it with the process.
var shared = sync.OnceValues(func() (*Server, error) { return start(Config{}) })

// Database makes an empty database on a server that the tests of this process share, and returns its URL. It is dropped with the test.
func Database(tb testing.TB) string {
	tb.Helper()
	s, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	return s.Database(tb)
}

// Filled makes databases that begin with what fill put into the first, on the server that the tests of this process share: a copy of many
// tables costs less than to make them.
func Filled(fill func(url string) error) func(tb testing.TB) string {
	template := sync.OnceValues(func() (string, error) {
		s, err := shared()
		if err != nil {
			return "", err
		}
		name := fmt.Sprintf("filled%d", s.databases.Add(1))
		if err := s.exec(Superuser, "CREATE DATABASE "+name); err != nil {
			return "", err
		}
		return " TEMPLATE " + name, fill(s.URL(name)) // it is dropped with the server
	})
	return func(tb testing.TB) string {
		tb.Helper()
		from, err := template()
		if err != nil {
			tb.Fatal(err)
		}
		s, err := shared()
		if err != nil {
			tb.Fatal(err)
		}
		return s.database(tb, from)
	}
}

// Start runs a server until the end of the test.
func Start(tb testing.TB, c Config) *Server {
	tb.Helper()
	s, err := start(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.Stop(tb)
		if err := s.guard.end(); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return s
}

// Database makes an empty database and returns its URL. It is dropped with the test, if the server still runs by then.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	return s.database(tb, "")
}

func (s *Server) database(tb testing.TB, how string) string {
	tb.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	if err := s.exec(Superuser, "CREATE DATABASE "+name+how); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.exec(Superuser, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil && s.running() {
			tb.Error(err)
		}
	})
	return s.URL(name)
}

// URL is that of a database, for the superuser, by the socket.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(Superuser), Path: "/" + database}
	u.RawQuery = url.Values{"host": {s.dir}, "port": {strconv.Itoa(s.Port)}}.Encode()
	return u.String()
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(tb testing.TB, database, statement string) {
	tb.Helper()
	if err := s.exec(database, statement); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) exec(database, statement string) error {
	ctx, done := context.WithTimeout(context.Background(), patience) // a cleanup has no context of the test any more
	defer done()
	c, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return fmt.Errorf("pgtest: connect: %w", err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, statement); err != nil {
		return fmt.Errorf("pgtest: %s: %w", statement, err)
	}
	return nil
}

// Stop ends the server in good order: open transactions are undone. It does nothing the second time.
func (s *Server) Stop(tb testing.TB) { tb.Helper(); s.end(tb, syscall.SIGINT) }

// Kill ends the server as a lack of memory would: SIGKILL. Its children notice and end by themselves.
func (s *Server) Kill(tb testing.TB) { tb.Helper(); s.end(tb, syscall.SIGKILL) }

func (s *Server) end(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	s.Thaw()
	if !s.running() {
		return
	}
	_ = s.process.Signal(signal) // fails when it has ended
	select {
	case <-s.ended:
	case <-time.After(patience):
		_ = s.process.Kill()
		tb.Errorf("pgtest: the server has not ended %s after %v", patience, signal)
	}
}

func (s *Server) running() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// Restart runs the server after Stop or Kill, on the same files, socket and port.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	// What is left of a killed server may hold its memory for a moment.
	for deadline := time.Now().Add(patience); ; {
		err := s.run()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatal(err)
		}
	}
}

func start(c Config) (*Server, error) {
	s := &Server{}
	var err error
	if s.bin, err = findPrograms(); err != nil {
		return nil, err
	}
	if s.owner, err = findOwner(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "pgtest-"); err != nil { // short: the name of a socket has at most 107 bytes
		return nil, err
	}
	if s.guard, err = newGuard(s.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.make(c); err != nil {
		return nil, errors.Join(err, s.guard.end())
	}
	return s, nil
}

// make makes the cluster and runs it for the first time.
func (s *Server) make(c Config) error {
	if s.owner != nil {
		if err := os.Chown(s.dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			return err
		}
	}
	initdb := s.command("initdb", "-D", s.data(), "-U", Superuser, "--auth-local=trust", "--auth-host=scram-sha-256",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
	}
	var secure []string
	if c.Certificate != nil {
		var err error
		if secure, err = s.secure(*c.Certificate); err != nil {
			return err
		}
	}
	var err error
	for range 5 { // somebody may take the port between the look and the use
		if s.Port, err = freePort(); err != nil {
			return err
		}
		s.args = []string{"-D", s.data(), "-k", s.dir, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1"}
		s.args = append(s.args, secure...)
		if !c.Durable {
			s.args = append(s.args, "-c", "fsync=off", "-c", "full_page_writes=off")
		}
		if err = s.run(); err == nil {
			return nil
		}
	}
	return err
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command is a program of PostgreSQL, as its user, with nothing of our environment.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	// A group of its own: what ends the tests from the keyboard is for the tests, and the guard then ends this.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.owner}
	return cmd
}

// run starts the server and waits until it answers.
func (s *Server) run() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.command("postgres", s.args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	s.process, s.ended = cmd.Process, make(chan struct{})
	go func(ended chan struct{}) { // ends with the process
		defer close(ended)
		_ = cmd.Wait() // how it ended is in its log
	}(s.ended)
	return s.await()
}

func (s *Server) await() error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		if s.exec(Superuser, "SELECT 1") == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("pgtest: the server has not started:\n%s", s.log())
		case <-late:
			_ = s.process.Kill()
			return fmt.Errorf("pgtest: the server does not answer:\n%s", s.log())
		}
	}
}

// log is the end of what the server wrote.
func (s *Server) log() []byte {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	lines := bytes.Split(text, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-20):], []byte("\n"))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// findPrograms returns the directory of the newest server that is installed.
func findPrograms() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is well formed
	newest, dir := 0, ""
	for _, program := range found {
		bin := filepath.Dir(program)
		if n, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && n > newest {
			newest, dir = n, bin
		}
	}
	if dir != "" {
		return dir, nil
	}
	if program, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(program), nil
	}
	return "", errors.New("pgtest: no PostgreSQL; install the Debian package postgresql")
}

// guard ends a server and removes its files when this process ends, however that happens: it is a process that waits for the end of
// its standard input, which we hold open.
type guard struct {
	cmd   *exec.Cmd
	input interface{ Close() error }
}

const guardScript = `
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
	kill -QUIT "$pid" 2>/dev/null
	kill -CONT "$pid" 2>/dev/null
	n=0
	while kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
fi
exec rm -rf "$1"`

func newGuard(dir string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "pgtest", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &guard{cmd, input}, nil
}

func (g *guard) end() error {
	g.input.Close() // an error would be that the guard has ended, which Wait says
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("remove the server's files: %w", err)
	}
	return nil
}
