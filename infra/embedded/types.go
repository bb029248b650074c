package embedded

import (
	"strings"
	"sync"
)

const typeNamesMax = 4096

// typeNames shares the strings of event types among all events read, so that an event that is kept
// does not keep the buffer it was read in. It holds at most typeNamesMax; more are not shared.
type typeNames struct {
	mu    sync.RWMutex
	known map[string]string
}

func (n *typeNames) intern(b []byte) string {
	n.mu.RLock()
	s, ok := n.known[string(b)]
	n.mu.RUnlock()
	if ok {
		return s
	}
	return n.add(string(b))
}

func (n *typeNames) internString(s string) string {
	n.mu.RLock()
	shared, ok := n.known[s]
	n.mu.RUnlock()
	if ok {
		return shared
	}
	return n.add(strings.Clone(s))
}

func (n *typeNames) add(s string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) < typeNamesMax {
		n.known[s] = s
	}
	return s
}
