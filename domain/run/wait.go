package run

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"quipu/domain"
	"quipu/domain/workflow"
)

// Bounds of waiting.
const (
	// SignalsMax is how many signals one run takes.
	SignalsMax = 1000
	// ChannelBytesMax is the longest name of a channel or signal in bytes.
	ChannelBytesMax = domain.NameBytesMax
	// SignalIDBytesMax is the longest id of a signal in bytes.
	SignalIDBytesMax = 128
	// CommentBytesMax is the longest comment on a decision, and ApproverBytesMax the longest name of who
	// made it, as JSON strings.
	CommentBytesMax  = 4 << 10
	ApproverBytesMax = 512
	// signalBytesMax is what a signal takes in its event: it stands beside the output of the task that it
	// ends the wait of, and both must fit an append.
	signalBytesMax = 96 << 10
)

// await lets task i, which has just started, wait for what its input says.
func (d *decider) await(i int, input domain.Value) {
	node := &d.state.Graph.Nodes[i]
	wait, err := d.compute.Await(node.Type, input, d.at)
	switch {
	case err != nil:
	case !wait.Due.IsZero() && wait.Due.After(d.at.Add(domain.TimerWaitMax)):
		err = domain.E(domain.KindUnprocessable, "", "", "the wait is longer than 10 years of 365 days; choose a shorter one")
	case node.Waits == workflow.WaitsEvent:
		err = CheckChannel(wait.Channel)
	}
	if err != nil {
		d.failForGood(i, faultOf(err, "WaitError", "WAIT_FAILED"), domain.Value{}, nil)
		return
	}
	if !wait.Due.IsZero() {
		wait.Due = dueInstant(wait.Due, d.at)
	}
	id := TaskID(d.state.RunID, node.Name, 0)
	if node.Waits == workflow.WaitsApproval {
		request := d.detail(wait.Request)
		if request.Absent() {
			request = domain.Raw([]byte("{}"))
		}
		d.emit(Fact{Event: ApprovalRequested{Task: node.Name, TaskID: id, Request: request, DueAt: wait.Due}})
		return
	}
	d.emit(Fact{Event: EventAwaited{Task: node.Name, TaskID: id, Channel: wait.Channel, DueAt: wait.Due}})
	if unread := d.state.signals.unread[wait.Channel]; len(unread) > 0 {
		d.receiveSignal(i, unread[0])
	}
}

// CheckChannel reports why s cannot name a channel or a signal.
func CheckChannel(s string) error {
	if err := workflow.CheckName(s); err != nil {
		return domain.E(domain.KindUnprocessable, "", "", "the channel's name "+err.Error()).WithField("channel").WithCode("INVALID_CHANNEL")
	}
	return nil
}

// waitedTooLong fails task i, for which nobody decided or sent anything in time.
func (d *decider) waitedTooLong(i int) {
	e := ErrorInfo{Type: "TimeoutError", Code: "APPROVAL_TIMEOUT", Message: "nobody decided in time"}
	if channel := d.state.Task(i).Channel; channel != "" {
		e.Code, e.Message = "EVENT_TIMEOUT", fmt.Sprintf("no message came on channel %q in time", channel)
	}
	d.failForGood(i, e, domain.Value{}, nil)
}

func (d *decider) decideApproval(c DecideApproval) error {
	const op = "decide approval"
	refused := func(field, code, message string) error {
		e := domain.E(domain.KindRefused, op, d.state.RunID, message).WithCode(code)
		if field != "" {
			e = e.WithField(field)
		}
		return e
	}
	switch {
	case c.Action != Approved && c.Action != Rejected:
		return domain.E(domain.KindUnprocessable, op, d.state.RunID, "must be "+Approved+" or "+Rejected).WithField("action").WithCode("INVALID_ACTION")
	case textSize(c.Comment) > CommentBytesMax:
		return domain.E(domain.KindUnprocessable, op, d.state.RunID, fmt.Sprintf("is longer than %d bytes; shorten it", CommentBytesMax)).WithField("comment").WithCode("COMMENT_TOO_LONG")
	case textSize(c.Approver) > ApproverBytesMax:
		return domain.E(domain.KindUnprocessable, op, d.state.RunID, fmt.Sprintf("is longer than %d bytes; shorten it", ApproverBytesMax)).WithField("approver").WithCode("APPROVER_TOO_LONG")
	}
	waiting := d.state.Approvals()
	switch {
	case c.Task == "" && len(waiting) == 0:
		return refused("", "NOT_AWAITING_APPROVAL", "no node of this run waits for an approval")
	case c.Task == "" && len(waiting) > 1:
		return refused("node_id", "APPROVAL_AMBIGUOUS", "several nodes of this run wait for an approval; say in node_id which is meant: "+strings.Join(waiting, ", "))
	case c.Task == "":
		c.Task = waiting[0]
	case !slices.Contains(waiting, c.Task):
		return refused("node_id", "NOT_AWAITING_APPROVAL", fmt.Sprintf("node %q of this run does not wait for an approval", c.Task))
	}
	i, _ := d.state.Graph.Index(c.Task)
	decided := ApprovalDecided{
		Task: c.Task, TaskID: TaskID(d.state.RunID, c.Task, 0), Action: c.Action,
		Approver: strings.ToValidUTF8(c.Approver, "\ufffd"), Comment: strings.ToValidUTF8(c.Comment, "\ufffd"),
	}
	d.emit(Fact{Event: decided})
	if c.Action == Rejected && len(d.state.Graph.Gates[i]) == 0 {
		// Nothing says where a rejected run goes on, and going on as if approved would be worst.
		d.failForGood(i, ErrorInfo{Type: "ApprovalRejected", Code: "APPROVAL_REJECTED", Message: "the approval was rejected"}, approvalOutput(decided, d), nil)
		return nil
	}
	output := approvalOutput(decided, d)
	if d.completed(i, output, output, nil) && !c.Hold {
		d.advance()
	}
	return nil
}

// approvalOutput is {"action", "approver", "comment", "timestamp"} (contract C.3).
func approvalOutput(e ApprovalDecided, d *decider) domain.Value {
	text := func(s string) domain.Value {
		if s == "" {
			return domain.Null()
		}
		return domain.Text(s)
	}
	var o domain.Object
	o.Add("action", domain.Text(e.Action))
	o.Add("approver", text(e.Approver))
	o.Add("comment", text(e.Comment))
	o.Add("timestamp", domain.Text(d.at.UTC().Format(domain.TimeLayout)))
	return o.Value()
}

// Approvals lists the tasks that wait for a decision, in the order of the definition.
func (s *State) Approvals() []string {
	return s.awaiting(func(t *Task) bool { return t.Channel == "" })
}

// Channels calls f for each task that waits for an event.
func (s *State) Channels(f func(task, channel string)) {
	if s.events == 0 {
		return // most runs, at each of their appends
	}
	for _, name := range s.awaiting(func(t *Task) bool { return t.Channel != "" }) {
		i, _ := s.Graph.Index(name)
		f(name, s.Task(i).Channel)
	}
}

func (s *State) awaiting(which func(*Task) bool) []string {
	if s.Phase != Running || s.waiting == 0 {
		return nil
	}
	var out []string
	for i := range s.Tasks() {
		if t := s.Task(i); t.Phase == TaskAwaiting && which(t) {
			out = append(out, s.Graph.Nodes[i].Name)
		}
	}
	return out
}

// signals are the messages a run got. The maps are shared with the state that this one was forked from,
// until the first change copies them: folding a thousand signals must not copy a thousand times.
type signals struct {
	seen   map[string]struct{} // ids
	unread map[string][]signal // by name, in the order they came; no task has waited for them yet
	fresh  bool                // the maps are this state's alone
}

type signal struct {
	id      string
	payload domain.Value
}

func (s *signals) take() {
	if s.fresh {
		return
	}
	seen := make(map[string]struct{}, len(s.seen)+1)
	maps.Copy(seen, s.seen)
	unread := make(map[string][]signal, len(s.unread)+1)
	for name, list := range s.unread {
		unread[name] = slices.Clip(list) // what follows is not written into a shared array
	}
	*s = signals{seen: seen, unread: unread, fresh: true}
}

func (s *signals) received(e SignalReceived) {
	s.take()
	s.seen[e.SignalID] = struct{}{}
	s.unread[e.Name] = append(s.unread[e.Name], signal{id: e.SignalID, payload: e.Payload})
}

func (s signals) unreadHas(name, id string) bool {
	return slices.ContainsFunc(s.unread[name], func(g signal) bool { return g.id == id })
}

// read takes a signal out of the unread ones.
func (s *signals) read(name, id string) {
	if id == "" {
		return
	}
	s.take()
	list := s.unread[name]
	switch i := slices.IndexFunc(list, func(g signal) bool { return g.id == id }); {
	case len(list) == 1 && i == 0:
		delete(s.unread, name)
	case i == 0:
		s.unread[name] = list[1:]
	case i > 0:
		s.unread[name] = slices.Concat(list[:i], list[i+1:])
	}
}

// signal records a message to the run, and ends the wait of the first task that waits for its name. One
// whose id came before changes nothing.
func (d *decider) signal(c Signal) error {
	if err := CheckChannel(c.Name); err != nil {
		return err
	}
	if _, again := d.state.signals.seen[c.SignalID]; again {
		return nil
	}
	if len(d.state.signals.seen) >= SignalsMax {
		return domain.E(domain.KindRefused, "signal run", d.state.RunID, fmt.Sprintf("the run has got %d signals, it takes no more", SignalsMax)).WithCode("TOO_MANY_SIGNALS")
	}
	payload := d.inline(c.Payload)
	if valueSize(payload)+secretsSize(c.Secrets) > signalBytesMax {
		return domain.E(domain.KindUnprocessable, "signal run", d.state.RunID, "holds more secrets than fit into one event; pass fewer").WithField("payload").WithCode("PAYLOAD_TOO_LARGE")
	}
	d.emit(Fact{Event: SignalReceived{SignalID: c.SignalID, Name: c.Name, Payload: payload, Secrets: c.Secrets}})
	for i := range d.state.Graph.Nodes {
		if t := d.state.Task(i); t.Phase == TaskAwaiting && t.Channel == c.Name {
			if d.receiveSignal(i, signal{id: c.SignalID, payload: payload}) && !c.Hold {
				d.advance()
			}
			return nil
		}
	}
	return nil
}

// receiveSignal ends the wait of task i; it reports whether the run goes on.
func (d *decider) receiveSignal(i int, g signal) bool {
	return d.receive(i, EventReceived{SignalID: g.id}, g.id, g.payload, nil)
}

// deliver ends a wait with a channel's message; one that came too late, or for another channel, is
// dropped.
func (d *decider) deliver(c Deliver) {
	i, ok := d.state.Graph.Index(c.Task)
	if !ok || d.state.Task(i).Phase != TaskAwaiting || c.Channel == "" || d.state.Task(i).Channel != c.Channel {
		return
	}
	if d.receive(i, EventReceived{MessageID: c.MessageID}, c.MessageID, tidy(c.Payload), c.Secrets) && !c.Hold {
		d.advance()
	}
}

func (d *decider) receive(i int, e EventReceived, id string, payload domain.Value, secrets []Secret) bool {
	node := &d.state.Graph.Nodes[i]
	e.Task, e.TaskID, e.Channel = node.Name, TaskID(d.state.RunID, node.Name, 0), d.state.Task(i).Channel
	var o domain.Object
	o.Add("operation", domain.Text("subscribe"))
	o.Add("channel", domain.Text(e.Channel))
	o.Add("message_id", domain.Text(id))
	o.Add("message", payload)
	output := o.Value()
	d.emit(Fact{Event: e})
	stored := d.inline(output)
	if valueSize(stored) > valueBytesMax || secretsSize(secrets) > secretsBytesMax {
		d.failForGood(i, tooLarge("output"), domain.Value{}, nil)
		return false
	}
	return d.completed(i, output, stored, secrets)
}
