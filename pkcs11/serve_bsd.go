//go:build !windows && !linux

package pkcs11

import "golang.org/x/sys/unix"

// harden keeps the PIN, which is in the memory of this process, out of core files. Unlike on Linux, a debugger of the same user may
// still attach.
func harden() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

func dup2(from, to int) error { return unix.Dup2(from, to) }
