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
	TaskTimed // waiting for its timer at DueAt
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
	DueAt     time.Time       // in TaskBackoff and TaskTimed: when it goes on
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

	inputs  map[string]domain.Value // members of Input by key; shared, never changed
	tasks   taskPages
	ready   []int32 // tasks in TaskReady, in the order they became so
	running int32   // tasks in TaskRunning, TaskBackoff or TaskTimed
	waiting int32   // of these, the ones in TaskBackoff or TaskTimed
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
	return s.Phase == Running && len(s.ready) > 0 && s.running < domain.ParallelTasksMax
}

// WaitsUntil reports whether all that the run can do is to wait for an instant, and for which: its
// tasks that have started and have no end wait for retries or timers, and it is the earliest of
// these. It looks at every task only if so.
func (s *State) WaitsUntil() (time.Time, bool) {
	if s.Phase != Running || s.waiting == 0 || s.waiting < s.running || s.HasReady() {
		return time.Time{}, false
	}
	var earliest time.Time
	for i := range s.Tasks() {
		t := s.Task(i)
		if t.Waits() && (earliest.IsZero() || t.DueAt.Before(earliest)) {
			earliest = t.DueAt
		}
	}
	return earliest, true
}

// Waits reports whether the task waits for an instant.
func (t *Task) Waits() bool { return t.Phase == TaskBackoff || t.Phase == TaskTimed }

// fork returns a state that may be changed without s noticing.
func (s *State) fork() *State {
	n := *s
	n.tasks.fork()
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
