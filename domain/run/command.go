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
	Secrets         []Secret
	Node            string // incarnation that will run the tasks
	Hold            bool   // record the start only; tasks start on the first Continue
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

// FireTimer completes a task whose timer is due, and goes on.
type FireTimer struct {
	At   time.Time
	Task string
	Node string // incarnation for the tasks that start now
}

// Recover begins a new attempt of every running task whose attempt belongs to another incarnation.
type Recover struct {
	At   time.Time
	Node string
}

// Cancel ends the run on request.
type Cancel struct {
	At     time.Time
	Reason string
}

func (Start) runCommand()        {}
func (Abandon) runCommand()      {}
func (Continue) runCommand()     {}
func (CompleteTask) runCommand() {}
func (FailTask) runCommand()     {}
func (StartAttempt) runCommand() {}
func (FireTimer) runCommand()    {}
func (Recover) runCommand()      {}
func (Cancel) runCommand()       {}

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
	// Due tells until when a timer waits that starts at the given instant with this input.
	Due(function string, input domain.Value, at time.Time) (time.Time, error)
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
