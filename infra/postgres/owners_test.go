package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/infra/clock"
	"quipu/infra/memory"
	"quipu/infra/postgres"
	"quipu/infra/postgres/pgtest"
	"quipu/projections"
	"quipu/projections/viewstest"
)

// feed reads a log as projectors do.
type feed struct{ commands.Log }

func (f feed) Follow(ctx context.Context, after domain.Position) (projections.Source, error) {
	sub, err := f.Subscribe(ctx, after, "")
	if err != nil {
		return nil, err
	}
	return feedSource{sub}, nil
}

type feedSource struct{ commands.Subscription }

func (s feedSource) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	b, err := s.Subscription.Next(ctx)
	return b.Events, b.Position, b.CaughtUp, err
}

// write appends a run of one task, an event at a time, and returns the last position.
func write(t testing.TB, log *memory.Log, i int) (last domain.Position) {
	t.Helper()
	id := fmt.Sprintf("run-%d", i)
	head := wire.NewHead()
	for n, e := range []run.Event{
		run.Started{RunID: id, Source: "lao", WorkflowID: fmt.Sprint("w", i%5), Definition: domain.Value{JSON: []byte(`{"nodes":[],"edges":[]}`)}, Input: domain.Value{JSON: []byte("{}")}},
		run.TaskStarted{Task: "t", TaskID: "t1", Function: "f", Input: domain.Value{JSON: []byte("{}")}},
		run.TaskCompleted{Task: "t", TaskID: "t1", Attempt: 1, Output: domain.Value{JSON: []byte("1")}},
		run.Completed{Results: domain.Value{JSON: []byte(`{"t":2}`)}},
	} {
		typ, data := wire.EncodeRun(e)
		stream := domain.StreamID("run-" + id)
		p, next := wire.Seal(stream, head, head.Instant(domaintest.At(1000*i+n)), wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem}}, typ, data)
		at, err := log.Append(t.Context(), stream, head.Revision, []domain.Pending{p})
		require.NoError(t, err)
		head, last = next, at.Position
	}
	return last
}

// office says who projects: one node, none, or several at once.
type office struct {
	mu      sync.Mutex
	holders map[int]bool
	changed chan struct{}
}

func (o *office) give(holders ...int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holders = map[int]bool{}
	for _, h := range holders {
		o.holders[h] = true
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

type seat struct {
	*office
	node int
}

func (s seat) Owns() (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holders[s.node], s.changed
}

// Three nodes over one database: they die at any moment, the office moves at random, is empty or held by
// several, and the database is killed, too. Every reader gets what he waits for, and the rows are those of
// the reference.
func TestOwners_KilledAndSwitchedAtRandom(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	url := pgtest.Database(t, server)
	log := memory.NewLog()
	o := &office{changed: make(chan struct{})}
	const nodes = 3
	random := rand.New(rand.NewPCG(7, 8))
	system := clock.System{}

	type node struct {
		runner *projections.Runner
		stop   func()
	}
	var failed sync.Map
	start := func(i int) node {
		v, err := postgres.Open(t.Context(), url, postgres.Options{Notify: true, CopyEventsMin: 30, PartitionWidth: 1024})
		require.NoError(t, err)
		r := projections.NewRunner(v, feed{log}, system, projections.Options{
			Owner: seat{o, i}, BatchEvents: 1 + random.IntN(60), Linger: -1, BackoffMin: time.Millisecond, BackoffMax: 50 * time.Millisecond,
			Hooks: projections.Hooks{Failed: func(err error) { failed.Store(domain.KindOf(err), err) }},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, r.Run(ctx)) })
		wg.Go(func() { v.Listen(ctx, system.AfterFunc, r.Moved, nil) })
		return node{r, func() { cancel(); wg.Wait(); assert.NoError(t, v.Close()) }}
	}
	var all [nodes]node
	for i := range all {
		all[i] = start(i)
	}
	holders := [][]int{{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 1, 2}, {}}
	o.give(0)
	var last domain.Position
	for i := range 400 {
		last = write(t, log, i)
		switch random.IntN(8) {
		case 0:
			o.give(holders[random.IntN(len(holders))]...)
		case 1:
			n := random.IntN(nodes)
			all[n].stop()
			all[n] = start(n)
		case 2:
			h := random.IntN(nodes)
			o.give(h)
			bounded, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			at, err := all[random.IntN(nodes)].runner.Wait(bounded, last)
			cancel()
			require.NoError(t, err)
			require.GreaterOrEqual(t, at, last)
		}
		if i%150 == 100 {
			require.NoError(t, server.Kill())
			require.NoError(t, server.Restart())
		}
	}
	o.give(1)
	bounded, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for _, n := range all {
		_, err := n.runner.Wait(bounded, last)
		require.NoError(t, err)
	}
	for _, n := range all {
		n.stop()
	}
	failed.Range(func(kind, err any) bool {
		require.Contains(t, []domain.Kind{domain.KindUnavailable, domain.KindIndeterminate, domain.KindConflict, domain.KindDeadline, domain.KindCanceled}, kind, "%v", err)
		return true
	})

	model := memory.NewViews()
	reference := projections.NewRunner(model, feed{log}, system, projections.Options{})
	for caughtUp := false; !caughtUp; {
		var err error
		caughtUp, err = reference.Once(t.Context())
		require.NoError(t, err)
	}
	e := &viewstest.Env{TB: t, Caps: viewstest.Capabilities{Wait: 30 * time.Second}}
	v := open(t, url, postgres.Options{})
	stored, err := v.Current(t.Context())
	require.NoError(t, err)
	want, err := model.Current(t.Context())
	require.NoError(t, err)
	dump := e.Dump(stored)
	require.Equal(t, e.Dump(want), dump)
	require.Len(t, dump.Executions, 400)
	state, err := stored.State(t.Context())
	require.NoError(t, err)
	require.Zero(t, state.Parked)
}

// A commit is heard of by others at once.
func TestListen_HearsCommits(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a := open(t, url, postgres.Options{Notify: true})
	b := open(t, url+"&pool_max_conns=3", postgres.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	heard, connected := make(chan struct{}, 100), make(chan error, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		b.Listen(ctx, clock.System{}.AfterFunc, func() { heard <- struct{}{} }, func(err error) { connected <- err })
	})
	require.NoError(t, <-connected)
	<-heard // once for what may have been missed
	s, err := a.Current(t.Context())
	require.NoError(t, err)
	for i := range 3 {
		require.NoError(t, s.Commit(t.Context(), counted(domain.Position(5*i), 5)))
		select {
		case <-heard:
		case <-time.After(60 * time.Second):
			t.Fatal("not heard")
		}
	}
	require.NoError(t, s.Commit(t.Context(), counted(15, 400)), "by COPY")
	<-heard
	// The connection is lost: it is opened anew, and what may have been missed is looked for.
	exec(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'quipu views listen'")
	require.Error(t, <-connected)
	require.NoError(t, <-connected)
	<-heard
	next, err := a.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, a.Promote(t.Context(), next))
	<-heard
	cancel()
	wg.Wait()
	_, err = postgres.Open(t.Context(), url, postgres.Options{DirectURL: "://nonsense"})
	require.ErrorIs(t, err, domain.ErrInvalid)
}
