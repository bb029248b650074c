package viewstest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// Step is what one event changes.
type Step struct {
	Position domain.Position
	projections.Changes
}

// World makes up a past: executions that start, run tasks and end, workflows, names, endpoints, in
// random order and with the rows that projectors would give. Equal seeds make equal worlds.
type World struct {
	Log    *Log
	LogID  domain.LogID
	rng    *rand.Rand
	at     time.Time
	pos    domain.Position
	count  int
	stride uint64 // positions grow by 1..stride
	wild   bool   // clocks go anywhere
	words  []string

	open      []*worldRun
	ids       []string
	workflows []*view.Workflow
	endpoints []view.Endpoint
}

// worldRun is an execution that has not ended.
type worldRun struct {
	row    view.Execution
	status view.StatusInterval
	tasks  []view.Task // without an end
	asks   map[domain.Position]view.Approval
}

// NewWorld returns an empty world.
func NewWorld(seed uint64) *World {
	return &World{
		Log: NewLog(), LogID: "log-1",
		rng: rand.New(rand.NewPCG(seed, 1)), stride: 3,
		at:    time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
		words: []string{"alpha", "beta", "gamma", "delta"},
	}
}

// versions are those of the projectors.
func (w *World) versions() map[string]int { return map[string]int{"executions": 1, "tasks": 2} }

func (w *World) n(n int) int       { return w.rng.IntN(n) }
func (w *World) chance(n int) bool { return w.rng.IntN(n) == 0 }
func (w *World) word() string      { return w.words[w.n(len(w.words))] }

// wordOrNone is "" one time in four.
func (w *World) wordOrNone() string {
	if w.chance(4) {
		return ""
	}
	return w.word()
}

// uuid makes an id; most are written as usual, some not, so that nobody relies on their form.
func (w *World) uuid() string {
	w.count++
	switch w.n(8) {
	case 0:
		return fmt.Sprintf("0190A0B0-0000-7000-8000-%012X", w.count)
	case 1:
		return fmt.Sprintf("id %d", w.count)
	default:
		return fmt.Sprintf("0190a0b0-%04x-7000-8000-%012x", w.n(1<<16), w.count)
	}
}

var wildTimes = []time.Time{
	time.Date(1905, 1, 2, 3, 4, 5, 6e6, time.UTC),
	time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC),
	time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
	time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
}

// tick moves on to the next event.
func (w *World) tick() {
	w.pos += 1 + domain.Position(w.rng.Uint64N(w.stride))
	switch {
	case w.wild && w.chance(5):
		w.at = wildTimes[w.n(len(wildTimes))]
	case w.wild && w.chance(3):
		w.at = w.at.Add(-time.Duration(w.n(5000)) * time.Millisecond)
		w.at = w.at.Truncate(time.Millisecond)
	case !w.chance(3): // else the same instant
		w.at = w.at.Add(time.Duration(w.n(900)) * time.Millisecond)
	}
}

var payloads = []string{
	`{"k":"v"}`, `{"nul":"a\u0000b","lone":"\ud800"}`, `{"n":1e400,"m":-0,"big":9007199254740993}`,
	`{"b":1,"a":2,"b":3}`, ` [ 1 , 2 ] `, `"😀"`, `null`, `{}`,
}

func (w *World) value() domain.Value {
	v := domain.Raw([]byte(payloads[w.n(len(payloads))]))
	switch w.n(6) {
	case 0:
		return domain.Value{}
	case 1:
		v.Holes = []domain.Hole{
			{At: "/k", Sealed: "s1", FP: "k7Qx"},
			{At: "/o~1p/" + w.word(), Blob: strings.Repeat("9f", 32), Bytes: 1 << 40},
		}
	case 2:
		v.Holes = []domain.Hole{{Blob: strings.Repeat("a0", 32), Bytes: 70_000}}
	}
	return v
}

// event records an event at the current place of the world.
func (w *World) event(stream domain.StreamID, typ string, of *view.Execution, node string) view.Event {
	e := view.Event{At: w.at, Node: node}
	if node != "" && !w.chance(4) {
		e.NodeType = w.word()
	}
	e.Stream, e.Revision, e.Position, e.Type = stream, w.Log.next(stream), w.pos, typ
	for i := range e.ID {
		e.ID[i] = byte(w.rng.Uint32())
	}
	e.Metadata = fmt.Appendf(nil, `{"at":%q,"n":%d}`, w.at.Format(domain.TimeLayout), w.pos)
	e.Data = []byte(payloads[w.n(len(payloads))])
	if of != nil {
		e.Execution, e.ExecutionID, e.WorkflowID = of.Position, of.ID, of.WorkflowID
	}
	w.Log.Add(e)
	return e
}

// Steps makes n events.
func (w *World) Steps(n int) []Step {
	steps := make([]Step, n)
	for i := range steps {
		steps[i] = w.Step()
	}
	return steps
}

// Step makes one event.
func (w *World) Step() Step {
	w.tick()
	s := Step{Position: w.pos}
	switch k := w.n(20); {
	case k < 3 || len(w.open) == 0 && k < 14:
		w.start(&s)
	case k < 4:
		w.pause(&s, w.open[w.n(len(w.open))])
	case k < 12:
		w.taskEvent(&s, w.open[w.n(len(w.open))])
	case k < 14:
		w.end(&s, w.n(len(w.open)))
	case k < 15:
		w.name(&s)
	case k < 17:
		w.workflow(&s)
	case k < 18:
		w.endpoint(&s)
	case k < 19:
		s.Events = append(s.Events, w.event("odd-"+domain.StreamID(w.word()), "odd.happened.v7", nil, ""))
	default:
		e := w.event(domain.StreamID("run-lost-"+w.uuid()), "run.abandoned.v1", nil, "")
		e.ExecutionID = "lost " + w.word()
		s.Events = append(s.Events, e)
		for _, projector := range []string{"tasks", "executions"}[:1+w.n(2)] {
			s.Parked = append(s.Parked, view.Parked{
				Projector: projector, Position: e.Position, Stream: e.Stream, Revision: e.Revision,
				Type: e.Type, Reason: "cannot be read: " + w.word(),
			})
		}
	}
	return s
}

func (w *World) start(s *Step) {
	r := &worldRun{row: view.Execution{
		Position: w.pos, ID: w.uuid(), WorkflowID: w.wordOrNone(), WorkflowVersion: w.n(3),
		Source: w.word(), Endpoint: w.wordOrNone(), FlowName: w.wordOrNone(), RunName: w.wordOrNone(),
		Status: view.Running, StatusSince: w.pos, StartedAt: w.at, Input: w.value(),
	}, asks: map[domain.Position]view.Approval{}}
	if w.chance(2) {
		r.row.ConnectionID = w.word()
	}
	if len(w.ids) > 0 && w.chance(3) {
		r.row.RetryOf = w.ids[w.n(len(w.ids))]
	}
	w.ids = append(w.ids, r.row.ID)
	r.status = view.StatusInterval{Execution: w.pos, Status: view.Running, From: w.pos}
	w.open = append(w.open, r)
	s.Statuses = append(s.Statuses, r.status)
	w.touch(s, r, w.event(r.stream(), "run.started.v1", &r.row, ""))
}

func (r *worldRun) stream() domain.StreamID { return domain.StreamID("run-" + r.row.ID) }

// touch notes that e happened to r.
func (w *World) touch(s *Step, r *worldRun, e view.Event) {
	r.row.LastOffset, r.row.LastPosition = e.Revision, e.Position
	r.row.CurrentNode = ""
	if n := len(r.tasks); n > 0 {
		r.row.CurrentNode = r.tasks[n-1].Task
	}
	row := r.row
	if row.Position != w.pos && w.chance(2) { // what it was born with may be left out
		row = view.Execution{
			Position: row.Position, ID: row.ID, Status: row.Status, StatusSince: row.StatusSince, EndedAt: row.EndedAt,
			CurrentNode: row.CurrentNode, FailedTask: row.FailedTask, Error: row.Error,
			LastOffset: row.LastOffset, LastPosition: row.LastPosition, Tasks: row.Tasks,
		}
	}
	s.Executions = append(s.Executions, row)
	s.Events = append(s.Events, e)
}

func (w *World) taskEvent(s *Step, r *worldRun) {
	next := r.row.LastOffset + 1
	switch k := w.n(8); {
	case k > 5 && len(r.tasks) > 0:
		w.wait(s, r, &r.tasks[w.n(len(r.tasks))])
	case k < 3 || len(r.tasks) == 0:
		t := view.Task{
			Execution: r.row.Position, Task: w.word(), Iteration: int(next), TaskID: w.uuid(), Function: w.wordOrNone(),
			Status: view.Running, Attempts: 1, StartedAt: w.at, StartedOffset: next, EndedOffset: domain.NoStream,
		}
		if w.chance(5) {
			t.Status, t.Attempts, t.StartedAt, t.EndedAt, t.EndedOffset = view.Skipped, 0, time.Time{}, w.at, next
			r.row.Tasks.Skipped++
		} else {
			r.tasks = append(r.tasks, t)
			r.row.Tasks.Started++
			r.row.Tasks.Attempts++
		}
		r.row.Tasks.Total++
		s.Tasks = append(s.Tasks, t)
		w.touch(s, r, w.event(r.stream(), "run.task_started.v1", &r.row, t.Task))
	case k == 3:
		t := &r.tasks[w.n(len(r.tasks))]
		w.answer(s, r, t)
		t.Status, t.Attempts = view.Retrying, t.Attempts+1
		t.Error = view.Error{Type: w.word(), Code: "HTTP_503", Message: w.word()}
		r.row.Tasks.Attempts++
		s.Tasks = append(s.Tasks, *t)
		w.touch(s, r, w.event(r.stream(), "run.task_retry_scheduled.v1", &r.row, t.Task))
	default:
		i := w.n(len(r.tasks))
		t := r.tasks[i]
		w.answer(s, r, &t)
		r.tasks = append(r.tasks[:i:i], r.tasks[i+1:]...)
		t.Status, t.EndedAt, t.EndedOffset, t.Error = view.Completed, w.at, next, view.Error{}
		r.row.Tasks.Completed++
		s.Tasks = append(s.Tasks, t)
		w.touch(s, r, w.event(r.stream(), "run.task_completed.v1", &r.row, t.Task))
	}
}

// pause pauses an execution, or goes on with it.
func (w *World) pause(s *Step, r *worldRun) {
	status := view.Paused
	if r.row.Status == view.Paused {
		status = view.Running
	}
	last := r.status
	last.To = w.pos
	r.status = view.StatusInterval{Execution: r.row.Position, Status: status, From: w.pos}
	s.Statuses = append(s.Statuses, last, r.status)
	r.row.Status, r.row.StatusSince = status, w.pos
	w.touch(s, r, w.event(r.stream(), "run."+string(status)+".v1", &r.row, ""))
}

// wait lets a task wait; for a decision it leaves a request.
func (w *World) wait(s *Step, r *worldRun, t *view.Task) {
	w.answer(s, r, t)
	t.Status = view.Waiting
	t.Wait = view.Wait{Kind: []view.WaitKind{view.WaitApproval, view.WaitApproval, view.WaitEvent, view.WaitTimer}[w.n(4)], Since: w.pos}
	if t.Wait.Kind == view.WaitEvent {
		t.Wait.Channel = w.word()
	}
	if w.chance(2) {
		t.Wait.DueAt = w.at.Add(time.Duration(w.n(1000)) * time.Millisecond)
	}
	if t.Wait.Kind == view.WaitApproval {
		a := view.Approval{
			Position: w.pos, Execution: r.row.Position, ExecutionID: r.row.ID, WorkflowID: r.row.WorkflowID,
			Task: t.Task, Iteration: t.Iteration, TaskID: t.TaskID, Offset: r.row.LastOffset + 1, Request: w.value(),
			RequestedAt: w.at, DueAt: t.Wait.DueAt, Status: view.ApprovalPending, EndedOffset: domain.NoStream,
		}
		r.asks[w.pos] = a
		s.Approvals = append(s.Approvals, a)
	}
	s.Tasks = append(s.Tasks, *t)
	w.touch(s, r, w.event(r.stream(), "run.waits.v1", &r.row, t.Task))
}

// answer ends a task's wait.
func (w *World) answer(s *Step, r *worldRun, t *view.Task) {
	if t.Wait.Kind == view.WaitApproval {
		a := r.asks[t.Wait.Since]
		delete(r.asks, t.Wait.Since)
		if w.chance(2) { // what it was born with may be left out
			a = view.Approval{Position: a.Position}
		}
		a.Status = []view.ApprovalStatus{view.ApprovalApproved, view.ApprovalRejected, view.ApprovalExpired, view.ApprovalCancelled}[w.n(4)]
		a.Approver, a.Comment, a.ActorKind, a.ActorID = w.wordOrNone(), w.wordOrNone(), w.wordOrNone(), w.wordOrNone()
		a.EndedAt, a.EndedOffset = w.at, r.row.LastOffset+1
		s.Approvals = append(s.Approvals, a)
	}
	t.Wait = view.Wait{}
}

func (w *World) end(s *Step, i int) {
	r := w.open[i]
	w.open = append(w.open[:i:i], w.open[i+1:]...)
	r.row.EndedAt, r.row.StatusSince = w.at, w.pos
	r.row.Status = []view.Status{view.Completed, view.Failed, view.Cancelled}[w.n(3)]
	if r.row.Status == view.Failed {
		r.row.FailedTask, r.row.Error = w.word(), view.Error{Type: "T", Code: "C", Message: w.word()}
		r.row.Tasks.Failed++
	}
	r.status.To = w.pos
	s.Statuses = append(s.Statuses, r.status, view.StatusInterval{Execution: r.row.Position, Status: r.row.Status, From: w.pos})
	for _, t := range r.tasks {
		w.answer(s, r, &t)
		t.Status, t.EndedAt, t.EndedOffset = view.Cancelled, w.at, r.row.LastOffset+1
		s.Tasks = append(s.Tasks, t)
	}
	r.tasks = nil
	w.touch(s, r, w.event(r.stream(), "run."+string(r.row.Status)+".v1", &r.row, ""))
}

func (w *World) name(s *Step) {
	e := w.event("name-"+domain.StreamID(w.word()), "name.bound.v1", nil, "")
	if len(w.ids) > 0 { // an event about an execution whose first event may not be known yet
		e.ExecutionID, e.WorkflowID = w.ids[w.n(len(w.ids))], w.wordOrNone()
	}
	s.Events = append(s.Events, e)
	s.Names = append(s.Names, view.Name{
		FlowName: w.word(), RunName: w.wordOrNone(), ExecutionID: e.ExecutionID, Position: e.Position, Offset: e.Revision,
	})
}

func (w *World) workflow(s *Step) {
	var f *view.Workflow
	var typ string
	if len(w.workflows) > 0 && !w.chance(3) {
		f = w.workflows[w.n(len(w.workflows))]
		typ = "workflow.updated.v1"
	}
	if f == nil || f.Deleted { // a deleted one stays so
		typ = "workflow.created.v1"
		f = &view.Workflow{Position: w.pos, ID: w.uuid(), CreatedAt: w.at}
		w.workflows = append(w.workflows, f)
	}
	f.UpdatedAt, f.LastPosition = w.at, w.pos
	if f.Version > 0 && w.chance(4) {
		f.Deleted, typ = true, "workflow.deleted.v1"
	} else {
		f.Version++
		f.Name, f.Description, f.Endpoint, f.Graph = w.word(), w.wordOrNone(), w.wordOrNone(), w.value()
		s.WorkflowVersions = append(s.WorkflowVersions, view.WorkflowVersion{
			WorkflowID: f.ID, Version: f.Version, Name: f.Name, Description: f.Description,
			Endpoint: f.Endpoint, Graph: f.Graph, At: w.at, Position: w.pos,
		})
	}
	e := w.event(domain.StreamID("workflow-"+f.ID), typ, nil, "")
	e.WorkflowID = f.ID
	s.Events = append(s.Events, e)
	s.Workflows = append(s.Workflows, *f)
}

func (w *World) endpoint(s *Step) {
	e := view.Endpoint{ID: fmt.Sprintf("%s-%08x", w.word(), w.pos), Slug: w.word(), CreatedAt: w.at, Position: w.pos}
	if len(w.endpoints) > 0 && w.chance(4) { // the same again
		e.ID = w.endpoints[w.n(len(w.endpoints))].ID
		for _, old := range w.endpoints {
			if old.ID == e.ID {
				e.Position, e.CreatedAt = old.Position, old.CreatedAt
			}
		}
	}
	w.endpoints = append(w.endpoints, e)
	s.Endpoints = append(s.Endpoints, e)
	s.Events = append(s.Events, w.event("endpoint-"+domain.StreamID(e.ID), "endpoint.created.v1", nil, ""))
}
