package logtest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
)

var appendCases = []Case{
	{Name: "Append_RevisionsAndPositions", Run: appendRevisions},
	{Name: "Append_StaleRevisionConflicts", Run: appendStale},
	{Name: "Append_RepeatIsAnsweredAgain", Run: appendRepeat},
	{Name: "Append_RepeatWithAnotherIDConflicts", Run: appendRepeatDiffers},
	{Name: "Append_RepeatOfConcurrentCall", Run: appendRepeatConcurrent},
	{Name: "Append_HostileStreamIDs", Run: appendHostileIDs},
	{Name: "Append_Bounds", Run: appendBounds},
	{Name: "Append_EmptyMetadataAndData", Run: appendEmpty},
	{Name: "Append_KeepsNothingOfTheCaller", Run: appendKeepsNothing},
	{Name: "Append_OneWinner", Run: appendOneWinner},
	{Name: "Append_AllOrNone", Run: appendAllOrNone},
	{Name: "Append_CanceledBefore", Run: appendCanceled},
}

func appendRevisions(e *Env) {
	log := e.Open()
	require.Zero(e, e.head(log))
	first, second, other := Events(3), Events(1), Events(2)
	a := e.append1(log, "run-1", domain.NoStream, first)
	b := e.append1(log, "run-2", domain.NoStream, other)
	c := e.append1(log, "run-1", 2, second)
	require.Less(e, a.Position, b.Position)
	require.Less(e, b.Position, c.Position)
	require.Equal(e, c.Position, e.head(log))

	want := append(expect("run-1", -1, first), expect("run-1", 2, second)...)
	got := e.readStream(log, "run-1", 100)
	e.equal(want, got)
	require.Equal(e, a.Position, got[2].Position)
	require.Equal(e, c.Position, got[3].Position)
	e.equal(expect("run-2", -1, other), e.readStream(log, "run-2", 100))
}

func appendStale(e *Env) {
	log := e.Open()
	events := Events(3)
	e.append1(log, "run-1", domain.NoStream, events)
	head := e.head(log)
	for _, expected := range []domain.Revision{-1, 0, 1, 3, 4, 1000} {
		_, err := log.Append(e.Context(), "run-1", expected, Events(1))
		require.ErrorIs(e, err, domain.ErrConflict, "expected %d", expected)
	}
	_, err := log.Append(e.Context(), "run-absent", 0, Events(1))
	require.ErrorIs(e, err, domain.ErrConflict)
	require.Equal(e, head, e.head(log), "a conflict writes nothing")
	e.equal(expect("run-1", -1, events), e.readStream(log, "run-1", 100))
	_, err = log.ReadStream(e.Context(), "run-absent", 0, 1)
	require.ErrorIs(e, err, domain.ErrNotFound)
}

func appendRepeat(e *Env) {
	log := e.Open()
	first, second, third := Events(2), Events(3), Events(1)
	e.append1(log, "run-1", domain.NoStream, first)
	want := e.append1(log, "run-1", 1, second)
	require.Equal(e, want, e.append1(log, "run-1", 1, second), "right after")
	e.append1(log, "run-1", 4, third)
	e.append1(log, "run-2", domain.NoStream, Events(1))
	head := e.head(log)
	require.Equal(e, want, e.append1(log, "run-1", 1, second), "after later appends")
	e.append1(log, "run-1", domain.NoStream, first)
	require.Equal(e, head, e.head(log), "a repeat writes nothing")
	require.Len(e, e.readStream(log, "run-1", 100), 6)
}

func appendRepeatDiffers(e *Env) {
	log := e.Open()
	events := Events(3)
	e.append1(log, "run-1", domain.NoStream, events)
	for i := range events {
		other := append([]domain.Pending{}, events...)
		other[i].ID = newID()
		_, err := log.Append(e.Context(), "run-1", domain.NoStream, other)
		require.ErrorIs(e, err, domain.ErrConflict, "event %d differs", i)
	}
	_, err := log.Append(e.Context(), "run-1", domain.NoStream, append(append([]domain.Pending{}, events...), Events(1)...))
	require.ErrorIs(e, err, domain.ErrConflict, "more than was stored")
	require.Len(e, e.readStream(log, "run-1", 100), 3)
}

// The same bytes sent again while the first call still runs must not be stored twice.
func appendRepeatConcurrent(e *Env) {
	log := e.Open()
	for round := range 20 {
		events := Events(2)
		expected := domain.Revision(round*2) - 1
		var wg sync.WaitGroup
		results, errs := make([]commands.Appended, 4), make([]error, 4)
		for i := range results {
			wg.Go(func() { results[i], errs[i] = log.Append(e.Context(), "run-1", expected, events) })
		}
		wg.Wait()
		for i := range results {
			require.NoError(e, errs[i])
			require.Equal(e, results[0], results[i])
		}
	}
	require.Len(e, e.readStream(log, "run-1", 100), 40)
}

// HostileStreamIDs are stream ids that an adapter might take apart, fold or cut.
func HostileStreamIDs() []domain.StreamID {
	return []domain.StreamID{
		"a", "A", "a-", "-a", "a-b", "a-b-c", "a/b", "a//b", "../a", ".", "a b", " a", "a%2Fb", "a_b", "a'b", `a"b`, `a\b`,
		"run-7f3a", "run-1", "run-10", "0190f2d4-5c1e-7cc0-8f00-000000000001", "run-0190f2d4-5c1e-7cc0-8f00-000000000001",
		"é", "e\u0301", "日本語-🙂", "$x", "@meta", "null",
		domain.StreamID(strings.Repeat("x", domain.StreamIDBytesMax)),
		domain.StreamID(strings.Repeat("x", domain.StreamIDBytesMax-1)),
		domain.StreamID(strings.Repeat("é", domain.StreamIDBytesMax/2)),
	}
}

func appendHostileIDs(e *Env) {
	log := e.Open()
	want := map[domain.StreamID][]domain.Recorded{}
	for round := range 2 {
		for _, id := range HostileStreamIDs() {
			events := Events(1)
			e.append1(log, id, domain.Revision(round)-1, events)
			want[id] = append(want[id], expect(id, domain.Revision(round)-1, events)...)
		}
	}
	for id, events := range want {
		e.equal(events, e.readStream(log, id, 10), "stream %q", id)
	}
	require.Len(e, e.readAll(log, 0, 7), 2*len(want))
	for _, id := range []domain.StreamID{"", "a\x00b", "a\nb", "\xff", domain.StreamID(strings.Repeat("x", domain.StreamIDBytesMax+1))} {
		_, err := log.Append(e.Context(), id, domain.NoStream, Events(1))
		require.ErrorIs(e, err, domain.ErrInvalid, "stream %q", id)
	}
}

func appendBounds(e *Env) {
	log := e.Open()
	largest := SizedEvents(domain.AppendBytesMax)
	most := Events(domain.AppendEventsMax)
	e.append1(log, "large", domain.NoStream, largest)
	e.append1(log, "many", domain.NoStream, most)
	e.equal(expect("large", -1, largest), e.readStream(log, "large", 1))
	e.equal(expect("many", -1, most), e.readStream(log, "many", 77))
	head := e.head(log)

	longType, noType, noID := Events(1), Events(1), Events(2)
	longType[0].Type = strings.Repeat("t", domain.EventTypeBytesMax+1)
	noType[0].Type = ""
	noID[1].ID = domain.EventID{}
	for name, events := range map[string][]domain.Pending{
		"bytes": SizedEvents(domain.AppendBytesMax + 1), "count": Events(domain.AppendEventsMax + 1), "none": nil,
		"long type": longType, "no type": noType, "no id": noID,
	} {
		_, err := log.Append(e.Context(), "refused", domain.NoStream, events)
		require.ErrorIs(e, err, domain.ErrInvalid, name)
	}
	_, err := log.Append(e.Context(), "refused", -2, Events(1))
	require.ErrorIs(e, err, domain.ErrInvalid)
	require.Equal(e, head, e.head(log), "nothing is written")

	longest := Events(1)
	longest[0].Type = strings.Repeat("t", domain.EventTypeBytesMax)
	e.append1(log, "type", domain.NoStream, longest)
	e.equal(expect("type", -1, longest), e.readStream(log, "type", 1))
}

func appendEmpty(e *Env) {
	log := e.Open()
	events := []domain.Pending{
		{ID: newID(), Type: "t"},
		{ID: newID(), Type: "t", Metadata: []byte{}, Data: []byte{}},
		{ID: newID(), Type: "t", Data: []byte("{}")},
		{ID: newID(), Type: "t", Metadata: []byte("{}")},
	}
	e.append1(log, "run-1", domain.NoStream, events)
	e.equal(expect("run-1", -1, events), e.readStream(log, "run-1", 10))
}

func appendKeepsNothing(e *Env) {
	log := e.Open()
	events := Events(2)
	id := []byte("run-1")
	want := expect("run-1", -1, events)
	for i := range want {
		want[i].Data, want[i].Metadata = bytes.Clone(want[i].Data), bytes.Clone(want[i].Metadata)
	}
	e.append1(log, domain.StreamID(id), domain.NoStream, events)
	for i := range events {
		clear(events[i].Data)
		clear(events[i].Metadata)
		events[i] = domain.Pending{}
	}
	e.equal(want, e.readStream(log, "run-1", 10))
	e.equal(want, e.readAll(log, 0, 10))
}

func appendOneWinner(e *Env) {
	log := e.Open()
	const writers, rounds = 8, 25
	for round := range rounds {
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = log.Append(e.Context(), "contested", domain.Revision(round)-1, Events(1))
			})
			wg.Go(func() {
				// A loser must not fail anyone else.
				_, err := log.Append(e.Context(), domain.StreamID(fmt.Sprintf("own-%d-%d", round, i)), domain.NoStream, Events(1))
				if err != nil {
					e.Errorf("an append to a stream of its own: %v", err)
				}
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			require.ErrorIs(e, err, domain.ErrConflict)
		}
		require.Equal(e, 1, won, "exactly one of %d writers wins", writers)
		// What a loser reads now includes the winner's event.
		require.Len(e, e.readStream(log, "contested", 100), round+1)
	}
}

// A reader never sees a part of an append.
func appendAllOrNone(e *Env) {
	log := e.Open()
	const size, appends = 5, 60
	written := make(chan error, 1)
	go func() {
		for i := range appends {
			if _, err := log.Append(e.Context(), "run-1", domain.Revision(i*size)-1, Events(size)); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for {
		page, err := log.ReadStream(e.Context(), "run-1", 0, 1000)
		if err != nil {
			require.ErrorIs(e, err, domain.ErrNotFound)
		}
		require.Zero(e, len(page)%size, "%d events seen, appended %d at a time", len(page), size)
		for i := range page {
			require.Equal(e, domain.Revision(i), page[i].Revision)
		}
		select {
		case err := <-written:
			require.NoError(e, err)
			require.Len(e, e.readStream(log, "run-1", 1000), size*appends)
			return
		default:
		}
	}
}

func appendCanceled(e *Env) {
	log := e.Open()
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	_, err := log.Append(ctx, "run-1", domain.NoStream, Events(1))
	require.ErrorIs(e, err, domain.ErrCanceled)
	ctx, cancel = context.WithTimeout(e.Context(), -1)
	defer cancel()
	_, err = log.Append(ctx, "run-1", domain.NoStream, Events(1))
	require.ErrorIs(e, err, domain.ErrDeadline)
	require.Zero(e, e.head(log))
}
