package logtest

import (
	"context"
	"strings"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

var subscribeCases = []Case{
	{Name: "Subscribe_FromEveryPosition", Run: subscribeEverywhere},
	{Name: "Subscribe_HistoryToLiveHandover", Run: subscribeHandover},
	{Name: "Subscribe_Prefix", Run: subscribePrefix},
	{Name: "Subscribe_SlowReader", Run: subscribeSlow},
	{Name: "Subscribe_CanceledNextLosesNothing", Run: subscribeCanceled},
	{Name: "Subscribe_BeyondHeadIsInvalid", Run: subscribeBeyond},
	{Name: "Subscribe_CloseWakesNext", Run: subscribeClose},
}

func subscribeEverywhere(e *Env) {
	log := e.Open()
	e.fill(log, 8, "run-1", "run-2")
	all := e.readAll(log, 0, 1000)
	head := e.head(log)
	starts := []domain.Position{0}
	for _, r := range all {
		starts = append(starts, r.Position)
	}
	live := Events(2)
	subs := make(map[domain.Position]func() []domain.Recorded)
	for _, after := range starts {
		s := e.subscribe(log, after, "")
		e.equal(all[len(all)-count(all, after):], e.follow(s, after, head), "after position %d", after)
		subs[after] = func() []domain.Recorded { return e.follow(s, head, e.head(log)) }
	}
	e.append1(log, "run-3", domain.NoStream, live)
	for after, rest := range subs {
		e.equal(expect("run-3", -1, live), rest(), "live, after position %d", after)
	}
}

func count(all []domain.Recorded, after domain.Position) (n int) {
	for _, r := range all {
		if r.Position > after {
			n++
		}
	}
	return n
}

func subscribeHandover(e *Env) {
	log := e.Open()
	e.fill(log, 20, "old-1", "old-2")
	const writers, appends = 4, 60
	done := make(chan error, writers)
	for w := range writers {
		go func() { done <- e.write(log, domain.StreamID("run-"+string(rune('a'+w))), appends, 3) }()
	}
	total := 80 + writers*appends*3
	var seen []domain.Recorded
	caughtUp := false
	sub := e.subscribe(log, 0, "")
	for after := domain.Position(0); len(seen) < total; {
		b, err := sub.Next(e.Context())
		require.NoError(e, err)
		require.Greater(e, b.Position, after)
		for _, r := range b.Events {
			require.Greater(e, r.Position, after, "in order, without duplicate")
			after = r.Position
		}
		seen, after, caughtUp = append(seen, b.Events...), b.Position, b.CaughtUp
	}
	for range writers {
		require.NoError(e, <-done)
	}
	require.True(e, caughtUp, "the last batch reached the head")
	require.Equal(e, e.readAll(log, 0, 1000), seen, "no gap, no duplicate, same order")
}

func subscribePrefix(e *Env) {
	log := e.Open()
	e.fill(log, 10, "run-1", "name-1", "run-2", "ru", "runner", "xrun-3")
	all := e.readAll(log, 0, 1000)
	for _, prefix := range []string{"", "run-", "run-1", "r", "ru", "name", "absent"} {
		var want []domain.Recorded
		for _, r := range all {
			if strings.HasPrefix(string(r.Stream), prefix) {
				want = append(want, r)
			}
		}
		s := e.subscribe(log, 0, prefix)
		e.equal(want, e.follow(s, 0, e.head(log)), "prefix %q", prefix)
	}
	// Live, too, and the position grows past what is left out.
	s := e.subscribe(log, e.head(log), "run-")
	before := e.head(log)
	e.append1(log, "name-2", domain.NoStream, Events(1))
	require.Empty(e, e.follow(s, before, e.head(log)))
	before = e.head(log)
	events := Events(1)
	e.append1(log, "run-9", domain.NoStream, events)
	e.equal(expect("run-9", -1, events), e.follow(s, before, e.head(log)))
}

// A reader that does not read holds up nobody and misses nothing.
func subscribeSlow(e *Env) {
	log := e.Open()
	slow := e.subscribe(log, 0, "")
	e.append1(log, "run-0", domain.NoStream, Events(1))
	_, err := slow.Next(e.Context())
	require.NoError(e, err)
	from := e.head(log)
	quick := e.subscribe(log, from, "")
	at := from
	for i := range 300 {
		e.append1(log, "run-1", domain.Revision(i*10)-1, Events(10))
		if i%50 == 0 {
			e.follow(quick, at, e.head(log))
			at = e.head(log)
		}
	}
	got := e.follow(slow, from, e.head(log))
	require.Len(e, got, 3000)
	e.equal(e.readStream(log, "run-1", 10000), got)
}

func subscribeCanceled(e *Env) {
	log := e.Open()
	e.fill(log, 3, "run-1")
	s := e.subscribe(log, 0, "")
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	_, err := s.Next(ctx)
	require.ErrorIs(e, err, domain.ErrCanceled, "there is history, but ctx is over")
	require.Len(e, e.follow(s, 0, e.head(log)), 6)

	ctx, cancel = context.WithCancel(e.Context())
	waiting := make(chan error, 1)
	go func() {
		_, err := s.Next(ctx)
		waiting <- err
	}()
	cancel()
	require.ErrorIs(e, <-waiting, domain.ErrCanceled)
	before := e.head(log)
	events := Events(2)
	e.append1(log, "run-2", domain.NoStream, events)
	e.equal(expect("run-2", -1, events), e.follow(s, before, e.head(log)))
}

func subscribeBeyond(e *Env) {
	log := e.Open()
	_, err := log.Subscribe(e.Context(), 1, "")
	require.ErrorIs(e, err, domain.ErrInvalid)
	e.fill(log, 1, "run-1")
	_, err = log.Subscribe(e.Context(), e.head(log)+1, "")
	require.ErrorIs(e, err, domain.ErrInvalid)
	_, err = log.Subscribe(e.Context(), e.head(log), "")
	require.NoError(e, err)
}

func subscribeClose(e *Env) {
	log := e.Open()
	s := e.subscribe(log, 0, "")
	woken := make(chan error, 1)
	go func() {
		_, err := s.Next(e.Context())
		woken <- err
	}()
	require.NoError(e, s.Close())
	require.NoError(e, s.Close())
	require.ErrorIs(e, <-woken, domain.ErrUnavailable)
	_, err := s.Next(e.Context())
	require.ErrorIs(e, err, domain.ErrUnavailable)
	e.append1(log, "run-1", domain.NoStream, Events(1))
}
