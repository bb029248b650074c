package viewstest_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"

	"quipu/domain"
	"quipu/infra/memory"
	"quipu/projections"
	"quipu/projections/view"
)

// faulty is the model with one fault; what is not overridden is right.
type faulty struct {
	*memory.Views
	changes    func(c projections.Changes) projections.Changes
	commit     func(s *faultyStore, ctx context.Context, c projections.Changes) error
	state      func(s projections.State) projections.State
	runs       func(map[string]projections.Run) map[string]projections.Run
	snapshot   func(s *faultyStore, ctx context.Context) (projections.Snapshot, error)
	executions func(q view.ExecutionQuery) view.ExecutionQuery
	approvals  func(q view.ApprovalQuery) view.ApprovalQuery
	events     func(q view.EventQuery) view.EventQuery
	gotRuns    func(s view.Slice[view.Execution]) view.Slice[view.Execution]
	gotEvents  func(s view.Slice[view.Event]) view.Slice[view.Event]
	tasks      func([]view.Task) []view.Task
	promote    func(ctx context.Context, s projections.Store) error
	begin      func(ctx context.Context) (projections.Store, error)
	drop       func(ctx context.Context, s projections.Store) error
	ctx        func(context.Context) context.Context
	close      func() error
	again      func() *memory.Views
	text       func(string) string
}

func (f *faulty) in(ctx context.Context) context.Context {
	if f.ctx != nil {
		return f.ctx(ctx)
	}
	return ctx
}

type faultyStore struct {
	projections.Store
	f *faulty
}

func (f *faulty) wrap(s projections.Store, err error) (projections.Store, error) {
	if err != nil {
		return nil, err
	}
	return &faultyStore{s, f}, nil
}

func (f *faulty) Current(ctx context.Context) (projections.Store, error) {
	return f.wrap(f.Views.Current(ctx))
}

func (f *faulty) Begin(ctx context.Context) (projections.Store, error) {
	if f.begin != nil {
		return f.wrap(f.begin(ctx))
	}
	return f.wrap(f.Views.Begin(ctx))
}

func (f *faulty) Promote(ctx context.Context, s projections.Store) error {
	if f.promote != nil {
		return f.promote(ctx, s.(*faultyStore).Store)
	}
	return f.Views.Promote(ctx, s.(*faultyStore).Store)
}

func (f *faulty) Drop(ctx context.Context, s projections.Store) error {
	if f.drop != nil {
		return f.drop(ctx, s.(*faultyStore).Store)
	}
	return f.Views.Drop(ctx, s.(*faultyStore).Store)
}

func (f *faulty) Close() error {
	if f.close != nil {
		return f.close()
	}
	return f.Views.Close()
}

func (f *faulty) Executions(ctx context.Context, q view.ExecutionQuery) (view.Slice[view.Execution], error) {
	if f.executions != nil {
		q = f.executions(q)
	}
	s, err := f.Views.Executions(f.in(ctx), q)
	if err == nil && f.gotRuns != nil {
		s = f.gotRuns(s)
	}
	return s, err
}

func (f *faulty) Approvals(ctx context.Context, q view.ApprovalQuery) (view.Slice[view.Approval], error) {
	if f.approvals != nil {
		q = f.approvals(q)
	}
	return f.Views.Approvals(f.in(ctx), q)
}

func (f *faulty) Events(ctx context.Context, q view.EventQuery) (view.Slice[view.Event], error) {
	if f.events != nil {
		q = f.events(q)
	}
	s, err := f.Views.Events(f.in(ctx), q)
	if err == nil && f.gotEvents != nil {
		s = f.gotEvents(s)
	}
	return s, err
}

func (f *faulty) Tasks(ctx context.Context, id string) ([]view.Task, view.Checkpoint, error) {
	all, as, err := f.Views.Tasks(ctx, id)
	if f.tasks != nil {
		all = f.tasks(all)
	}
	return all, as, err
}

func (s *faultyStore) Commit(ctx context.Context, c projections.Changes) error {
	if s.f.changes != nil {
		c = s.f.changes(c)
	}
	if s.f.text != nil {
		c.Executions = slices.Clone(c.Executions)
		for i := range c.Executions {
			c.Executions[i].FlowName = s.f.text(c.Executions[i].FlowName)
		}
	}
	if s.f.commit != nil {
		return s.f.commit(s, ctx, c)
	}
	return s.Store.Commit(s.f.in(ctx), c)
}

func (s *faultyStore) State(ctx context.Context) (projections.State, error) {
	st, err := s.Store.State(ctx)
	if err == nil && s.f.state != nil {
		st = s.f.state(st)
	}
	return st, err
}

func (s *faultyStore) Runs(ctx context.Context, ids []string) (map[string]projections.Run, error) {
	r, err := s.Store.Runs(ctx, ids)
	if err == nil && s.f.runs != nil {
		r = s.f.runs(r)
	}
	return r, err
}

func (s *faultyStore) Snapshot(ctx context.Context) (projections.Snapshot, error) {
	if s.f.snapshot != nil {
		return s.f.snapshot(s, ctx)
	}
	return s.Store.Snapshot(ctx)
}

// butOne drops the last of several rows.
func butOne[Row any](rows []Row) []Row {
	if len(rows) > 1 {
		return rows[:len(rows)-1]
	}
	return rows
}

// each makes a fault that changes every row on its way in.
func each(change func(c *projections.Changes)) func(f *faulty) {
	return func(f *faulty) {
		f.changes = func(c projections.Changes) projections.Changes { change(&c); return c }
	}
}

// faults lists what real adapters get wrong. Each must fail the suite.
var faults = map[string]func(f *faulty){
	"drops an event of a batch":     each(func(c *projections.Changes) { c.Events = butOne(c.Events) }),
	"drops a task of a batch":       each(func(c *projections.Changes) { c.Tasks = butOne(c.Tasks) }),
	"drops an execution of a batch": each(func(c *projections.Changes) { c.Executions = butOne(c.Executions) }),
	"drops a status interval":       each(func(c *projections.Changes) { c.Statuses = butOne(c.Statuses) }),
	"drops an approval of a batch":  each(func(c *projections.Changes) { c.Approvals = butOne(c.Approvals) }),
	"lets later approvals overwrite the request": each(func(c *projections.Changes) { // as new rows
		for _, a := range c.Approvals {
			if a.Position <= c.After && a.RequestedAt.IsZero() {
				c.Approvals = slices.DeleteFunc(slices.Clone(c.Approvals), func(x view.Approval) bool { return x.Position == a.Position })
			}
		}
	}),
	"forgets what tasks wait for": each(func(c *projections.Changes) {
		c.Tasks = slices.Clone(c.Tasks)
		for i := range c.Tasks {
			c.Tasks[i].Wait.Channel = ""
		}
	}),
	"forgets the types of nodes": each(func(c *projections.Changes) {
		c.Events = slices.Clone(c.Events)
		for i := range c.Events {
			c.Events[i].NodeType = ""
		}
	}),
	"forgets since when a status holds": each(func(c *projections.Changes) {
		c.Executions = slices.Clone(c.Executions)
		for i := range c.Executions {
			c.Executions[i].StatusSince = 0
		}
	}),
	"ignores an approval's status": func(f *faulty) {
		f.approvals = func(q view.ApprovalQuery) view.ApprovalQuery { q.Status = ""; return q }
	},
	"ignores an approval's execution": func(f *faulty) {
		f.approvals = func(q view.ApprovalQuery) view.ApprovalQuery { q.ExecutionID = ""; return q }
	},
	"ignores an approval's workflow": func(f *faulty) {
		f.approvals = func(q view.ApprovalQuery) view.ApprovalQuery { q.WorkflowID = ""; return q }
	},
	"ignores a connection": func(f *faulty) {
		f.executions = func(q view.ExecutionQuery) view.ExecutionQuery { q.ConnectionID = ""; return q }
	},
	"ignores what was retried": func(f *faulty) {
		f.executions = func(q view.ExecutionQuery) view.ExecutionQuery { q.RetryOf = ""; return q }
	},
	"takes paused for running": func(f *faulty) {
		f.executions = func(q view.ExecutionQuery) view.ExecutionQuery {
			if q.Status == view.Paused {
				q.Status = view.Running
			}
			return q
		}
	},
	"drops names":          each(func(c *projections.Changes) { c.Names = nil }),
	"drops endpoints":      each(func(c *projections.Changes) { c.Endpoints = nil }),
	"drops versions":       each(func(c *projections.Changes) { c.WorkflowVersions = butOne(c.WorkflowVersions) }),
	"drops what is parked": each(func(c *projections.Changes) { c.Parked = butOne(c.Parked) }),
	"drops holes": each(func(c *projections.Changes) {
		c.Executions = slices.Clone(c.Executions)
		for i := range c.Executions {
			c.Executions[i].Input.Holes = nil
		}
	}),
	"moves the checkpoint without rows": each(func(c *projections.Changes) {
		*c = projections.Changes{Log: c.Log, After: c.After, To: c.To, Versions: c.Versions}
	}),
	"forgets versions of projectors": each(func(c *projections.Changes) { c.Versions = nil }),
	"forgets which log it is":        each(func(c *projections.Changes) { c.Log = "" }),
	"takes rows of another log":      each(func(c *projections.Changes) { c.Log = "one" }),
	"stores rows without moving the checkpoint": func(f *faulty) {
		f.state = func(s projections.State) projections.State { s.Position = max(s.Position, 1) - 1; return s }
	},
	"takes a batch from anywhere": func(f *faulty) {
		f.commit = func(s *faultyStore, ctx context.Context, c projections.Changes) error {
			if st, err := s.Store.State(ctx); err == nil && c.To > st.Position {
				c.After = st.Position
			}
			return s.Store.Commit(ctx, c)
		}
	},
	"takes a batch twice": func(f *faulty) {
		f.commit = func(s *faultyStore, ctx context.Context, c projections.Changes) error {
			err := s.Store.Commit(ctx, c)
			if st, serr := s.Store.State(ctx); errors.Is(err, domain.ErrConflict) && serr == nil && st.Position == c.To {
				return nil
			}
			return err
		}
	},
	"lets later rows overwrite the birth": each(func(c *projections.Changes) { // as new rows
		for _, e := range c.Executions {
			if e.Position <= c.After && e.StartedAt.IsZero() {
				c.Executions = slices.DeleteFunc(slices.Clone(c.Executions), func(x view.Execution) bool { return x.Position == e.Position })
			}
		}
	}),
	"keeps the caller's bytes": func(f *faulty) {
		var kept []view.Execution
		f.changes = func(c projections.Changes) projections.Changes { kept = append(kept, c.Executions...); return c }
		f.snapshot = func(s *faultyStore, ctx context.Context) (projections.Snapshot, error) {
			snap, err := s.Store.Snapshot(ctx)
			if err != nil {
				return nil, err
			}
			for _, e := range kept {
				if len(e.Input.JSON) > 0 && e.Input.JSON[0] == 'x' {
					_ = snap.Close()
					return nil, errors.New("spoiled")
				}
			}
			return snap, nil
		}
	},
	"loads closed tasks as open": func(f *faulty) {
		f.runs = func(m map[string]projections.Run) map[string]projections.Run {
			for id, r := range m {
				r.Open = append(r.Open, view.Task{Execution: r.Execution.Position, Task: "x"})
				m[id] = r
			}
			return m
		}
	},
	"loads no open tasks": func(f *faulty) {
		f.runs = func(m map[string]projections.Run) map[string]projections.Run {
			for id, r := range m {
				r.Open = nil
				m[id] = r
			}
			return m
		}
	},
	"loads at most a thousand runs": func(f *faulty) {
		f.runs = func(m map[string]projections.Run) map[string]projections.Run {
			for id := range m {
				if len(m) <= 1000 {
					break
				}
				delete(m, id)
			}
			return m
		}
	},
	"ignores AsOf": func(f *faulty) {
		f.executions = func(q view.ExecutionQuery) view.ExecutionQuery { q.AsOf = 0; return q }
	},
	"ignores AsOf for statuses": func(f *faulty) {
		f.executions = func(q view.ExecutionQuery) view.ExecutionQuery {
			if q.Status != "" {
				q.AsOf = 0
			}
			return q
		}
	},
	"AsOf leaves out the event itself": func(f *faulty) {
		f.executions = func(q view.ExecutionQuery) view.ExecutionQuery { q.AsOf = max(q.AsOf, 1) - 1; return q }
	},
	"Before takes in its position": func(f *faulty) {
		f.events = func(q view.EventQuery) view.EventQuery {
			if q.Before != 0 {
				q.Before++
			}
			return q
		}
	},
	"After takes in its position": func(f *faulty) {
		f.events = func(q view.EventQuery) view.EventQuery { q.After = max(q.After, 1) - 1; return q }
	},
	"takes the first type only": func(f *faulty) {
		f.events = func(q view.EventQuery) view.EventQuery { q.Types = q.Types[:min(1, len(q.Types))]; return q }
	},
	"ignores a node": func(f *faulty) {
		f.events = func(q view.EventQuery) view.EventQuery { q.Node = ""; return q }
	},
	"To takes in its instant": func(f *faulty) {
		f.events = func(q view.EventQuery) view.EventQuery {
			if !q.To.IsZero() {
				q.To = q.To.Add(1e6)
			}
			return q
		}
	},
	"From leaves out its instant": func(f *faulty) {
		f.executions = func(q view.ExecutionQuery) view.ExecutionQuery {
			if !q.StartedFrom.IsZero() {
				q.StartedFrom = q.StartedFrom.Add(1e6)
			}
			return q
		}
	},
	"includes the key of the page before": func(f *faulty) {
		f.executions = func(q view.ExecutionQuery) view.ExecutionQuery {
			if q.Key != 0 && !q.Ascending {
				q.Key++
			}
			return q
		}
	},
	"always says newest first": func(f *faulty) {
		f.executions = func(q view.ExecutionQuery) view.ExecutionQuery { q.Ascending = false; return q }
	},
	"ignores an offset": func(f *faulty) {
		f.events = func(q view.EventQuery) view.EventQuery { q.Offset = 0; return q }
	},
	"never says more": func(f *faulty) {
		f.gotEvents = func(s view.Slice[view.Event]) view.Slice[view.Event] { s.More = false; return s }
	},
	"says more of a full last page": func(f *faulty) {
		f.gotRuns = func(s view.Slice[view.Execution]) view.Slice[view.Execution] { s.More = true; return s }
	},
	"counts the page as the total": func(f *faulty) {
		f.gotRuns = func(s view.Slice[view.Execution]) view.Slice[view.Execution] {
			s.Total = min(s.Total, len(s.Rows))
			return s
		}
	},
	"counts without a cap": func(f *faulty) {
		f.gotEvents = func(s view.Slice[view.Event]) view.Slice[view.Event] {
			if s.Total > view.TotalMax {
				s.Total = 11_000
			}
			return s
		}
	},
	"says a checkpoint of its own": func(f *faulty) {
		f.gotRuns = func(s view.Slice[view.Execution]) view.Slice[view.Execution] { s.As.Position++; return s }
	},
	"reads rows and checkpoint apart": func(f *faulty) {
		f.gotRuns = func(s view.Slice[view.Execution]) view.Slice[view.Execution] {
			if len(s.Rows) != 1 || s.Rows[0].FlowName != "" { // not of the case that looks for this
				return s
			}
			// The commit in between is waited for, for a while: whether one comes must not be luck.
			for range 10_000 {
				later, err := f.Views.Checkpoint(context.Background())
				if err == nil && later.Position > s.As.Position {
					s.As = later
					break
				}
				runtime.Gosched()
			}
			return s
		}
	},
	"tasks in no order": func(f *faulty) {
		f.tasks = func(all []view.Task) []view.Task { slices.Reverse(all); return all }
	},
	"folds case": func(f *faulty) { f.text = strings.ToLower },
	"cuts names": func(f *faulty) { f.text = func(s string) string { return s[:min(len(s), 255)] } },
	"cuts at NUL": func(f *faulty) {
		f.text = func(s string) string { s, _, _ = strings.Cut(s, "\x00"); return s }
	},
	"mends UTF-8":  func(f *faulty) { f.text = func(s string) string { return strings.ToValidUTF8(s, "?") } },
	"trims spaces": func(f *faulty) { f.text = strings.TrimSpace },
	"changes escapes in payloads": each(func(c *projections.Changes) {
		c.Executions = slices.Clone(c.Executions)
		for i := range c.Executions {
			if in := &c.Executions[i].Input; in.JSON != nil {
				in.JSON = []byte(strings.ReplaceAll(string(in.JSON), `\u0000`, ""))
			}
		}
	}),
	"builds on the current generation": func(f *faulty) {
		f.begin = func(ctx context.Context) (projections.Store, error) { return f.Views.Current(ctx) }
	},
	"shows what is being built": func(f *faulty) {
		f.begin = func(ctx context.Context) (projections.Store, error) {
			s, err := f.Views.Begin(ctx)
			if err == nil {
				err = f.Views.Promote(ctx, s)
			}
			return s, err
		}
	},
	"promotes by way of an empty one": func(f *faulty) {
		f.promote = func(ctx context.Context, s projections.Store) error {
			if err := f.Views.Promote(ctx, s); err != nil {
				return err
			}
			if empty, err := f.Views.Begin(ctx); err == nil {
				_ = f.Views.Promote(ctx, empty)
			}
			return nil
		}
	},
	"promotes nothing":           func(f *faulty) { f.promote = func(context.Context, projections.Store) error { return nil } },
	"drops nothing":              func(f *faulty) { f.drop = func(context.Context, projections.Store) error { return nil } },
	"fails to drop what is gone": func(f *faulty) { f.drop = dropOnce(f) },
	"a snapshot goes on changing": func(f *faulty) {
		f.snapshot = func(s *faultyStore, ctx context.Context) (projections.Snapshot, error) {
			snap, err := s.Store.Snapshot(ctx)
			return &moving{Snapshot: snap, s: s.Store}, err
		}
	},
	"ignores its context": func(f *faulty) { f.ctx = context.WithoutCancel },
	"Close does nothing":  func(f *faulty) { f.close = func() error { return nil } },
	"the second Close fails": func(f *faulty) {
		closed := false
		f.close = func() error {
			if closed {
				return errors.New("closed twice")
			}
			closed = true
			return f.Views.Close()
		}
	},
	"loses everything at reopen": func(f *faulty) { f.again = memory.NewViews },
}

// dropOnce makes a second Drop of a generation fail.
func dropOnce(f *faulty) func(context.Context, projections.Store) error {
	var mu sync.Mutex
	dropped := map[projections.Store]bool{}
	return func(ctx context.Context, s projections.Store) error {
		mu.Lock()
		defer mu.Unlock()
		if dropped[s] {
			return errors.New("no such generation")
		}
		dropped[s] = true
		return f.Views.Drop(ctx, s)
	}
}

// moving is a snapshot whose state is that of now.
type moving struct {
	projections.Snapshot
	s projections.Store
}

func (m *moving) State() projections.State {
	st, err := m.s.State(context.Background())
	if err != nil {
		return m.Snapshot.State()
	}
	return st
}
