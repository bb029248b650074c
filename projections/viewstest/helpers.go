package viewstest

import (
	"bytes"
	"iter"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/memory"
	"quipu/projections"
	"quipu/projections/view"
)

// Dump is everything that a generation holds.
type Dump struct {
	State      projections.State
	Executions []view.Execution
	Statuses   []view.StatusInterval
	Tasks      []view.Task
	Approvals  []view.Approval
	Events     []view.Event
	Workflows  []view.Workflow
	Versions   []view.WorkflowVersion
	Names      []view.Name
	Endpoints  []view.Endpoint
}

// Dump reads all rows of s, in the order that s gives them.
func (e *Env) Dump(s projections.Store) Dump {
	e.Helper()
	snap, err := s.Snapshot(e.Context())
	require.NoError(e, err)
	d := e.dump(snap)
	require.NoError(e, snap.Close())
	return d
}

func (e *Env) dump(s projections.Snapshot) Dump {
	e.Helper()
	ctx := e.Context()
	return Dump{
		State:      s.State(),
		Executions: collect(e, s.Executions(ctx)),
		Statuses:   collect(e, s.Statuses(ctx)),
		Tasks:      collect(e, s.Tasks(ctx)),
		Approvals:  collect(e, s.Approvals(ctx)),
		Events:     collect(e, s.Events(ctx)),
		Workflows:  collect(e, s.Workflows(ctx)),
		Versions:   collect(e, s.WorkflowVersions(ctx)),
		Names:      collect(e, s.Names(ctx)),
		Endpoints:  collect(e, s.Endpoints(ctx)),
	}
}

// collect copies rows: a sequence may reuse their memory.
func collect[Row any](e *Env, rows iter.Seq2[Row, error]) []Row {
	e.Helper()
	var all []Row
	for r, err := range rows {
		require.NoError(e, err)
		all = append(all, copied(r).(Row))
	}
	return all
}

func copied(row any) any {
	switch r := row.(type) {
	case view.Execution:
		r.Input = value(r.Input)
		return r
	case view.Approval:
		r.Request = value(r.Request)
		return r
	case view.Event:
		r.Metadata, r.Data = bytes.Clone(r.Metadata), bytes.Clone(r.Data)
		return r
	case view.Workflow:
		r.Graph = value(r.Graph)
		return r
	case view.WorkflowVersion:
		r.Graph = value(r.Graph)
		return r
	}
	return row
}

func value(v domain.Value) domain.Value {
	return domain.Value{JSON: bytes.Clone(v.JSON), Holes: slices.Clone(v.Holes)}
}

// same requires equal values; nil and empty are equal, instants are compared as such.
func same(t require.TestingT, want, got any, about ...any) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	if reflect.DeepEqual(want, got) || cmp.Equal(want, got, cmpopts.EquateEmpty()) {
		return
	}
	require.Fail(t, "not equal (-want +got):\n"+cmp.Diff(want, got, cmpopts.EquateEmpty()), about...)
}

// pair is an adapter's views and the model, given the same changes.
type pair struct {
	e     *Env
	views Views
	store projections.Store
	model *memory.Views
	twin  projections.Store
	at    domain.Position
}

func (e *Env) pair(w *World) *pair {
	e.Helper()
	p := &pair{e: e, views: e.Open(w.Log), model: memory.NewViews()}
	p.store, p.twin = e.current(p.views), e.current(p.model)
	return p
}

func (e *Env) current(v projections.Generations) projections.Store {
	e.Helper()
	s, err := v.Current(e.Context())
	require.NoError(e, err)
	return s
}

func (e *Env) begin(v projections.Generations) projections.Store {
	e.Helper()
	s, err := v.Begin(e.Context())
	require.NoError(e, err)
	return s
}

// commit stores c in both.
func (p *pair) commit(c projections.Changes) {
	p.e.Helper()
	require.NoError(p.e, p.store.Commit(p.e.Context(), c))
	require.NoError(p.e, p.twin.Commit(p.e.Context(), c))
	p.at = c.To
}

// fill commits n events of w in batches of at most 100.
func (p *pair) fill(w *World, n int) {
	p.e.Helper()
	for n > 0 {
		k := min(n, 100)
		p.commit(w.Merge(p.at, w.Steps(k)))
		n -= k
	}
}

// check requires equal rows.
func (p *pair) check() {
	p.e.Helper()
	same(p.e, p.e.Dump(p.twin), p.e.Dump(p.store))
}

func (e *Env) state(s projections.Store) projections.State {
	e.Helper()
	st, err := s.State(e.Context())
	require.NoError(e, err)
	return st
}
