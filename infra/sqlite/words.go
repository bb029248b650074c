package sqlite

import (
	"sync"
)

// wordsMax is how many words each direction of the cache keeps; beyond it starts anew.
const wordsMax = 1 << 16

// words caches committed rows of the words table, which never change. Concurrency: safe.
type words struct {
	mu   sync.RWMutex
	ids  map[string]int64
	text map[int64]string
}

func (w *words) id(word string) (int64, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	id, ok := w.ids[word]
	return id, ok
}

func (w *words) word(id int64) (string, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	s, ok := w.text[id]
	return s, ok
}

func (w *words) keep(id int64, word string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ids == nil || len(w.ids) >= wordsMax {
		w.ids, w.text = map[string]int64{}, map[int64]string{}
	}
	w.ids[word], w.text[id] = id, word
}
