package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take before a test gives up. It bounds, it measures nothing.
const patience = 30 * time.Second

// process is a program that runs until the end of the test.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *output // standard output and error
	done chan struct{}
	err  error // how it ended; to be read after done
}

// startProcess starts a program with env beside the test's own environment.
func startProcess(t *testing.T, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{name: path[strings.LastIndexByte(path, '/')+1:], out: newOutput(t), done: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out.file, p.out.file
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() { // ends with the process
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, p.out)
		}
	})
	return p
}

// stop ends the program as an operator does, and then as an operator who has waited does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Errorf("%s did not end in %v after SIGTERM", p.name, patience)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// await waits until the program has printed text.
func (p *process) await(t *testing.T, text string) {
	t.Helper()
	eventually(t, p.name+" prints "+text, func() error {
		select {
		case <-p.done:
			t.Fatalf("%s ended (%v) before it printed %q:\n%s", p.name, p.err, text, p.out)
		default:
		}
		if !strings.Contains(p.out.String(), text) {
			return fmt.Errorf("it printed:\n%s", p.out)
		}
		return nil
	})
}

// output is what a process prints: a file, so that a line which the process has written before it answers is there when the answer is. A pipe
// would have to be read first, by another goroutine. It is safe for concurrent use.
type output struct {
	t    *testing.T
	file *os.File
}

func newOutput(t *testing.T) *output {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "output"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &output{t, file}
}

func (o *output) String() string {
	text, err := os.ReadFile(o.file.Name())
	if err != nil {
		o.t.Errorf("read what a program printed: %v", err) // or a secret in it would not be seen
	}
	return string(text)
}

// eventually tries until it works.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond) // between two looks at another process, which sends no event
	}
}

// freePorts returns ports of loopback that nobody listens on now.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // after all are taken, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// mustFind returns a program of a Debian package.
func mustFind(t *testing.T, debianPackage string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("none of %q is there; install the Debian package %s ('make test' does)", names, debianPackage)
	return ""
}
