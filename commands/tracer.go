package commands

import "context"

// Tracer records what the executor does for the traces that commands came with. What it is given and
// gives are W3C traceparents. Without one, or for a trace that is not recorded, they are passed on
// as they are: into the events that follow from a command, and with the calls of its tasks. Safe for
// concurrent use; no method blocks.
type Tracer interface {
	// Attempt begins the span of an attempt, below parent. The context is for the attempt's work; the
	// traceparent for what follows from it, parent itself if nothing is recorded. end is called once,
	// with completed, failed or dropped.
	Attempt(ctx context.Context, parent string, a TracedAttempt) (_ context.Context, traceparent string, end func(outcome string))
	// Appending returns the context of an append to a run that began with the trace: the commands in it
	// may have others.
	Appending(ctx context.Context, trace string) context.Context
}

// TracedAttempt says which attempt a span is about.
type TracedAttempt struct {
	RunID, Task, Function string
	Number                int
}
