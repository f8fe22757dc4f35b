package pkcs11

import "golang.org/x/sys/unix"

// harden keeps the PIN, which is in the memory of this process, out of core files and out of the reach of other processes of the
// same user. Both calls fail only where the kernel has neither, and then there is nothing to do about it.
func harden() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

func dup2(from, to int) error { return unix.Dup3(from, to, 0) }
