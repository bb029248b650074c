package lao

import "quipu/domain/run"

// wait writes the events of tasks that wait for a person or a message.
func (f *frame) wait(name string, e run.Event) {
	switch e := e.(type) {
	case run.ApprovalRequested:
		f.taskHead(name, e.Task, e.TaskID)
		f.value("request", e.Request, "{}")
		f.instantIf("due_at", e.DueAt)
	case run.ApprovalDecided:
		f.taskHead(name, e.Task, e.TaskID)
		f.Str("action", e.Action)
		f.strIf("approver", e.Approver)
		f.strIf("comment", e.Comment)
	case run.EventAwaited:
		f.taskHead(name, e.Task, e.TaskID)
		f.Str("channel", e.Channel)
		f.instantIf("due_at", e.DueAt)
	case run.EventReceived:
		f.taskHead(name, e.Task, e.TaskID)
		f.Str("channel", e.Channel)
		f.strIf("signal_id", e.SignalID)
		f.strIf("message_id", e.MessageID)
	case run.SignalReceived:
		f.head(name, f.run.ID, "")
		f.Str("signal_id", e.SignalID)
		f.Str("name", e.Name)
		f.value("payload", e.Payload, "null")
	}
}
