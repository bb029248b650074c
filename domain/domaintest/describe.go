package domaintest

import (
	"fmt"
	"strings"

	"quipu/domain/run"
	"quipu/domain/wire"
)

// Describe renders an event in a few words: "task_started a", "task_retry_scheduled a 1 HTTP_503".
func Describe(e run.Event) string {
	typ, _ := wire.EncodeRun(e)
	words := []string{wire.CanonicalName(typ)}
	add := func(w ...any) {
		for _, s := range w {
			if s := fmt.Sprint(s); s != "" {
				words = append(words, s)
			}
		}
	}
	switch e := e.(type) {
	case run.TaskStarted:
		add(e.Task)
	case run.TaskAttemptStarted:
		add(e.Task, e.Attempt, e.Reason)
	case run.TaskCompleted:
		add(e.Task)
		for _, g := range e.Gates {
			add(fmt.Sprintf("%d=%t", g.Edge, g.Holds))
		}
	case run.TaskFailed:
		add(e.Task, e.Error.Code)
	case run.TaskRetryScheduled:
		add(e.Task, e.Attempt, e.Error.Code)
	case run.TimerSet:
		add(e.Task)
	case run.TaskSkipped:
		add(e.Task)
	case run.TaskReused:
		add(e.Task, e.Offset)
	case run.ApprovalRequested:
		add(e.Task)
	case run.ApprovalDecided:
		add(e.Task, e.Action)
	case run.EventAwaited:
		add(e.Task, e.Channel)
	case run.EventReceived:
		add(e.Task, e.Channel, e.SignalID, e.MessageID)
	case run.SignalReceived:
		add(e.Name, e.SignalID)
	case run.CallStarted:
		add(e.Task, e.Attempt)
	case run.CallCompleted:
		add(e.Task, e.Attempt)
	case run.CallFailed:
		add(e.Task, e.Attempt, e.Error.Code)
	case run.Failed:
		add(e.Task, e.Error.Code)
	}
	return strings.Join(words, " ")
}

// DescribeAll describes events one by one.
func DescribeAll(events []run.Event) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = Describe(e)
	}
	return out
}
