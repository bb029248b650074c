package expression

import (
	"container/list"
	"sync"
)

// programsMax bounds the cache. A program takes a few kilobytes at most a few hundred.
const programsMax = 1024

// programs remembers checked expressions. It is the package's only shared state, and shows in
// nothing but time: compiling is a pure function of the text.
var programs = newCache(programsMax)

// cache is a least-recently-used map with a bound.
type cache struct {
	mu    sync.Mutex
	max   int
	byKey map[string]*list.Element
	order *list.List // front is the most recently used
}

type entry struct {
	key     string
	program *Program
}

func newCache(max int) *cache {
	return &cache{max: max, byKey: make(map[string]*list.Element), order: list.New()}
}

func (c *cache) get(key string) (*Program, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry).program, true
}

func (c *cache) put(key string, p *Program) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byKey[key]; ok {
		return
	}
	c.byKey[key] = c.order.PushFront(&entry{key, p})
	for c.order.Len() > c.max {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.byKey, last.Value.(*entry).key)
	}
}
