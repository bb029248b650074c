package commands

import (
	"strings"
	"sync"

	"quipu/domain/endpoint"
)

// EndpointsCachedMax is how many endpoints are remembered, each below 1 KiB; the ones put in first go.
const EndpointsCachedMax = 1024

// endpointCache remembers endpoints that exist. They never change, so that nothing is ever stale;
// what does not exist is not remembered, since it may the next moment.
type endpointCache struct {
	mu    sync.RWMutex
	byID  map[string]endpoint.Created
	order []string // as put in, oldest first
}

func newEndpointCache() endpointCache { return endpointCache{byID: map[string]endpoint.Created{}} }

func (c *endpointCache) get(id string) (endpoint.Created, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.byID[id]
	return e, ok
}

func (c *endpointCache) put(e endpoint.Created) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := strings.Clone(e.ID)
	if _, known := c.byID[id]; known {
		return
	}
	c.byID[id] = e
	c.order = append(c.order, id)
	if len(c.order) > EndpointsCachedMax {
		delete(c.byID, c.order[0])
		c.order = c.order[1:]
	}
}
