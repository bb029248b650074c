package run

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"quipu/domain"
	"quipu/domain/workflow"
)

// Decision is what a command leads to.
type Decision struct {
	// Events to append, in order; none means that there is nothing to do.
	Events []Event
	// Blobs are payloads that became too large for an event. They must be durable before the
	// events are appended; their SHA-256 stands in the events.
	Blobs [][]byte
	// Next is the state after the events, valid once they are stored.
	Next *State
	// More says that the bounds of one append stopped this decision: send Continue next.
	More bool
}

// RecoveriesMax is how many attempts of one task may be lost with their process before the task is
// failed: a task that kills the process each time must not do so for ever.
const RecoveriesMax = 100

// The bounds at which one decision stops, well inside domain.AppendEventsMax and AppendBytesMax, so
// that what a single step adds (a start with its call event, a skip) still fits.
const (
	decisionEventsMax = domain.AppendEventsMax - 20
	decisionBytesMax  = domain.AppendBytesMax - 3*domain.PayloadInlineBytesMax
	eventBytesAbout   = 1200 // metadata, names and ids of an event, beside its payload
)

// Decide answers a command with events, without changing s. It is pure and total.
//
// Errors: ErrConflict if a Start or Abandon meets an existing run; ErrRefused if a command meets
// a run that does not exist or, for Cancel, has ended; ErrUnprocessable if a start is too large.
// A result for an attempt that is no longer current gives an empty decision: late results are
// dropped.
func Decide(s *State, c Command, compute Compute) (Decision, error) {
	d := &decider{state: s.fork(), compute: compute}
	err := d.decide(c)
	if err != nil {
		return Decision{}, err
	}
	return Decision{Events: d.events, Blobs: d.blobs, Next: d.state, More: d.more}, nil
}

type decider struct {
	state   *State
	compute Compute
	at      time.Time
	node    string
	events  []Event
	blobs   [][]byte
	bytes   int
	starts  int
	pure    int
	more    bool
}

func (d *decider) decide(c Command) error {
	switch c := c.(type) {
	case Start:
		return d.start(c)
	case Abandon:
		if d.state.Phase != None {
			return domain.E(domain.KindConflict, "abandon run", c.RunID, "the run exists")
		}
		d.at = c.At
		d.emit(Fact{Event: Abandoned{RunID: c.RunID}})
		return nil
	}
	if d.state.Phase == None {
		return domain.E(domain.KindRefused, "decide", "", "the run does not exist")
	}
	if d.state.Phase.Ended() {
		if _, cancel := c.(Cancel); cancel {
			return domain.E(domain.KindRefused, "cancel run", d.state.RunID, "the run has already "+d.state.Phase.String()).WithCode("RUN_ENDED")
		}
		return nil
	}
	switch c := c.(type) {
	case Continue:
		d.at, d.node = c.At, c.Node
		d.advance()
	case CompleteTask:
		d.at, d.node = c.At, c.Node
		d.complete(c)
	case FailTask:
		d.at = c.At
		d.fail(c)
	case StartAttempt:
		d.at, d.node = c.At, c.Node
		d.startAttempt(c)
	case Recover:
		d.at, d.node = c.At, c.Node
		d.recover()
	case Cancel:
		d.at = c.At
		d.emit(Fact{Event: Cancelled{StartedAt: d.state.StartedAt, Reason: c.Reason, Results: d.results()}})
	default:
		return domain.E(domain.KindInternal, "decide", d.state.RunID, fmt.Sprintf("unknown command %T", c))
	}
	return nil
}

// emit adds an event and applies it. A mismatch between Decide and Apply is a bug that must not
// reach the log, hence the panic; the shell recovers per command.
func (d *decider) emit(f Fact, payloads ...domain.Value) {
	f.Revision, f.At = d.state.Revision+1, d.at
	if err := d.state.apply(f); err != nil {
		panic("run: a decision does not fit its own state: " + err.Error())
	}
	d.events = append(d.events, f.Event)
	d.bytes += eventBytesAbout
	for _, p := range payloads {
		d.bytes += len(p.JSON) + 96*len(p.Holes)
	}
}

func (d *decider) full() bool {
	return len(d.events) >= decisionEventsMax || d.bytes >= decisionBytesMax
}

func (d *decider) start(c Start) error {
	if d.state.Phase != None {
		return domain.E(domain.KindConflict, "start run", c.RunID, "the run exists")
	}
	d.at, d.node = c.At, c.Node
	definition, input := d.inline(c.Definition), d.inline(c.Input)
	size := len(definition.JSON) + len(input.JSON) + 96*(len(definition.Holes)+len(input.Holes))
	for _, s := range c.Secrets {
		size += len(s.Ciphertext) + 48
	}
	if size > decisionBytesMax {
		return domain.E(domain.KindUnprocessable, "start run", c.RunID, fmt.Sprintf(
			"the secrets in the definition and the input take %d bytes of its first event, at most %d are allowed; pass fewer secrets", size, decisionBytesMax)).WithCode("START_TOO_LARGE")
	}
	d.emit(Fact{Graph: c.Graph, Input: c.Input, Event: Started{
		RunID: c.RunID, Source: c.Source, FlowName: c.FlowName, RunName: c.RunName, WorkflowID: c.WorkflowID,
		Definition: definition, Input: input, BodySHA256: c.BodySHA256, Secrets: c.Secrets,
	}})
	d.bytes += size
	if !c.Hold {
		d.advance()
	}
	return nil
}

// current finds the running attempt a result belongs to; false for a late one.
func (d *decider) current(name string, attempt int) (int, *Task, bool) {
	i, ok := d.state.Graph.Index(name)
	if !ok {
		return 0, nil, false
	}
	t := d.state.Task(i)
	return i, t, t.Phase == TaskRunning && int(t.Attempt) == attempt
}

func (d *decider) complete(c CompleteTask) {
	i, t, ok := d.current(c.Task, c.Attempt)
	if !ok {
		return
	}
	node := &d.state.Graph.Nodes[i]
	if node.Calls != "" {
		d.emit(Fact{Event: CallCompleted{
			Family: node.Calls, Task: c.Task, TaskID: TaskID(d.state.RunID, c.Task, 0), Attempt: c.Attempt,
			Function: node.Type, StartedAt: t.AttemptAt, Details: c.Details,
		}}, c.Details)
	}
	if d.completed(i, c.Output, c.Secrets) {
		d.advance()
	}
}

// completed records a task's output and the gates it opens. It reports whether the run goes on:
// a condition that cannot be evaluated fails it.
func (d *decider) completed(i int, output domain.Value, secrets []Secret) bool {
	node := &d.state.Graph.Nodes[i]
	t := d.state.Task(i)
	gates, gateErr, badEdge := d.gates(i, output)
	d.emit(Fact{Event: TaskCompleted{
		Task: node.Name, TaskID: TaskID(d.state.RunID, node.Name, 0), Attempt: int(t.Attempt),
		StartedAt: t.StartedAt, Output: d.inline(output), Gates: gates, Secrets: secrets,
	}}, output)
	if gateErr == nil {
		return true
	}
	edge := d.state.Graph.Edges[badEdge]
	d.emit(Fact{Event: Failed{
		StartedAt: d.state.StartedAt, Task: edge.Target, Results: d.results(),
		Error: ErrorInfo{
			Type: "ConditionError", Code: "CONDITION_FAILED",
			Message: fmt.Sprintf("the condition of the edge from %q to %q cannot be evaluated: %s", edge.Source, edge.Target, gateErr),
		},
	}})
	return false
}

func (d *decider) gates(i int, output domain.Value) (results []GateResult, failed error, bad int) {
	for _, e := range d.state.Graph.Gates[i] {
		holds, err := d.compute.Gate(d.state.Graph.Nodes[i].Type, d.state.Graph.Edges[e].Condition, d.scope(output))
		if err != nil {
			return results, err, int(e)
		}
		results = append(results, GateResult{Edge: int(e), Holds: holds})
	}
	return results, nil, 0
}

func (d *decider) scope(output domain.Value) Scope {
	return Scope{Output: output, Input: d.state.Input, Nodes: func(visit func(string, domain.Value)) {
		for i := range d.state.Graph.Nodes {
			if t := d.state.Task(i); t.Phase == TaskCompletedPhase {
				visit(d.state.Graph.Nodes[i].Name, t.Output)
			}
		}
	}}
}

// advance starts and skips what is ready until nothing is, or a bound is hit, and ends the run
// when every task has its end.
func (d *decider) advance() {
	s := d.state
	for s.Phase == Running && len(s.ready) > 0 && s.running < domain.ParallelTasksMax {
		i := int(s.ready[0])
		if reason := d.skip(i); reason != "" {
			if d.full() {
				d.more = true
				return
			}
			d.emit(Fact{Event: TaskSkipped{Task: s.Graph.Nodes[i].Name, Reason: reason}})
			continue
		}
		if d.full() || d.starts >= domain.ReadyBatchMax || d.pure >= domain.PureChainEventsMax {
			d.more = true
			return
		}
		d.startTask(i)
	}
	if s.Phase == Running && s.open == 0 {
		d.emit(Fact{Event: Completed{StartedAt: s.StartedAt, Results: d.results()}})
	}
}

// skip tells why ready task i must not run, "" if it must.
func (d *decider) skip(i int) string {
	t := d.state.Task(i)
	switch {
	case d.state.Graph.Gated[i] && !t.GateHeld:
		return SkippedByGate
	case d.state.Graph.Preds[i] > 0 && t.Live == 0:
		return SkippedByUpstream
	}
	return ""
}

func (d *decider) startTask(i int) {
	s := d.state
	node := &s.Graph.Nodes[i]
	input := s.resolve(i)
	id := TaskID(s.RunID, node.Name, 0)
	d.emit(Fact{Event: TaskStarted{
		Task: node.Name, TaskID: id, Node: d.node, Function: node.Type, Input: d.inline(input), Deadline: d.deadline(node),
	}}, input)
	if node.Calls != "" {
		d.emit(Fact{Event: CallStarted{Family: node.Calls, Task: node.Name, TaskID: id, Attempt: 1, Function: node.Type}})
	}
	if !node.Pure {
		d.starts++
		return
	}
	d.pure += 2
	output, err := d.compute.Node(node.Type, input, s.Upstream(i), d.scope(domain.Null()))
	if err != nil {
		d.failForGood(i, ErrorInfo{Type: "ComputeError", Code: "COMPUTE_FAILED", Message: err.Error()}, domain.Value{}, nil)
		return
	}
	d.completed(i, output, nil)
}

func (d *decider) deadline(node *workflow.Node) time.Time {
	if node.Timeout <= 0 || node.Pure {
		return time.Time{}
	}
	return d.at.Add(node.Timeout)
}

func (d *decider) fail(c FailTask) {
	i, t, ok := d.current(c.Task, c.Attempt)
	if !ok {
		return
	}
	node := &d.state.Graph.Nodes[i]
	id := TaskID(d.state.RunID, c.Task, 0)
	if node.Calls != "" {
		d.emit(Fact{Event: CallFailed{
			Family: node.Calls, Task: c.Task, TaskID: id, Attempt: c.Attempt, Function: node.Type,
			StartedAt: t.AttemptAt, Error: c.Error, Details: c.Details,
		}}, c.Details, c.Error.Details)
	}
	failures := int(t.Failures) + 1
	if c.Retryable && failures < node.Retry.Attempts {
		d.emit(Fact{Event: TaskRetryScheduled{
			Task: c.Task, TaskID: id, Attempt: c.Attempt, Error: c.Error,
			RetryAt: d.at.Add(node.Retry.Delay(failures, c.Jitter, c.RetryAfter)), Secrets: c.Secrets,
		}}, c.Error.Details)
		return
	}
	d.failForGood(i, c.Error, c.Partial, c.Secrets)
}

func (d *decider) failForGood(i int, e ErrorInfo, partial domain.Value, secrets []Secret) {
	node := &d.state.Graph.Nodes[i]
	t := d.state.Task(i)
	if partial.Absent() {
		partial = domain.Raw([]byte("{}"))
	}
	d.emit(Fact{Event: TaskFailed{
		Task: node.Name, TaskID: TaskID(d.state.RunID, node.Name, 0), Attempt: int(t.Attempt),
		StartedAt: t.StartedAt, Error: e, Partial: d.inline(partial), Secrets: secrets,
	}}, partial)
	d.emit(Fact{Event: Failed{StartedAt: d.state.StartedAt, Task: node.Name, Error: e, Results: d.results()}})
}

func (d *decider) startAttempt(c StartAttempt) {
	i, ok := d.state.Graph.Index(c.Task)
	if !ok || d.state.Task(i).Phase != TaskBackoff || d.state.Task(i).RetryAt.After(c.At) {
		return
	}
	d.attempt(i, ReasonRetry)
}

func (d *decider) attempt(i int, reason string) {
	node := &d.state.Graph.Nodes[i]
	attempt := int(d.state.Task(i).Attempt) + 1
	id := TaskID(d.state.RunID, node.Name, 0)
	d.emit(Fact{Event: TaskAttemptStarted{
		Task: node.Name, TaskID: id, Attempt: attempt, Node: d.node, Reason: reason, Deadline: d.deadline(node),
	}})
	if node.Calls != "" {
		d.emit(Fact{Event: CallStarted{Family: node.Calls, Task: node.Name, TaskID: id, Attempt: attempt, Function: node.Type}})
	}
}

func (d *decider) recover() {
	for i := range d.state.Graph.Nodes {
		t := d.state.Task(i)
		if d.state.Phase != Running || t.Phase != TaskRunning || t.Node == d.node {
			continue
		}
		if d.full() {
			d.more = true
			return
		}
		if int(t.Attempt-t.Failures) > RecoveriesMax {
			d.failForGood(i, ErrorInfo{
				Type: "CrashLoop", Code: "CRASH_LOOP",
				Message: "the process ended " + strconv.Itoa(RecoveriesMax) + " times while this task ran",
			}, domain.Value{}, nil)
			return
		}
		d.attempt(i, ReasonRecovered)
	}
}

// results maps each completed task to the revision of its task_completed.
func (d *decider) results() domain.Value {
	var o domain.Object
	for i := range d.state.Graph.Nodes {
		if t := d.state.Task(i); t.Phase == TaskCompletedPhase {
			o.Add(d.state.Graph.Nodes[i].Name, domain.Raw(strconv.AppendInt(nil, int64(t.Revision), 10)))
		}
	}
	return d.inline(o.Value())
}

// inline replaces a payload that is too large for an event by the hole of its blob.
func (d *decider) inline(v domain.Value) domain.Value {
	if len(v.JSON) <= domain.PayloadInlineBytesMax {
		return v
	}
	sum := sha256.Sum256(v.JSON)
	d.blobs = append(d.blobs, v.JSON)
	holes := append([]domain.Hole{{Blob: hex.EncodeToString(sum[:]), Bytes: int64(len(v.JSON))}}, v.Holes...)
	return domain.Value{JSON: []byte("null"), Holes: holes}
}

// TaskID derives the id of one task execution (contract D11): the UUIDv8 of the SHA-256 over run,
// task and iteration, so that a decision needs no randomness.
func TaskID(runID, task string, iteration int) string {
	b := make([]byte, 0, len(runID)+len(task)+24)
	b = append(b, "task\x00"...)
	b = append(b, runID...)
	b = append(b, 0)
	b = append(b, task...)
	b = append(b, 0)
	b = strconv.AppendInt(b, int64(iteration), 10)
	return domain.UUIDv8(sha256.Sum256(b)).String()
}
