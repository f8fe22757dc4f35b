package metrics

import "sync"

// maxWords bounds the values of a label. The program has a few dozen; more would be a fault that must not fill a memory elsewhere.
const maxWords = 64

// other stands for every value that is not taken.
const other = "other"

// words are the values of one label. It is safe for concurrent use.
type words struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

// bounded returns word, or other when it does not look like a word of the program or of the configuration, or there are too many.
func (w *words) bounded(word string) string {
	if word == "" {
		return "none"
	}
	if len(word) > 40 {
		return other
	}
	for _, c := range []byte(word) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return other
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.seen[word]; ok {
		return word
	}
	if len(w.seen) >= maxWords {
		return other
	}
	if w.seen == nil {
		w.seen = map[string]struct{}{}
	}
	w.seen[word] = struct{}{}
	return word
}
