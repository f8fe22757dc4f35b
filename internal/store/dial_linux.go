package store

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// giveUp makes the kernel give a connection up when what was sent is not acknowledged in time. By itself it goes on for a quarter of an
// hour, and keep-alives are sent only while nothing else is.
func giveUp(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(lostAfter.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}
