package tracing

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"quipu/domain"
	"quipu/domain/wire"
)

// Projected records a commit of events to the views: a span in the trace of each, at most
// TracesPerStepMax, all of one time. Each but the first has a link to the first.
func (t *Tracer) Projected(events []domain.Recorded, took time.Duration) {
	of := parents(events, recordedMetadata)
	if len(of) == 0 {
		return
	}
	ended := t.now()
	var links []trace.Link
	for _, parent := range of {
		first := t.record(parent, "project", ended.Add(-took), ended, links,
			attribute.Int("quipu.events", len(events)), attribute.Int64("quipu.position", int64(events[len(events)-1].Position)))
		if links == nil {
			links = []trace.Link{{SpanContext: first}}
		}
	}
}

// Framed records the first frame of an event that this process gives to a socket, from the event's
// instant on. What is older than FrameAgeMax is somebody reading the past.
func (t *Tracer) Framed(dialect string, e *domain.Recorded) {
	parent, ok := sampled(wire.DecodeTraceparent(e.Metadata))
	if !ok {
		return
	}
	at, err := wire.DecodeAt(e.Metadata)
	now := t.now()
	if err != nil || now.Sub(at) > FrameAgeMax || !t.frames.first(e.ID) {
		return
	}
	t.record(parent, "frame", at, now, nil,
		attribute.String("quipu.dialect", dialect), attribute.String("quipu.stream", string(e.Stream)),
		attribute.Int64("quipu.revision", int64(e.Revision)), attribute.String("quipu.event", e.Type))
}

// seen remembers the last ids it was asked about, as many as it has places.
type seen struct {
	mu   sync.Mutex
	ids  map[domain.EventID]struct{}
	ring []domain.EventID
	next int
}

func newSeen(places int) *seen {
	return &seen{ids: map[domain.EventID]struct{}{}, ring: make([]domain.EventID, 0, places)}
}

// first reports whether it has not been asked about id before, as far as it remembers.
func (s *seen) first(id domain.EventID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.ids[id]; known {
		return false
	}
	s.ids[id] = struct{}{}
	if len(s.ring) < cap(s.ring) {
		s.ring = append(s.ring, id)
		return true
	}
	delete(s.ids, s.ring[s.next])
	s.ring[s.next] = id
	s.next = (s.next + 1) % len(s.ring)
	return true
}
