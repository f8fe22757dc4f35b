package gateway

import (
	"os"
	"path/filepath"
)

// fileWatch notices that files were changed or replaced, by their size, time, mode and identity. Of a directory, its files count. It is
// used by one goroutine at a time.
type fileWatch struct {
	names []string
	seen  map[string]os.FileInfo // what cannot be read is not in it
}

func newFileWatch(names ...string) *fileWatch {
	w := &fileWatch{names: names}
	w.changed()
	return w
}

// join makes w watch what o does, from when o last looked on.
func (w *fileWatch) join(o *fileWatch) {
	for _, name := range o.names {
		delete(w.seen, name)
	}
	w.names = append(w.names, o.names...)
	for name, info := range o.seen {
		w.seen[name] = info
	}
}

// changed says whether anything has changed since it was last asked.
func (w *fileWatch) changed() bool {
	now := map[string]os.FileInfo{}
	for _, name := range w.names {
		look(now, name, true)
	}
	before := w.seen
	w.seen = now
	if len(before) != len(now) {
		return true
	}
	for name, info := range now {
		old, ok := before[name]
		if !ok || !same(old, info) {
			return true
		}
	}
	return false
}

// look notes a file, or a directory with what is in it.
func look(into map[string]os.FileInfo, name string, enter bool) {
	info, err := os.Stat(name) // follows links: they are how certificates are often replaced
	if err != nil {
		return
	}
	if !info.IsDir() {
		into[name] = info
		return
	}
	entries, err := os.ReadDir(name)
	if err != nil || !enter {
		return
	}
	for _, e := range entries {
		look(into, filepath.Join(name, e.Name()), false)
	}
}

func same(a, b os.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode() && os.SameFile(a, b)
}

// maxUnsettled is how many looks in a row may find changes before what is there is taken.
const maxUnsettled = 5

// settling waits until what has changed is still again: a certificate is there before its key, and a long list before its end.
type settling struct{ looks int }

// done takes what a look has found, and says whether it is time to read.
func (s *settling) done(changed bool) bool {
	if changed {
		s.looks++
		if s.looks < maxUnsettled {
			return false
		}
	} else if s.looks == 0 {
		return false
	}
	s.looks = 0
	return true
}

// pending says whether something has changed that was not read.
func (s *settling) pending() bool { return s.looks > 0 }
