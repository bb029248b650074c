package eventbus

import (
	"slices"
	"sync"

	"quipu/domain"
)

// Subscriber follows streams live through a bounded queue. What it is given is a hint: after a
// lag the owner reads the log. Use a Reader for one stream's exact sequence.
//
// Concurrency: safe.
type Subscriber struct {
	hub    *Hub
	notify func()

	mu        sync.Mutex
	streams   []domain.StreamID
	queue     []Shared
	ephemeral []any
	lagging   bool
	closed    bool
}

// Subscribe follows streams from now on. notify, which may be nil, is called whenever there may be
// something to Take; it must neither block nor call the hub.
func (h *Hub) Subscribe(notify func(), streams ...domain.StreamID) *Subscriber {
	s := &Subscriber{hub: h, notify: notify}
	for _, id := range streams {
		s.Add(id)
	}
	return s
}

// Add follows one more stream; a stream already followed is left as it is.
func (s *Subscriber) Add(stream domain.StreamID) {
	s.mu.Lock()
	known := s.closed || slices.Contains(s.streams, stream)
	if !known {
		s.streams = append(s.streams, stream)
	}
	s.mu.Unlock()
	if known {
		return
	}
	s.hub.shards.add(stream, s)
	s.mu.Lock()
	closed := s.closed // by Close between the two: it did not see the entry just made
	s.mu.Unlock()
	if closed {
		s.hub.shards.remove(stream, s)
	}
}

// Remove stops following stream; events of it may still stand in the queue.
func (s *Subscriber) Remove(stream domain.StreamID) {
	s.mu.Lock()
	i := slices.Index(s.streams, stream)
	if i >= 0 {
		s.streams = slices.Delete(s.streams, i, i+1)
	}
	s.mu.Unlock()
	if i >= 0 {
		s.hub.shards.remove(stream, s)
	}
}

// Take empties the queue: events in the order of the log. lagging says that events were dropped
// since the last Take or Reset; then there are none, and the log has them.
func (s *Subscriber) Take() (events []Shared, lagging bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, lagging = s.queue, s.lagging
	s.queue, s.lagging = nil, false
	return events, lagging
}

// Close leaves all streams. Idempotent.
func (s *Subscriber) Close() {
	s.mu.Lock()
	streams := s.streams
	s.streams, s.queue, s.ephemeral, s.closed = nil, nil, nil, true
	s.mu.Unlock()
	for _, id := range streams {
		s.hub.shards.remove(id, s)
	}
}

// offer queues events or, if they do not fit, drops the queue. It never waits.
func (s *Subscriber) offer(events []Shared) {
	s.mu.Lock()
	if s.closed || s.lagging {
		s.mu.Unlock()
		return
	}
	lagged := len(s.queue)+len(events) > s.hub.options.QueueEvents
	if lagged {
		s.queue, s.lagging = nil, true
	} else {
		s.queue = append(s.queue, events...)
	}
	s.mu.Unlock()
	if lagged && s.hub.options.Hooks.Lagged != nil {
		s.hub.options.Hooks.Lagged()
	}
	s.wake()
}

// lag sends the owner back to the log.
func (s *Subscriber) lag() {
	s.mu.Lock()
	s.queue, s.lagging = nil, true
	s.mu.Unlock()
	s.wake()
}

func (s *Subscriber) wake() {
	if s.notify != nil {
		s.notify()
	}
}
