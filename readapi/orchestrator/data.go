package orchestrator

import (
	"net/url"
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/channel"
	"quipu/domain/endpoint"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// decode reads an event by its stream. Errors: ErrCorrupt, with code UNKNOWN_EVENT if this build does
// not know the type.
func decode(r *domain.Recorded) (any, error) {
	switch stream := string(r.Stream); {
	case strings.HasPrefix(stream, name.StreamPrefix):
		return wire.DecodeNameBound(r.Type, r.Data)
	case strings.HasPrefix(stream, workflow.StreamPrefix):
		return wire.DecodeWorkflow(r.Type, r.Data)
	case strings.HasPrefix(stream, endpoint.StreamPrefix):
		return wire.DecodeEndpointCreated(r.Type, r.Data)
	case strings.HasPrefix(stream, channel.StreamPrefix):
		return wire.DecodeChannelMessage(r.Type, r.Data)
	}
	return wire.DecodeRun(r.Type, r.Data)
}

// details writes the fields of an event. The first ones of a run's events are always there, null
// where they do not apply: node_id, node_type, result, error.
func (f *frame) details(decoded any) {
	switch e := decoded.(type) {
	case name.Bound:
		f.Str("flow_name", e.FlowName)
		f.Str("run_name", e.RunName)
		f.Str("bound_execution_id", e.ExecutionID)
	case workflow.Created:
		f.content(e.Content)
	case workflow.Updated:
		f.content(e.Content)
	case workflow.Deleted:
	case endpoint.Created:
		f.Str("endpoint", e.ID)
		f.Str("slug", e.Slug)
	case channel.Message:
		f.Str("channel", e.Channel)
		f.value("payload", e.Payload, "null")
	case run.Event:
		f.run(e)
	}
}

func (f *frame) content(c workflow.Content) {
	version := int(f.event.Revision) + 1
	f.Str("name", c.Name)
	f.Str("description", c.Description)
	f.Str("endpoint", c.Endpoint)
	f.version("version", version)
	id := strings.TrimPrefix(string(f.event.Stream), workflow.StreamPrefix)
	f.link("definition", "/api/workflows/"+url.PathEscape(id)+"?version="+strconv.Itoa(version))
}

func (f *frame) run(e run.Event) {
	switch e := e.(type) {
	case run.Started:
		f.head("", "")
		f.noResult()
		f.Null("error")
		f.Str("source", e.Source)
		f.StrOrNull("flow_name", e.FlowName)
		f.StrOrNull("run_name", e.RunName)
		f.version("workflow_version", e.WorkflowVersion)
		f.value("input_data", e.Input, "{}")
		f.asked(e)
	case run.Abandoned:
		f.plain("")
	case run.TaskStarted:
		f.head(e.Task, e.Function)
		f.noResult()
		f.Null("error")
		f.task(e.TaskID, e.Iteration, 1)
		f.Str("worker", e.Node)
		f.Time("deadline", e.Deadline)
		f.value("input", e.Input, "{}")
	case run.TaskAttemptStarted:
		f.plain(e.Task)
		f.task(e.TaskID, e.Iteration, e.Attempt)
		f.Str("reason", e.Reason)
		f.Str("worker", e.Node)
		f.Time("deadline", e.Deadline)
	case run.TaskCompleted:
		f.head(e.Task, "")
		f.value("result", e.Output, "null")
		f.Null("error")
		f.task(e.TaskID, e.Iteration, e.Attempt)
		f.Time("started_at", e.StartedAt)
		f.Millis("duration_ms", e.StartedAt, f.at)
		f.gates(e.Gates)
	case run.TaskFailed:
		f.head(e.Task, "")
		f.noResult()
		f.failure(e.Error, "")
		f.task(e.TaskID, e.Iteration, e.Attempt)
		f.Time("started_at", e.StartedAt)
		f.Millis("duration_ms", e.StartedAt, f.at)
		f.value("partial_results", e.Partial, "{}")
	case run.TaskRetryScheduled:
		f.head(e.Task, "")
		f.noResult()
		f.failure(e.Error, "")
		f.task(e.TaskID, e.Iteration, e.Attempt)
		f.Time("retry_at", e.RetryAt)
	case run.TimerSet:
		f.of(e.Task, e.TaskID, e.Iteration)
		f.Time("due_at", e.DueAt)
	case run.ApprovalRequested, run.ApprovalDecided, run.EventAwaited, run.EventReceived, run.SignalReceived:
		f.wait(e)
	case run.Paused:
		f.plain("")
		f.StrOrNull("reason", e.Reason)
	case run.Resumed:
		f.plain("")
		f.StrOrNull("reason", e.Reason)
	case run.TaskReused:
		f.of(e.Task, e.TaskID, e.Iteration)
		f.Int("reused_offset", int64(e.Offset))
	case run.TaskSkipped:
		f.plain(e.Task)
		f.Str("reason", e.Reason)
	case run.CallStarted:
		f.head(e.Task, e.Function)
		f.noResult()
		f.Null("error")
		f.task(e.TaskID, e.Iteration, e.Attempt)
	case run.CallCompleted:
		f.head(e.Task, e.Function)
		f.value("result", e.Details, "null")
		f.Null("error")
		f.task(e.TaskID, e.Iteration, e.Attempt)
		f.Time("started_at", e.StartedAt)
		f.Millis("duration_ms", e.StartedAt, f.at)
	case run.CallFailed:
		f.head(e.Task, e.Function)
		f.value("result", e.Details, "null")
		f.failure(e.Error, "")
		f.task(e.TaskID, e.Iteration, e.Attempt)
		f.Time("started_at", e.StartedAt)
		f.Millis("duration_ms", e.StartedAt, f.at)
	case run.Completed:
		f.ended(e.Results, func() { f.Null("error") })
		f.Time("started_at", e.StartedAt)
		f.Millis("duration_ms", e.StartedAt, f.at)
	case run.Failed:
		f.ended(e.Results, func() { f.failure(e.Error, e.Task) })
		f.Time("started_at", e.StartedAt)
		f.Millis("duration_ms", e.StartedAt, f.at)
	case run.Cancelled:
		f.ended(e.Results, func() { f.failure(Cancelled(e), "") })
		f.Time("started_at", e.StartedAt)
		f.Millis("duration_ms", e.StartedAt, f.at)
		f.StrOrNull("reason", e.Reason)
	}
}

// asked writes what a start says that most leave out.
func (f *frame) asked(e run.Started) {
	if e.RetryOf != "" {
		f.Str("retry_of", e.RetryOf)
	}
	if e.ConnectionID != "" {
		f.Str("connection_id", e.ConnectionID)
	}
	if !e.Metadata.Absent() {
		f.value("metadata", e.Metadata, "{}")
	}
}

// wait writes the events of tasks that wait for a person or a message.
func (f *frame) wait(e run.Event) {
	switch e := e.(type) {
	case run.ApprovalRequested:
		f.of(e.Task, e.TaskID, e.Iteration)
		f.value("request", e.Request, "{}")
		f.Time("due_at", e.DueAt)
	case run.ApprovalDecided:
		f.of(e.Task, e.TaskID, e.Iteration)
		f.Str("action", e.Action)
		f.StrOrNull("approver", e.Approver)
		f.StrOrNull("comment", e.Comment)
	case run.EventAwaited:
		f.of(e.Task, e.TaskID, e.Iteration)
		f.Str("channel", e.Channel)
		f.Time("due_at", e.DueAt)
	case run.EventReceived:
		f.of(e.Task, e.TaskID, e.Iteration)
		f.Str("channel", e.Channel)
		f.StrOrNull("signal_id", e.SignalID)
		f.StrOrNull("message_id", e.MessageID)
	case run.SignalReceived:
		f.plain("")
		f.Str("signal_id", e.SignalID)
		f.Str("name", e.Name)
		f.value("payload", e.Payload, "null")
	}
}

// Cancelled is a cancellation as an error (contract D1).
func Cancelled(e run.Cancelled) run.ErrorInfo {
	message := "the run was cancelled"
	if e.Reason != "" {
		message += ": " + e.Reason
	}
	return run.ErrorInfo{Type: "RunCancelled", Code: "CANCELLED", Message: message}
}

// head writes which task the event is about; typ is its type if the event says so.
func (f *frame) head(task, typ string) {
	f.StrOrNull("node_id", task)
	if typ == "" && task != "" {
		typ = f.event.NodeType
	}
	f.StrOrNull("node_type", typ)
}

func (f *frame) noResult() { f.Null("result") }

// plain writes the head of an event that has neither result nor error.
func (f *frame) plain(task string) {
	f.head(task, "")
	f.noResult()
	f.Null("error")
}

// of writes the head of an event without result and error, and which execution of the task it is about.
func (f *frame) of(task, id string, iteration int) {
	f.plain(task)
	f.Str("task_id", id)
	f.Int("iteration", int64(iteration))
}

func (f *frame) task(id string, iteration, attempt int) {
	f.Str("task_id", id)
	f.Int("iteration", int64(iteration))
	f.Int("attempt", int64(attempt))
}

func (f *frame) failure(e run.ErrorInfo, task string) {
	f.Open("error")
	f.Str("type", e.Type)
	f.Str("code", e.Code)
	f.Str("message", e.Message)
	if task != "" {
		f.Str("task", task)
	}
	f.value("details", e.Details, "{}")
	f.Close()
}

// gates writes which conditional edges held.
func (f *frame) gates(list []run.GateResult) {
	if len(list) == 0 {
		return
	}
	f.Key("gates")
	f.B = append(f.B, '[')
	for _, g := range list {
		f.Item()
		f.B = append(f.B, '{')
		f.Int("edge", int64(g.Edge))
		f.Bool("holds", g.Holds)
		f.Close()
	}
	f.B = append(f.B, ']')
}

// ended writes the fields of a run's end. Its result is a link to the execution: the event names the
// offsets of its results, and copying them here would make one frame as large as the run.
func (f *frame) ended(results domain.Value, failure func()) {
	f.head("", "")
	f.link("result", "/api/executions/"+url.PathEscape(f.event.ExecutionID))
	failure()
	f.value("result_offsets", results, "{}")
}
