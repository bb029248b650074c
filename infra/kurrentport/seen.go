package kurrentport

import (
	"context"
	"hash/maphash"
	"sync"

	"quipu/domain"
)

// seenEventsMax bounds how many events seen remembers, about 8 MiB.
const seenEventsMax = 64 << 10

// seenStripes is over how many locks the streams are spread.
const seenStripes = 64

// seen remembers where the newest events went that were appended through this port, by their ids.
// An append that names no exact revision is recognised by it when it is repeated: best effort, as
// on the server, since it is lost at a restart and holds the newest events only.
type seen struct {
	mu     sync.Mutex
	places map[domain.EventID]seenPlace
	ring   []domain.EventID
	next   int

	seed    maphash.Seed
	stripes [seenStripes]chan struct{}
}

type seenPlace struct {
	stream   domain.StreamID
	revision domain.Revision
	position domain.Position
}

func newSeen(max int) *seen {
	s := &seen{places: map[domain.EventID]seenPlace{}, ring: make([]domain.EventID, max), seed: maphash.MakeSeed()}
	for i := range s.stripes {
		s.stripes[i] = make(chan struct{}, 1)
	}
	return s
}

// lock keeps other appends without an exact revision to the same stream waiting: of two with equal
// ids the second has to see the first's.
func (s *seen) lock(ctx context.Context, id domain.StreamID) (unlock func(), err error) {
	stripe := s.stripes[maphash.String(s.seed, string(id))%seenStripes]
	select {
	case stripe <- struct{}{}:
		return func() { <-stripe }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// add remembers an append whose last event is at revision and position.
func (s *seen) add(id domain.StreamID, events []domain.Pending, revision domain.Revision, position domain.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		back := len(events) - 1 - i
		event := events[i].ID
		if _, known := s.places[event]; !known {
			if old := s.ring[s.next]; old != (domain.EventID{}) {
				delete(s.places, old)
			}
			s.ring[s.next] = event
			s.next = (s.next + 1) % len(s.ring)
		}
		s.places[event] = seenPlace{id, revision - domain.Revision(back), position - domain.Position(back)}
	}
}

// find returns where the last of events went if all of them are in the stream. some says that the
// first was found and another was not.
func (s *seen) find(id domain.StreamID, events []proposed) (last seenPlace, all, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		place, known := s.places[events[i].id]
		if !known || place.stream != id {
			return seenPlace{}, false, i > 0
		}
		last = place
	}
	return last, len(events) > 0, false
}
