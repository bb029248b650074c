package projections

import (
	"context"
	"iter"

	"quipu/domain"
	"quipu/projections/view"
)

// Store keeps one generation of the views: all tables, and how far each projector has come, moved in
// one transaction with the rows.
//
// One suite (projections/viewstest) states this contract and runs over every adapter. Methods are
// safe for concurrent use, but only one Commit of a store runs at a time. Errors of all methods:
// ErrUnavailable if the database cannot be asked now (try again), ErrCorrupt if what it holds cannot
// be read, ErrCanceled and ErrDeadline if ctx ended.
type Store interface {
	// State tells how far the generation has come. A new one has the zero State.
	State(ctx context.Context) (State, error)

	// Runs loads what further events of these executions change; unknown ids are absent from the
	// result.
	Runs(ctx context.Context, ids []string) (map[string]Run, error)
	// Workflows loads definitions, deleted ones among them; unknown ids are absent.
	Workflows(ctx context.Context, ids []string) (map[string]view.Workflow, error)

	// Commit stores rows and moves the checkpoint from c.After to c.To, all or nothing. It may keep
	// nothing of c after return.
	// Errors: ErrConflict if the checkpoint is not at c.After, the rows are of another log, or the
	// generation was dropped or replaced: somebody else was here, reload. ErrInvalid unless To > After.
	// ErrIndeterminate if it may have happened: read State. ErrUnprocessable if the database refuses
	// a value for what it is: the same changes will never be stored.
	Commit(ctx context.Context, c Changes) error

	// Parked lists what was parked, oldest first, at most max.
	Parked(ctx context.Context, max int) ([]view.Parked, error)

	// Snapshot opens a consistent reading of all rows, for comparing. Close it soon: it holds back
	// the database's housekeeping.
	Snapshot(ctx context.Context) (Snapshot, error)
}

// State is how far a generation has come.
type State struct {
	view.Checkpoint
	// Versions are those of the projectors that made the rows, by name; empty before the first commit.
	Versions map[string]int
	Parked   int // events that were parked
}

// Run is what is kept of an execution while events of it may follow.
type Run struct {
	Execution view.Execution
	Open      []view.Task // tasks without an end, by StartedOffset, then Task
}

// Changes are the rows that a batch of events leads to. Rows replace what is stored under their key,
// with one exception that spares copying: what an execution is born with (ID to RetryOf, StartedAt,
// Input), and an approval with (all but what is of its end), is stored with the row of the commit that
// holds its first event (Position > After) and ignored in later rows, which may leave it out.
//
// Instants have milliseconds; what is finer is cut off.
type Changes struct {
	Log       domain.LogID
	After, To domain.Position // the checkpoint before and after; To > After
	Versions  map[string]int  // projectors by name

	Executions       []view.Execution      // each key once
	Statuses         []view.StatusInterval // key: Execution and From; an interval that ends is given again with its To
	Tasks            []view.Task           // each key once
	Approvals        []view.Approval       // each key once
	Events           []view.Event          // new, in order of position
	Workflows        []view.Workflow
	WorkflowVersions []view.WorkflowVersion
	Names            []view.Name
	Endpoints        []view.Endpoint
	Parked           []view.Parked
}

// Snapshot is a consistent reading of one generation. Sequences are in order of their keys and end
// with an error if the reading broke.
type Snapshot interface {
	State() State
	Executions(ctx context.Context) iter.Seq2[view.Execution, error]
	Statuses(ctx context.Context) iter.Seq2[view.StatusInterval, error]
	Tasks(ctx context.Context) iter.Seq2[view.Task, error]
	Approvals(ctx context.Context) iter.Seq2[view.Approval, error]
	Events(ctx context.Context) iter.Seq2[view.Event, error]
	Workflows(ctx context.Context) iter.Seq2[view.Workflow, error]
	WorkflowVersions(ctx context.Context) iter.Seq2[view.WorkflowVersion, error]
	Names(ctx context.Context) iter.Seq2[view.Name, error]
	Endpoints(ctx context.Context) iter.Seq2[view.Endpoint, error]
	Close() error
}

// Generations keeps generations of the views beside each other. Exactly one is current once the first
// was opened; readers always see that one, whole.
//
// Errors: as Store; ErrRefused with code VIEWS_NEWER if the database was written by a newer version
// of the program, which this one must not touch.
type Generations interface {
	// Current opens the current generation; on a new database it makes one.
	Current(ctx context.Context) (Store, error)
	// Begin makes an empty generation beside the current one. Leftovers of an earlier Begin that was
	// neither promoted nor dropped are removed.
	Begin(ctx context.Context) (Store, error)
	// Promote makes a generation from Begin current, at one instant for all readers, and removes the
	// former one when its readers have left it. Errors: ErrConflict if s is not the newest from Begin
	// any more, or was promoted or dropped.
	Promote(ctx context.Context, s Store) error
	// Drop removes a generation from Begin; one that is gone already is no error. Errors: ErrConflict
	// for the current one.
	Drop(ctx context.Context, s Store) error
	// Close releases the database. Stores of it fail with ErrUnavailable afterwards.
	Close() error
}

// Feed is the log as projectors read it.
type Feed interface {
	ID() domain.LogID
	// Head is the position of the newest event, 0 for an empty log.
	Head(ctx context.Context) (domain.Position, error)
	// Follow reads everything after a position (exclusive): history, then live. Errors: ErrInvalid if
	// after lies beyond the head.
	Follow(ctx context.Context, after domain.Position) (Source, error)
}

// Source is a resumable reading of the log by one goroutine.
type Source interface {
	// Next waits for the next events in order. position is how far the log was considered; caughtUp
	// says that this was its head. Errors: ErrCanceled and ErrDeadline when ctx ends, and nothing is
	// skipped; ErrUnavailable once it has to be opened anew.
	Next(ctx context.Context) (events []domain.Recorded, position domain.Position, caughtUp bool, err error)
	Close() error
}
