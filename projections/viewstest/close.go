package viewstest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

var closeCases = []Case{
	{Name: "Close_NothingWorksAfterwards", Run: func(e *Env) {
		w := NewWorld(60)
		v := e.Open(w.Log)
		s := e.current(v)
		c := w.Merge(0, w.Steps(20))
		require.NoError(e, s.Commit(e.Context(), c))
		c = w.Merge(c.To, w.Steps(20))
		require.NoError(e, v.Close())
		require.NoError(e, v.Close(), "twice")
		for name, call := range calls(v, s, c) {
			require.ErrorIs(e, call(e.Context()), domain.ErrUnavailable, name)
		}
	}},
	{Name: "Context_Over", Run: func(e *Env) {
		w := NewWorld(61)
		p := e.pair(w)
		p.fill(w, 20)
		c := w.Merge(p.at, w.Steps(20))
		canceled, cancel := context.WithCancel(e.Context())
		cancel()
		late, cancel := context.WithDeadline(e.Context(), time.Unix(0, 0))
		defer cancel()
		for name, call := range calls(p.views, p.store, c) {
			require.ErrorIs(e, call(canceled), domain.ErrCanceled, name)
			require.ErrorIs(e, call(late), domain.ErrDeadline, name)
		}
		snap, err := p.store.Snapshot(e.Context())
		require.NoError(e, err)
		for _, err := range snap.Events(canceled) {
			require.Error(e, err)
		}
		require.NoError(e, snap.Close())
		p.check()
		p.commit(c)
		p.check()
	}},
}

// calls is every method that takes a context, by name.
func calls(v Views, s projections.Store, c projections.Changes) map[string]func(context.Context) error {
	pg := view.Page{Limit: 10}
	return map[string]func(context.Context) error{
		"State":      func(ctx context.Context) error { _, err := s.State(ctx); return err },
		"Runs":       func(ctx context.Context) error { _, err := s.Runs(ctx, []string{"a"}); return err },
		"Workflows":  func(ctx context.Context) error { _, err := s.Workflows(ctx, []string{"a"}); return err },
		"Commit":     func(ctx context.Context) error { return s.Commit(ctx, c) },
		"Parked":     func(ctx context.Context) error { _, err := s.Parked(ctx, 1); return err },
		"Snapshot":   func(ctx context.Context) error { _, err := s.Snapshot(ctx); return err },
		"Current":    func(ctx context.Context) error { _, err := v.Current(ctx); return err },
		"Begin":      func(ctx context.Context) error { _, err := v.Begin(ctx); return err },
		"Promote":    func(ctx context.Context) error { return v.Promote(ctx, s) },
		"Drop":       func(ctx context.Context) error { return v.Drop(ctx, s) },
		"Checkpoint": func(ctx context.Context) error { _, err := v.Checkpoint(ctx); return err },
		"Executions": func(ctx context.Context) error {
			_, err := v.Executions(ctx, view.ExecutionQuery{Page: pg})
			return err
		},
		"Approvals": func(ctx context.Context) error {
			_, err := v.Approvals(ctx, view.ApprovalQuery{Page: pg})
			return err
		},
		"Events":    func(ctx context.Context) error { _, err := v.Events(ctx, view.EventQuery{Page: pg}); return err },
		"Versions":  func(ctx context.Context) error { _, err := v.Versions(ctx, "w", pg); return err },
		"Endpoints": func(ctx context.Context) error { _, err := v.Endpoints(ctx, pg); return err },
		"Tasks":     func(ctx context.Context) error { _, _, err := v.Tasks(ctx, "id"); return err },
		"Name":      func(ctx context.Context) error { _, _, err := v.Name(ctx, "f", "r"); return err },
		"Workflow list": func(ctx context.Context) error {
			_, err := v.Workflows(ctx, view.WorkflowQuery{Page: pg})
			return err
		},
	}
}
