package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaries are the programs under test, built once.
var binaries struct{ authgw, cardagent string }

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "authgw-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// The gateway is built as it is shipped: without C.
	for _, b := range []struct {
		path *string
		name string
		cgo  string
	}{{&binaries.authgw, "authgw", "0"}, {&binaries.cardagent, "cardagent", "1"}} {
		*b.path = filepath.Join(dir, b.name)
		build := exec.Command("go", "build", "-trimpath", "-o", *b.path, "promess/authgw/cmd/"+b.name)
		build.Env = append(os.Environ(), "CGO_ENABLED="+b.cgo)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", b.name, err, out)
			return 1
		}
	}
	return m.Run()
}
