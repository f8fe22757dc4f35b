package gateway_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A1: a file that is there and cannot be read stops the start, and is named.
func TestA1UnreadableFilesStopTheStart(t *testing.T) {
	for _, name := range []string{
		"server.pem", "server.key", "backend.pem", "trust/AC_IGC-SANTE_FORT_PERSONNES.pem", "crl/AC_IGC-SANTE_FORT_PERSONNES.crl",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiles(t)
			base := filepath.Base(name)
			// A link to itself: root, who may read everything, cannot read it either.
			if err := errors.Join(os.Remove(f.path(name)), os.Symlink(base, f.path(name))); err != nil {
				t.Fatal(err)
			}
			g, err := f.open(t, io.Discard, io.Discard)
			if err == nil {
				g.Close()
				t.Fatal("the gateway starts")
			}
			if !strings.Contains(err.Error(), base) {
				t.Errorf("error = %q, want the name of %s in it", err, base)
			}
		})
	}
}
