package blobs

import (
	"container/list"
	"slices"
	"sync"
)

// cache holds the contents used last. They never change, so nothing has to be told to it.
type cache struct {
	bytesMax int64

	mu     sync.Mutex
	bytes  int64
	byName map[[32]byte]*list.Element
	order  *list.List // of cached, the one used last in front
}

type cached struct {
	name    [32]byte
	content []byte
}

func newCache(bytesMax int64) *cache {
	return &cache{bytesMax: bytesMax, byName: make(map[[32]byte]*list.Element), order: list.New()}
}

// entryBytes is what an entry takes beside its content, about.
const entryBytes = 200

// get returns a copy, which is the caller's.
func (c *cache) get(name [32]byte) ([]byte, bool) {
	c.mu.Lock()
	e, ok := c.byName[name]
	if !ok {
		c.mu.Unlock()
		return nil, false
	}
	c.order.MoveToFront(e)
	content := e.Value.(cached).content
	c.mu.Unlock()
	return append([]byte{}, content...), true
}

// put keeps a copy of content, unless it would push out most of the others.
func (c *cache) put(name [32]byte, content []byte) {
	size := int64(len(content)) + entryBytes
	if size > c.bytesMax/4 {
		return
	}
	content = slices.Clone(content)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byName[name]; ok {
		return
	}
	c.byName[name] = c.order.PushFront(cached{name, content})
	for c.bytes += size; c.bytes > c.bytesMax; {
		oldest := c.order.Back()
		was := c.order.Remove(oldest).(cached)
		delete(c.byName, was.name)
		c.bytes -= int64(len(was.content)) + entryBytes
	}
}
