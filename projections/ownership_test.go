package projections_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/memory"
	"quipu/projections"
)

// office is who projects, as a test says.
type office struct {
	mu      sync.Mutex
	holders map[string]bool
	changed chan struct{}
}

func newOffice(holders ...string) *office {
	o := &office{changed: make(chan struct{})}
	o.give(holders...)
	return o
}

// give makes these the holders: one, none, or more than one, as happens for a moment.
func (o *office) give(holders ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holders = map[string]bool{}
	for _, h := range holders {
		o.holders[h] = true
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

// at is the office as a node sees it.
type at struct {
	*office
	node string
}

func (a at) Owns() (bool, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.holders[a.node], a.changed
}

// couple are two runners over one database of views, in virtual time.
type couple struct {
	w     *writer
	views *memory.Views
	o     *office
	a, b  *projections.Runner
}

func together(t *testing.T, holders []string, do func(ctx context.Context, c *couple)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &couple{w: newWriter(t), views: memory.NewViews(), o: newOffice(holders...)}
		start := func(node string) *projections.Runner {
			return projections.NewRunner(c.views.Again(), logFeed{c.w.log}, clock.System{}, projections.Options{Owner: at{c.o, node}})
		}
		c.a, c.b = start("a"), start("b")
		var wg sync.WaitGroup
		for _, r := range []*projections.Runner{c.a, c.b} {
			wg.Go(func() { require.NoError(t, r.Run(ctx)) })
		}
		do(ctx, c)
		cancel()
		wg.Wait()
	})
}

// reach waits for a position as a reader does.
func reach(t *testing.T, ctx context.Context, r *projections.Runner, position domain.Position) {
	t.Helper()
	bounded, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	got, err := r.Wait(bounded, position)
	require.NoError(t, err)
	require.GreaterOrEqual(t, got, position)
}

// Readers of every node find what was acknowledged, whoever projects it.
func TestRunner_FollowsTheOneThatProjects(t *testing.T) {
	together(t, []string{"a"}, func(ctx context.Context, c *couple) {
		for i := range 20 {
			last := c.w.append(aRun(i, "a")...)
			reach(t, ctx, c.b, last)
			reach(t, ctx, c.a, last)
		}
		require.Equal(t, projections.Live, c.a.Status(ctx).Phase)
		s := c.b.Status(ctx)
		require.Equal(t, projections.Following, s.Phase)
		require.Zero(t, s.Lag)
		require.Empty(t, s.StandsStill())
	})
}

// The office moves, is empty for a moment, or is held by both: rows are those of one projecting alone.
func TestRunner_OwnershipMoves(t *testing.T) {
	together(t, []string{"a"}, func(ctx context.Context, c *couple) {
		holders := [][]string{{"b"}, {}, {"a", "b"}, {"a"}, {"a", "b"}, {}, {"b"}}
		for i := range 70 {
			last := c.w.append(aRun(i, "a")...)
			c.o.give(holders[i%len(holders)]...)
			if i%3 == 0 && len(holders[i%len(holders)]) > 0 {
				reach(t, ctx, c.a, last)
				reach(t, ctx, c.b, last)
			}
		}
		c.o.give("b")
		last := c.w.append(aRun(100, "a")...)
		reach(t, ctx, c.a, last)
		reach(t, ctx, c.b, last)
		synctest.Wait()
		require.Equal(t, projections.Following, c.a.Status(ctx).Phase)
		require.Equal(t, rows(t, c.w), snapshot(t, current(t, c.views)))
	})
}

// While nobody projects, a node that follows says how far behind the rows are, and after a while that
// something is wrong.
func TestRunner_FollowerTellsTheLag(t *testing.T) {
	together(t, []string{"a"}, func(ctx context.Context, c *couple) {
		first := c.w.append(aRun(1, "a")...)
		reach(t, ctx, c.b, first)
		c.o.give()
		<-time.After(time.Second)
		last := c.w.append(aRun(2, "a")...)
		s := c.b.Status(ctx)
		require.Equal(t, first, s.Position)
		require.EqualValues(t, last-first, s.Lag)
		require.Empty(t, s.StandsStill())
		<-time.After(projections.FollowStillAfter)
		require.Contains(t, c.b.Status(ctx).StandsStill(), "another node keeps them")
		bounded, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		at, err := c.b.Wait(bounded, last)
		require.ErrorIs(t, err, domain.ErrDeadline)
		require.Equal(t, first, at)
		c.o.give("b")
		reach(t, ctx, c.b, last)
		require.Empty(t, c.b.Status(ctx).StandsStill())
		require.Zero(t, c.b.Status(ctx).Lagging)
	})
}

// A generation that one node built and promoted is found by those that follow.
func TestRunner_FollowerFindsNewGenerations(t *testing.T) {
	together(t, []string{"a"}, func(ctx context.Context, c *couple) {
		reach(t, ctx, c.b, c.w.append(aRun(1, "a")...))
		for i, r := range []*projections.Runner{c.a, c.b} { // whoever is asked may build
			_, err := r.Rebuild(ctx, nil)
			require.NoError(t, err)
			last := c.w.append(aRun(2+i, "a")...)
			reach(t, ctx, c.b, last)
			reach(t, ctx, c.a, last)
			require.Empty(t, c.b.Status(ctx).Error)
		}
		require.Equal(t, rows(t, c.w), snapshot(t, current(t, c.views)))
	})
}

// A notification spares the wait for the next look.
func TestRunner_MovedLooksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w, views := filled(t, 1), memory.NewViews()
		r := projections.NewRunner(views.Again(), logFeed{w.log}, clock.System{}, projections.Options{Owner: at{newOffice(), "a"}, FollowEvery: time.Hour})
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		require.Zero(t, r.Position())
		catchUp(t, newRunner(w, views, projections.Options{}))
		r.Moved()
		synctest.Wait()
		head, err := w.log.Head(ctx)
		require.NoError(t, err)
		require.Equal(t, head, r.Position())
		cancel()
		require.NoError(t, <-done)
	})
}
