package run

import (
	"fmt"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
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
	// More says that the bounds of one append stopped this decision: send Continue next, or, after
	// a Recover, the same Recover again.
	More bool
}

// RecoveriesMax is how many attempts of one task may be lost with their process before the task is
// failed: a task that kills the process each time must not do so for ever.
const RecoveriesMax = 100

// Decide answers a command with events, without changing s. It is pure and total.
//
// Errors: ErrConflict if a Start or Abandon meets an existing run; ErrRefused if a command meets
// a run that does not exist or, for Cancel, has ended; ErrUnprocessable if a start or a reason is too
// large.
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
	sums    map[string]struct{} // of blobs
	bytes   int                 // of events
	blobbed int                 // bytes of blobs
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
		if op := asked(c); op != "" {
			return domain.E(domain.KindRefused, op, d.state.RunID, "the run has already ended as "+d.state.Phase.String()).WithCode("RUN_ENDED")
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
	case FireTimer:
		d.at, d.node = c.At, c.Node
		d.fireTimer(c)
	case DecideApproval:
		d.at, d.node = c.At, c.Node
		return d.decideApproval(c)
	case Signal:
		d.at, d.node = c.At, c.Node
		return d.signal(c)
	case Deliver:
		d.at, d.node = c.At, c.Node
		d.deliver(c)
	case Pause:
		d.at = c.At
		return d.pause(c)
	case Resume:
		d.at, d.node = c.At, c.Node
		return d.resume(c)
	case Recover:
		d.at, d.node = c.At, c.Node
		d.recover(c.Alive)
	case Cancel:
		reason, err := d.reason("cancel run", c.Reason)
		if err != nil {
			return err
		}
		d.at = c.At
		d.emit(Fact{Event: Cancelled{StartedAt: d.state.StartedAt, Reason: reason, Results: d.results()}})
	default:
		return domain.E(domain.KindInternal, "decide", d.state.RunID, fmt.Sprintf("unknown command %T", c))
	}
	return nil
}

// emit adds an event and applies it. A mismatch between deciding and applying is a bug that must not
// reach the log, hence the panic; the shell recovers per command.
func (d *decider) emit(f Fact) {
	f.Revision, f.At = d.state.Revision+1, d.at
	if err := d.state.apply(f); err != nil {
		panic("run: a decision does not fit its own state: " + err.Error())
	}
	d.events = append(d.events, f.Event)
	d.bytes += eventSize(f.Event)
}

// room reports whether a step of so many bytes fits beside what is decided already, with the end of
// the run still to come. The first step always fits.
func (d *decider) room(bytes int) bool {
	return len(d.events) == 0 ||
		len(d.events) < domain.DecisionEventsMax-endEventsMax && d.bytes+bytes <= stepBytesMax && d.blobbed < blobBytesMax
}

func (d *decider) start(c Start) error {
	if d.state.Phase != None {
		return domain.E(domain.KindConflict, "start run", c.RunID, "the run exists")
	}
	d.at, d.node = c.At, c.Node
	input := tidy(c.Input)
	if c.Input.Absent() {
		input.JSON = []byte("{}")
	}
	started := Started{
		RunID: c.RunID, Source: c.Source, FlowName: c.FlowName, RunName: c.RunName, WorkflowID: c.WorkflowID, WorkflowVersion: c.WorkflowVersion, Endpoint: c.Endpoint,
		Definition: d.inline(c.Definition), Input: d.inline(input), BodySHA256: c.BodySHA256, Secrets: c.Secrets,
		ConnectionID: c.ConnectionID, Metadata: d.detail(c.Metadata), RetryOf: c.RetryOf,
	}
	if !c.Reused.Absent() {
		started.Reused = d.inline(c.Reused)
	}
	if size := eventSize(started); size > stepBytesMax {
		return domain.E(domain.KindUnprocessable, "start run", c.RunID, fmt.Sprintf(
			"the secrets in the definition and the input take %d bytes of its first event, at most %d are allowed; pass fewer secrets", size, stepBytesMax)).WithCode("START_TOO_LARGE")
	}
	d.emit(Fact{Graph: c.Graph, Input: input, Reused: c.Reused, Event: started})
	if !c.Hold {
		d.advance()
	}
	return nil
}

// completed records a task's output, as it is stored, and the gates it opens. It reports whether the
// run goes on: a condition that cannot be evaluated fails it.
func (d *decider) completed(i int, output, stored domain.Value, secrets []Secret) bool {
	node := &d.state.Graph.Nodes[i]
	t := d.state.Task(i)
	gates, badEdge, gateErr := d.gates(i, output)
	d.emit(Fact{Event: TaskCompleted{
		Task: node.Name, TaskID: TaskID(d.state.RunID, node.Name, 0), Attempt: int(t.Attempt),
		StartedAt: t.StartedAt, Output: stored, Gates: gates, Secrets: secrets,
	}})
	if gateErr == nil {
		return true
	}
	edge := d.state.Graph.Edges[badEdge]
	d.emit(Fact{Event: Failed{
		StartedAt: d.state.StartedAt, Task: edge.Target, Results: d.results(),
		Error: d.small(ErrorInfo{
			Type: "ConditionError", Code: "CONDITION_FAILED",
			Message: fmt.Sprintf("the condition of the edge from %q to %q cannot be evaluated: %s", edge.Source, edge.Target, gateErr),
		}),
	}})
	return false
}

func (d *decider) gates(i int, output domain.Value) (results []GateResult, bad int, failed error) {
	for _, e := range d.state.Graph.Gates[i] {
		holds, err := d.compute.Gate(d.state.Graph.Nodes[i].Type, d.state.Graph.Edges[e].Condition, d.scope(i, output))
		if err != nil {
			return results, int(e), err
		}
		results = append(results, GateResult{Edge: int(e), Holds: holds})
	}
	return results, 0, nil
}

// scope is what expressions about task i see: its output beside those of all completed tasks.
func (d *decider) scope(i int, output domain.Value) Scope {
	return Scope{Output: output, Input: d.state.Input, Nodes: func(visit func(string, domain.Value)) {
		for n := range d.state.Graph.Nodes {
			switch t := d.state.Task(n); {
			case t.Phase == TaskCompletedPhase:
				visit(d.state.Graph.Nodes[n].Name, t.Output)
			case n == i && !output.Absent():
				visit(d.state.Graph.Nodes[n].Name, output)
			}
		}
	}}
}

// advance starts and skips what is ready until nothing is, or a bound is hit, and ends the run
// when every task has its end.
func (d *decider) advance() {
	s := d.state
	for s.HasReady() {
		i := int(s.ready[0])
		if reason := d.skip(i); reason != "" {
			skipped := TaskSkipped{Task: s.Graph.Nodes[i].Name, Reason: reason}
			if !d.room(eventSize(skipped)) {
				d.more = true
				return
			}
			d.emit(Fact{Event: skipped})
			continue
		}
		if d.starts >= domain.ReadyBatchMax || d.pure >= domain.PureChainEventsMax || !d.startTask(i) {
			d.more = true
			return
		}
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

// startTask starts task i, and computes it if it is pure; false if that does not fit any more.
func (d *decider) startTask(i int) bool {
	s := d.state
	node := &s.Graph.Nodes[i]
	input, failed := d.input(i)
	blobs, blobbed := d.blobs, d.blobbed
	started := TaskStarted{
		Task: node.Name, TaskID: TaskID(s.RunID, node.Name, 0), Node: d.node, Function: node.Type,
		Input: d.inline(input), Deadline: d.deadline(node),
	}
	fits := valueSize(started.Input) <= valueBytesMax
	if !fits {
		started.Input = domain.Raw([]byte("{}"))
	}
	need := eventSize(started) + eventBytesFixed + textSize(node.Name, node.Type)
	if _, again := s.reused[node.Name]; node.Pure || again || node.Waits != "" {
		need += valueBytesMax + gateBytes*len(s.Graph.Gates[i])
		if !node.Pure {
			need += 2 * (eventBytesFixed + textSize(node.Name) + ChannelBytesMax)
		}
	}
	if !d.room(need) {
		d.blobs, d.blobbed = blobs, blobbed
		return false
	}
	d.emit(Fact{Event: started})
	if again, ok := s.reused[node.Name]; ok {
		d.pure += 3
		d.reuse(i, again)
		return true
	}
	if node.Templates && !node.Pure {
		d.pure += 2 // it took the time of a computation
	}
	if !fits {
		d.failForGood(i, tooLarge("input"), domain.Value{}, nil)
		return true
	}
	if failed != nil {
		d.failForGood(i, faultOf(failed, "TemplateError", "TEMPLATE_FAILED"), domain.Value{}, nil)
		return true
	}
	if node.Calls != "" {
		d.emit(Fact{Event: CallStarted{Family: node.Calls, Task: node.Name, TaskID: started.TaskID, Attempt: 1, Function: node.Type}})
	}
	switch {
	case node.Pure:
		d.pure += 2
		d.computeTask(i, input)
	case node.Timer:
		d.starts++
		d.setTimer(i, input)
	case node.Waits != "":
		d.starts++
		d.await(i, input)
	default:
		d.starts++
	}
	return true
}

func (d *decider) computeTask(i int, input domain.Value) {
	node := &d.state.Graph.Nodes[i]
	output, err := d.compute.Node(node.Type, input, d.state.Upstream(i), d.sourceScope(i))
	if output = tidy(output); err == nil {
		err = rawjson.Check(output.JSON, domain.JSONDepthMax)
	}
	if err != nil {
		d.failForGood(i, faultOf(err, "ComputeError", "COMPUTE_FAILED"), domain.Value{}, nil)
		return
	}
	stored := d.inline(output)
	if valueSize(stored) > valueBytesMax {
		d.failForGood(i, tooLarge("output"), domain.Value{}, nil)
		return
	}
	d.completed(i, output, stored, nil)
}

func (d *decider) deadline(node *workflow.Node) time.Time {
	if node.Timeout <= 0 || node.Pure || node.Timer || node.Waits != "" {
		return time.Time{}
	}
	return domain.Instant(d.at.Add(node.Timeout))
}
