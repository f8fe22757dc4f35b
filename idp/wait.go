package idp

import "sync"

// waiters are requests that wait for a login to change: of browsers that show what a phone is to approve. It is safe for concurrent use.
type waiters struct {
	mu  sync.Mutex
	all map[string]map[chan struct{}]struct{} // by login id
}

// Await returns a channel that gets a value when the login of an id has changed, here or at another gateway, and may have before. The
// caller calls release when it waits no longer.
func (s *Sessions) Await(id string) (changed <-chan struct{}, release func()) {
	w := &s.waiting
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[string]map[chan struct{}]struct{}{}
	}
	if w.all[id] == nil {
		w.all[id] = map[chan struct{}]struct{}{}
	}
	w.all[id][c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all[id], c)
		if len(w.all[id]) == 0 {
			delete(w.all, id)
		}
	}
}

// Changed tells those who wait for a login that it has changed. Who changes one here calls it; of the changes of other gateways, Run hears.
func (s *Sessions) Changed(id string) {
	w := &s.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all[id] {
		select {
		case c <- struct{}{}:
		default: // it has been told, and has not looked yet
		}
	}
}
