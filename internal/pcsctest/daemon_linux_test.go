package pcsctest_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"promess/authgw/internal/pcsctest"
)

// A daemon is of one test: it listens where no other does, its readers have ports of their own, and it leaves nothing behind.
func TestDaemonStandsAloneAndLeavesNothing(t *testing.T) {
	var socket string
	t.Run("while it runs", func(t *testing.T) {
		d := pcsctest.Start(t)
		socket = d.Socket
		if d.Readers[0] == "" || d.Readers[1] == "" || d.Readers[0] == d.Readers[1] {
			t.Errorf("readers %q, want two", d.Readers)
		}
		before := d.Addrs
		if _, err := net.Listen("tcp", before[0]); err == nil {
			t.Error("the port of the first reader is free")
		}
		d.Stop()
		d.Stop() // does nothing
		d.Restart(t)
		if d.Socket != socket {
			t.Errorf("socket %q after a restart, want %q", d.Socket, socket)
		}
	})
	if _, err := os.Stat(filepath.Dir(socket)); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", filepath.Dir(socket), err)
	}
	if socket != pcsctest.SocketName() {
		t.Errorf("socket %q, want %q", socket, pcsctest.SocketName())
	}
}
