package wire

import (
	"strings"

	"quipu/domain/run"
)

// The stored types of a run's events. Chosen by hand, never changed, never reused.
const (
	RunStarted            = "run.started.v1"
	RunAbandoned          = "run.abandoned.v1"
	RunTaskStarted        = "run.task_started.v1"
	RunTaskAttemptStarted = "run.task_attempt_started.v1"
	RunTaskCompleted      = "run.task_completed.v1"
	RunTaskFailed         = "run.task_failed.v1"
	RunTaskRetryScheduled = "run.task_retry_scheduled.v1"
	RunTimerSet           = "run.timer_set.v1"
	RunTaskSkipped        = "run.task_skipped.v1"
	RunTaskReused         = "run.task_reused.v1"
	RunApprovalRequested  = "run.approval_requested.v1"
	RunApprovalDecided    = "run.approval_decided.v1"
	RunEventAwaited       = "run.event_awaited.v1"
	RunEventReceived      = "run.event_received.v1"
	RunSignalReceived     = "run.signal_received.v1"
	RunPaused             = "run.paused.v1"
	RunResumed            = "run.resumed.v1"
	RunToolStarted        = "run.tool_started.v1"
	RunToolCompleted      = "run.tool_completed.v1"
	RunToolFailed         = "run.tool_failed.v1"
	RunLLMStarted         = "run.llm_started.v1"
	RunLLMCompleted       = "run.llm_completed.v1"
	RunLLMFailed          = "run.llm_failed.v1"
	RunCompleted          = "run.completed.v1"
	RunFailed             = "run.failed.v1"
	RunCancelled          = "run.cancelled.v1"
)

// CanonicalName is a stored type without aggregate and version: "run.task_started.v1" gives
// "task_started". It is what dialects show for events they have no name of their own for.
func CanonicalName(typ string) string {
	if i := strings.IndexByte(typ, '.'); i >= 0 {
		typ = typ[i+1:]
	}
	if i := strings.LastIndex(typ, ".v"); i >= 0 {
		typ = typ[:i]
	}
	return typ
}

// EndsRun reports whether a stored type is the last of its run.
func EndsRun(typ string) bool {
	switch typ {
	case RunCompleted, RunFailed, RunCancelled, RunAbandoned:
		return true
	}
	return false
}

// EncodeRun gives the stored type and bytes of a run's event. It is total over the closed set.
func EncodeRun(e run.Event) (typ string, data []byte) {
	o := newObject(make([]byte, 0, 512))
	switch e := e.(type) {
	case run.Started:
		typ = RunStarted
		o.str("run_id", e.RunID)
		o.str("source", e.Source)
		o.strOpt("flow_name", e.FlowName)
		o.strOpt("run_name", e.RunName)
		o.strOpt("workflow_id", e.WorkflowID)
		if e.WorkflowVersion != 0 {
			o.int("workflow_version", int64(e.WorkflowVersion))
		}
		o.strOpt("endpoint", e.Endpoint)
		o.value("definition", e.Definition)
		o.value("input", e.Input)
		o.strOpt("body_sha256", e.BodySHA256)
		o.strOpt("connection_id", e.ConnectionID)
		o.valueOpt("metadata", e.Metadata)
		o.strOpt("retry_of", e.RetryOf)
		o.valueOpt("reused", e.Reused)
		secrets(o, e.Secrets)
	case run.Abandoned:
		typ = RunAbandoned
		o.str("run_id", e.RunID)
	case run.TaskStarted:
		typ = RunTaskStarted
		task(o, e.Task, e.TaskID, e.Iteration)
		o.str("node", e.Node)
		o.str("function", e.Function)
		o.value("input", e.Input)
		o.instantOpt("deadline", e.Deadline)
	case run.TaskAttemptStarted:
		typ = RunTaskAttemptStarted
		task(o, e.Task, e.TaskID, e.Iteration)
		o.int("attempt", int64(e.Attempt))
		o.str("node", e.Node)
		o.str("reason", e.Reason)
		o.instantOpt("deadline", e.Deadline)
	case run.TaskCompleted:
		typ = RunTaskCompleted
		task(o, e.Task, e.TaskID, e.Iteration)
		o.int("attempt", int64(e.Attempt))
		o.instantOpt("started_at", e.StartedAt)
		o.value("output", e.Output)
		if len(e.Gates) > 0 {
			o.list("gates", len(e.Gates), func(dst []byte, i int) []byte {
				g := newObject(dst)
				g.int("edge", int64(e.Gates[i].Edge))
				g.boolean("holds", e.Gates[i].Holds)
				return g.done()
			})
		}
		secrets(o, e.Secrets)
	case run.TaskFailed:
		typ = RunTaskFailed
		task(o, e.Task, e.TaskID, e.Iteration)
		o.int("attempt", int64(e.Attempt))
		o.instantOpt("started_at", e.StartedAt)
		errorInfo(o, e.Error)
		o.value("partial_results", e.Partial)
		secrets(o, e.Secrets)
	case run.TaskRetryScheduled:
		typ = RunTaskRetryScheduled
		task(o, e.Task, e.TaskID, e.Iteration)
		o.int("attempt", int64(e.Attempt))
		errorInfo(o, e.Error)
		o.instantOpt("retry_at", e.RetryAt)
		secrets(o, e.Secrets)
	case run.TimerSet:
		typ = RunTimerSet
		task(o, e.Task, e.TaskID, e.Iteration)
		o.instantOpt("due_at", e.DueAt)
	case run.TaskSkipped:
		typ = RunTaskSkipped
		o.str("task", e.Task)
		o.str("reason", e.Reason)
	case run.TaskReused:
		typ = RunTaskReused
		task(o, e.Task, e.TaskID, e.Iteration)
		o.int("offset", int64(e.Offset))
	case run.ApprovalRequested:
		typ = RunApprovalRequested
		task(o, e.Task, e.TaskID, e.Iteration)
		o.value("request", e.Request)
		o.instantOpt("due_at", e.DueAt)
	case run.ApprovalDecided:
		typ = RunApprovalDecided
		task(o, e.Task, e.TaskID, e.Iteration)
		o.str("action", e.Action)
		o.strOpt("approver", e.Approver)
		o.strOpt("comment", e.Comment)
	case run.EventAwaited:
		typ = RunEventAwaited
		task(o, e.Task, e.TaskID, e.Iteration)
		o.str("channel", e.Channel)
		o.instantOpt("due_at", e.DueAt)
	case run.EventReceived:
		typ = RunEventReceived
		task(o, e.Task, e.TaskID, e.Iteration)
		o.str("channel", e.Channel)
		o.strOpt("signal_id", e.SignalID)
		o.strOpt("message_id", e.MessageID)
	case run.SignalReceived:
		typ = RunSignalReceived
		o.str("signal_id", e.SignalID)
		o.str("name", e.Name)
		o.value("payload", e.Payload)
		secrets(o, e.Secrets)
	case run.Paused:
		typ = RunPaused
		o.strOpt("reason", e.Reason)
	case run.Resumed:
		typ = RunResumed
		o.strOpt("reason", e.Reason)
	case run.CallStarted:
		typ = callType(e.Family, RunToolStarted, RunLLMStarted)
		task(o, e.Task, e.TaskID, e.Iteration)
		o.int("attempt", int64(e.Attempt))
		o.str("function", e.Function)
	case run.CallCompleted:
		typ = callType(e.Family, RunToolCompleted, RunLLMCompleted)
		task(o, e.Task, e.TaskID, e.Iteration)
		o.int("attempt", int64(e.Attempt))
		o.str("function", e.Function)
		o.instantOpt("started_at", e.StartedAt)
		o.valueOpt("details", e.Details)
	case run.CallFailed:
		typ = callType(e.Family, RunToolFailed, RunLLMFailed)
		task(o, e.Task, e.TaskID, e.Iteration)
		o.int("attempt", int64(e.Attempt))
		o.str("function", e.Function)
		o.instantOpt("started_at", e.StartedAt)
		errorInfo(o, e.Error)
		o.valueOpt("details", e.Details)
	case run.Completed:
		typ = RunCompleted
		o.instantOpt("started_at", e.StartedAt)
		o.value("results", e.Results)
	case run.Failed:
		typ = RunFailed
		o.instantOpt("started_at", e.StartedAt)
		o.strOpt("task", e.Task)
		errorInfo(o, e.Error)
		o.value("results", e.Results)
	case run.Cancelled:
		typ = RunCancelled
		o.instantOpt("started_at", e.StartedAt)
		o.strOpt("reason", e.Reason)
		o.value("results", e.Results)
	}
	return typ, o.done()
}

func callType(family, tool, llm string) string {
	if family == "llm" {
		return llm
	}
	return tool
}

func task(o *object, name, id string, iteration int) {
	o.str("task", name)
	o.str("task_id", id)
	o.int("iteration", int64(iteration))
}

func errorInfo(o *object, e run.ErrorInfo) {
	in := newObject(o.startField("error"))
	in.str("type", e.Type)
	in.str("code", e.Code)
	in.str("message", e.Message)
	in.valueOpt("details", e.Details)
	o.b = in.done()
}

// startField writes a key and returns the buffer for its value.
func (o *object) startField(k string) []byte {
	o.key(k)
	return o.b
}

func secrets(o *object, list []run.Secret) {
	if len(list) == 0 {
		return
	}
	o.list("secrets", len(list), func(dst []byte, i int) []byte {
		s := newObject(dst)
		s.str("id", list[i].ID)
		s.str("fp", list[i].FP)
		s.strOpt("ciphertext", list[i].Ciphertext)
		if list[i].Blob != "" {
			s.str("blob", list[i].Blob)
			s.int("bytes", list[i].Bytes)
		}
		return s.done()
	})
}
