package wire

import (
	"quipu/domain/run"
)

func (r *reader) callStarted(family string) run.CallStarted {
	e := run.CallStarted{Family: family}
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
		case "function":
			e.Function = r.Text()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) callCompleted(family string) run.CallCompleted {
	e := run.CallCompleted{Family: family}
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
		case "function":
			e.Function = r.Text()
		case "started_at":
			e.StartedAt = r.instant()
		case "details":
			e.Details = r.value()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) callFailed(family string) run.CallFailed {
	e := run.CallFailed{Family: family}
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
		case "function":
			e.Function = r.Text()
		case "started_at":
			e.StartedAt = r.instant()
		case "error":
			e.Error = r.errorInfo()
		case "details":
			e.Details = r.value()
		default:
			r.Unknown()
		}
	}
	return e
}
