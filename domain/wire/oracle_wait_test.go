package wire_test

import (
	"quipu/domain"
	"quipu/domain/run"
)

type taskReusedV1 struct {
	taskV1
	Offset int64 `json:"offset"`
}

func (w taskReusedV1) event() run.Event {
	return run.TaskReused{Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Offset: domain.Revision(w.Offset)}
}

type approvalRequestedV1 struct {
	taskV1
	Request value   `json:"request"`
	DueAt   instant `json:"due_at"`
}

func (w approvalRequestedV1) event() run.Event {
	return run.ApprovalRequested{Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Request: w.Request.domain(), DueAt: w.DueAt.Time}
}

type approvalDecidedV1 struct {
	taskV1
	Action   string `json:"action"`
	Approver string `json:"approver"`
	Comment  string `json:"comment"`
}

func (w approvalDecidedV1) event() run.Event {
	return run.ApprovalDecided{Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Action: w.Action, Approver: w.Approver, Comment: w.Comment}
}

type eventAwaitedV1 struct {
	taskV1
	Channel string  `json:"channel"`
	DueAt   instant `json:"due_at"`
}

func (w eventAwaitedV1) event() run.Event {
	return run.EventAwaited{Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Channel: w.Channel, DueAt: w.DueAt.Time}
}

type eventReceivedV1 struct {
	taskV1
	Channel   string `json:"channel"`
	SignalID  string `json:"signal_id"`
	MessageID string `json:"message_id"`
}

func (w eventReceivedV1) event() run.Event {
	return run.EventReceived{Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Channel: w.Channel, SignalID: w.SignalID, MessageID: w.MessageID}
}

type signalReceivedV1 struct {
	SignalID string     `json:"signal_id"`
	Name     string     `json:"name"`
	Payload  value      `json:"payload"`
	Secrets  []secretV1 `json:"secrets"`
}

func (w signalReceivedV1) event() run.Event {
	return run.SignalReceived{SignalID: w.SignalID, Name: w.Name, Payload: w.Payload.domain(), Secrets: secretsOf(w.Secrets)}
}

type pausedV1 struct {
	Reason string `json:"reason"`
}

func (w pausedV1) event() run.Event { return run.Paused(w) }

type resumedV1 struct {
	Reason string `json:"reason"`
}

func (w resumedV1) event() run.Event { return run.Resumed(w) }
