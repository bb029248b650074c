package memory

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"strings"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// viewsSnapshot is a copy of a generation.
type viewsSnapshot struct {
	v   *Views
	gen *generation
}

// Snapshot implements projections.Store.
func (s *viewsStore) Snapshot(ctx context.Context) (projections.Snapshot, error) {
	unlock, err := s.lock(ctx, "snapshot")
	if err != nil {
		return nil, err
	}
	defer unlock()
	g := s.gen
	return &viewsSnapshot{s.v, &generation{
		state:      g.stateNow(),
		executions: maps.Clone(g.executions),
		statuses:   maps.Clone(g.statuses),
		tasks:      maps.Clone(g.tasks),
		approvals:  maps.Clone(g.approvals),
		events:     maps.Clone(g.events),
		workflows:  maps.Clone(g.workflows),
		versions:   maps.Clone(g.versions),
		names:      maps.Clone(g.names),
		endpoints:  maps.Clone(g.endpoints),
	}}, nil
}

// State implements projections.Snapshot.
func (s *viewsSnapshot) State() projections.State { return s.gen.state }

// Executions implements projections.Snapshot.
func (s *viewsSnapshot) Executions(ctx context.Context) iter.Seq2[view.Execution, error] {
	return rows(ctx, s, s.gen.executions, cmp.Compare[domain.Position])
}

// Statuses implements projections.Snapshot.
func (s *viewsSnapshot) Statuses(ctx context.Context) iter.Seq2[view.StatusInterval, error] {
	return rows(ctx, s, s.gen.statuses, func(a, b statusKey) int {
		return cmp.Or(cmp.Compare(a.execution, b.execution), cmp.Compare(a.from, b.from))
	})
}

// Tasks implements projections.Snapshot.
func (s *viewsSnapshot) Tasks(ctx context.Context) iter.Seq2[view.Task, error] {
	return rows(ctx, s, s.gen.tasks, func(a, b taskKey) int {
		return cmp.Or(cmp.Compare(a.execution, b.execution), strings.Compare(a.task, b.task), cmp.Compare(a.iteration, b.iteration))
	})
}

// Approvals implements projections.Snapshot.
func (s *viewsSnapshot) Approvals(ctx context.Context) iter.Seq2[view.Approval, error] {
	return rows(ctx, s, s.gen.approvals, cmp.Compare[domain.Position])
}

// Events implements projections.Snapshot.
func (s *viewsSnapshot) Events(ctx context.Context) iter.Seq2[view.Event, error] {
	return rows(ctx, s, s.gen.events, cmp.Compare[domain.Position])
}

// Workflows implements projections.Snapshot: in order of Position.
func (s *viewsSnapshot) Workflows(ctx context.Context) iter.Seq2[view.Workflow, error] {
	return rows(ctx, s, s.gen.workflows, func(a, b string) int {
		return cmp.Compare(s.gen.workflows[a].Position, s.gen.workflows[b].Position)
	})
}

// WorkflowVersions implements projections.Snapshot.
func (s *viewsSnapshot) WorkflowVersions(ctx context.Context) iter.Seq2[view.WorkflowVersion, error] {
	return rows(ctx, s, s.gen.versions, func(a, b versionKey) int {
		return cmp.Or(strings.Compare(a.workflow, b.workflow), cmp.Compare(a.version, b.version))
	})
}

// Names implements projections.Snapshot.
func (s *viewsSnapshot) Names(ctx context.Context) iter.Seq2[view.Name, error] {
	return rows(ctx, s, s.gen.names, func(a, b nameKey) int {
		return cmp.Or(strings.Compare(a.flow, b.flow), strings.Compare(a.run, b.run))
	})
}

// Endpoints implements projections.Snapshot.
func (s *viewsSnapshot) Endpoints(ctx context.Context) iter.Seq2[view.Endpoint, error] {
	return rows(ctx, s, s.gen.endpoints, strings.Compare)
}

// Close implements projections.Snapshot.
func (s *viewsSnapshot) Close() error { return nil }

func rows[K comparable, V any](ctx context.Context, s *viewsSnapshot, m map[K]V, order func(a, b K) int) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		for _, row := range sorted(m, order) {
			unlock, err := s.v.lock(ctx, "read")
			if err != nil {
				yield(row, err)
				return
			}
			unlock()
			if !yield(row, nil) {
				return
			}
		}
	}
}
