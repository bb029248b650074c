package run

import (
	"time"

	"quipu/domain"
	"quipu/domain/workflow"
)

// Command is a request to a run. The set is closed. Every command carries its instant At, already
// rounded to stored precision and not before the stream's last event.
type Command interface{ runCommand() }

// Start begins a run that does not exist. Graph must be compiled from the definition that
// Definition encodes.
type Start struct {
	At         time.Time
	RunID      string
	Source     string
	FlowName   string
	RunName    string
	WorkflowID string
	// WorkflowVersion is that of a stored workflow, 0 if the definition came along.
	WorkflowVersion int
	Endpoint        string // of that workflow, "" if there is none
	Definition      domain.Value
	Graph           *workflow.Graph
	Input           domain.Value
	BodySHA256      string
	ConnectionID    string
	Metadata        domain.Value // object or absent
	// RetryOf and Reused: see Started.
	RetryOf string
	Reused  domain.Value
	Secrets []Secret
	Node    string // incarnation that will run the tasks
	Hold    bool   // record the start only; tasks start on the first Continue
}

// Abandon takes the place of a start that never came.
type Abandon struct {
	At    time.Time
	RunID string
}

// Continue starts what is ready: after a decision that marked More, after Hold, and at recovery.
type Continue struct {
	At   time.Time
	Node string
}

// CompleteTask reports an attempt's success.
type CompleteTask struct {
	At      time.Time
	Task    string
	Attempt int
	Output  domain.Value // checked JSON
	Details domain.Value // of the call; object or absent
	Secrets []Secret
	Node    string // incarnation for the tasks that start now
	Hold    bool
}

// FailTask reports an attempt's failure.
type FailTask struct {
	At         time.Time
	Task       string
	Attempt    int
	Error      ErrorInfo
	Partial    domain.Value
	Details    domain.Value
	Secrets    []Secret
	Retryable  bool
	RetryAfter time.Duration
	Jitter     float64 // in [0,1)
}

// StartAttempt begins the next attempt of a task whose backoff is over.
type StartAttempt struct {
	At   time.Time
	Task string
	Node string
}

// FireTimer completes a task whose timer is due and goes on, or fails one whose wait has lasted too
// long.
type FireTimer struct {
	At   time.Time
	Task string
	Node string // incarnation for the tasks that start now
}

// What ends a wait or a pause, and what completes a task, may be held: its facts are recorded, and what
// follows from them starts on the next Continue.

// DecideApproval ends a wait for a decision.
type DecideApproval struct {
	At       time.Time
	Task     string // "" for the only one that waits
	Action   string // Approved or Rejected
	Approver string
	Comment  string
	Node     string // incarnation for the tasks that start now
	Hold     bool
}

// Signal gives the run a message.
type Signal struct {
	At       time.Time
	SignalID string
	Name     string
	Payload  domain.Value // checked JSON
	Secrets  []Secret
	Node     string // incarnation for the tasks that start now
	Hold     bool
}

// Deliver ends a task's wait with a message of a channel.
type Deliver struct {
	At        time.Time
	Task      string
	Channel   string
	MessageID string       // the message's place in its channel
	Payload   domain.Value // checked JSON
	Secrets   []Secret
	Node      string // incarnation for the tasks that start now
	Hold      bool
}

// Pause lets nothing new begin.
type Pause struct {
	At     time.Time
	Reason string
}

// Resume ends a pause and starts what is ready.
type Resume struct {
	At     time.Time
	Reason string
	Node   string
	Hold   bool
}

// Recover begins a new attempt of every running task whose attempt belongs to an incarnation that is gone:
// neither Node nor one of Alive, which is sorted.
type Recover struct {
	At    time.Time
	Node  string
	Alive []string
}

// Cancel ends the run on request.
type Cancel struct {
	At     time.Time
	Reason string
}

func (Start) runCommand()          {}
func (Abandon) runCommand()        {}
func (Continue) runCommand()       {}
func (CompleteTask) runCommand()   {}
func (FailTask) runCommand()       {}
func (StartAttempt) runCommand()   {}
func (FireTimer) runCommand()      {}
func (DecideApproval) runCommand() {}
func (Signal) runCommand()         {}
func (Deliver) runCommand()        {}
func (Pause) runCommand()          {}
func (Resume) runCommand()         {}
func (Recover) runCommand()        {}
func (Cancel) runCommand()         {}

// Compute evaluates what is pure: pure nodes, the conditions of edges, templates and the instants
// of timers. It is deterministic,
// bounded by input and program size, and never waits. Its results are recorded in events, its errors
// too: their text, or what a *Fault says.
type Compute interface {
	// Node computes a pure node's output from its resolved input.
	Node(function string, input domain.Value, upstream []Upstream, scope Scope) (domain.Value, error)
	// Gate evaluates the condition of an edge that leaves a completed task of type function.
	Gate(function, condition string, scope Scope) (bool, error)
	// Render evaluates the "{{ expression }}" in the strings of an object of parameters as they stand
	// in the definition. Its error names the place and the fault, and may be shown.
	Render(params domain.Value, scope Scope) (domain.Value, error)
	// Await tells what a task that begins to wait at the given instant with this input waits for.
	Await(function string, input domain.Value, at time.Time) (Wait, error)
	// Due tells until when a timer waits that starts at the given instant with this input.
	Due(function string, input domain.Value, at time.Time) (time.Time, error)
}

// Wait is what a task waits for.
type Wait struct {
	Request domain.Value // object that says what is to be decided; of an approval
	Channel string       // of an event
	Due     time.Time    // when it has waited too long; zero for never
}

// Upstream is one dependency of a task.
type Upstream struct {
	Task    string
	Param   string // the parameter that named it
	Output  domain.Value
	Skipped bool
}

// Scope is what expressions may read.
type Scope struct {
	Output domain.Value                     // of the source; absent if there is none
	Nodes  func(func(string, domain.Value)) // calls its argument for every completed task, in definition order
	Input  domain.Value
}
