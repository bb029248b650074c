package logtest

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
)

var eventCount atomic.Uint64

// newID returns an id no other event has.
func newID() domain.EventID {
	var id domain.EventID
	binary.BigEndian.PutUint64(id[8:], eventCount.Add(1))
	id[0], id[6], id[8] = 1, 0x80, 0x80
	return id
}

// Events makes n events with data and metadata of their own.
func Events(n int) []domain.Pending {
	events := make([]domain.Pending, n)
	for i := range events {
		id := newID()
		events[i] = domain.Pending{
			ID: id, Type: "test.happened.v1",
			Metadata: fmt.Appendf(nil, `{"n":%q}`, id), Data: fmt.Appendf(nil, `{"event":%q}`, id),
		}
	}
	return events
}

// SizedEvents makes one event whose AppendBytes is exactly size.
func SizedEvents(size int) []domain.Pending {
	events := []domain.Pending{{ID: newID(), Type: "test.sized.v1"}}
	events[0].Data = make([]byte, size-domain.AppendBytes(events))
	return events
}

// expect is what reading events appended to stream after expected must give, positions apart.
func expect(stream domain.StreamID, expected domain.Revision, events []domain.Pending) []domain.Recorded {
	all := make([]domain.Recorded, len(events))
	for i, e := range events {
		all[i] = domain.Recorded{
			Stream: stream, Revision: expected + 1 + domain.Revision(i),
			ID: e.ID, Type: e.Type, Metadata: e.Metadata, Data: e.Data,
		}
	}
	return all
}

// normal drops what adapters may differ in: positions, and nil against empty.
func normal(events []domain.Recorded) []domain.Recorded {
	all := make([]domain.Recorded, len(events))
	for i, e := range events {
		e.Position = 0
		e.Metadata = append([]byte{}, e.Metadata...)
		e.Data = append([]byte{}, e.Data...)
		all[i] = e
	}
	return all
}

// equal compares whole events, positions apart.
func (e *Env) equal(want, got []domain.Recorded, about ...any) {
	e.Helper()
	require.Equal(e, normal(want), normal(got), about...)
}

// append1 appends and requires success, with the right revision.
func (e *Env) append1(log commands.Log, stream domain.StreamID, expected domain.Revision, events []domain.Pending) commands.Appended {
	e.Helper()
	got, err := log.Append(e.Context(), stream, expected, events)
	require.NoError(e, err)
	require.Equal(e, expected+domain.Revision(len(events)), got.Revision)
	return got
}

// fill appends n appends of two events to each of the streams, in turns, and returns all of them in
// global order.
func (e *Env) fill(log commands.Log, n int, streams ...domain.StreamID) []domain.Recorded {
	e.Helper()
	var all []domain.Recorded
	for i := range n {
		for _, s := range streams {
			expected := domain.Revision(i*2) - 1
			events := Events(2)
			e.append1(log, s, expected, events)
			all = append(all, expect(s, expected, events)...)
		}
	}
	return all
}

// readAll reads the whole log in pages and requires growing positions.
func (e *Env) readAll(log commands.Log, after domain.Position, max int) []domain.Recorded {
	e.Helper()
	var all []domain.Recorded
	for {
		page, err := log.ReadAll(e.Context(), after, max)
		require.NoError(e, err)
		require.LessOrEqual(e, len(page), max)
		if len(page) == 0 {
			return all
		}
		for _, r := range page {
			require.Greater(e, r.Position, after, "positions must grow")
			after = r.Position
		}
		all = append(all, page...)
	}
}

// readStream reads a whole stream in pages.
func (e *Env) readStream(log commands.Log, stream domain.StreamID, max int) []domain.Recorded {
	e.Helper()
	var all []domain.Recorded
	for {
		page, err := log.ReadStream(e.Context(), stream, domain.Revision(len(all)), max)
		require.NoError(e, err)
		require.LessOrEqual(e, len(page), max)
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func (e *Env) head(log commands.Log) domain.Position {
	e.Helper()
	p, err := log.Head(e.Context())
	require.NoError(e, err)
	return p
}

func (e *Env) subscribe(log commands.Log, after domain.Position, prefix string) commands.Subscription {
	e.Helper()
	s, err := log.Subscribe(e.Context(), after, prefix)
	require.NoError(e, err)
	e.Cleanup(func() { _ = s.Close() }) // closing is a case of its own
	return s
}

// follow reads s, which started after a position, until it has come to the position `to`.
func (e *Env) follow(s commands.Subscription, after, to domain.Position) []domain.Recorded {
	e.Helper()
	var all []domain.Recorded
	for after < to {
		b, err := s.Next(e.Context())
		require.NoError(e, err)
		all = append(all, b.Events...)
		require.Greater(e, b.Position, after, "a batch makes progress")
		for _, r := range b.Events {
			require.Greater(e, r.Position, after, "positions must grow")
			require.LessOrEqual(e, r.Position, b.Position)
			after = r.Position
		}
		after = b.Position
	}
	return all
}
