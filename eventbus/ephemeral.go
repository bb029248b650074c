package eventbus

import "quipu/domain"

// EphemeralMax is how many ephemeral values wait for one follower; the oldest are dropped for newer.
const EphemeralMax = 256

// PublishEphemeral hands value to those who follow stream at this moment. It is in no log and has no
// place among the events: a slow follower loses it, and one that comes later never sees it. It neither
// blocks nor keeps value longer than until it is taken. Safe for concurrent use; values published by
// one goroutine keep their order.
func (h *Hub) PublishEphemeral(stream domain.StreamID, value any) {
	p := h.shards.of(stream)
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, f := range p.followers[stream] {
		f.whisper(value)
	}
}

// whisper queues an ephemeral value, in the place of the oldest if there are too many.
func (s *Subscriber) whisper(value any) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	if len(s.ephemeral) >= EphemeralMax {
		copy(s.ephemeral, s.ephemeral[1:])
		s.ephemeral = s.ephemeral[:len(s.ephemeral)-1]
	}
	s.ephemeral = append(s.ephemeral, value)
	s.mu.Unlock()
	s.wake()
}

// TakeEphemeral empties the queue of ephemeral values, in the order they were published.
func (s *Subscriber) TakeEphemeral() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.ephemeral
	s.ephemeral = nil
	return out
}

// Ephemeral returns what was published of the stream beside its events since the last call.
func (r *Reader) Ephemeral() []any { return r.sub.TakeEphemeral() }
