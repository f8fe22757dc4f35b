package pkcs11

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// loadError returns why the module at path cannot be loaded, or "".
func loadError(path string) string {
	if _, err := windows.LoadLibrary(path); err != nil {
		return err.Error()
	}
	return ""
}

// hidePipes points the process's standard output at its standard error before the module, and with it its C library, is loaded.
// os.Stdin and os.Stdout keep the handles that they were made with.
func hidePipes(r io.Reader, w io.Writer) (io.Reader, io.Writer, error) {
	if w == os.Stdout {
		if err := windows.SetStdHandle(windows.STD_OUTPUT_HANDLE, windows.Handle(os.Stderr.Fd())); err != nil {
			return nil, nil, err
		}
	}
	return r, w, nil
}

// harden asks Windows for no error box on a crash, which would hold the process. Crash dumps are off by default there, and the
// process of another program of the same user can read this one's memory.
func harden() {
	windows.SetErrorMode(windows.SEM_FAILCRITICALERRORS | windows.SEM_NOGPFAULTERRORBOX)
}
