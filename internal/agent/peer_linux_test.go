package agent_test

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"promess/authgw/internal/agent"
)

func TestOnlyProcessesOfThisUserMayStart(t *testing.T) {
	w := newWorld(t, newCard(t, nil), nil)
	if got := runKnock(t, w.host, func(*exec.Cmd) {}); got != "303" {
		t.Errorf("a process of this user got %q, want 303", got)
	}
	if os.Geteuid() != 0 {
		t.Skip("another user's process can only be started by root")
	}
	other := newWorld(t, newCard(t, nil), nil)
	got := runKnock(t, other.host, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
	if got != "403" {
		t.Errorf("a process of another user got %q, want 403", got)
	}
	if !strings.Contains(other.log.String(), "check=peer") {
		t.Errorf("the log does not say which check refused:\n%s", other.log)
	}
}

// A dual-stack socket that connects to 127.0.0.1 is in tcp6 with a mapped address, as Java's and some browsers' are.
func TestPeerIsFoundBehindAMappedAddress(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	}
	defer syscall.Close(fd)
	to := &syscall.SockaddrInet6{Port: ln.Addr().(*net.TCPAddr).Port}
	copy(to.Addr[:], net.IPv4(127, 0, 0, 1).To16())
	if err := syscall.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer, own := conn.RemoteAddr().(*net.TCPAddr).AddrPort(), conn.LocalAddr().(*net.TCPAddr).AddrPort()
	if !agent.TestOnlyOwnPeer(peer, own) {
		t.Error("a dual-stack peer of this user was not found")
	}
	if agent.TestOnlyOwnPeer(peer, netip.AddrPortFrom(own.Addr(), own.Port()+1)) {
		t.Error("a connection that does not exist was found")
	}
}

// table is /proc/net/tcp of a little-endian machine: proc(5) shows 127.0.0.1 as 0100007F.
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:60CC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0000000000000000 100 0 0 10 0
   1: 0100007F:60CC 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 112 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:D431 0100007F:60CC 01 00000000:00000000 00:00000000 00000000  1001        0 113 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:D432 0100007F:60CC 06 00000000:00000000 03:00000F3A 00000000     0        0 0 3 0000000000000000
   4: 0100007F:D433 0100007F:60CC 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000 20 4 30 10 -1
`

func TestFindUser(t *testing.T) {
	own := netip.MustParseAddrPort("127.0.0.1:24780")
	for _, test := range []struct {
		name  string
		peer  string
		uid   int
		found bool
	}{
		{"the row of the peer's end, not of ours", "127.0.0.1:54321", 1001, true},
		{"a socket in TIME_WAIT is nobody's, whatever its uid says", "127.0.0.1:54322", 0, false},
		{"a socket without an inode is nobody's", "127.0.0.1:54323", 0, false},
		{"not in the table", "127.0.0.1:54324", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			uid, found := agent.TestOnlyFindUser([]byte(table), netip.MustParseAddrPort(test.peer), own)
			if uid != test.uid || found != test.found {
				t.Errorf("findUser = %d %v, want %d %v", uid, found, test.uid, test.found)
			}
		})
	}
}

// Whatever the table says, nobody is found for a pair of addresses that no line of it holds.
func FuzzFindUser(f *testing.F) {
	f.Add([]byte(table))
	f.Add([]byte(" 2: 0000000000000000FFFF00000100007F:D431 0000000000000000FFFF00000100007F:60CC 01 0:0 0:0 0 1001 0 113"))
	own, peer := netip.MustParseAddrPort("127.0.0.1:24780"), netip.MustParseAddrPort("127.0.0.1:54321")
	f.Fuzz(func(t *testing.T, data []byte) {
		upper := strings.ToUpper(string(data))
		if _, found := agent.TestOnlyFindUser(data, peer, own); found && !(strings.Contains(upper, ":D431") && strings.Contains(upper, ":60CC")) {
			t.Errorf("found a user in %q", data)
		}
	})
}
