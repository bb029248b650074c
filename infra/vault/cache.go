package vault

import (
	"container/list"
	"crypto/cipher"
	"sync"
)

// cache holds the data keys used last.
type cache struct {
	max    int
	mu     sync.Mutex
	byName map[string]*list.Element
	order  *list.List // of cached, the one used last in front
}

type cached struct {
	stream string
	key    cipher.AEAD
}

func newCache(max int) cache {
	return cache{max: max, byName: make(map[string]*list.Element), order: list.New()}
}

func (c *cache) get(stream string) (cipher.AEAD, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byName[stream]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(cached).key, true
}

func (c *cache) put(stream string, key cipher.AEAD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byName[stream]; ok {
		return
	}
	c.byName[stream] = c.order.PushFront(cached{stream, key})
	if c.order.Len() > c.max {
		oldest := c.order.Back()
		c.order.Remove(oldest)
		delete(c.byName, oldest.Value.(cached).stream)
	}
}
