package view

import (
	"time"

	"quipu/domain"
)

// Status is where an execution or a task stands, in the words of the APIs.
type Status string

// The statuses. Paused is of executions only; Skipped, Retrying and Waiting are of tasks only.
const (
	Running   Status = "running"
	Paused    Status = "paused" // nothing new begins until it is resumed
	Completed Status = "completed"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
	Skipped   Status = "skipped"
	Retrying  Status = "retrying" // between a failed attempt and the next
	Waiting   Status = "waiting"  // for a decision, a message or an instant: see Wait
)

// Ended reports whether nothing follows s. A status that is none has not ended.
func (s Status) Ended() bool {
	return s == Completed || s == Failed || s == Cancelled || s == Skipped
}

// Execution is one run as lists show it (contract D20). Its key and its place in the list is
// Position: that of its first event, so that newest first is the order of the log.
type Execution struct {
	Position        domain.Position
	ID              string
	WorkflowID      string // "" if none
	WorkflowVersion int    // 0 if the workflow has none
	Source          string // dialect it came in by
	Endpoint        string
	FlowName        string
	RunName         string
	ConnectionID    string // of the socket it was asked for on; "" if none
	RetryOf         string // the execution it goes on from; "" if it began at the beginning
	Status          Status
	StatusSince     domain.Position // of the event that gave it Status
	StartedAt       time.Time
	EndedAt         time.Time // zero while it has no end
	Input           domain.Value
	CurrentNode     string // the task started last among those without an end; "" if none
	FailedTask      string
	Error           Error // why it failed; zero otherwise
	LastOffset      domain.Revision
	LastPosition    domain.Position // of the event at LastOffset
	Tasks           TaskCounts
}

// Error is a failure as rows keep it: small, without secrets.
type Error struct{ Type, Code, Message string }

// TaskCounts says how many tasks of an execution stand where. Attempts counts every attempt begun.
type TaskCounts struct{ Total, Started, Completed, Failed, Skipped, Attempts int }

// StatusInterval says that an execution had a status after the events at [From, To).
type StatusInterval struct {
	Execution domain.Position // key of the execution
	Status    Status
	From      domain.Position
	To        domain.Position // 0 while it lasts
}

// Task is one task of an execution; Execution, Task and Iteration are its key. A task without an end
// in an ended execution is Cancelled.
type Task struct {
	Execution     domain.Position
	Task          string
	Iteration     int
	TaskID        string
	Function      string
	Status        Status
	Attempts      int
	StartedAt     time.Time // zero if skipped
	EndedAt       time.Time // zero while it has no end
	StartedOffset domain.Revision
	EndedOffset   domain.Revision // domain.NoStream while it has no end
	Error         Error           // of the last failed attempt; zero once completed
	Wait          Wait            // while it is Waiting; zero otherwise
}

// Wait is what a task waits for.
type Wait struct {
	Kind    WaitKind
	Channel string          // of WaitEvent: what a signal or message must be named
	DueAt   time.Time       // of WaitTimer: when it goes on; of others: when it fails, zero if never
	Since   domain.Position // of the event that began it
}

// WaitKind says what ends a wait.
type WaitKind string

// The kinds of waits.
const (
	WaitApproval WaitKind = "approval"
	WaitEvent    WaitKind = "event"
	WaitTimer    WaitKind = "timer"
)

// ApprovalStatus is where a request for a decision stands.
type ApprovalStatus string

// The statuses of approvals.
const (
	ApprovalPending   ApprovalStatus = "pending"
	ApprovalApproved  ApprovalStatus = "approved"
	ApprovalRejected  ApprovalStatus = "rejected"
	ApprovalExpired   ApprovalStatus = "expired"   // nobody decided in time
	ApprovalCancelled ApprovalStatus = "cancelled" // its execution ended first
)

// Approval is one request for somebody's decision. Its key and its place in lists is Position: that of
// the event that asked.
type Approval struct {
	Position    domain.Position
	Execution   domain.Position // key of its execution
	ExecutionID string
	WorkflowID  string // "" if none
	Task        string
	Iteration   int
	TaskID      string
	Offset      domain.Revision // of the event that asked
	Request     domain.Value    // object
	RequestedAt time.Time
	DueAt       time.Time // it expires then; zero if it waits for ever
	// What follows is of its end.
	Status      ApprovalStatus
	Approver    string // who decided, by the client's word; "" if it did not say
	Comment     string
	ActorKind   string // who is authenticated as having decided; "" until it is decided
	ActorID     string
	EndedAt     time.Time       // zero while pending
	EndedOffset domain.Revision // of the event that ended it; domain.NoStream while pending
}

// Event is one recorded event with what can be asked about it.
type Event struct {
	domain.Recorded
	At          time.Time
	Execution   domain.Position // key of its execution, 0 if it belongs to none
	ExecutionID string
	WorkflowID  string
	Node        string // the task it is about, "" if none
	// NodeType is the type of that task; "" if the task had not begun or had ended before the event.
	NodeType string
}

// Workflow is a stored definition in its newest version.
type Workflow struct {
	Position     domain.Position // of its first event: its key and its place in lists
	ID           string
	Name         string
	Description  string
	Endpoint     string
	Version      int // 1, 2, …
	Graph        domain.Value
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Deleted      bool // reads answer 404; kept for audit
	LastPosition domain.Position
}

// WorkflowVersion is one version of a definition, as it was; WorkflowID and Version are its key.
type WorkflowVersion struct {
	WorkflowID  string
	Version     int
	Name        string
	Description string
	Endpoint    string
	Graph       domain.Value
	At          time.Time
	Position    domain.Position
}

// Name says which execution a pair of names stands for now; the pair is its key.
type Name struct {
	FlowName    string
	RunName     string
	ExecutionID string
	Position    domain.Position // of the event that bound it last
	Offset      domain.Revision
}

// Endpoint is a place workflows can be reached at.
type Endpoint struct {
	ID        string // "<slug>-<8 hex digits>"
	Slug      string
	CreatedAt time.Time
	Position  domain.Position
}

// Parked is an event that one projector could not take in. It is kept beside the rows, with the
// reason, so that nothing is lost in silence and nothing stops.
type Parked struct {
	Projector string
	Position  domain.Position
	Stream    domain.StreamID
	Revision  domain.Revision
	Type      string
	Reason    string
}
