package agnt5

import (
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/readapi/object"
	"quipu/readapi/results"
)

// details writes what an event says. Both parts of an event that has two carry the same.
func (f *frame) details(e run.Event) {
	switch e := e.(type) {
	case run.Started:
		f.started(e)
	case run.TaskStarted:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Int("attempt", 1)
		f.Str("function", e.Function)
		f.timeOpt("deadline", e.Deadline)
		f.value("input", e.Input, "{}")
	case run.TaskAttemptStarted:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Int("attempt", int64(e.Attempt))
		f.Str("reason", e.Reason)
		f.timeOpt("deadline", e.Deadline)
	case run.TaskCompleted:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Int("attempt", int64(e.Attempt))
		f.Millis("duration_ms", e.StartedAt, f.at)
		f.value("output", e.Output, "null")
	case run.TaskFailed:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Int("attempt", int64(e.Attempt))
		f.Millis("duration_ms", e.StartedAt, f.at)
		f.failure(e.Error, "")
		f.value("partial_results", e.Partial, "{}")
	case run.TaskRetryScheduled:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Int("attempt", int64(e.Attempt))
		f.failure(e.Error, "")
		f.Time("retry_at", e.RetryAt)
	case run.TimerSet:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Time("due_at", e.DueAt)
	case run.ApprovalRequested:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.value("request", e.Request, "{}")
		f.timeOpt("due_at", e.DueAt)
	case run.ApprovalDecided:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Str("action", e.Action)
		f.Str("approver", e.Approver)
		f.Str("comment", e.Comment)
	case run.EventAwaited:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Str("channel", e.Channel)
		f.timeOpt("due_at", e.DueAt)
	case run.EventReceived:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Str("channel", e.Channel)
		if e.SignalID != "" {
			f.Str("signal_id", e.SignalID)
		}
		if e.MessageID != "" {
			f.Str("message_id", e.MessageID)
		}
	case run.SignalReceived:
		f.Str("signal_id", e.SignalID)
		f.Str("name", e.Name)
		f.value("payload", e.Payload, "null")
	case run.Paused:
		f.Str("reason", e.Reason)
	case run.Resumed:
		f.Str("reason", e.Reason)
	case run.TaskReused:
		f.taskHead(e.Task, e.TaskID, e.Iteration)
		f.Int("reused_offset", int64(e.Offset))
	case run.TaskSkipped:
		f.task = e.Task
		f.Str("task_name", e.Task)
		f.Str("reason", e.Reason)
	case run.CallStarted:
		f.call(e.Task, e.TaskID, e.Iteration, e.Attempt, e.Function)
	case run.CallCompleted:
		f.call(e.Task, e.TaskID, e.Iteration, e.Attempt, e.Function)
		f.Millis("duration_ms", e.StartedAt, f.at)
		f.flat(e.Details)
	case run.CallFailed:
		f.call(e.Task, e.TaskID, e.Iteration, e.Attempt, e.Function)
		f.Millis("duration_ms", e.StartedAt, f.at)
		f.failure(e.Error, "")
		f.flat(e.Details)
	case run.Completed:
		f.Millis("duration_ms", e.StartedAt, f.at)
		f.outputs("output", e.Results)
	case run.Failed:
		f.Millis("duration_ms", e.StartedAt, f.at)
		f.failure(e.Error, e.Task)
		f.outputs("partial_results", e.Results)
	case run.Cancelled:
		f.Millis("duration_ms", e.StartedAt, f.at)
		if e.Reason != "" {
			f.Str("reason", e.Reason)
		}
		f.outputs("partial_results", e.Results)
	case run.Abandoned: // NamesOf hides it
	}
}

// started says what was asked for, in the words of the message that asked.
func (f *frame) started(e run.Started) {
	f.Str("workflow_name", e.FlowName)
	if e.RunName != "" {
		f.Str("run_name", e.RunName)
	}
	if e.WorkflowID != "" {
		f.Str("workflow_id", e.WorkflowID)
	}
	if e.WorkflowVersion != 0 {
		f.Int("workflow_version", int64(e.WorkflowVersion))
	}
	f.Str("source", e.Source)
	if e.RetryOf != "" {
		f.Str("retry_of", IDPrefix+e.RetryOf)
	}
	if e.ConnectionID != "" {
		f.Str("connection_id", e.ConnectionID)
	}
	f.value("parameters", e.Input, "{}")
	f.value("metadata", e.Metadata, "{}")
}

func (f *frame) taskHead(name, id string, iteration int) {
	f.task = name
	f.Str("task_name", name)
	f.Str("task_id", id)
	f.Int("iteration", int64(iteration))
}

func (f *frame) call(task, id string, iteration, attempt int, function string) {
	f.taskHead(task, id, iteration)
	f.Int("attempt", int64(attempt))
	f.Str("function", function)
}

// failure writes an error: type, message, code, details and, of a run, the task that failed.
func (f *frame) failure(e run.ErrorInfo, task string) {
	details := f.rendered(e.Details, "{}")
	f.Open("error")
	f.Str("type", e.Type)
	f.Str("message", e.Message)
	f.Str("code", e.Code)
	if task != "" {
		f.Str("task_name", task)
	}
	f.Raw("details", details)
	f.Close()
}

// callFields are the members of a call's frame that what the call says about itself does not replace.
var callFields = map[string]bool{
	"task_name": true, "task_id": true, "iteration": true, "attempt": true, "function": true, "duration_ms": true, "error": true,
}

// flat writes the members of what a call says about itself (model, tokens, status, …) beside ours;
// what is no object stands under "call".
func (f *frame) flat(v domain.Value) {
	if v.Absent() {
		return
	}
	b := f.rendered(v, "{}")
	if rawjson.KindOf(b) != rawjson.Object {
		f.Raw("call", b)
		return
	}
	for _, m := range rawjson.Members(b) {
		if !callFields[m.Key] {
			f.Raw(m.Key, m.Value)
		}
	}
}

// value writes v, or absent if there is none.
func (f *frame) value(k string, v domain.Value, absent string) { f.Raw(k, f.rendered(v, absent)) }

func (f *frame) rendered(v domain.Value, absent string) []byte {
	if v.Absent() || f.err != nil {
		return []byte(absent)
	}
	b, err := f.renderer.payloads.Render(f.ctx, f.executionID, v, f.renderer.options.FrameInlineBytesMax)
	if results.Lost(err) {
		return []byte(`{"unreadable":true}`)
	}
	if err != nil {
		f.err = err
		return []byte(absent)
	}
	return b
}

// outputs writes what the tasks gave, {task: output}; a link if that is too large together or cannot
// be read: a run's end is shown in any case.
func (f *frame) outputs(k string, v domain.Value) {
	tasks, err := results.Parse(v)
	fits := false
	if err == nil {
		fits, err = results.Fill(f.ctx, f.renderer.log, f.recorded.Stream, tasks, f.renderer.options.FrameInlineBytesMax, func(v domain.Value) ([]byte, error) {
			b := f.rendered(v, "null")
			return b, f.err
		})
	}
	switch {
	case results.Lost(err), err == nil && !fits:
		f.Raw(k, f.renderer.options.Link(f.executionID, len(tasks)))
	case err != nil:
		f.err = err
	default:
		f.Key(k)
		o := object.New(f.B)
		for i := range tasks {
			o.Raw(tasks[i].Name, tasks[i].Output)
		}
		f.B = o.Done()
	}
}
