package viewstest

import (
	"context"
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

var generationCases = []Case{
	{Name: "Generations_OneIsBuiltUnseen", Run: func(e *Env) {
		w := NewWorld(50)
		p := e.pair(w)
		p.fill(w, 50)
		s := e.begin(p.views)
		same(e, Dump{}, e.Dump(s))
		p.check()
		require.NoError(e, s.Commit(e.Context(), projections.Changes{Log: w.LogID, To: 7, Names: []view.Name{{FlowName: "new", RunName: "r", Position: 7}}}))
		p.check()
		p.name("new", "r") // not there
		p.commit(w.Merge(p.at, w.Steps(10)))
		p.check()
		require.EqualValues(e, 7, e.state(s).Position)
		require.NoError(e, p.views.Drop(e.Context(), s))
		p.check()
	}},
	{Name: "Generations_Promote", Run: func(e *Env) {
		w := NewWorld(51)
		v := e.Open(w.Log)
		old := e.current(v)
		steps := w.Steps(80)
		require.NoError(e, old.Commit(e.Context(), w.Merge(0, steps[:50])))
		s := e.begin(v)
		require.NoError(e, s.Commit(e.Context(), w.Merge(0, steps[:20])))
		require.NoError(e, v.Promote(e.Context(), s))
		cp, err := v.Checkpoint(e.Context())
		require.NoError(e, err)
		require.Equal(e, steps[19].Position, cp.Position)
		events, err := v.Events(e.Context(), view.EventQuery{Page: page})
		require.NoError(e, err)
		require.Equal(e, 20, events.Total)
		same(e, e.Dump(s), e.Dump(e.current(v)))
		// It goes on as any other, by either handle.
		require.NoError(e, s.Commit(e.Context(), w.Merge(cp.Position, steps[20:60])))
		require.NoError(e, e.current(v).Commit(e.Context(), w.Merge(steps[59].Position, steps[60:])))
		require.Len(e, e.Dump(s).Events, 80)
		gone(e, old)
		require.ErrorIs(e, v.Promote(e.Context(), s), domain.ErrConflict, "promoted already")
		require.ErrorIs(e, v.Promote(e.Context(), old), domain.ErrConflict)
		require.ErrorIs(e, v.Drop(e.Context(), s), domain.ErrConflict, "the current one")
		require.Len(e, e.Dump(s).Events, 80)
	}},
	{Name: "Generations_BeginRemovesLeftovers", Run: func(e *Env) {
		w := NewWorld(52)
		p := e.pair(w)
		p.fill(w, 20)
		first := e.begin(p.views)
		require.NoError(e, first.Commit(e.Context(), projections.Changes{Log: w.LogID, To: 7}))
		second := e.begin(p.views)
		same(e, Dump{}, e.Dump(second))
		gone(e, first)
		require.ErrorIs(e, p.views.Promote(e.Context(), first), domain.ErrConflict)
		require.NoError(e, p.views.Drop(e.Context(), first), "it is gone already")
		p.check()
		require.NoError(e, second.Commit(e.Context(), projections.Changes{Log: w.LogID, To: 9}))
		require.NoError(e, p.views.Drop(e.Context(), second))
		require.NoError(e, p.views.Drop(e.Context(), second), "twice")
		gone(e, second)
		require.ErrorIs(e, p.views.Promote(e.Context(), second), domain.ErrConflict)
		p.check()
	}},
	{Name: "Generations_BeginOnANewDatabase", Run: func(e *Env) {
		w := NewWorld(53)
		v := e.Open(w.Log)
		s := e.begin(v)
		require.NoError(e, s.Commit(e.Context(), w.Merge(0, w.Steps(20))))
		require.NoError(e, v.Promote(e.Context(), s))
		require.Len(e, e.Dump(e.current(v)).Events, 20)
	}},
	{Name: "Generations_ReadersNeverSeeAGap", Run: func(e *Env) {
		w := NewWorld(54)
		v := e.Open(w.Log)
		all := w.Merge(0, w.Steps(40))
		require.NoError(e, e.current(v).Commit(e.Context(), all))
		ctx := e.Context()
		want := counts(e, v)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if err := whole(ctx, v, w, want["events"], want["executions"]); err != nil {
						e.Errorf("reading %d: %v", i, err)
						return
					}
				}
			})
		}
		for range 15 {
			s := e.begin(v)
			require.NoError(e, s.Commit(ctx, all))
			require.NoError(e, v.Promote(ctx, s))
		}
		close(stop)
		wg.Wait()
	}},
	{Name: "Snapshot_Isolation", Run: func(e *Env) {
		w := NewWorld(55)
		p := e.pair(w)
		p.fill(w, 100)
		want := e.Dump(p.twin)
		snap, err := p.store.Snapshot(e.Context())
		require.NoError(e, err)
		p.fill(w, 100)
		same(e, want, e.dump(snap))
		s := e.begin(p.views)
		require.NoError(e, s.Commit(e.Context(), projections.Changes{Log: w.LogID, To: 1}))
		require.NoError(e, p.views.Promote(e.Context(), s))
		same(e, want, e.dump(snap), "the generation was replaced meanwhile")
		require.NoError(e, snap.Close())
	}},
	{Name: "Snapshot_BreakingOffIsFine", Run: func(e *Env) {
		w := NewWorld(56)
		p := e.pair(w)
		p.fill(w, 100)
		snap, err := p.store.Snapshot(e.Context())
		require.NoError(e, err)
		for range 20 {
			for _, err := range snap.Events(e.Context()) {
				require.NoError(e, err)
				break
			}
			for _, err := range snap.Tasks(e.Context()) {
				require.NoError(e, err)
				break
			}
		}
		same(e, e.Dump(p.twin), e.dump(snap))
		require.NoError(e, snap.Close())
		p.fill(w, 10)
		p.check()
	}},
	{Name: "Handles_TwoOnOneDatabase", Again: true, Run: func(e *Env) {
		w := NewWorld(57)
		a := e.Open(w.Log)
		first := e.current(a)
		require.NoError(e, first.Commit(e.Context(), w.Merge(0, w.Steps(20))))
		b := e.Again(a, w.Log)
		second := e.current(b)
		same(e, e.Dump(first), e.Dump(second))
		at := w.pos
		c := w.Merge(at, w.Steps(20))
		require.NoError(e, second.Commit(e.Context(), c))
		require.ErrorIs(e, first.Commit(e.Context(), c), domain.ErrConflict, "the other one projected")
		c = w.Merge(c.To, w.Steps(200))
		require.NoError(e, first.Commit(e.Context(), c))
		c = w.Merge(c.To, w.Steps(200))
		require.NoError(e, second.Commit(e.Context(), c))
		same(e, e.Dump(first), e.Dump(second))
		require.Len(e, e.Dump(first).Events, 440)
		require.Equal(e, counts(e, a), counts(e, b))

		built := e.begin(b)
		require.NoError(e, built.Commit(e.Context(), projections.Changes{Log: w.LogID, To: 3}))
		require.Equal(e, w.pos, e.state(first).Position)
		require.NoError(e, b.Promote(e.Context(), built))
		for _, v := range []Views{a, b} {
			cp, err := v.Checkpoint(e.Context())
			require.NoError(e, err)
			require.EqualValues(e, 3, cp.Position)
			require.EqualValues(e, 3, e.state(e.current(v)).Position)
		}
		gone(e, first)
		gone(e, second)
	}},
	{Name: "Handles_OneWinner", Again: true, Run: func(e *Env) {
		w := NewWorld(58)
		a := e.Open(w.Log)
		stores := []projections.Store{e.current(a)}
		for range 3 {
			stores = append(stores, e.current(e.Again(a, w.Log)))
		}
		ctx := e.Context()
		after := domain.Position(0)
		for range 10 {
			c := w.Merge(after, w.Steps(20))
			after = c.To
			errs := make([]error, len(stores))
			var wg sync.WaitGroup
			for i, s := range stores {
				wg.Go(func() { errs[i] = s.Commit(ctx, c) })
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
			require.Equal(e, 1, won)
		}
		require.Len(e, e.Dump(stores[2]).Events, 200)
	}},
	{Name: "Reopen_KeepsEverything", Again: true, Run: func(e *Env) {
		w := NewWorld(59)
		p := e.pair(w)
		for range 5 {
			p.fill(w, 60)
			left := e.begin(p.views)
			require.NoError(e, left.Commit(e.Context(), projections.Changes{Log: w.LogID, To: 1}))
			require.NoError(e, p.views.Close())
			p.views = e.Again(p.views, w.Log)
			p.store = e.current(p.views)
			p.check()
			p.executions(view.ExecutionQuery{})
		}
	}},
}

// gone requires that s, whose generation was dropped or replaced, does nothing any more.
func gone(e *Env, s projections.Store) {
	e.Helper()
	_, err := s.State(e.Context())
	require.ErrorIs(e, err, domain.ErrConflict)
	for after := range domain.Position(100) {
		err := s.Commit(e.Context(), projections.Changes{Log: "log-1", After: after, To: 1 << 40})
		require.ErrorIs(e, err, domain.ErrConflict)
	}
}

// whole reads lists and says what is missing.
func whole(ctx context.Context, v Views, w *World, events, executions int) error {
	a, err := v.Events(ctx, view.EventQuery{Page: page})
	if err != nil {
		return err
	}
	b, err := v.Executions(ctx, view.ExecutionQuery{Page: page})
	if err != nil {
		return err
	}
	cp, err := v.Checkpoint(ctx)
	if err != nil {
		return err
	}
	_, as, err := v.Tasks(ctx, w.ids[0])
	if err != nil {
		return err
	}
	if a.Total != events || len(a.Rows) != events || b.Total != executions || cp.Position != w.pos || as.Position != w.pos {
		return fmt.Errorf("%d events, %d executions at %d and %d", a.Total, b.Total, cp.Position, as.Position)
	}
	return nil
}
