package eventbus

import (
	"sync"

	"quipu/domain"
)

// Shared is one recorded event as all its readers share it. It is an alias of an interface literal
// so that other packages can declare the identical type without importing this one.
type Shared = interface {
	// Recorded is the event. It is shared: never write to it.
	Recorded() *domain.Recorded
	// Rendered returns what render gave for dialect, calling it at most once among all readers as
	// long as it succeeds; an error is returned and not kept. Readers of the same event wait for
	// the one that renders.
	Rendered(dialect string, render func() (any, error)) (any, error)
	// Live reports whether the event came from the hub, where many readers share it, rather than
	// from one reader's history.
	Live() bool
}

type event struct {
	recorded domain.Recorded
	live     bool

	mu    sync.Mutex
	slots []slot // few dialects: a list is smaller and faster than a map
}

type slot struct {
	dialect string
	value   any
}

var _ Shared = (*event)(nil)

// Recorded implements Shared.
func (e *event) Recorded() *domain.Recorded { return &e.recorded }

// Live implements Shared.
func (e *event) Live() bool { return e.live }

// Rendered implements Shared.
func (e *event) Rendered(dialect string, render func() (any, error)) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.slots {
		if e.slots[i].dialect == dialect {
			return e.slots[i].value, nil
		}
	}
	v, err := render()
	if err == nil {
		e.slots = append(e.slots, slot{dialect: dialect, value: v})
	}
	return v, err
}
