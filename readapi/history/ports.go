package history

import (
	"context"

	"quipu/domain"
	"quipu/domain/workflow"
	"quipu/projections/view"
	"quipu/readapi/orchestrator"
)

// Views answers lists. Rows and Slice.As are read in one transaction, always of the current
// generation. Errors: ErrUnavailable if the database cannot be asked now; ErrCanceled, ErrDeadline.
type Views interface {
	Executions(ctx context.Context, q view.ExecutionQuery) (view.Slice[view.Execution], error)
	Approvals(ctx context.Context, q view.ApprovalQuery) (view.Slice[view.Approval], error)
	Events(ctx context.Context, q view.EventQuery) (view.Slice[view.Event], error)
	Workflows(ctx context.Context, q view.WorkflowQuery) (view.Slice[view.Workflow], error)
	Versions(ctx context.Context, workflowID string, p view.Page) (view.Slice[view.WorkflowVersion], error)
	Endpoints(ctx context.Context, p view.Page) (view.Slice[view.Endpoint], error)
}

// Freshness knows what this node has seen of the log, and how far the views are.
type Freshness interface {
	// Seen is the highest position that this node has acknowledged to a client or been handed by the
	// feed.
	Seen() domain.Position
	// Wait returns once the views have reached position, or ctx ends, with how far they are. An error
	// says why they do not come nearer; it may come at once. ErrUnavailable says that the rows may not
	// be those of this log, whatever position they reach; it comes for position 0 too.
	Wait(ctx context.Context, position domain.Position) (domain.Position, error)
}

// Log is where reads by id look.
type Log interface {
	ID() domain.LogID
	Head(ctx context.Context) (domain.Position, error)
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
}

// Blobs is where large definitions are read from.
type Blobs interface {
	Get(ctx context.Context, sha256 string) ([]byte, error)
}

// Definitions folds stored workflows.
type Definitions interface {
	// Get returns a version of a workflow, the newest for 0, and the position of its newest event, 0
	// if that was not asked for. Errors: ErrNotFound for an unknown or deleted one, or a version that
	// it never had.
	Get(ctx context.Context, id string, version int) (workflow.Stored, domain.Position, error)
}

// Payloads shows values to clients: secrets masked.
type Payloads interface {
	orchestrator.Payloads
	// Definition shows the graph of a stored workflow, its secrets masked.
	Definition(ctx context.Context, graph domain.Value, inlineMax int) ([]byte, error)
}

// Deps are what Routes need; all are required.
type Deps struct {
	Views       Views
	Freshness   Freshness
	Log         Log
	Blobs       Blobs
	Definitions Definitions
	Payloads    Payloads
}
