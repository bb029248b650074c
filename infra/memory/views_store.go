package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// generation is one set of tables, by key.
type generation struct {
	state      projections.State
	executions map[domain.Position]view.Execution
	statuses   map[statusKey]view.StatusInterval
	tasks      map[taskKey]view.Task
	approvals  map[domain.Position]view.Approval
	events     map[domain.Position]view.Event
	workflows  map[string]view.Workflow
	versions   map[versionKey]view.WorkflowVersion
	names      map[nameKey]view.Name
	endpoints  map[string]view.Endpoint
	parked     map[parkedKey]view.Parked
}

type (
	statusKey struct{ execution, from domain.Position }
	taskKey   struct {
		execution domain.Position
		task      string
		iteration int
	}
	versionKey struct {
		workflow string
		version  int
	}
	nameKey   struct{ flow, run string }
	parkedKey struct {
		position  domain.Position
		projector string
	}
)

func newGeneration() *generation {
	return &generation{
		executions: map[domain.Position]view.Execution{},
		statuses:   map[statusKey]view.StatusInterval{},
		tasks:      map[taskKey]view.Task{},
		approvals:  map[domain.Position]view.Approval{},
		events:     map[domain.Position]view.Event{},
		workflows:  map[string]view.Workflow{},
		versions:   map[versionKey]view.WorkflowVersion{},
		names:      map[nameKey]view.Name{},
		endpoints:  map[string]view.Endpoint{},
		parked:     map[parkedKey]view.Parked{},
	}
}

// viewsStore is one generation as a handle sees it.
type viewsStore struct {
	v   *Views
	gen *generation
}

// lock is Views.lock, and refuses a generation that is gone.
func (s *viewsStore) lock(ctx context.Context, op string) (unlock func(), err error) {
	unlock, err = s.v.lock(ctx, op)
	if err != nil {
		return nil, err
	}
	if s.gen != s.v.db.current && s.gen != s.v.db.building {
		unlock()
		return nil, gone(op)
	}
	return unlock, nil
}

// State implements projections.Store.
func (s *viewsStore) State(ctx context.Context) (projections.State, error) {
	unlock, err := s.lock(ctx, "state of")
	if err != nil {
		return projections.State{}, err
	}
	defer unlock()
	return s.gen.stateNow(), nil
}

func (g *generation) stateNow() projections.State {
	st := g.state
	st.Versions = maps.Clone(st.Versions)
	st.Parked = len(g.parked)
	return st
}

// Runs implements projections.Store.
func (s *viewsStore) Runs(ctx context.Context, ids []string) (map[string]projections.Run, error) {
	unlock, err := s.lock(ctx, "load")
	if err != nil {
		return nil, err
	}
	defer unlock()
	runs := map[string]projections.Run{}
	for _, e := range s.gen.executions {
		if !slices.Contains(ids, e.ID) {
			continue
		}
		r := projections.Run{Execution: e}
		for _, t := range s.gen.tasks {
			if t.Execution == e.Position && t.EndedOffset == domain.NoStream {
				r.Open = append(r.Open, t)
			}
		}
		slices.SortFunc(r.Open, byOffset)
		runs[e.ID] = r
	}
	return runs, nil
}

func byOffset(a, b view.Task) int {
	return cmp.Or(cmp.Compare(a.StartedOffset, b.StartedOffset), strings.Compare(a.Task, b.Task), cmp.Compare(a.Iteration, b.Iteration))
}

// Workflows implements projections.Store.
func (s *viewsStore) Workflows(ctx context.Context, ids []string) (map[string]view.Workflow, error) {
	unlock, err := s.lock(ctx, "load")
	if err != nil {
		return nil, err
	}
	defer unlock()
	found := map[string]view.Workflow{}
	for _, id := range ids {
		if w, ok := s.gen.workflows[id]; ok {
			found[id] = w
		}
	}
	return found, nil
}

// Commit implements projections.Store.
func (s *viewsStore) Commit(ctx context.Context, c projections.Changes) error {
	unlock, err := s.lock(ctx, "commit")
	if err != nil {
		return err
	}
	defer unlock()
	g := s.gen
	switch {
	case c.To <= c.After:
		return domain.E(domain.KindInvalid, "commit", "views", "the batch does not move the checkpoint")
	case c.After != g.state.Position:
		return domain.E(domain.KindConflict, "commit", "views", "the checkpoint is elsewhere")
	case g.state.Log != "" && g.state.Log != c.Log:
		return domain.E(domain.KindConflict, "commit", "views", "the rows are of another log")
	}
	g.state.Checkpoint = view.Checkpoint{Log: c.Log, Position: c.To}
	g.state.Versions = maps.Clone(c.Versions)
	for _, e := range c.Executions {
		g.executions[e.Position] = bornOnce(g.executions, e, c.After)
	}
	for _, i := range c.Statuses {
		g.statuses[statusKey{i.Execution, i.From}] = i
	}
	for _, t := range c.Tasks {
		t.StartedAt, t.EndedAt, t.Wait.DueAt = domain.Instant(t.StartedAt), domain.Instant(t.EndedAt), domain.Instant(t.Wait.DueAt)
		g.tasks[taskKey{t.Execution, t.Task, t.Iteration}] = t
	}
	for _, a := range c.Approvals {
		g.approvals[a.Position] = askedOnce(g.approvals, a, c.After)
	}
	for _, e := range c.Events {
		e.At = domain.Instant(e.At)
		e.Metadata, e.Data = bytes.Clone(e.Metadata), bytes.Clone(e.Data)
		g.events[e.Position] = e
	}
	for _, w := range c.Workflows {
		w.CreatedAt, w.UpdatedAt = domain.Instant(w.CreatedAt), domain.Instant(w.UpdatedAt)
		w.Graph = cloneValue(w.Graph)
		g.workflows[w.ID] = w
	}
	for _, v := range c.WorkflowVersions {
		v.At, v.Graph = domain.Instant(v.At), cloneValue(v.Graph)
		g.versions[versionKey{v.WorkflowID, v.Version}] = v
	}
	for _, n := range c.Names {
		g.names[nameKey{n.FlowName, n.RunName}] = n
	}
	for _, e := range c.Endpoints {
		e.CreatedAt = domain.Instant(e.CreatedAt)
		g.endpoints[e.ID] = e
	}
	for _, p := range c.Parked {
		g.parked[parkedKey{p.Position, p.Projector}] = p
	}
	return nil
}

// bornOnce is the row to keep for e: what an execution is born with comes from its first row.
func bornOnce(rows map[domain.Position]view.Execution, e view.Execution, after domain.Position) view.Execution {
	if first, ok := rows[e.Position]; ok && e.Position <= after {
		e.ID, e.WorkflowID, e.WorkflowVersion = first.ID, first.WorkflowID, first.WorkflowVersion
		e.Source, e.Endpoint, e.FlowName, e.RunName = first.Source, first.Endpoint, first.FlowName, first.RunName
		e.ConnectionID, e.RetryOf = first.ConnectionID, first.RetryOf
		e.StartedAt, e.Input = first.StartedAt, first.Input
	}
	e.StartedAt, e.EndedAt = domain.Instant(e.StartedAt), domain.Instant(e.EndedAt)
	e.Input = cloneValue(e.Input)
	return e
}

// askedOnce is the row to keep for a: what an approval is born with comes from its first row.
func askedOnce(rows map[domain.Position]view.Approval, a view.Approval, after domain.Position) view.Approval {
	if first, ok := rows[a.Position]; ok && a.Position <= after {
		first.Status, first.Approver, first.Comment = a.Status, a.Approver, a.Comment
		first.ActorKind, first.ActorID = a.ActorKind, a.ActorID
		first.EndedAt, first.EndedOffset = a.EndedAt, a.EndedOffset
		a = first
	}
	a.RequestedAt, a.DueAt, a.EndedAt = domain.Instant(a.RequestedAt), domain.Instant(a.DueAt), domain.Instant(a.EndedAt)
	a.Request = cloneValue(a.Request)
	return a
}

func cloneValue(v domain.Value) domain.Value {
	return domain.Value{JSON: bytes.Clone(v.JSON), Holes: slices.Clone(v.Holes)}
}

// Parked implements projections.Store.
func (s *viewsStore) Parked(ctx context.Context, max int) ([]view.Parked, error) {
	unlock, err := s.lock(ctx, "list parked")
	if err != nil {
		return nil, err
	}
	defer unlock()
	all := sorted(s.gen.parked, func(a, b parkedKey) int {
		return cmp.Or(cmp.Compare(a.position, b.position), strings.Compare(a.projector, b.projector))
	})
	return all[:min(len(all), max)], nil
}

// sorted returns the values of m in the order of their keys.
func sorted[K comparable, V any](m map[K]V, order func(a, b K) int) []V {
	keys := slices.SortedFunc(maps.Keys(m), order)
	all := make([]V, len(keys))
	for i, k := range keys {
		all[i] = m[k]
	}
	return all
}

// inRange reports from <= t < to, zero bounds left out.
func inRange(t, from, to time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (to.IsZero() || t.Before(to))
}
