package doctor

import (
	"context"
	"os"
	"path/filepath"
	"runtime"

	"promess/authgw/internal/store"
)

// files looks at who may change what the gateway believes, and read what it keeps. That keys are their owner's alone, the configuration
// asks for already.
func (d *doctor) files(context.Context) {
	if runtime.GOOS == "windows" {
		return // modes say nothing there
	}
	changed := []string{d.Gateway.File, filepath.Dir(d.Gateway.File), d.Gateway.Card.Trust}
	for _, pair := range d.Gateway.TLS {
		changed = append(changed, pair.Cert, pair.Key)
	}
	changed = append(changed, d.Gateway.Card.CRLs...)
	for _, s := range d.Gateway.Services {
		if s.BackendCA != "" {
			changed = append(changed, s.BackendCA)
		}
	}
	if entries, err := os.ReadDir(d.Gateway.Card.Trust); err == nil {
		for _, e := range entries {
			changed = append(changed, filepath.Join(d.Gateway.Card.Trust, e.Name()))
		}
	}
	good := true
	for _, name := range changed {
		info, err := os.Stat(name)
		if err != nil {
			continue // said by who reads it
		}
		if info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
			d.fail("permissions", "chmod o-w "+name, "everybody on this machine may change %s", name)
			good = false
		}
	}
	if !store.IsPostgres(d.Gateway.Database) {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			name := d.Gateway.Database + suffix
			if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
				d.fail("permissions", "chmod 600 "+name, "others may read %s, which holds names and identifiers (mode %04o)", name, info.Mode().Perm())
				good = false
			}
		}
	}
	if good {
		d.ok("permissions", "nobody else may change what the gateway believes")
	}
}
