package lao

import (
	"slices"

	"quipu/domain/wire"
)

// The event types that LAO documents (S0-8).
const (
	FlowStarted   = "flow_started"
	TaskStarted   = "task_started"
	TaskCompleted = "task_completed"
	TaskFailed    = "task_failed"
	FlowCompleted = "flow_completed"
	FlowError     = "flow_error"
)

// Unreadable is shown for a stored event that cannot be decoded, so that one damaged payload does
// not end a stream.
const Unreadable = "unreadable"

// Name is the event_type of a stored type; "" if events of the type are not shown.
func Name(stored string) string {
	switch stored {
	case wire.RunStarted:
		return FlowStarted
	case wire.RunCompleted:
		return FlowCompleted
	case wire.RunFailed, wire.RunCancelled:
		return FlowError
	case wire.RunAbandoned:
		return ""
	}
	return wire.CanonicalName(stored)
}

// Names lists every event_type that this build can send, sorted.
func Names() []string {
	var out []string
	for _, t := range wire.RunTypes() {
		if n := Name(t); n != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
