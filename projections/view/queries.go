package view

import (
	"time"

	"quipu/domain"
)

// Bounds of a page. Readers refuse what is outside; stores rely on it.
const (
	LimitMax  = 200
	OffsetMax = 100_000
	// TotalMax caps counting: a total above it is given as TotalMax+1.
	TotalMax = 10_000
)

// ExecutionQuery asks for a page of executions; zero fields do not filter.
type ExecutionQuery struct {
	WorkflowID, Source, FlowName, RunName string
	ConnectionID, RetryOf                 string
	Status                                Status
	StartedFrom, StartedTo                time.Time // StartedFrom <= started_at < StartedTo
	// AsOf shows the list as it was after the event at this position: which executions there were
	// and which of them had Status. 0 is now. Rows are as they are now, but for Status.
	AsOf domain.Position
	Page
}

// EventQuery asks for a page of events; zero fields do not filter.
type EventQuery struct {
	WorkflowID, ExecutionID, Node string
	Types                         []string        // stored types; any of them
	From, To                      time.Time       // From <= at < To
	After, Before                 domain.Position // both exclusive
	Page
}

// WorkflowQuery asks for a page of workflows that are not deleted.
type WorkflowQuery struct {
	Endpoint, Name string
	Page
}

// ApprovalQuery asks for a page of approvals as they stand now; zero fields do not filter. A row that
// loses its Status between two pages is not on the later one.
type ApprovalQuery struct {
	ExecutionID, WorkflowID string
	Status                  ApprovalStatus
	Page
}

// Page says which part of a list is wanted. The order is that of the key, newest first unless
// Ascending.
type Page struct {
	Ascending bool
	Limit     int             // 1..LimitMax
	Key       domain.Position // of the last row of the page before; 0 begins
	Offset    int             // rows to pass over, after Key; 0..OffsetMax
	Total     bool            // also count all rows that match, up to TotalMax+1
}

// Slice is a page of a list.
type Slice[Row any] struct {
	Rows  []Row
	More  bool // rows follow after the last
	Total int  // if asked for: all rows that match, at most TotalMax+1
	// As says up to where the rows are the fold of the log: read in the same transaction.
	As Checkpoint
}

// Checkpoint is how far a view has come in which log.
type Checkpoint struct {
	Log      domain.LogID // "" before the first commit
	Position domain.Position
}

// CodeLogDamaged is the code of an ErrCorrupt that is the log's, which adapters that read events from
// the log pass on; every other ErrCorrupt of a query is the views' own, and a rebuild mends it.
const CodeLogDamaged = "LOG_DAMAGED"
