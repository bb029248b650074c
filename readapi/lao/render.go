package lao

import (
	"context"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/readapi/results"
)

// Frame renders e, an event of r. It returns nil for an event that is not shown.
//
// Errors: those of the log and of Payloads that may pass; what is missing or damaged for good shows
// as {"unreadable":true}, results as a link. An event that cannot be decoded gives a frame: with its
// canonical name and no fields of its own if a newer version wrote it, else of type Unreadable.
func (n *Renderer) Frame(ctx context.Context, r Run, e *domain.Recorded) (*Frame, error) {
	name := Name(e.Type)
	if name == "" {
		return nil, nil
	}
	at, atErr := wire.DecodeAt(e.Metadata)
	decoded, err := wire.DecodeRun(e.Type, e.Data)
	f := &frame{
		renderer: n, ctx: ctx, run: r, at: at, recorded: e,
		fields: begin(make([]byte, 0, 512+len(e.Data))),
	}
	switch {
	case atErr != nil, err != nil && !unknown(err):
		name = Unreadable
		f.head(name, r.ID, "")
		f.Str("type", e.Type)
	case err != nil:
		f.head(name, r.ID, "")
	default:
		f.event(name, decoded)
	}
	if f.err != nil {
		return nil, f.err
	}
	f.tail()
	return &Frame{Type: name, Task: f.task, Ends: wire.EndsRun(e.Type), body: f.B}, nil
}

func unknown(err error) bool {
	var e *domain.Error
	return asError(err, &e) && e.Code == "UNKNOWN_EVENT"
}

// frame is one rendering; the first error sticks.
type frame struct {
	fields
	renderer *Renderer
	ctx      context.Context // of one call of Frame; this value does not outlive it
	run      Run
	recorded *domain.Recorded
	at       time.Time
	task     string
	err      error
}

// head writes what all frames begin with.
func (f *frame) head(name, taskID, taskName string) {
	f.Str("event_type", name)
	if taskID != "" {
		f.Str("task_id", taskID)
	}
	if taskName != "" {
		f.Str("task_name", taskName)
	}
	f.Str("flow_name", f.run.FlowName)
	f.Str("run_name", f.run.RunName)
	f.instant("timestamp", f.at)
}

func (f *frame) taskHead(name, task, taskID string) {
	f.task = task
	f.head(name, taskID, task)
}

// tail writes the fields beyond LAO's own, and prev's key.
func (f *frame) tail() {
	f.Int("offset", int64(f.recorded.Revision))
	f.Str("execution_id", f.run.ID)
	f.Str("event_id", f.recorded.ID.String())
	f.Str("log", string(f.renderer.options.LogID))
	f.Key("prev")
}

func (f *frame) event(name string, e run.Event) {
	switch e := e.(type) {
	case run.Started:
		f.head(name, f.run.ID, "")
		f.Str("message", "Starting "+f.run.FlowName)
		f.strIf("retry_of", e.RetryOf)
		f.strIf("connection_id", e.ConnectionID)
	case run.TaskStarted:
		f.taskHead(name, e.Task, e.TaskID)
		f.value("input", e.Input, "{}")
	case run.TaskCompleted:
		f.taskHead(name, e.Task, e.TaskID)
		f.seconds("execution_time", e.StartedAt, f.at)
		f.value("output", e.Output, "null")
	case run.TaskFailed:
		f.taskHead(name, e.Task, e.TaskID)
		f.seconds("execution_time", e.StartedAt, f.at)
		f.errorObject(e.Error)
		f.value("partial_results", e.Partial, "{}")
	case run.TaskAttemptStarted:
		f.taskHead(name, e.Task, e.TaskID)
		f.Int("attempt", int64(e.Attempt))
		f.Str("reason", e.Reason)
		f.instantIf("deadline", e.Deadline)
	case run.TaskRetryScheduled:
		f.taskHead(name, e.Task, e.TaskID)
		f.Int("attempt", int64(e.Attempt))
		f.errorObject(e.Error)
		f.instant("retry_at", e.RetryAt)
	case run.TimerSet:
		f.taskHead(name, e.Task, e.TaskID)
		f.instant("due_at", e.DueAt)
	case run.ApprovalRequested, run.ApprovalDecided, run.EventAwaited, run.EventReceived, run.SignalReceived:
		f.wait(name, e)
	case run.Paused:
		f.head(name, f.run.ID, "")
		f.strIf("reason", e.Reason)
	case run.Resumed:
		f.head(name, f.run.ID, "")
		f.strIf("reason", e.Reason)
	case run.TaskReused:
		f.taskHead(name, e.Task, e.TaskID)
		f.Int("reused_offset", int64(e.Offset))
	case run.TaskSkipped:
		f.taskHead(name, e.Task, "")
		f.Str("reason", e.Reason)
	case run.CallStarted:
		f.taskHead(name, e.Task, e.TaskID)
		f.Int("attempt", int64(e.Attempt))
		f.Str("function", e.Function)
	case run.CallCompleted:
		f.taskHead(name, e.Task, e.TaskID)
		f.Int("attempt", int64(e.Attempt))
		f.Str("function", e.Function)
		f.seconds("execution_time", e.StartedAt, f.at)
		f.value("details", e.Details, "{}")
	case run.CallFailed:
		f.taskHead(name, e.Task, e.TaskID)
		f.Int("attempt", int64(e.Attempt))
		f.Str("function", e.Function)
		f.seconds("execution_time", e.StartedAt, f.at)
		f.errorObject(e.Error)
		f.value("details", e.Details, "{}")
	case run.Completed:
		f.head(name, f.run.ID, "flow")
		f.seconds("total_execution_time", e.StartedAt, f.at)
		f.results("output", e.Results)
	case run.Failed:
		f.head(name, f.run.ID, "")
		f.flowError(e.Error, e.Task)
		f.results("partial_results", e.Results)
	case run.Cancelled:
		f.head(name, f.run.ID, "")
		message := "the run was cancelled"
		if e.Reason != "" {
			message += ": " + e.Reason
		}
		f.flowError(run.ErrorInfo{Type: "RunCancelled", Code: "CANCELLED", Message: message}, "")
		f.results("partial_results", e.Results)
	case run.Abandoned: // Name hides it
	}
}

// value writes v, or absent if there is none.
func (f *frame) value(k string, v domain.Value, absent string) {
	f.Key(k)
	f.B = append(f.B, f.rendered(v, absent)...)
}

func (f *frame) rendered(v domain.Value, absent string) []byte {
	if v.Absent() || f.err != nil {
		return []byte(absent)
	}
	b, err := f.renderer.payloads.Render(f.ctx, f.run.ID, v, f.renderer.options.FrameInlineBytesMax)
	if results.Lost(err) {
		return []byte(`{"unreadable":true}`)
	}
	if err != nil {
		f.err = err
		return []byte(absent)
	}
	return b
}

// errorObject writes a task's error: type, message, code and details (S0-21).
func (f *frame) errorObject(e run.ErrorInfo) {
	f.Key("error")
	o := f.open()
	o.errorFields(e)
	o.Raw("details", f.rendered(e.Details, "{}"))
	f.close(o)
}

// flowError writes a run's error: type, message, code, the task, and the members of details flat
// beside them (S0-23).
func (f *frame) flowError(e run.ErrorInfo, task string) {
	f.Key("error")
	o := f.open()
	o.errorFields(e)
	if task != "" {
		o.Str("task_name", task)
	}
	details := domain.Raw(f.rendered(e.Details, "{}"))
	for _, m := range details.Members() {
		switch m.Key {
		case "type", "message", "code", "task_name":
		default:
			o.Raw(m.Key, m.Value.JSON)
		}
	}
	f.close(o)
}

// open begins an object within the frame; close ends it.
func (f *frame) open() fields   { return begin(f.B) }
func (f *frame) close(o fields) { f.B = o.Done() }

func (o *fields) errorFields(e run.ErrorInfo) {
	o.Str("type", e.Type)
	o.Str("message", e.Message)
	o.Str("code", e.Code)
}
