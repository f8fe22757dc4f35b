package idp

import (
	"sync"

	"promess/authgw/internal/store"
)

// listeners are told of changes that sessions hear of. The zero value has none.
type listeners struct {
	mu   sync.RWMutex
	next int
	all  map[store.ChangeKind]map[int]func(ref string)
}

// add adds one, and returns what takes it away again.
func (l *listeners) add(kind store.ChangeKind, f func(ref string)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[store.ChangeKind]map[int]func(string){}
	}
	if l.all[kind] == nil {
		l.all[kind] = map[int]func(string){}
	}
	l.next++
	n := l.next
	l.all[kind][n] = f
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all[kind], n)
	}
}

func (l *listeners) tell(kind store.ChangeKind, ref string) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, f := range l.all[kind] {
		f(ref)
	}
}

// OnChange has f called with the Ref of each change of a kind, whoever makes it: within two seconds, by Run, one after the other, and perhaps
// twice. f does not wait. After stop it is called no more.
func (s *Sessions) OnChange(kind store.ChangeKind, f func(ref string)) (stop func()) {
	return s.listeners.add(kind, f)
}

// OnEnd has f called with the id of each session that ends: here at once, elsewhere as OnChange does, perhaps twice. f does not wait. After
// stop it is called no more.
func (s *Sessions) OnEnd(f func(id string)) (stop func()) {
	return s.listeners.add(store.SessionEnded, f)
}

// Hears says whether what others end and change has been heard of until now, or until Grace ago: whether memory may be believed.
func (s *Sessions) Hears() bool {
	return s.now().UnixMilli()-s.heard.Load() <= s.grace.Milliseconds()
}
