package commands

import (
	"context"
	"sync"
	"time"

	"quipu/domain"
	"quipu/domain/endpoint"
)

// Bounds of what is remembered of names.
const (
	// InvocationNamesMax is how many names of workflows are remembered, each below 2 KiB; the ones put in
	// first go.
	InvocationNamesMax = 10_000
	// namesFreshFor is how long a name is believed to stand for the same workflow although another node
	// may have made a newer one of that name. What this node stores counts at once.
	namesFreshFor = time.Second
)

// WorkflowFinder looks names up in a view.
type WorkflowFinder interface {
	// Find gives the id of the workflow that was made last among those with name at the endpoint, by its
	// id or its slug; "" if there is none. It knows everything up to the position since.
	// Errors: ErrUnavailable if it cannot say.
	Find(ctx context.Context, e endpoint.Created, name string, since domain.Position) (id string, err error)
	// Seen is the highest position that this node has acknowledged or been handed by the log.
	Seen() domain.Position
}

// find gives the id that a name stands for. fresh says that it, or that there is none, was looked up in a
// view that knows everything this node has seen.
func (i *Invocations) find(ctx context.Context, e endpoint.Created, name string, fresh bool) (string, bool, error) {
	entry := i.names.entry(e.ID, name)
	entry.mu.Lock() // of many who ask for one name at once, one looks it up
	defer entry.mu.Unlock()
	now := i.deps.Clock.Now()
	written := i.deps.Definitions.Written()
	if !fresh && entry.id != "" && entry.written == written && now.Sub(entry.at) < namesFreshFor {
		return entry.id, false, nil
	}
	since := written
	if fresh || entry.id == "" {
		since = max(since, i.deps.Workflows.Seen())
		fresh = true
	}
	id, err := i.deps.Workflows.Find(ctx, e, name, since)
	switch {
	case err != nil && entry.id != "" && !fresh:
		// Without its view a name that was known goes on standing for what it stood for: whether that
		// still has the name is seen when it is executed.
		return entry.id, false, nil
	case err != nil:
		return "", false, err
	case id == "":
		i.names.drop(e.ID, name)
		if !fresh {
			return i.lookUp(ctx, e, name)
		}
		return "", true, unknownName()
	}
	entry.id, entry.written, entry.at = id, written, now
	return id, fresh, nil
}

// lookUp asks a view that knows everything this node has seen.
func (i *Invocations) lookUp(ctx context.Context, e endpoint.Created, name string) (string, bool, error) {
	id, err := i.deps.Workflows.Find(ctx, e, name, i.deps.Workflows.Seen())
	if err == nil && id == "" {
		err = unknownName()
	}
	return id, true, err
}

// nameCache remembers which workflow a name stood for. It is never believed without a look at the
// workflow's stream.
type nameCache struct {
	mu     sync.Mutex
	byName map[nameKey]*nameEntry
	order  []nameKey // as put in, oldest first
}

type nameKey struct{ endpoint, name string }

type nameEntry struct {
	mu      sync.Mutex
	id      string          // "" if it has not been found
	written domain.Position // of the last workflow stored here before it was looked up
	at      time.Time       // when it was looked up
}

func newNameCache() nameCache { return nameCache{byName: map[nameKey]*nameEntry{}} }

// entry gives the place of a name, making it if there is none.
func (c *nameCache) entry(endpointID, name string) *nameEntry {
	key := nameKey{endpointID, name}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byName[key]; e != nil {
		return e
	}
	e := &nameEntry{}
	c.byName[key] = e
	c.order = append(c.order, key)
	for len(c.order) > InvocationNamesMax {
		delete(c.byName, c.order[0])
		c.order = c.order[1:]
	}
	return e
}

// drop forgets a name that stands for nothing, so that names that clients make up take no room.
func (c *nameCache) drop(endpointID, name string) {
	key := nameKey{endpointID, name}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName[key] == nil {
		return
	}
	delete(c.byName, key)
	for n := len(c.order) - 1; n >= 0; n-- { // it is likely new
		if c.order[n] == key {
			c.order = append(c.order[:n], c.order[n+1:]...)
			return
		}
	}
}
