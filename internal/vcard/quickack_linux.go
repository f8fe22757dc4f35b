package vcard

import (
	"net"

	"golang.org/x/sys/unix"
)

// quickACK asks the kernel to acknowledge at once. vpcd writes a message in two pieces, and the second would wait some 40 ms for the
// acknowledgement of the first. The kernel forgets the wish, so it is said before each read.
func quickACK(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// A failure makes the card slow, not wrong.
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
}
