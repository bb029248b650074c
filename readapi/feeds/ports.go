package feeds

import (
	"context"

	"quipu/domain"
	"quipu/readapi"
	"quipu/readapi/orchestrator"
)

// Log is what admission and cursors ask of the log.
type Log interface {
	readapi.Log
	// Head returns the position of the newest event, 0 for an empty log.
	Head(ctx context.Context) (domain.Position, error)
}

// Feed yields the events of one workflow and its runs in the order of the log.
type Feed interface {
	// Poll returns what can be had without waiting for events. more says that it should be called
	// again at once; otherwise notify will be called. After an error it may be called again and
	// nothing is skipped.
	Poll(ctx context.Context) (events []readapi.Event, more bool, err error)
	// Refresh makes the next Poll look at the log.
	Refresh()
	// Ephemeral returns what was published beside the events since the last call, and the stream of
	// each; notify is called for it too.
	Ephemeral() (streams []domain.StreamID, values []any)
	Close()
}

// Deps are what a Server stands on; all are required.
type Deps struct {
	Sockets *readapi.Sockets
	Log     Log
	// Readers opens the events of one run.
	Readers readapi.ReaderFunc
	// Feeds opens the events of a workflow after a position. notify must not block.
	Feeds func(workflowID string, after domain.Position, notify func()) Feed
	// NodeTypes is the type of an execution's node, "" if it cannot be told now.
	NodeTypes func(ctx context.Context, executionID, node string) string
	Payloads  orchestrator.Payloads
}
