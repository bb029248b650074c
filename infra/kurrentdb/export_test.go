package kurrentdb

import "quipu/domain"

// Verdict is what classify says, for tests of what the library really returns.
type Verdict struct {
	Kind                   domain.Kind
	Unknown, Again, Broken bool
	Hint                   string
}

// Classify is classify.
func Classify(err error) Verdict {
	f := classify(err)
	return Verdict{f.kind, f.unknown, f.again, f.broken, f.hint}
}

// Connections is how many clients the roles of l have now.
func (l *Log) Connections() (n int) {
	for _, r := range l.roles() {
		r.mu.Lock()
		if r.live != nil {
			n++
		}
		r.mu.Unlock()
	}
	return n
}

// ParseURL is parseURL, as far as tests look at it.
func ParseURL(text string) (hosts string, notes []string, err error) {
	c, err := parseURL(text)
	return c.hosts, c.notes, err
}

// LeftBehind is how many calls of l nobody waits for any more.
func (l *Log) LeftBehind() int64 { return l.shared.left.Load() }
