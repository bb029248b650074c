package logtest

import (
	"errors"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

var closeCases = []Case{
	{Name: "Close_TwiceAndAfter", Run: closeTwice},
	{Name: "Close_WhileAppending", Run: closeWhileAppending},
	{Name: "Reopen_KeepsEverything", Durable: true, Run: reopen},
	{Name: "ID_IsFixed", Run: idFixed},
}

func idFixed(e *Env) {
	a, b := e.Open(), e.Open()
	require.NotEmpty(e, a.ID())
	require.Equal(e, a.ID(), a.ID())
	require.NotEqual(e, a.ID(), b.ID())
}

func closeTwice(e *Env) {
	log := e.Open()
	e.fill(log, 2, "run-1")
	sub := e.subscribe(log, e.head(log), "")
	waiting := make(chan error, 1)
	go func() {
		_, err := sub.Next(e.Context())
		waiting <- err
	}()
	require.NoError(e, log.Close())
	require.NoError(e, log.Close())
	require.ErrorIs(e, <-waiting, domain.ErrUnavailable)
	ctx := e.Context()
	_, err := log.Append(ctx, "run-1", 3, Events(1))
	require.ErrorIs(e, err, domain.ErrUnavailable)
	_, err = log.ReadStream(ctx, "run-1", 0, 1)
	require.ErrorIs(e, err, domain.ErrUnavailable)
	_, err = log.ReadStreamBackward(ctx, "run-1", 0, 1)
	require.ErrorIs(e, err, domain.ErrUnavailable)
	_, err = log.ReadAll(ctx, 0, 1)
	require.ErrorIs(e, err, domain.ErrUnavailable)
	_, err = log.Head(ctx)
	require.ErrorIs(e, err, domain.ErrUnavailable)
	_, err = log.Subscribe(ctx, 0, "")
	require.ErrorIs(e, err, domain.ErrUnavailable)
	_, err = sub.Next(ctx)
	require.ErrorIs(e, err, domain.ErrUnavailable)
	require.NoError(e, sub.Close())
}

// Every append is answered: done, or certainly not done.
func closeWhileAppending(e *Env) {
	log := e.Open()
	const writers = 8
	started, done := make(chan struct{}, writers), make(chan error, writers)
	for w := range writers {
		go func() {
			stream := domain.StreamID("run-" + string(rune('a'+w)))
			for i := 0; ; i++ {
				_, err := log.Append(e.Context(), stream, domain.Revision(i)-1, Events(1))
				if i == 0 {
					started <- struct{}{}
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range writers {
		<-started
	}
	require.NoError(e, log.Close())
	for range writers {
		err := <-done
		require.True(e, errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrIndeterminate), "%v", err)
	}
}

func reopen(e *Env) {
	log := e.Open()
	e.fill(log, 5, HostileStreamIDs()...)
	last := Events(3)
	want := e.append1(log, "last", domain.NoStream, last)
	all := e.readAll(log, 0, 1000)
	id, head := log.ID(), e.head(log)
	for range 3 {
		log = e.Caps.Reopen(e.TB, log)
		e.Cleanup(func() { _ = log.Close() }) // closing is a case of its own
		require.Equal(e, id, log.ID())
		require.Equal(e, head, e.head(log))
		got := e.readAll(log, 0, 100)
		e.equal(all, got)
		require.Equal(e, positions(all), positions(got))
		require.Equal(e, want, e.append1(log, "last", domain.NoStream, last), "a repeat is still recognised")
		_, err := log.Append(e.Context(), "last", 0, Events(1))
		require.ErrorIs(e, err, domain.ErrConflict)
		e.equal(all, e.follow(e.subscribe(log, 0, ""), 0, head))
	}
	e.append1(log, "last", 2, Events(1))
	require.Len(e, e.readStream(log, "last", 10), 4)
}

func positions(events []domain.Recorded) (all []domain.Position) {
	for _, r := range events {
		all = append(all, r.Position)
	}
	return all
}
