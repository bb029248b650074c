package eventbus

import (
	"slices"

	"quipu/domain"
)

// EphemeralMax is how many ephemeral values wait for one follower; the oldest are dropped for newer.
const EphemeralMax = 256

// PublishEphemeral hands value to those who follow stream at this moment. It is in no log and has no
// place among the events: a slow follower loses it, and one that comes later never sees it. It neither
// blocks nor keeps value longer than until it is taken. Safe for concurrent use; values published by
// one goroutine keep their order.
func (h *Hub) PublishEphemeral(stream domain.StreamID, value any) {
	p := h.shards.of(stream)
	p.mu.RLock()
	for _, f := range p.followers[stream] {
		f.whisper(value)
	}
	p.mu.RUnlock()
	if id := h.owners.known(stream); id != "" {
		h.topics.whisper(id, stream, value)
	}
}

// Followed reports whether PublishEphemeral would reach anyone at this moment.
func (h *Hub) Followed(stream domain.StreamID) bool {
	p := h.shards.of(stream)
	p.mu.RLock()
	n := len(p.followers[stream])
	p.mu.RUnlock()
	if n > 0 {
		return true
	}
	id := h.owners.known(stream)
	return id != "" && h.topics.followed(id)
}

// followed reports whether a workflow has feeds.
func (t *topics) followed(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byID[id]
	return p != nil && len(p.feeds) > 0
}

// whisper hands an ephemeral value to the feeds of a workflow.
func (t *topics) whisper(id string, stream domain.StreamID, value any) {
	t.mu.Lock()
	var told []*Feed
	if p := t.byID[id]; p != nil {
		told = slices.Clone(p.feeds)
	}
	t.mu.Unlock()
	for _, f := range told {
		f.whisper(stream, value)
	}
}

func (f *Feed) whisper(stream domain.StreamID, value any) {
	f.mu.Lock()
	if len(f.said) >= EphemeralMax {
		f.from, f.said = slices.Delete(f.from, 0, 1), slices.Delete(f.said, 0, 1)
	}
	f.from, f.said = append(f.from, stream), append(f.said, value)
	f.mu.Unlock()
	f.notify()
}

// Ephemeral returns what was published beside the events of the workflow's runs since the last call,
// and the stream of each. Of a run none of whose events the hub has seen for a feed there is none.
func (f *Feed) Ephemeral() (streams []domain.StreamID, values []any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	streams, values = f.from, f.said
	f.from, f.said = nil, nil
	return streams, values
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
