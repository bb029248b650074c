package run

import (
	"time"

	"quipu/domain"
	"quipu/domain/workflow"
)

// Phase is where a run stands.
type Phase uint8

// The phases of a run. Completed and later ones accept no further event.
const (
	None Phase = iota
	Running
	PhaseCompleted
	PhaseFailed
	PhaseCancelled
	PhaseAbandoned
)

var phaseNames = [...]string{"none", "running", "completed", "failed", "cancelled", "abandoned"}

// String returns the phase's name, which is also the status that APIs show.
func (p Phase) String() string { return phaseNames[p] }

// Ended reports whether p is final.
func (p Phase) Ended() bool { return p >= PhaseCompleted }

// TaskPhase is where a task stands.
type TaskPhase uint8

// The phases of a task.
const (
	TaskWaiting TaskPhase = iota
	TaskReady             // all predecessors are done; it will start or be skipped
	TaskRunning
	TaskBackoff // waiting for its retry at DueAt
	TaskCompletedPhase
	TaskFailedPhase
	TaskSkippedPhase
	TaskTimed    // waiting for its timer at DueAt
	TaskAwaiting // waiting for a decision or a message; fails at DueAt unless that is zero
)

// Task is the state of one node.
type Task struct {
	Phase     TaskPhase
	GateHeld  bool  // a conditional edge that leads here holds
	Open      int32 // predecessors without an end
	Live      int32 // predecessors that completed
	Attempt   int32
	Failures  int32
	Node      string          // incarnation of the current attempt
	StartedAt time.Time       // of the first attempt
	AttemptAt time.Time       // of the current attempt
	DueAt     time.Time       // in TaskBackoff and TaskTimed: when it goes on; in TaskAwaiting: when it fails
	Channel   string          // in TaskAwaiting: what an event must be named; "" for an approval
	Revision  domain.Revision // of task_completed
	Input     domain.Value    // while not ended
	Output    domain.Value    // once completed
}

// State is a run folded up to some revision. The value behind a *State that was handed out is
// never changed: applying to a fork copies what it touches.
type State struct {
	Phase     Phase
	RunID     string
	Source    string
	FlowName  string
	RunName   string
	Graph     *workflow.Graph
	Input     domain.Value
	StartedAt time.Time
	EndedAt   time.Time
	LastAt    time.Time
	Revision  domain.Revision // of the last event folded; NoStream if none
	SecretsN  int             // secrets so far
	Error     ErrorInfo       // why the run failed; zero otherwise
	FailedBy  string          // the task that failed it
	Paused    bool
	// ConnectionID and Endpoint say where the run was asked for.
	ConnectionID string
	Endpoint     string
	WorkflowID   string

	inputs  map[string]domain.Value // members of Input by key; shared, never changed
	reused  map[string]reused       // by task; shared, never changed
	signals signals
	tasks   taskPages
	ready   []int32 // tasks in TaskReady, in the order they became so
	running int32   // tasks in TaskRunning, TaskBackoff, TaskTimed or TaskAwaiting
	waiting int32   // of these, all but the ones in TaskRunning
	events  int32   // of these, the ones that wait for an event
	open    int     // tasks without an end
}

// New is the state before any event.
func New() *State { return &State{Revision: domain.NoStream} }

// Task returns the state of node i.
func (s *State) Task(i int) *Task { return s.tasks.get(i) }

// Tasks is the number of nodes.
func (s *State) Tasks() int {
	if s.Graph == nil {
		return 0
	}
	return len(s.Graph.Nodes)
}

// Active is the number of tasks that are started and have no end.
func (s *State) Active() int { return int(s.running) }

// HasReady reports whether a Continue would have something to do.
func (s *State) HasReady() bool {
	return s.Phase == Running && !s.Paused && len(s.ready) > 0 && s.running < domain.ParallelTasksMax
}

// WaitsUntil reports whether all that the run can do is to wait, and until when: its tasks that have
// started and have no end wait for retries, timers, decisions or messages, and it is the earliest
// instant of these; zero if only a command can bring it on, as one that is paused. It looks at every
// task only if so.
func (s *State) WaitsUntil() (time.Time, bool) {
	if s.Phase != Running || s.waiting < s.running || s.HasReady() || s.waiting == 0 && !s.Paused {
		return time.Time{}, false
	}
	var earliest time.Time
	if s.Paused {
		return earliest, true
	}
	for i := range s.Tasks() {
		t := s.Task(i)
		if t.Waits() && (earliest.IsZero() || t.DueAt.Before(earliest)) {
			earliest = t.DueAt
		}
	}
	return earliest, true
}

// PausedFor reports whether a paused run has nothing to do for a process: no attempt of its own is under
// way. Those of others are lost with them, and are made again when the run is resumed.
func (s *State) PausedFor(node string) bool {
	if s.Phase != Running || !s.Paused {
		return false
	}
	for i := range s.Tasks() {
		if t := s.Task(i); t.Phase == TaskRunning && t.Node == node {
			return false
		}
	}
	return true
}

// Waits reports whether something becomes of the task at DueAt.
func (t *Task) Waits() bool {
	return t.Phase == TaskBackoff || t.Phase == TaskTimed || t.Phase == TaskAwaiting && !t.DueAt.IsZero()
}

// fork returns a state that may be changed without s noticing.
func (s *State) fork() *State {
	n := *s
	n.tasks.fork()
	n.signals.fresh = false
	n.ready = s.ready[:len(s.ready):len(s.ready)]
	return &n
}

// taskPages is a copy-on-write array: a decision touches few tasks of a possibly large graph.
type taskPages struct {
	pages []*taskPage
	owner *byte // pages with this owner may be changed in place
	fresh bool  // the page table itself is ours
}

const pageTasks = 16

type taskPage struct {
	owner *byte
	tasks []Task
}

func newTaskPages(n int) taskPages {
	p := taskPages{owner: new(byte), fresh: true}
	for n > 0 {
		size := min(n, pageTasks)
		p.pages = append(p.pages, &taskPage{owner: p.owner, tasks: make([]Task, size)})
		n -= size
	}
	return p
}

func (p *taskPages) fork() {
	p.owner = new(byte)
	p.fresh = false
}

func (p *taskPages) get(i int) *Task { return &p.pages[i/pageTasks].tasks[i%pageTasks] }

// edit returns task i for changing.
func (p *taskPages) edit(i int) *Task {
	page := p.pages[i/pageTasks]
	if page.owner != p.owner {
		if !p.fresh {
			p.pages = append([]*taskPage(nil), p.pages...)
			p.fresh = true
		}
		page = &taskPage{owner: p.owner, tasks: append([]Task(nil), page.tasks...)}
		p.pages[i/pageTasks] = page
	}
	return &page.tasks[i%pageTasks]
}
