package logtest

import (
	"context"
	"slices"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
)

var readCases = []Case{
	{Name: "ReadStream_RangesAndPages", Run: readStreamRanges},
	{Name: "ReadStreamBackward_RangesAndPages", Run: readStreamBackward},
	{Name: "ReadAll_OrderAndPages", Run: readAllPages},
	{Name: "Read_BytesBound", Run: readBytes},
	{Name: "Read_NotFoundAndInvalid", Run: readNotFound},
	{Name: "Read_CanceledIsAnError", Run: readCanceled},
	{Name: "ReadAll_DuringAppendsSeesPrefix", Run: readAllDuringAppends},
}

func readStreamRanges(e *Env) {
	log := e.Open()
	e.fill(log, 10, "run-1", "run-2")
	all := e.readStream(log, "run-1", 1000)
	require.Len(e, all, 20)
	for _, max := range []int{1, 2, 3, 19, 20, 21, 1 << 30} {
		e.equal(all, e.readStream(log, "run-1", max), "in pages of %d", max)
		for _, from := range []domain.Revision{-5, -1, 0, 1, 2, 19, 20, 21, 1000} {
			page, err := log.ReadStream(e.Context(), "run-1", from, max)
			require.NoError(e, err)
			low := min(int(max0(from)), len(all))
			e.equal(all[low:min(low+max, len(all))], page, "from %d, at most %d", from, max)
		}
	}
}

func max0(r domain.Revision) domain.Revision { return max(r, 0) }

func readStreamBackward(e *Env) {
	log := e.Open()
	e.fill(log, 10, "run-1", "run-2")
	all := e.readStream(log, "run-1", 1000)
	for _, max := range []int{1, 2, 3, 19, 20, 21, 1 << 30} {
		for _, from := range []domain.Revision{-1, 0, 1, 2, 18, 19, 20, 1000} {
			page, err := log.ReadStreamBackward(e.Context(), "run-1", from, max)
			require.NoError(e, err)
			want := slices.Clone(all[:min(int(from)+1, len(all))])
			slices.Reverse(want)
			e.equal(want[:min(max, len(want))], page, "from %d, at most %d", from, max)
		}
	}
}

func readAllPages(e *Env) {
	log := e.Open()
	want := e.fill(log, 10, "run-1", "run-2", "other")
	all := e.readAll(log, 0, 1000)
	e.equal(want, all)
	require.Equal(e, e.head(log), all[len(all)-1].Position)
	for _, max := range []int{1, 2, 7, 59, 60, 61} {
		e.equal(all, e.readAll(log, 0, max), "in pages of %d", max)
	}
	for i := range all {
		e.equal(all[i+1:], e.readAll(log, all[i].Position, 1000), "after position %d", all[i].Position)
	}
	page, err := log.ReadAll(e.Context(), e.head(log)+1000, 10)
	require.NoError(e, err)
	require.Empty(e, page)
}

func readBytes(e *Env) {
	log := e.Open()
	const large = 512 << 10
	for i := range 12 {
		e.append1(log, "run-1", domain.Revision(i)-1, SizedEvents(large))
	}
	check := func(page []domain.Recorded, err error) {
		e.Helper()
		require.NoError(e, err)
		bytes := 0
		for _, r := range page {
			bytes += len(r.Data) + len(r.Metadata)
		}
		require.LessOrEqual(e, bytes, commands.ReadBytesMax)
		require.Greater(e, bytes, commands.ReadBytesMax-2*large, "a page ends early only when it is full")
	}
	check(log.ReadStream(e.Context(), "run-1", 0, 100))
	check(log.ReadStreamBackward(e.Context(), "run-1", 100, 100))
	check(log.ReadAll(e.Context(), 0, 100))
	require.Len(e, e.readStream(log, "run-1", 100), 12)
	require.Len(e, e.readAll(log, 0, 100), 12)
}

func readNotFound(e *Env) {
	log := e.Open()
	page, err := log.ReadAll(e.Context(), 0, 10)
	require.NoError(e, err)
	require.Empty(e, page)
	e.append1(log, "run-1", domain.NoStream, Events(1))
	for _, id := range []domain.StreamID{"run", "run-", "run-11", "RUN-1", "run-1 ", "1"} {
		_, err := log.ReadStream(e.Context(), id, 0, 1)
		require.ErrorIs(e, err, domain.ErrNotFound, "stream %q", id)
		_, err = log.ReadStreamBackward(e.Context(), id, 10, 1)
		require.ErrorIs(e, err, domain.ErrNotFound, "stream %q", id)
	}
	for _, max := range []int{0, -1} {
		_, err := log.ReadStream(e.Context(), "run-1", 0, max)
		require.ErrorIs(e, err, domain.ErrInvalid)
		_, err = log.ReadStreamBackward(e.Context(), "run-1", 0, max)
		require.ErrorIs(e, err, domain.ErrInvalid)
		_, err = log.ReadAll(e.Context(), 0, max)
		require.ErrorIs(e, err, domain.ErrInvalid)
	}
}

// A read that cannot be finished says so; it never looks like the end of the data.
func readCanceled(e *Env) {
	log := e.Open()
	e.fill(log, 5, "run-1")
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	_, err := log.ReadStream(ctx, "run-1", 0, 10)
	require.ErrorIs(e, err, domain.ErrCanceled)
	_, err = log.ReadStreamBackward(ctx, "run-1", 10, 10)
	require.ErrorIs(e, err, domain.ErrCanceled)
	_, err = log.ReadAll(ctx, 0, 10)
	require.ErrorIs(e, err, domain.ErrCanceled)
	_, err = log.Head(ctx)
	require.ErrorIs(e, err, domain.ErrCanceled)
	ctx, cancel = context.WithTimeout(e.Context(), -1)
	defer cancel()
	_, err = log.ReadAll(ctx, 0, 10)
	require.ErrorIs(e, err, domain.ErrDeadline)
}

// Whatever a reader has seen stays a prefix of what it sees later.
func readAllDuringAppends(e *Env) {
	log := e.Open()
	done := make(chan error, 4)
	for w := range cap(done) {
		go func() { done <- e.write(log, domain.StreamID("run-"+string(rune('a'+w))), 50, 2) }()
	}
	var seen []domain.Recorded
	for finished := 0; finished < cap(done); {
		select {
		case err := <-done:
			require.NoError(e, err)
			finished++
		default:
		}
		all := e.readAll(log, 0, 33)
		require.GreaterOrEqual(e, len(all), len(seen))
		e.equal(seen, all[:len(seen)], "what was read before is still there, in place")
		require.Equal(e, positions(seen), positions(all[:len(seen)]))
		seen = all[:len(all):len(all)]
	}
	require.Len(e, e.readAll(log, 0, 100), cap(done)*100)
}

// write makes appends of size events to a stream of its own; for goroutines.
func (e *Env) write(log commands.Log, stream domain.StreamID, appends, size int) error {
	for i := range appends {
		if _, err := log.Append(e.Context(), stream, domain.Revision(i*size)-1, Events(size)); err != nil {
			return err
		}
	}
	return nil
}
