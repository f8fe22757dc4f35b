package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// dataSync waits until what was written to a file can be read back after a power cut. The time of the file is not waited for.
func dataSync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
