package domaintest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// model is a run as the contract describes it (D8, D9, D11), kept in plain maps and worked out from
// scratch at each question. It shares no index with the decider.
type model struct {
	runID     string
	def       workflow.Definition
	startedAt time.Time
	lastAt    time.Time
	revision  domain.Revision
	tasks     map[string]*modelTask
	preds     map[string][]string
	ended     string // "" or the terminal event
	mayFail   bool   // a task has failed or a condition could not be evaluated
	paused    bool
	held      bool            // what is ready waits for a Continue
	retry     bool            // of another run
	signals   map[string]bool // ids; false once read
}

type modelTask struct {
	node      workflow.Node
	phase     string // "", running, timed, awaiting, backoff, completed, failed, skipped
	attempt   int
	startedAt time.Time
	attemptAt time.Time
	dueAt     time.Time // of its retry, timer or wait
	channel   string
	revision  domain.Revision
	held      map[int]bool // results of conditional edges that leave it
}

func newModel(first run.Fact) *model {
	m := &model{revision: domain.NoStream, tasks: map[string]*modelTask{}, preds: map[string][]string{}, signals: map[string]bool{}}
	if first.Graph == nil {
		return m
	}
	m.def = workflow.Definition{Nodes: first.Graph.Nodes, Edges: first.Graph.Edges}
	for _, n := range m.def.Nodes {
		m.tasks[n.Name] = &modelTask{node: n, held: map[int]bool{}}
		for _, r := range workflow.Refs(n.Params) {
			if r.Kind == workflow.RefDepends || r.Kind == workflow.RefMapping {
				m.preds[n.Name] = append(m.preds[n.Name], r.Name)
			}
		}
	}
	for _, e := range m.def.Edges {
		m.preds[e.Target] = append(m.preds[e.Target], e.Source)
	}
	return m
}

// verdict says what must become of a task that has not begun: "" (wait), "start" or a skip's reason.
func (m *model) verdict(name string) string {
	live := 0
	for _, p := range m.preds[name] {
		switch m.tasks[p].phase {
		case "completed":
			live++
		case "skipped":
		default:
			return ""
		}
	}
	gated, holds := false, false
	for i, e := range m.def.Edges {
		if e.Target == name && e.Condition != "" {
			gated = true
			holds = holds || m.tasks[e.Source].held[i]
		}
	}
	switch {
	case gated && !holds:
		return run.SkippedByGate
	case len(m.preds[name]) > 0 && live == 0:
		return run.SkippedByUpstream
	}
	return "start"
}

// add checks one more event; before are the events of its append so far.
func (m *model) add(f run.Fact, before []run.Fact) error {
	if m.ended != "" {
		return fmt.Errorf("follows the terminal event %s", m.ended)
	}
	if f.Revision != m.revision+1 {
		return fmt.Errorf("revision %d follows %d", f.Revision, m.revision)
	}
	if f.At.Before(m.lastAt) {
		return fmt.Errorf("goes back in time")
	}
	m.revision, m.lastAt = f.Revision, f.At
	var prev run.Event
	if len(before) > 0 {
		prev = before[len(before)-1].Event
	}
	return m.event(f, prev)
}

func (m *model) event(f run.Fact, prev run.Event) error {
	switch e := f.Event.(type) {
	case run.Started:
		m.runID, m.startedAt, m.retry = e.RunID, f.At, e.RetryOf != ""
		return must(f.Revision == 0, "is not first")
	case run.Abandoned:
		m.ended = "abandoned"
		return must(f.Revision == 0, "is not first")
	case run.TaskStarted:
		return m.taskStarted(f, e)
	case run.TaskAttemptStarted:
		t := m.tasks[e.Task]
		ok := t.phase == "backoff" && e.Reason == run.ReasonRetry && !f.At.Before(t.dueAt) || t.phase == "running" && e.Reason == run.ReasonRecovered
		t.phase, t.attempt, t.attemptAt = "running", t.attempt+1, f.At
		return first(must(!m.paused, "begins in a pause"), must(ok, "does not fit the task's phase"), must(e.Attempt == t.attempt, "attempt is not the next"), m.id(e.Task, e.TaskID))
	case run.TaskCompleted:
		return m.taskCompleted(f, e, prev)
	case run.TaskFailed:
		t := m.tasks[e.Task]
		_, tooLong := m.late(f, t)
		ok := t.phase == "running" || tooLong || t.phase == "decided"
		t.phase, m.mayFail = "failed", true
		return first(must(ok, "was not running"), must(e.Attempt == t.attempt, "names another attempt"),
			must(e.StartedAt.Equal(t.startedAt), "started_at is wrong"), m.id(e.Task, e.TaskID))
	case run.TaskRetryScheduled:
		t := m.tasks[e.Task]
		ok := t.phase == "running" && t.attempt == e.Attempt
		t.phase, t.dueAt = "backoff", e.RetryAt
		_, called := prev.(run.CallFailed)
		return first(must(ok, "was not running"), must(!e.RetryAt.Before(f.At), "retries in the past"),
			must(called == (t.node.Calls != ""), "stands without the end of its call"), m.id(e.Task, e.TaskID))
	case run.TimerSet:
		t := m.tasks[e.Task]
		started, ok := prev.(run.TaskStarted)
		ok = ok && started.Task == e.Task && t.phase == "running" && t.node.Timer
		t.phase, t.dueAt = "timed", e.DueAt
		return first(must(ok, "does not follow the start of a timer"), must(!e.DueAt.Before(f.At), "is due in the past"),
			must(!e.DueAt.After(f.At.Add(domain.TimerWaitMax)), "waits too long"), m.id(e.Task, e.TaskID))
	case run.ApprovalRequested:
		return first(m.awaits(f, e.Task, prev, "", e.DueAt, workflow.WaitsApproval), m.id(e.Task, e.TaskID))
	case run.EventAwaited:
		return first(must(e.Channel != "", "awaits nothing"), m.awaits(f, e.Task, prev, e.Channel, e.DueAt, workflow.WaitsEvent), m.id(e.Task, e.TaskID))
	case run.ApprovalDecided:
		t := m.tasks[e.Task]
		ok := t.phase == "awaiting" && t.channel == ""
		t.phase = "decided"
		return first(must(ok, "did not wait for an approval"), must(e.Action == run.Approved || e.Action == run.Rejected, "is neither"), m.id(e.Task, e.TaskID))
	case run.EventReceived:
		t := m.tasks[e.Task]
		ok := t.phase == "awaiting" && t.channel == e.Channel && e.Channel != ""
		t.phase = "decided"
		if e.SignalID != "" {
			ok = ok && m.signals[e.SignalID] && e.MessageID == ""
			m.signals[e.SignalID] = false
		}
		return first(must(ok, "did not wait for that event, or the signal was read already"), m.id(e.Task, e.TaskID))
	case run.SignalReceived:
		_, again := m.signals[e.SignalID]
		m.signals[e.SignalID] = true
		return must(!again, "came before")
	case run.Paused:
		was := m.paused
		m.paused = true
		return must(!was, "is paused already")
	case run.Resumed:
		was := m.paused
		m.paused = false
		return must(was, "is not paused")
	case run.TaskReused:
		started, ok := prev.(run.TaskStarted)
		m.tasks[e.Task].phase = "decided"
		return first(must(ok && started.Task == e.Task && m.retry, "does not follow the start of its task in a retry"), m.id(e.Task, e.TaskID))
	case run.TaskSkipped:
		t := m.tasks[e.Task]
		want := m.verdict(e.Task)
		ok := t.phase == ""
		t.phase = "skipped"
		return first(must(ok, "had begun"), must(want == e.Reason, "should be "+want))
	case run.CallStarted:
		return m.call(e.Family, e.Task, e.TaskID, e.Attempt, startOf(prev, e.Task))
	case run.CallCompleted:
		return first(m.call(e.Family, e.Task, e.TaskID, e.Attempt, true), must(e.StartedAt.Equal(m.tasks[e.Task].attemptAt), "started_at is not its attempt's"))
	case run.CallFailed:
		return first(m.call(e.Family, e.Task, e.TaskID, e.Attempt, true), must(e.StartedAt.Equal(m.tasks[e.Task].attemptAt), "started_at is not its attempt's"))
	case run.Completed:
		for name, t := range m.tasks {
			if t.phase != "completed" && t.phase != "skipped" {
				return fmt.Errorf("task %q has no end", name)
			}
		}
		return m.end("completed", e.StartedAt, e.Results)
	case run.Failed:
		return first(must(m.mayFail, "without a failure"), m.end("failed", e.StartedAt, e.Results))
	case run.Cancelled:
		return m.end("cancelled", e.StartedAt, e.Results)
	}
	return fmt.Errorf("is of an unknown kind")
}

func startOf(prev run.Event, task string) bool {
	switch p := prev.(type) {
	case run.TaskStarted:
		return p.Task == task
	case run.TaskAttemptStarted:
		return p.Task == task
	}
	return false
}

func (m *model) taskStarted(f run.Fact, e run.TaskStarted) error {
	t := m.tasks[e.Task]
	want := m.verdict(e.Task)
	ok := t.phase == "" && !m.paused
	t.phase, t.attempt, t.startedAt, t.attemptAt = "running", 1, f.At, f.At
	return first(must(ok, "had begun"), must(want == "start", "must not start: "+want), must(e.Function == t.node.Type, "has another type"), m.id(e.Task, e.TaskID))
}

func (m *model) taskCompleted(f run.Fact, e run.TaskCompleted, prev run.Event) error {
	t := m.tasks[e.Task]
	ok := t.phase == "running" && !t.node.Timer && t.node.Waits == "" || t.phase == "timed" && !f.At.Before(t.dueAt) && !m.paused || t.phase == "decided"
	t.phase, t.revision = "completed", f.Revision
	_, called := prev.(run.CallCompleted)
	want := 0
	for i, edge := range m.def.Edges {
		if edge.Source != e.Task || edge.Condition == "" {
			continue
		}
		if want == len(e.Gates) {
			m.mayFail = true // the rest could not be evaluated: the run must fail now
			break
		}
		if g := e.Gates[want]; g.Edge != i {
			return fmt.Errorf("gate %d stands where %d should", g.Edge, i)
		}
		t.held[i] = e.Gates[want].Holds
		want++
	}
	return first(must(ok, "was not running"), must(want == len(e.Gates), "has gates that do not leave it"),
		must(e.Attempt == t.attempt, "names another attempt"), must(e.StartedAt.Equal(t.startedAt), "started_at is wrong"),
		must(called == (t.node.Calls != "") || reuses(prev), "stands without the end of its call"), m.id(e.Task, e.TaskID))
}

func reuses(e run.Event) bool {
	_, ok := e.(run.TaskReused)
	return ok
}

// late reports whether a task has waited too long.
func (m *model) late(f run.Fact, t *modelTask) (time.Time, bool) {
	return t.dueAt, t.phase == "awaiting" && !t.dueAt.IsZero() && !f.At.Before(t.dueAt) && !m.paused
}

func (m *model) awaits(f run.Fact, task string, prev run.Event, channel string, due time.Time, kind string) error {
	t := m.tasks[task]
	started, ok := prev.(run.TaskStarted)
	ok = ok && started.Task == task && t.phase == "running" && t.node.Waits == kind
	t.phase, t.channel, t.dueAt = "awaiting", channel, due
	return first(must(ok, "does not follow the start of a task that waits"), must(due.IsZero() || !due.Before(f.At), "is due in the past"))
}

func (m *model) call(family, task, id string, attempt int, placed bool) error {
	t := m.tasks[task]
	return first(must(family != "" && family == t.node.Calls, "is of another family"), must(t.phase == "running" && t.attempt == attempt, "is of another attempt"),
		must(placed, "stands apart from its attempt"), m.id(task, id))
}

func (m *model) end(how string, startedAt time.Time, results domain.Value) error {
	m.ended = how
	if !startedAt.Equal(m.startedAt) {
		return fmt.Errorf("started_at is %s, not %s", startedAt, m.startedAt)
	}
	if len(results.Holes) > 0 {
		return nil // in a blob; small runs check the content
	}
	got := map[string]domain.Revision{}
	if err := json.Unmarshal(results.JSON, &got); err != nil {
		return err
	}
	for name, t := range m.tasks {
		if t.phase != "completed" {
			continue
		}
		if r, ok := got[name]; !ok || r != t.revision {
			return fmt.Errorf("results give %d for %q, not %d", r, name, t.revision)
		}
		delete(got, name)
	}
	return must(len(got) == 0, fmt.Sprintf("results name %v, which did not complete", got))
}

// settled checks what holds after every decision.
func (m *model) settled(c run.Command, d run.Decision) error {
	if m.ended != "" {
		return must(!d.More && d.Next.Phase.Ended(), "the run has ended and yet goes on")
	}
	if m.mayFail {
		return fmt.Errorf("a final failure did not end the run in its append")
	}
	active := 0
	for _, t := range m.tasks {
		if t.phase == "running" || t.phase == "backoff" || t.phase == "timed" || t.phase == "awaiting" {
			active++
		}
		if t.phase == "decided" {
			return fmt.Errorf("what task %q waited for came, and it has no end", t.node.Name)
		}
		if t.phase == "running" && (t.node.Timer || t.node.Waits != "") {
			return fmt.Errorf("timer %q has started and is not set", t.node.Name)
		}
	}
	if active > domain.ParallelTasksMax {
		return fmt.Errorf("%d tasks run at once", active)
	}
	if active != d.Next.Active() {
		return fmt.Errorf("the state says %d tasks are active, not %d", d.Next.Active(), active)
	}
	_, recovering := c.(run.Recover)
	if recovering {
		return nil // it restarts what ran; a Continue follows for what is ready
	}
	if d.More {
		return must(d.Next.HasReady(), "More without anything to do")
	}
	if m.paused != d.Next.Paused {
		return fmt.Errorf("the state says paused=%t", d.Next.Paused)
	}
	m.held = (m.held || holds(c)) && !advances(c, d.Events)
	if active == domain.ParallelTasksMax || m.paused || m.held {
		return nil
	}
	for name, t := range m.tasks {
		if t.phase == "" && m.verdict(name) != "" {
			return fmt.Errorf("task %q is ready and was left (%s)", name, m.verdict(name))
		}
	}
	return nil
}

// holds reports whether a command leaves what is ready to a Continue.
func holds(c run.Command) bool {
	switch c := c.(type) {
	case run.Start:
		return c.Hold
	case run.CompleteTask:
		return c.Hold
	case run.DecideApproval:
		return c.Hold
	case run.Signal:
		return c.Hold
	case run.Deliver:
		return c.Hold
	case run.Resume:
		return c.Hold
	}
	return false
}

// advances reports whether a command that gave these events starts what is ready.
func advances(c run.Command, events []run.Event) bool {
	switch c.(type) {
	case run.Continue, run.FireTimer:
		return true
	case run.Start, run.CompleteTask, run.DecideApproval, run.Deliver, run.Resume:
		return !holds(c)
	case run.Signal:
		return !holds(c) && len(events) > 1
	}
	return false
}

// Idle says whether the run can only go on by a result from outside.
func (h *History) Idle() bool { return !h.State.HasReady() }

// Running lists the tasks with a current attempt, and BackingOff those that wait for a retry, by
// place in the definition.
func (h *History) Running() []int { return h.inPhase(run.TaskRunning) }

// Timed: see Running; tasks that wait for a timer.
func (h *History) Timed() []int { return h.inPhase(run.TaskTimed) }

// Awaiting: see Running; tasks that wait for a decision or an event.
func (h *History) Awaiting() []int { return h.inPhase(run.TaskAwaiting) }

// BackingOff: see Running.
func (h *History) BackingOff() []int { return h.inPhase(run.TaskBackoff) }

func (h *History) inPhase(phases ...run.TaskPhase) []int {
	var out []int
	for i := range h.State.Tasks() {
		if slices.Contains(phases, h.State.Task(i).Phase) {
			out = append(out, i)
		}
	}
	return out
}

func (m *model) id(task, id string) error {
	return must(id == run.TaskID(m.runID, task, 0), "has another task id")
}

func must(ok bool, message string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%s", message)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
