//go:build !windows

package pkcs11

// #cgo linux LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loadError returns why the module at path cannot be loaded, or "". The bindings give no reason. The library stays loaded: the
// bindings are about to load it too.
func loadError(path string) string {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if C.dlopen(name, C.RTLD_LAZY) != nil {
		return ""
	}
	return C.GoString(C.dlerror())
}

// hidePipes moves the child's standard input and output to other descriptors, closed on exec, so that a module that prints or
// reads does not touch the conversation. What it prints then goes where standard error goes.
func hidePipes(r io.Reader, w io.Writer) (io.Reader, io.Writer, error) {
	if r == os.Stdin {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, nil, err
		}
		defer null.Close()
		moved, err := moveFile(os.Stdin, int(null.Fd()))
		if err != nil {
			return nil, nil, err
		}
		r = moved
	}
	if w == os.Stdout {
		moved, err := moveFile(os.Stdout, int(os.Stderr.Fd()))
		if err != nil {
			return nil, nil, err
		}
		w = moved
	}
	return r, w, nil
}

// moveFile gives f's pipe a new descriptor and puts a copy of the descriptor instead in its old place.
func moveFile(f *os.File, instead int) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("move %s: %w", f.Name(), err)
	}
	if err := dup2(instead, int(f.Fd())); err != nil {
		return nil, fmt.Errorf("move %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
