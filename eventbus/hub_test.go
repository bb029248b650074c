package eventbus_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/eventbus"
	"quipu/infra/memory"
)

func run(t *testing.T, hub *eventbus.Hub) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// With real goroutines: readers that come while the log grows, with a tiny queue, see everything.
func TestHub_ManyReadersWhileTheLogGrows(t *testing.T) {
	log := memory.NewLog()
	hub := eventbus.New(log, following(log), newManualClock(), eventbus.Options{QueueEvents: 3, HistoryEvents: 4})
	run(t, hub)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	const events, readers = 400, 20
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			r := hub.Reader("run-a", domain.Revision(i*7), nil)
			defer r.Close()
			var got []string
			for len(got) < events-i*7 {
				page, err := r.Next(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				got = append(got, texts(page)...)
			}
			if want := expected("run-a", i*7, events); len(got) != len(want) || got[0] != want[0] || got[len(got)-1] != want[len(want)-1] {
				t.Errorf("reader %d got %v", i, got)
			}
		})
	}
	for n := 0; n < events; n += 4 {
		appendTo(t, log, "run-a", 4)
	}
	wg.Wait()
}

// A subscription that fails is opened again where it ended, after a backoff that grows.
func TestHub_ResubscribesWithoutGap(t *testing.T) {
	log := memory.NewLog()
	clock := newManualClock()
	var broken atomic.Bool
	inner := following(log)
	connected := make(chan domain.Position, 10)
	open := func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		if broken.Load() {
			return nil, errCut
		}
		return inner(ctx, after, prefix)
	}
	var cut atomic.Pointer[eventbus.Source]
	tracked := func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		s, err := open(ctx, after, prefix)
		if err == nil {
			cut.Store(&s)
		}
		return s, err
	}
	disconnected := make(chan error, 10)
	hub := eventbus.New(log, tracked, clock, eventbus.Options{
		Random: func() float64 { return 0 },
		Hooks: eventbus.Hooks{
			Connected:    func(p domain.Position) { connected <- p },
			Disconnected: func(err error, _ time.Duration) { disconnected <- err },
		},
	})
	appendTo(t, log, "run-a", 2)
	run(t, hub)
	require.Equal(t, domain.Position(2), <-connected)

	r := hub.Reader("run-a", 2, nil)
	defer r.Close()
	appendTo(t, log, "run-a", 1)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	page, err := r.Next(ctx)
	require.NoError(t, err)
	require.Equal(t, expected("run-a", 2, 3), texts(page))

	broken.Store(true)
	require.NoError(t, (*cut.Load()).Close())
	require.ErrorIs(t, <-disconnected, domain.ErrUnavailable)
	require.Equal(t, eventbus.BackoffMinDefault, <-clock.asked)
	appendTo(t, log, "run-a", 5)
	clock.fire()
	require.ErrorIs(t, <-disconnected, errCut)
	// The first try followed a subscription that had worked, so the count began anew there.
	require.Equal(t, 2*eventbus.BackoffMinDefault, <-clock.asked)
	broken.Store(false)
	clock.fire()
	<-connected
	var got []string
	for len(got) < 5 {
		page, err := r.Next(ctx)
		require.NoError(t, err)
		got = append(got, texts(page)...)
	}
	require.Equal(t, expected("run-a", 3, 8), got)
}

// An event is rendered once per dialect among all its live readers; a failure is not kept.
func TestShared_RenderedOncePerDialect(t *testing.T) {
	log := memory.NewLog()
	hub := eventbus.New(log, following(log), newManualClock(), eventbus.Options{})
	ctx := context.Background()
	source, err := hub.Connect(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	var subs []*eventbus.Subscriber
	for range 50 {
		subs = append(subs, hub.Subscribe(nil, "run-a"))
	}
	appendTo(t, log, "run-a", 1)
	require.NoError(t, hub.Once(ctx, source))
	calls := 0
	boom := errors.New("boom")
	for i, s := range subs {
		events, lagging := s.Take()
		require.False(t, lagging)
		require.Len(t, events, 1)
		require.True(t, events[0].Live())
		for _, dialect := range []string{"lao", "agnt5"} {
			v, err := events[0].Rendered(dialect, func() (any, error) {
				calls++
				if calls <= 2 {
					return nil, boom
				}
				return dialect + "!", nil
			})
			if i == 0 {
				require.ErrorIs(t, err, boom)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, dialect+"!", v)
		}
		s.Close()
	}
	require.Equal(t, 4, calls)
}

// The hub never waits: a full queue is dropped, and the follower is told once.
func TestSubscriber_OverflowDropsAndMarks(t *testing.T) {
	log := memory.NewLog()
	lagged := 0
	hub := eventbus.New(log, following(log), newManualClock(), eventbus.Options{
		QueueEvents: 2, Hooks: eventbus.Hooks{Lagged: func() { lagged++ }},
	})
	ctx := context.Background()
	source, err := hub.Connect(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, source.Close()) }()
	woken := 0
	s := hub.Subscribe(func() { woken++ }, "run-a")
	s.Add("run-b")
	s.Add("run-b")
	for range 2 {
		appendTo(t, log, "run-a", 2)
		appendTo(t, log, "run-b", 1)
		require.NoError(t, hub.Once(ctx, source))
	}
	events, lagging := s.Take()
	require.True(t, lagging)
	require.Empty(t, events)
	require.Equal(t, 1, lagged)
	require.Equal(t, 2, woken)
	s.Remove("run-a")
	appendTo(t, log, "run-a", 1)
	appendTo(t, log, "run-b", 1)
	require.NoError(t, hub.Once(ctx, source))
	events, lagging = s.Take()
	require.False(t, lagging)
	require.Equal(t, expected("run-b", 2, 3), texts(events))
	s.Close()
	s.Close()
	s.Add("run-a")
	appendTo(t, log, "run-a", 1)
	require.NoError(t, hub.Once(ctx, source))
	events, _ = s.Take()
	require.Empty(t, events)
}

// A panic in the loop is reported and does not end the process or the hub.
func TestHub_SurvivesPanic(t *testing.T) {
	log := memory.NewLog()
	inner := following(log)
	first := true
	open := func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		if first {
			first = false
			panic("boom")
		}
		return inner(ctx, after, prefix)
	}
	clock := newManualClock()
	panicked := make(chan any, 1)
	connected := make(chan domain.Position, 1)
	hub := eventbus.New(log, open, clock, eventbus.Options{Hooks: eventbus.Hooks{
		Panicked:  func(v any, _ []byte) { panicked <- v },
		Connected: func(p domain.Position) { connected <- p },
	}})
	run(t, hub)
	require.Equal(t, "boom", <-panicked)
	<-clock.asked
	clock.fire()
	<-connected
}
