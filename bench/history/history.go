// Package history makes the past of a busy system: finished runs of several workflows, written to a
// log as an executor writes them, hash chains included. The same shape gives the same events.
package history

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// Begin is the instant of the first event; runs start a second apart.
var Begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// What can be asked for.
func (s Shape) RunID(i int) string      { return fmt.Sprintf("01900000-0000-7000-8000-%012d", i) }
func (s Shape) Flow(i int) string       { return "flow-" + strconv.Itoa(i%s.Workflows) }
func (s Shape) RunName(i int) string    { return "run-" + strconv.Itoa(i) }
func (s Shape) WorkflowID(i int) string { return name.WorkflowID(s.Flow(i)) }
func (s Shape) Node(i int) string       { return "step-" + strconv.Itoa(i%s.Tasks) }

// Start is the instant at which run i started.
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

// appenders are as many as make good use of group commits.
const appenders = 64

// Fill appends the shape's events to log. Progress, if not nil, is told the number of runs now and
// then.
func (s Shape) Fill(ctx context.Context, log commands.Log, progress func(runs int)) error {
	definition := s.definition()
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		errs = make([]error, appenders)
	)
	for a := range appenders {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < s.Runs && errs[a] == nil; i = int(next.Add(1)) - 1 {
				errs[a] = s.run(ctx, log, i, definition)
				if progress != nil && i%1000 == 999 {
					progress(i + 1)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
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

// run appends the events of run i.
func (s Shape) run(ctx context.Context, log commands.Log, i int, definition domain.Value) error {
	id := s.RunID(i)
	typ, data := wire.EncodeNameBound(name.Bound{FlowName: s.Flow(i), RunName: s.RunName(i), ExecutionID: id})
	bound := writer{log: log, stream: name.Stream(s.Flow(i), s.RunName(i)), head: wire.NewHead(), id: id, at: s.Start(i)}
	bound.add(typ, data)
	if err := bound.flush(ctx); err != nil {
		return err
	}
	w := &writer{log: log, stream: commands.RunStream(id), head: wire.NewHead(), id: id, at: s.Start(i)}
	w.event(run.Started{
		RunID: id, Source: "lao", FlowName: s.Flow(i), RunName: s.RunName(i), WorkflowID: s.WorkflowID(i),
		Definition: definition, Input: domain.Raw([]byte(`{"ticket":` + strconv.Itoa(i) + `,"text":"the printer is on fire"}`)),
	})
	results := domain.Object{}
	for t := range s.Tasks {
		if err := s.task(ctx, w, t, &results, i); err != nil {
			return err
		}
	}
	switch s.End(i) {
	case "failed":
		w.event(run.Failed{StartedAt: s.Start(i), Task: s.Node(s.Tasks - 1), Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_503", Message: "busy"}, Results: results.Value()})
	case "cancelled":
		w.event(run.Cancelled{StartedAt: s.Start(i), Reason: "requested", Results: results.Value()})
	default:
		w.event(run.Completed{StartedAt: s.Start(i), Results: results.Value()})
	}
	return w.flush(ctx)
}

// eventsPerAppend keeps appends within what a log accepts.
const eventsPerAppend = 400

func (s Shape) task(ctx context.Context, w *writer, t int, results *domain.Object, i int) error {
	if len(w.events)+3 > eventsPerAppend {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	task := s.Node(t)
	id := run.TaskID(w.id, task, 0)
	started := w.at
	w.event(run.TaskStarted{Task: task, TaskID: id, Node: "bench", Function: "bench_noop", Input: domain.Raw([]byte(`{"value":"0123456789"}`))})
	w.at = w.at.Add(3 * time.Millisecond)
	if t == s.Tasks-1 && s.End(i) == "failed" {
		w.event(run.TaskFailed{
			Task: task, TaskID: id, Attempt: 1, StartedAt: started, Partial: domain.Raw([]byte(`{}`)),
			Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_503", Message: "busy"},
		})
		return nil
	}
	results.Add(task, domain.Raw(strconv.AppendInt(nil, int64(w.next()), 10)))
	w.event(run.TaskCompleted{Task: task, TaskID: id, Attempt: 1, StartedAt: started, Output: domain.Raw([]byte(`{"value":"0123456789"}`))})
	return nil
}

// writer collects the events of one append.
type writer struct {
	log    commands.Log
	stream domain.StreamID
	head   wire.Head
	id     string
	at     time.Time
	events []domain.Pending
}

// next is the revision of the event that is added next.
func (w *writer) next() domain.Revision { return w.head.Revision + 1 }

func (w *writer) event(e run.Event) { w.add(wire.EncodeRun(e)) }

func (w *writer) add(typ string, data []byte) {
	cause := wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem, ID: "bench", Via: "executor"}, CommandID: "bench:" + w.id, CorrelationID: w.id}
	var p domain.Pending
	p, w.head = wire.Seal(w.stream, w.head, w.head.Instant(w.at), cause, typ, data)
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
