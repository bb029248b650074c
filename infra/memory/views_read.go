package memory

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"quipu/domain"
	"quipu/projections/view"
)

// reading gives the current generation to the caller until unlock; an empty one on a new database.
func (v *Views) reading(ctx context.Context) (g *generation, unlock func(), err error) {
	unlock, err = v.lock(ctx, "read")
	if err != nil {
		return nil, nil, err
	}
	if v.db.current == nil {
		return newGeneration(), unlock, nil
	}
	return v.db.current, unlock, nil
}

// Checkpoint says how far the current generation is.
func (v *Views) Checkpoint(ctx context.Context) (view.Checkpoint, error) {
	g, unlock, err := v.reading(ctx)
	if err != nil {
		return view.Checkpoint{}, err
	}
	defer unlock()
	return g.state.Checkpoint, nil
}

// Executions answers q.
func (v *Views) Executions(ctx context.Context, q view.ExecutionQuery) (view.Slice[view.Execution], error) {
	g, unlock, err := v.reading(ctx)
	if err != nil {
		return view.Slice[view.Execution]{}, err
	}
	defer unlock()
	past := map[domain.Position]view.Status{}
	for _, i := range g.statuses {
		if i.From <= q.AsOf && (i.To == 0 || q.AsOf < i.To) {
			past[i.Execution] = i.Status
		}
	}
	var all []view.Execution
	for _, e := range g.executions {
		if status, ok := past[e.Position]; ok && q.AsOf != 0 {
			e.Status = status
		}
		if (q.AsOf == 0 || e.Position <= q.AsOf) &&
			(q.Status == "" || q.Status == e.Status) &&
			matches(q.WorkflowID, e.WorkflowID) && matches(q.Source, e.Source) &&
			matches(q.FlowName, e.FlowName) && matches(q.RunName, e.RunName) &&
			matches(q.ConnectionID, e.ConnectionID) && matches(q.RetryOf, e.RetryOf) &&
			inRange(e.StartedAt, q.StartedFrom, q.StartedTo) {
			all = append(all, e)
		}
	}
	return slice(g, all, q.Page, func(e view.Execution) domain.Position { return e.Position }), nil
}

// Approvals answers q.
func (v *Views) Approvals(ctx context.Context, q view.ApprovalQuery) (view.Slice[view.Approval], error) {
	g, unlock, err := v.reading(ctx)
	if err != nil {
		return view.Slice[view.Approval]{}, err
	}
	defer unlock()
	var all []view.Approval
	for _, a := range g.approvals {
		if matches(q.ExecutionID, a.ExecutionID) && matches(q.WorkflowID, a.WorkflowID) && (q.Status == "" || q.Status == a.Status) {
			all = append(all, a)
		}
	}
	return slice(g, all, q.Page, func(a view.Approval) domain.Position { return a.Position }), nil
}

// Events answers q.
func (v *Views) Events(ctx context.Context, q view.EventQuery) (view.Slice[view.Event], error) {
	g, unlock, err := v.reading(ctx)
	if err != nil {
		return view.Slice[view.Event]{}, err
	}
	defer unlock()
	var all []view.Event
	for _, e := range g.events {
		if matches(q.WorkflowID, e.WorkflowID) && matches(q.ExecutionID, e.ExecutionID) && matches(q.Node, e.Node) &&
			(len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
			inRange(e.At, q.From, q.To) &&
			e.Position > q.After && (q.Before == 0 || e.Position < q.Before) {
			all = append(all, e)
		}
	}
	return slice(g, all, q.Page, func(e view.Event) domain.Position { return e.Position }), nil
}

// Workflows answers q.
func (v *Views) Workflows(ctx context.Context, q view.WorkflowQuery) (view.Slice[view.Workflow], error) {
	g, unlock, err := v.reading(ctx)
	if err != nil {
		return view.Slice[view.Workflow]{}, err
	}
	defer unlock()
	var all []view.Workflow
	for _, w := range g.workflows {
		if !w.Deleted && matches(q.Endpoint, w.Endpoint) && matches(q.Name, w.Name) {
			all = append(all, w)
		}
	}
	return slice(g, all, q.Page, func(w view.Workflow) domain.Position { return w.Position }), nil
}

// Versions lists the versions of a workflow, in order of Position; none if it is unknown.
func (v *Views) Versions(ctx context.Context, workflowID string, p view.Page) (view.Slice[view.WorkflowVersion], error) {
	g, unlock, err := v.reading(ctx)
	if err != nil {
		return view.Slice[view.WorkflowVersion]{}, err
	}
	defer unlock()
	var all []view.WorkflowVersion
	for _, w := range g.versions {
		if w.WorkflowID == workflowID {
			all = append(all, w)
		}
	}
	return slice(g, all, p, func(w view.WorkflowVersion) domain.Position { return w.Position }), nil
}

// Endpoints lists endpoints.
func (v *Views) Endpoints(ctx context.Context, p view.Page) (view.Slice[view.Endpoint], error) {
	g, unlock, err := v.reading(ctx)
	if err != nil {
		return view.Slice[view.Endpoint]{}, err
	}
	defer unlock()
	var all []view.Endpoint
	for _, e := range g.endpoints {
		all = append(all, e)
	}
	return slice(g, all, p, func(e view.Endpoint) domain.Position { return e.Position }), nil
}

// Tasks lists all tasks of an execution, by StartedOffset, Task, Iteration. Errors: ErrNotFound if
// the execution is not in the view.
func (v *Views) Tasks(ctx context.Context, executionID string) ([]view.Task, view.Checkpoint, error) {
	g, unlock, err := v.reading(ctx)
	if err != nil {
		return nil, view.Checkpoint{}, err
	}
	defer unlock()
	for _, e := range g.executions {
		if e.ID != executionID {
			continue
		}
		var all []view.Task
		for _, t := range g.tasks {
			if t.Execution == e.Position {
				all = append(all, t)
			}
		}
		slices.SortFunc(all, byOffset)
		return all, g.state.Checkpoint, nil
	}
	return nil, g.state.Checkpoint, domain.E(domain.KindNotFound, "read", "tasks", "the execution is not in the view")
}

// Name tells which execution a pair of names stands for. Errors: ErrNotFound.
func (v *Views) Name(ctx context.Context, flow, run string) (view.Name, view.Checkpoint, error) {
	g, unlock, err := v.reading(ctx)
	if err != nil {
		return view.Name{}, view.Checkpoint{}, err
	}
	defer unlock()
	n, ok := g.names[nameKey{flow, run}]
	if !ok {
		return n, g.state.Checkpoint, domain.E(domain.KindNotFound, "read", "name", "the name is not in the view")
	}
	return n, g.state.Checkpoint, nil
}

// matches reports whether value passes a filter; "" filters nothing.
func matches(filter, value string) bool { return filter == "" || strings.Compare(filter, value) == 0 }

// slice cuts a page out of all.
func slice[Row any](g *generation, all []Row, p view.Page, key func(Row) domain.Position) view.Slice[Row] {
	s := view.Slice[Row]{As: g.state.Checkpoint}
	if p.Total {
		s.Total = min(len(all), view.TotalMax+1)
	}
	slices.SortFunc(all, func(a, b Row) int {
		if p.Ascending {
			return cmp.Compare(key(a), key(b))
		}
		return cmp.Compare(key(b), key(a))
	})
	all = slices.DeleteFunc(all, func(r Row) bool {
		switch {
		case p.Key == 0:
			return false
		case p.Ascending:
			return key(r) <= p.Key
		default:
			return key(r) >= p.Key
		}
	})
	all = all[min(p.Offset, len(all)):]
	n := min(p.Limit, len(all))
	s.Rows, s.More = all[:n], n < len(all)
	return s
}
