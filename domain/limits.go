package domain

import "time"

// Shared bounds. Each is part of a promise in docs/guarantees.md; the ones marked "stored" can
// never be lowered, since logs written under them exist.
const (
	// AppendEventsMax is the most events one append may hold (stored).
	AppendEventsMax = 500
	// AppendBytesMax is the most bytes one append may hold, counted by AppendBytes (stored).
	AppendBytesMax = 900 << 10
	// StreamIDBytesMax is the longest stream id in bytes (stored).
	StreamIDBytesMax = 512
	// EventTypeBytesMax is the longest event type in bytes (stored).
	EventTypeBytesMax = 128
	// PayloadInlineBytesMax is the largest payload field kept in an event; above it the field
	// becomes a content-addressed blob.
	PayloadInlineBytesMax = 64 << 10
	// NameBytesMax is the longest flow or run name in bytes (contract D6).
	NameBytesMax = 512
	// ReadyBatchMax is the most task starts one decision makes; the rest follow on Continue.
	ReadyBatchMax = 100
	// PureChainEventsMax caps the events that pure nodes add to one decision.
	PureChainEventsMax = 100
	// ParallelTasksMax is the most tasks of one run that are started and unfinished at once.
	ParallelTasksMax = 1000
	// TasksMax is the most tasks in one definition.
	TasksMax = 10_000
	// TimerWaitMax is the longest that a timer may wait.
	TimerWaitMax = 10 * 365 * 24 * time.Hour
	// JSONDepthMax is the deepest nesting accepted in any JSON from outside.
	JSONDepthMax = 128
)

// The bounds of one decision. They leave room in an append for the small decisions that a mailbox
// joins before it: fewer than AppendEventsMax-DecisionEventsMax events, and less than
// AppendBytesMax-DecisionBytesMax bytes.
const (
	DecisionEventsMax = 400
	DecisionBytesMax  = AppendBytesMax - 128<<10
)
