package wire

import (
	"quipu/domain"
	"quipu/domain/run"
)

// The readers of events are written out rather than driven by reflection: every projection, socket
// and recovery goes through them for every event (BenchmarkDecodeRun). The fields stand in the order
// in which EncodeRun writes them.

func (r *reader) taskStarted() run.TaskStarted {
	e := run.TaskStarted{Input: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "node":
			e.Node = r.Text()
		case "function":
			e.Function = r.Text()
		case "input":
			e.Input = r.value()
		case "deadline":
			e.Deadline = r.instant()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) taskAttemptStarted() run.TaskAttemptStarted {
	e := run.TaskAttemptStarted{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "attempt":
			e.Attempt = r.Int()
		case "node":
			e.Node = r.Text()
		case "reason":
			e.Reason = r.Text()
		case "deadline":
			e.Deadline = r.instant()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) taskCompleted() run.TaskCompleted {
	e := run.TaskCompleted{Output: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "attempt":
			e.Attempt = r.Int()
		case "started_at":
			e.StartedAt = r.instant()
		case "output":
			e.Output = r.value()
		case "gates":
			e.Gates = r.gates()
		case "secrets":
			e.Secrets = r.secrets()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) taskFailed() run.TaskFailed {
	e := run.TaskFailed{Partial: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "attempt":
			e.Attempt = r.Int()
		case "started_at":
			e.StartedAt = r.instant()
		case "error":
			e.Error = r.errorInfo()
		case "partial_results":
			e.Partial = r.value()
		case "secrets":
			e.Secrets = r.secrets()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) taskRetryScheduled() run.TaskRetryScheduled {
	e := run.TaskRetryScheduled{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "attempt":
			e.Attempt = r.Int()
		case "error":
			e.Error = r.errorInfo()
		case "retry_at":
			e.RetryAt = r.instant()
		case "secrets":
			e.Secrets = r.secrets()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) timerSet() run.TimerSet {
	e := run.TimerSet{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "due_at":
			e.DueAt = r.instant()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) taskSkipped() run.TaskSkipped {
	e := run.TaskSkipped{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "reason":
			e.Reason = r.Text()
		default:
			r.Unknown()
		}
	}
	return e
}
