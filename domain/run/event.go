package run

import (
	"time"

	"quipu/domain"
)

// Event is a recorded fact of a run. The set is closed; package wire knows every member.
type Event interface{ runEvent() }

// Secret is a sealed string that entered the run with the event that lists it.
type Secret = domain.Secret

// ErrorInfo is a failure as stored and shown: small, without secrets.
type ErrorInfo struct {
	Type    string
	Code    string
	Message string
	Details domain.Value // JSON object or absent
}

// Started is the first event of every run that exists.
type Started struct {
	RunID      string
	Source     string // dialect it came in by: "lao", "agnt5", "api"
	FlowName   string
	RunName    string
	WorkflowID string
	// WorkflowVersion is the version of the stored workflow that the run is pinned to, from 1 on; 0
	// if it came with its definition.
	WorkflowVersion int
	Endpoint        string       // that the stored workflow belonged to; "" if there is none
	Definition      domain.Value // see wire.Definition
	Input           domain.Value // object; the run's input after overrides
	BodySHA256      string       // of the request, to tell a repeat from a different request; may be ""
	ConnectionID    string       // of the socket it was asked for on; "" if none
	Metadata        domain.Value // what the client said beside the input; object or absent
	// RetryOf is the execution that this run goes on from; "" if it begins at the beginning. Reused
	// holds what that run's tasks gave that are not done again: {task: {"offset": n, "output": …}};
	// absent if there is none.
	RetryOf string
	Reused  domain.Value
	Secrets []Secret
}

// Abandoned takes revision 0 of a run that was named but never started (contract D6).
type Abandoned struct{ RunID string }

// TaskStarted says that a task's first attempt begins.
type TaskStarted struct {
	Task      string
	TaskID    string
	Iteration int
	Node      string // incarnation of the process that runs the attempt
	Function  string
	Input     domain.Value // resolved parameter object
	Deadline  time.Time    // of this attempt; zero if none
}

// TaskAttemptStarted says that a later attempt begins.
type TaskAttemptStarted struct {
	Task, TaskID string
	Iteration    int
	Attempt      int // 2, 3, …
	Node         string
	Reason       string // ReasonRetry or ReasonRecovered
	Deadline     time.Time
}

// Reasons of a later attempt.
const (
	ReasonRetry     = "retry"     // the attempt before failed
	ReasonRecovered = "recovered" // the process of the attempt before is gone
)

// GateResult is one conditional edge evaluated when its source completed.
type GateResult struct {
	Edge  int // index in the definition's edges
	Holds bool
}

// TaskCompleted ends a task well.
type TaskCompleted struct {
	Task, TaskID string
	Iteration    int
	Attempt      int
	StartedAt    time.Time // of the task's first attempt
	Output       domain.Value
	Gates        []GateResult
	Secrets      []Secret
}

// TaskFailed ends a task badly, for good.
type TaskFailed struct {
	Task, TaskID string
	Iteration    int
	Attempt      int
	StartedAt    time.Time
	Error        ErrorInfo
	Partial      domain.Value // object; what the node got done
	Secrets      []Secret
}

// TaskRetryScheduled says that a failed attempt will be followed by another at RetryAt.
type TaskRetryScheduled struct {
	Task, TaskID string
	Iteration    int
	Attempt      int // the attempt that failed
	Error        ErrorInfo
	RetryAt      time.Time
	Secrets      []Secret
}

// TimerSet says that a task waits until DueAt. It follows the task's start in the same append.
type TimerSet struct {
	Task, TaskID string
	Iteration    int
	DueAt        time.Time
}

// ApprovalRequested says that a task waits for somebody's decision. It follows the task's start in the
// same append.
type ApprovalRequested struct {
	Task, TaskID string
	Iteration    int
	Request      domain.Value // object: what is to be decided, and by whom
	DueAt        time.Time    // when it fails; zero if it waits for ever
}

// The decisions about an approval.
const (
	Approved = "approved"
	Rejected = "rejected"
)

// ApprovalDecided says how. The end of the task follows in the same append. Who is authenticated as
// having decided stands in the event's metadata.
type ApprovalDecided struct {
	Task, TaskID string
	Iteration    int
	Action       string // Approved or Rejected
	Approver     string // who it was by the client's word; "" if it did not say
	Comment      string
}

// EventAwaited says that a task waits for a signal to its run, or a message of a channel, of that name.
// It follows the task's start in the same append.
type EventAwaited struct {
	Task, TaskID string
	Iteration    int
	Channel      string
	DueAt        time.Time // when it fails; zero if it waits for ever
}

// EventReceived says what a task that waited for an event got: a signal to its run, or a message of a
// channel. The end of the task follows in the same append and holds the payload.
type EventReceived struct {
	Task, TaskID string
	Iteration    int
	Channel      string
	SignalID     string // "" if it was a channel's message
	MessageID    string // of the channel's message; "" if it was a signal
}

// SignalReceived is a message to the run alone. It ends the wait of one task, now or when one begins
// to wait for it.
type SignalReceived struct {
	SignalID string // equal ids are one signal
	Name     string
	Payload  domain.Value
	Secrets  []Secret
}

// Paused says that nothing new begins until the run is resumed: no task, no attempt, no end of a timer.
// What runs already goes on to its end.
type Paused struct{ Reason string }

// Resumed ends a pause.
type Resumed struct{ Reason string }

// TaskReused says that a task's output is that of the run which this one is a retry of. It stands
// between the task's start and its completion in the same append.
type TaskReused struct {
	Task, TaskID string
	Iteration    int
	Offset       domain.Revision // of its task_completed in that run
}

// TaskSkipped says that a task will not run, and why.
type TaskSkipped struct {
	Task   string
	Reason string
}

// Reasons of a skip.
const (
	SkippedByGate     = "no condition that leads here holds"
	SkippedByUpstream = "everything it depends on was skipped"
)

// CallStarted, CallCompleted and CallFailed surround each outbound call of a node whose type makes
// them: family "tool" or "llm" (contract D1). They stand in the same append as the attempt.
type CallStarted struct {
	Family       string
	Task, TaskID string
	Iteration    int
	Attempt      int
	Function     string
}

// CallCompleted: see CallStarted.
type CallCompleted struct {
	Family       string
	Task, TaskID string
	Iteration    int
	Attempt      int
	Function     string
	StartedAt    time.Time // of this attempt
	Details      domain.Value
}

// CallFailed: see CallStarted.
type CallFailed struct {
	Family       string
	Task, TaskID string
	Iteration    int
	Attempt      int
	Function     string
	StartedAt    time.Time
	Error        ErrorInfo
	Details      domain.Value
}

// Completed ends a run well.
type Completed struct {
	StartedAt time.Time
	Results   domain.Value // {task: revision of its task_completed}
}

// Failed ends a run badly.
type Failed struct {
	StartedAt time.Time
	Task      string // the task that failed, or whose condition could not be evaluated
	Error     ErrorInfo
	Results   domain.Value
}

// Cancelled ends a run on request. Tasks without an end count as cancelled.
type Cancelled struct {
	StartedAt time.Time
	Reason    string
	Results   domain.Value
}

func (Started) runEvent()            {}
func (Abandoned) runEvent()          {}
func (TaskStarted) runEvent()        {}
func (TaskAttemptStarted) runEvent() {}
func (TaskCompleted) runEvent()      {}
func (TaskFailed) runEvent()         {}
func (TaskRetryScheduled) runEvent() {}
func (TimerSet) runEvent()           {}
func (TaskSkipped) runEvent()        {}
func (ApprovalRequested) runEvent()  {}
func (ApprovalDecided) runEvent()    {}
func (EventAwaited) runEvent()       {}
func (EventReceived) runEvent()      {}
func (SignalReceived) runEvent()     {}
func (Paused) runEvent()             {}
func (Resumed) runEvent()            {}
func (TaskReused) runEvent()         {}
func (CallStarted) runEvent()        {}
func (CallCompleted) runEvent()      {}
func (CallFailed) runEvent()         {}
func (Completed) runEvent()          {}
func (Failed) runEvent()             {}
func (Cancelled) runEvent()          {}
