package flows

import (
	"slices"
	"sync"
)

// linesMax bounds what is kept.
const linesMax = 50

// lines are the newest lines; safe for concurrent use.
type lines struct {
	mu   sync.Mutex
	kept []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kept) == linesMax {
		l.kept = slices.Delete(l.kept, 0, 1)
	}
	l.kept = append(l.kept, line)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.kept)
}
