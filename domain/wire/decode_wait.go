package wire

import (
	"quipu/domain"
	"quipu/domain/run"
)

func (r *reader) taskReused() run.TaskReused {
	e := run.TaskReused{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "offset":
			e.Offset = domain.Revision(r.Int())
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) approvalRequested() run.ApprovalRequested {
	e := run.ApprovalRequested{Request: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "request":
			e.Request = r.value()
		case "due_at":
			e.DueAt = r.instant()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) approvalDecided() run.ApprovalDecided {
	e := run.ApprovalDecided{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "action":
			e.Action = r.Text()
		case "approver":
			e.Approver = r.Text()
		case "comment":
			e.Comment = r.Text()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) eventAwaited() run.EventAwaited {
	e := run.EventAwaited{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "channel":
			e.Channel = r.Text()
		case "due_at":
			e.DueAt = r.instant()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) eventReceived() run.EventReceived {
	e := run.EventReceived{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "task":
			e.Task = r.Text()
		case "task_id":
			e.TaskID = r.Text()
		case "iteration":
			e.Iteration = r.Int()
		case "channel":
			e.Channel = r.Text()
		case "signal_id":
			e.SignalID = r.Text()
		case "message_id":
			e.MessageID = r.Text()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) signalReceived() run.SignalReceived {
	e := run.SignalReceived{Payload: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "signal_id":
			e.SignalID = r.Text()
		case "name":
			e.Name = r.Text()
		case "payload":
			e.Payload = r.value()
		case "secrets":
			e.Secrets = r.secrets()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) paused() run.Paused {
	e := run.Paused{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "reason":
			e.Reason = r.Text()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) resumed() run.Resumed {
	e := run.Resumed{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "reason":
			e.Reason = r.Text()
		default:
			r.Unknown()
		}
	}
	return e
}
