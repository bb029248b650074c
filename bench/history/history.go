// Package history makes the past of a busy system: finished runs of several workflows, written to a
// log as an executor writes them, hash chains included. The same shape gives the same events.
package history

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// Shape says how much past there is.
type Shape struct {
	Runs      int
	Tasks     int // of each run; each is a started and a completed event
	Workflows int // the runs take turns
}

// Of is a shape of so many runs that has at least so many events.
func Of(runs, events int) Shape {
	return Shape{Runs: runs, Tasks: max(1, (events/runs-3)/2+1), Workflows: 20}
}

// Events is how many events Fill writes: with each run's name, start and end.
func (s Shape) Events() int { return s.Runs * (2*s.Tasks + 3) }

// Begin is the instant of the first event; runs start a second apart, in groups.
var Begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// What can be asked for.
func (s Shape) RunID(i int) string      { return fmt.Sprintf("01900000-0000-7000-8000-%012d", i) }
func (s Shape) Flow(i int) string       { return "flow-" + strconv.Itoa(i%s.Workflows) }
func (s Shape) RunName(i int) string    { return "run-" + strconv.Itoa(i) }
func (s Shape) WorkflowID(i int) string { return name.WorkflowID(s.Flow(i)) }
func (s Shape) Node(i int) string       { return "step-" + strconv.Itoa(i%s.Tasks) }

// Start is about the instant at which run i started.
func (s Shape) Start(i int) time.Time { return Begin.Add(time.Duration(i) * time.Second) }

// End is how run i ended.
func (s Shape) End(i int) string {
	switch {
	case i%10 == 3:
		return "failed"
	case i%50 == 7:
		return "cancelled"
	}
	return "completed"
}

// together is how many runs are under way at once: they take turns in the log, in the order of time,
// as the events of a busy system do.
const together = 8

// Fill appends the shape's events to log. Progress, if not nil, is told the number of runs now and
// then.
func (s Shape) Fill(ctx context.Context, log commands.Log, progress func(runs int)) error {
	definition := s.definition()
	for first := 0; first < s.Runs; first += together {
		if err := s.group(ctx, log, first, min(together, s.Runs-first), definition); err != nil {
			return err
		}
		if progress != nil && first%1000 == 0 {
			progress(first)
		}
	}
	return nil
}

func (s Shape) definition() domain.Value {
	var b strings.Builder
	b.WriteString(`{"nodes":[`)
	for i := range s.Tasks {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":%q,"type":"bench_noop","params":{}}`, s.Node(i))
	}
	b.WriteString(`],"edges":[]}`)
	return domain.Raw([]byte(b.String()))
}

// group appends the events of runs that are under way together.
func (s Shape) group(ctx context.Context, log commands.Log, first, n int, definition domain.Value) error {
	now := s.Start(first)
	runs := make([]*writer, n)
	for k := range runs {
		w, err := s.start(ctx, log, first+k, &now, definition)
		if err != nil {
			return err
		}
		runs[k] = w
	}
	for from := 0; from < s.Tasks; from += tasksPerAppend {
		for k, w := range runs {
			for t := from; t < min(from+tasksPerAppend, s.Tasks); t++ {
				s.task(w, t, first+k)
			}
			if from+tasksPerAppend >= s.Tasks {
				s.end(w, first+k)
			}
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// start binds the name of run i and begins it.
func (s Shape) start(ctx context.Context, log commands.Log, i int, now *time.Time, definition domain.Value) (*writer, error) {
	id := s.RunID(i)
	typ, data := wire.EncodeNameBound(name.Bound{FlowName: s.Flow(i), RunName: s.RunName(i), ExecutionID: id})
	bound := writer{log: log, stream: name.Stream(s.Flow(i), s.RunName(i)), head: wire.NewHead(), id: id, now: now}
	bound.add(typ, data)
	if err := bound.flush(ctx); err != nil {
		return nil, err
	}
	w := &writer{log: log, stream: commands.RunStream(id), head: wire.NewHead(), id: id, now: now, began: domain.Instant(*now)}
	w.event(run.Started{
		RunID: id, Source: "lao", FlowName: s.Flow(i), RunName: s.RunName(i), WorkflowID: s.WorkflowID(i),
		Definition: definition, Input: domain.Raw([]byte(`{"ticket":` + strconv.Itoa(i) + `,"text":"the printer is on fire"}`)),
	})
	return w, nil
}

func (s Shape) end(w *writer, i int) {
	results := w.results.Value()
	switch s.End(i) {
	case "failed":
		w.event(run.Failed{StartedAt: w.began, Task: s.Node(s.Tasks - 1), Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_503", Message: "busy"}, Results: results})
	case "cancelled":
		w.event(run.Cancelled{StartedAt: w.began, Reason: "requested", Results: results})
	default:
		w.event(run.Completed{StartedAt: w.began, Results: results})
	}
}

// tasksPerAppend keeps appends well within what a log accepts.
const tasksPerAppend = 25

func (s Shape) task(w *writer, t, i int) {
	task := s.Node(t)
	id := run.TaskID(w.id, task, 0)
	started := domain.Instant(*w.now)
	w.event(run.TaskStarted{Task: task, TaskID: id, Node: "bench", Function: "bench_noop", Input: domain.Raw([]byte(`{"value":"0123456789"}`))})
	*w.now = w.now.Add(3 * time.Millisecond)
	if t == s.Tasks-1 && s.End(i) == "failed" {
		w.event(run.TaskFailed{
			Task: task, TaskID: id, Attempt: 1, StartedAt: started, Partial: domain.Raw([]byte(`{}`)),
			Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_503", Message: "busy"},
		})
		return
	}
	w.results.Add(task, domain.Raw(strconv.AppendInt(nil, int64(w.next()), 10)))
	w.event(run.TaskCompleted{Task: task, TaskID: id, Attempt: 1, StartedAt: started, Output: domain.Raw([]byte(`{"value":"0123456789"}`))})
}

// writer collects the events of one append of a run.
type writer struct {
	log     commands.Log
	stream  domain.StreamID
	head    wire.Head
	id      string
	now     *time.Time // of the group
	began   time.Time
	results domain.Object
	events  []domain.Pending
}

// next is the revision of the event that is added next.
func (w *writer) next() domain.Revision { return w.head.Revision + 1 }

func (w *writer) event(e run.Event) { w.add(wire.EncodeRun(e)) }

func (w *writer) add(typ string, data []byte) {
	cause := wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem, ID: "bench", Via: "executor"}, CommandID: "bench:" + w.id, CorrelationID: w.id}
	var p domain.Pending
	p, w.head = wire.Seal(w.stream, w.head, w.head.Instant(*w.now), cause, typ, data)
	w.events = append(w.events, p)
}

func (w *writer) flush(ctx context.Context) error {
	if len(w.events) == 0 {
		return nil
	}
	expected := w.head.Revision - domain.Revision(len(w.events))
	_, err := w.log.Append(ctx, w.stream, expected, w.events)
	w.events = w.events[:0]
	return err
}
