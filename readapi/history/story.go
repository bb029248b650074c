package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/projections/view"
)

// runStreamPrefix starts the id of every run's stream.
const runStreamPrefix = "run-"

// readPage is how many events one read of a stream asks for.
const readPage = 500

// story is a run folded for showing, up to some event. Unlike run.State, which keeps what deciding
// needs, it keeps what people ask: when each task began and ended, how often it was tried, and why it
// failed.
type story struct {
	row    view.Execution
	input  domain.Value
	meta   domain.Value // what the client said beside the input
	nodes  []*nodeStory // in the definition's order
	byName map[string]*nodeStory
	began  []*taskStory // every iteration of every task, in order of beginning or skipping
	kept   int          // bytes of outputs and of errors' details
}

// nodeStory is one vertex of the definition.
type nodeStory struct {
	name, typ string
	task      *taskStory // its newest iteration; nil before the first
}

// taskStory is one iteration of a task.
type taskStory struct {
	view.Task
	details   held // of its error
	output    held
	completed bool // output is one, even if null
}

// held is a value, or only its size if the run's values are too many to be kept together.
type held struct {
	domain.Value
	bytes int
	left  bool // out: only the size is here
}

// until says where a fold ends: after the event at offset, or after the last event at or before at.
// The zero value is not valid; whole reads everything.
type until struct {
	offset domain.Revision
	at     time.Time
}

var whole = until{offset: 1<<63 - 1}

func (u until) passes(revision domain.Revision, at time.Time) bool {
	return revision <= u.offset && (u.at.IsZero() || !at.After(u.at))
}

// tell folds a run. bounds say how many bytes of values are kept.
//
// Errors: ErrNotFound if the run is unknown or was abandoned, or had not begun by then; ErrUnprocessable
// naming query/at, with the head, if u lies beyond it; ErrUnavailable with code UNKNOWN_EVENT if a
// newer version wrote part of it; ErrCorrupt; those of the log and the blobs.
func (r *Routes) tell(ctx context.Context, id string, u until, bounds Options) (*story, error) {
	stream := domain.StreamID(runStreamPrefix + id)
	s := &story{}
	for next := domain.Revision(0); ; {
		page, err := r.deps.Log.ReadStream(ctx, stream, next, readPage)
		if err != nil {
			return nil, known(err)
		}
		if len(page) == 0 {
			break
		}
		for i := range page {
			e := &page[i]
			at, err := wire.DecodeAt(e.Metadata)
			if err != nil {
				return nil, fmt.Errorf("fold %s: %w", stream, err)
			}
			if !u.passes(e.Revision, at) {
				return s, s.begun(at)
			}
			if err := r.turn(ctx, s, e, at, bounds); err != nil {
				return nil, err
			}
		}
		next = page[len(page)-1].Revision + 1
	}
	if u.offset != whole.offset && s.row.LastOffset < u.offset {
		return nil, domain.E(domain.KindUnprocessable, "", "", fmt.Sprintf("lies beyond the run's last offset, %d", s.row.LastOffset)).
			WithField("query/at").WithCode("BEYOND_HEAD").WithDetails(map[string]any{"last_offset": int64(s.row.LastOffset)})
	}
	return s, nil
}

// begun refuses a time before the run's first event, which is at.
func (s *story) begun(at time.Time) error {
	if s.row.ID != "" {
		return nil
	}
	return domain.E(domain.KindNotFound, "", "", "the run had not begun then: its first event is of "+at.Format(domain.TimeLayout)).
		WithField("query/at").WithCode("NOT_BEGUN")
}

// turn applies one event.
func (r *Routes) turn(ctx context.Context, s *story, e *domain.Recorded, at time.Time, bounds Options) error {
	decoded, err := wire.DecodeRun(e.Type, e.Data)
	if err != nil {
		var unknown *domain.Error
		if errors.As(err, &unknown) && unknown.Code == "UNKNOWN_EVENT" {
			return domain.E(domain.KindUnavailable, "fold run", string(e.Stream),
				fmt.Sprintf("a newer version wrote offset %d of this run; ask a node of that version", e.Revision)).WithCode("UNKNOWN_EVENT")
		}
		return fmt.Errorf("fold %s at revision %d: %w", e.Stream, e.Revision, err)
	}
	if _, abandoned := decoded.(run.Abandoned); abandoned {
		return unknownExecution()
	}
	if started, ok := decoded.(run.Started); ok {
		definition, err := r.definition(ctx, started.Definition)
		if err != nil {
			return err
		}
		s.start(started, definition, e, at)
	} else if s.row.ID == "" {
		return domain.E(domain.KindCorrupt, "fold run", string(e.Stream), "does not begin with its start")
	} else if err := s.apply(decoded, e, at, bounds); err != nil {
		return err
	}
	s.row.LastOffset, s.row.LastPosition = e.Revision, e.Position
	return nil
}

// definition reads a run's definition, whose JSON may be a blob.
func (r *Routes) definition(ctx context.Context, v domain.Value) (workflow.Definition, error) {
	var sealed, stored []domain.Hole
	for _, h := range v.Holes {
		if h.Blob != "" {
			stored = append(stored, h)
		} else {
			sealed = append(sealed, h)
		}
	}
	if len(stored) > 0 {
		b, err := domain.Value{JSON: v.JSON, Holes: stored}.Fill(func(h domain.Hole) ([]byte, error) {
			content, err := r.deps.Blobs.Get(ctx, h.Blob)
			if errors.Is(err, domain.ErrNotFound) {
				err = domain.Wrap(domain.KindCorrupt, "load blob", h.Blob, err)
			}
			return content, err
		})
		if err != nil {
			return workflow.Definition{}, err
		}
		v = domain.Value{JSON: b, Holes: sealed}
	}
	return wire.DecodeDefinition(v)
}

func (s *story) start(e run.Started, d workflow.Definition, r *domain.Recorded, at time.Time) {
	s.row = view.Execution{
		Position: r.Position, ID: e.RunID, WorkflowID: e.WorkflowID, WorkflowVersion: e.WorkflowVersion, Endpoint: e.Endpoint, Source: e.Source,
		FlowName: e.FlowName, RunName: e.RunName, ConnectionID: e.ConnectionID, RetryOf: e.RetryOf, Status: view.Running, StartedAt: at, Input: e.Input,
		Tasks: view.TaskCounts{Total: len(d.Nodes)},
	}
	s.input, s.meta = e.Input, e.Metadata
	s.nodes = make([]*nodeStory, len(d.Nodes))
	s.byName = make(map[string]*nodeStory, len(d.Nodes))
	for i, n := range d.Nodes {
		s.nodes[i] = &nodeStory{name: n.Name, typ: n.Type}
		s.byName[n.Name] = s.nodes[i]
	}
}

func (s *story) apply(event run.Event, r *domain.Recorded, at time.Time, bounds Options) error {
	counts := &s.row.Tasks
	switch e := event.(type) {
	case run.TaskStarted:
		t, err := s.begin(e.Task, r)
		if err != nil {
			return err
		}
		t.Iteration, t.TaskID, t.Function, t.Status, t.Attempts, t.StartedAt = e.Iteration, e.TaskID, e.Function, view.Running, 1, at
		counts.Started++
		counts.Attempts++
	case run.TaskAttemptStarted:
		counts.Attempts++
		return s.on(e.Task, e.Iteration, r, func(t *taskStory) { t.Status, t.Attempts = view.Running, e.Attempt })
	case run.TaskRetryScheduled:
		return s.on(e.Task, e.Iteration, r, func(t *taskStory) {
			t.Status, t.Attempts, t.Error = view.Retrying, e.Attempt, errorOf(e.Error)
			s.hold(&t.details, e.Error.Details, bounds)
		})
	case run.TaskCompleted:
		counts.Completed++
		return s.on(e.Task, e.Iteration, r, func(t *taskStory) {
			t.Attempts, t.Error, t.completed = e.Attempt, view.Error{}, true
			s.hold(&t.details, domain.Value{}, bounds)
			s.hold(&t.output, e.Output, bounds)
			t.end(view.Completed, r, at)
		})
	case run.TaskFailed:
		counts.Failed++
		return s.on(e.Task, e.Iteration, r, func(t *taskStory) {
			t.Attempts, t.Error = e.Attempt, errorOf(e.Error)
			s.hold(&t.details, e.Error.Details, bounds)
			t.end(view.Failed, r, at)
		})
	case run.TaskSkipped:
		t, err := s.begin(e.Task, r)
		if err != nil {
			return err
		}
		counts.Skipped++
		t.end(view.Skipped, r, at)
	case run.TimerSet:
		return s.wait(e.Task, e.Iteration, r, view.Wait{Kind: view.WaitTimer, DueAt: e.DueAt})
	case run.ApprovalRequested:
		return s.wait(e.Task, e.Iteration, r, view.Wait{Kind: view.WaitApproval, DueAt: e.DueAt})
	case run.EventAwaited:
		return s.wait(e.Task, e.Iteration, r, view.Wait{Kind: view.WaitEvent, Channel: e.Channel, DueAt: e.DueAt})
	case run.ApprovalDecided:
		return s.on(e.Task, e.Iteration, r, goOn)
	case run.EventReceived:
		return s.on(e.Task, e.Iteration, r, goOn)
	case run.Paused:
		s.row.Status = view.Paused
	case run.Resumed:
		s.row.Status = view.Running
	case run.Completed:
		s.end(view.Completed, r, at)
	case run.Failed:
		s.row.FailedTask, s.row.Error = e.Task, errorOf(e.Error)
		s.end(view.Failed, r, at)
	case run.Cancelled:
		s.end(view.Cancelled, r, at)
	}
	return nil
}

// begin notes a task's start or skip.
func (s *story) begin(name string, r *domain.Recorded) (*taskStory, error) {
	n := s.byName[name]
	if n == nil {
		return nil, domain.E(domain.KindCorrupt, "fold run", fmt.Sprintf("%s revision %d", r.Stream, r.Revision), "names a task that its definition does not have")
	}
	n.task = &taskStory{Task: view.Task{Execution: s.row.Position, Task: name, StartedOffset: r.Revision, EndedOffset: domain.NoStream}}
	s.began = append(s.began, n.task)
	return n.task, nil
}

func (s *story) on(name string, iteration int, r *domain.Recorded, change func(*taskStory)) error {
	n := s.byName[name]
	if n == nil || n.task == nil || n.task.Iteration != iteration || n.task.EndedOffset != domain.NoStream {
		return domain.E(domain.KindCorrupt, "fold run", fmt.Sprintf("%s revision %d", r.Stream, r.Revision), "is about a task that has not begun, or has ended")
	}
	change(n.task)
	return nil
}

// wait notes what a task waits for.
func (s *story) wait(name string, iteration int, r *domain.Recorded, w view.Wait) error {
	return s.on(name, iteration, r, func(t *taskStory) { t.Status, t.Wait = view.Waiting, w })
}

// goOn ends a wait; the end of the task follows.
func goOn(t *taskStory) { t.Status, t.Wait = view.Running, view.Wait{} }

// hold puts v in the place of what is held there, if there is room for it as it will be shown.
func (s *story) hold(place *held, v domain.Value, bounds Options) {
	if !place.left {
		s.kept -= place.bytes
	}
	*place = held{bytes: len(v.JSON)}
	for _, h := range v.Holes {
		if h.Blob != "" && h.Bytes <= int64(bounds.InlineBytesMax) {
			place.bytes += int(h.Bytes)
		}
	}
	if s.kept+place.bytes > bounds.ResultsBytesMax {
		place.left = true
		return
	}
	s.kept += place.bytes
	place.Value = v
}

func (t *taskStory) end(status view.Status, r *domain.Recorded, at time.Time) {
	t.Status, t.EndedAt, t.EndedOffset, t.Wait = status, at, r.Revision, view.Wait{}
}

// end ends the run, and with it the tasks without an end of their own.
func (s *story) end(status view.Status, r *domain.Recorded, at time.Time) {
	s.row.Status, s.row.EndedAt = status, at
	for _, t := range s.began {
		if t.EndedOffset == domain.NoStream {
			t.end(view.Cancelled, r, at)
		}
	}
}

// currentNode is the task that began last among those without an end.
func (s *story) currentNode() string {
	for i := len(s.began) - 1; i >= 0; i-- {
		if s.began[i].EndedOffset == domain.NoStream {
			return s.began[i].Task.Task
		}
	}
	return ""
}

func errorOf(e run.ErrorInfo) view.Error {
	return view.Error{Type: e.Type, Code: e.Code, Message: e.Message}
}

// known replaces the log's word for a missing stream by one that speaks of executions.
func known(err error) error {
	if errors.Is(err, domain.ErrNotFound) {
		return unknownExecution()
	}
	return timedOut(err)
}

func unknownExecution() error {
	return domain.E(domain.KindNotFound, "", "", "names no execution").WithField("path/id").WithCode("EXECUTION_UNKNOWN")
}
