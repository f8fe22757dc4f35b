package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"promess/authgw/internal/store"
)

// Looking changes nothing: no file is made, and no schema.
func TestInspectChangesNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "authgw.db")
	if _, err := store.Inspect(t.Context(), silent(name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Inspect of a file that is not there = %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("Inspect has made the file")
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time shows what the first has left
		v, err := store.Inspect(t.Context(), silent(name))
		if err != nil || v.Version != 0 || v.Known < 1 {
			t.Errorf("Inspect of an empty database = %+v, %v; want no schema", v, err)
		}
	}
	open(t, name)
	v, err := store.Inspect(t.Context(), silent(name))
	if err != nil || v.Version != v.Known {
		t.Errorf("Inspect = %+v, %v; want the schema of this program", v, err)
	}
}

func TestInspectOfWhatIsNoDatabase(t *testing.T) {
	name := filepath.Join(t.TempDir(), "authgw.db")
	if err := os.WriteFile(name, []byte("this is a text and no database, and it is longer than the head of one would be: one hundred bytes and more"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := store.Inspect(t.Context(), silent(name)); err == nil {
		t.Errorf("Inspect = %+v, want an error", v)
	}
}
