package pcsctest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Daemon is a running pcscd with two virtual readers.
type Daemon struct {
	Socket  string    // of PC/SC
	Addrs   [2]string // where vcard.Card.Insert finds the readers
	Readers [2]string // their names in PC/SC

	program, driver string
	dir             string
	process         *os.Process
	ended           chan struct{} // closed when the process is gone
	output          *bytes.Buffer // of the process; to be read after ended
	reservation     net.Listener  // of the ports: see reservePorts
}

// SocketVariable is where libpcsclite looks for the name of its socket.
const SocketVariable = "PCSCLITE_CSOCK_NAME"

// SocketName is the name of the socket of every daemon of this process. A TestMain sets SocketVariable to it when some tests use
// PC/SC without Start: libpcsclite keeps the first name that it sees.
func SocketName() string { return filepath.Join(directory(), "s") }

// directory holds the daemon's files: the same for all daemons of this process, and short, since sun_path has 108 bytes.
func directory() string { return filepath.Join(os.TempDir(), fmt.Sprintf("pcsctest-%d", os.Getpid())) }

// Start runs a daemon until the end of the test. It sets the environment of this process, so that PC/SC in it and in its children
// reaches this daemon and no other.
func Start(tb testing.TB) *Daemon {
	tb.Helper()
	program, driver, err := findParts()
	if err != nil {
		tb.Fatal(err)
	}
	dir := directory()
	if err := os.Mkdir(dir, 0o700); err != nil {
		tb.Fatalf("pcsctest: one daemon per process at a time: %v", err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	d := &Daemon{Socket: SocketName(), program: program, driver: driver, dir: dir}
	tb.Setenv(SocketVariable, d.Socket)
	tb.Cleanup(d.Stop)
	d.Restart(tb)
	return d
}

// Env is what another process needs in its environment to reach this daemon.
func (d *Daemon) Env() []string { return []string{SocketVariable + "=" + d.Socket} }

// Stop ends the daemon, with all cards in its readers. It may be called twice.
func (d *Daemon) Stop() {
	if d.process == nil {
		return
	}
	_ = d.process.Signal(syscall.SIGTERM) // fails when it has ended
	select {
	case <-d.ended:
	case <-time.After(stopTime):
		_ = d.process.Kill()
		<-d.ended
	}
	d.process = nil
	os.Remove(d.Socket)
	d.releasePorts()
}

// Signal sends a signal to the daemon, to make it hang (SIGSTOP) and go on (SIGCONT), say.
func (d *Daemon) Signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	if err := d.process.Signal(s); err != nil {
		tb.Fatalf("pcsctest: %v", err)
	}
}

// Restart runs the daemon after Stop. The ports of the readers change.
func (d *Daemon) Restart(tb testing.TB) {
	tb.Helper()
	var err error
	for range 5 { // a program that knows nothing of reservations may take a port between the look and the use
		if err = d.run(); err == nil {
			return
		}
		d.Stop()
	}
	tb.Fatalf("pcsctest: %v", err)
}

// findParts finds the programs that a test needs, or says which package has them.
func findParts() (program, driver string, err error) {
	program, err = exec.LookPath("pcscd")
	if err != nil {
		program = "/usr/sbin/pcscd" // not in the PATH of a normal user
		if _, err = os.Stat(program); err != nil {
			return "", "", errors.New("pcsctest: no pcscd; install the Debian package pcscd")
		}
	}
	for _, pattern := range []string{"/usr/lib*/pcsc/drivers/serial/libifdvpcd.so", "/usr/lib/*/pcsc/drivers/serial/libifdvpcd.so",
		"/usr/lib*/pcsc/drivers/serial/libifdvpcd.so.*"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 { // the patterns are well formed
			return program, found[0], nil
		}
	}
	return "", "", errors.New("pcsctest: no libifdvpcd.so; install the Debian package vsmartcard-vpcd")
}

func (d *Daemon) run() error {
	d.releasePorts()
	port, err := d.reservePorts()
	if err != nil {
		return err
	}
	d.Addrs = [2]string{fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", port+1)}
	// "/dev/null" makes vpcd listen; a host name instead would make it connect.
	conf := fmt.Sprintf("FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:0x%X\nLIBPATH %s\nCHANNELID 0x%X\n", port, d.driver, port)
	confDir := filepath.Join(d.dir, "reader.conf.d")
	if err := os.MkdirAll(confDir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(confDir, "vpcd"), []byte(conf), 0o600); err != nil {
		return err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.Socket, Net: "unix"})
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close()
	socket, err := listener.File()
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := d.start(confDir, socket); err != nil {
		return err
	}
	return d.awaitReaders()
}

// start runs pcscd on a socket that is open already, as systemd would: file descriptor 3, and two variables that say so.
// That spares it the directories that only root may write to.
func (d *Daemon) start(confDir string, socket *os.File) error {
	args := []string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh", d.program, "--foreground", "--config", confDir}
	if knows(d.program, "--disable-polkit") { // pcsc-lite 2.0 and later ask polkit by default
		args = append(args, "--disable-polkit")
	}
	cmd := exec.Command("sh", args...)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
	cmd.ExtraFiles = []*os.File{socket}
	d.output = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = d.output, d.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	started, ended := make(chan error, 1), make(chan struct{})
	go func() { // ends with the process
		defer close(ended)
		// The signal comes when the thread that forked ends, so this thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its output
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	d.process, d.ended = cmd.Process, ended
	return nil
}

func knows(program, option string) bool {
	help, _ := exec.Command(program, "--help").CombinedOutput() // exits with 1 in some versions
	return strings.Contains(string(help), option)
}
