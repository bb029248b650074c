package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// shard holds the mailboxes of a part of the runs. Step is its whole behaviour; it belongs to one
// goroutine.
type shard struct {
	node    string // this process's incarnation
	limits  Limits
	compute run.Compute
	ids     IDs
	work    context.Context // parent of all effects
	bed     func() bool     // promises a place among the runs that sleep; false if there is none
	runs    map[string]*mailbox
	recent  *recentRuns
	out     []output
}

// Step takes one input and returns what to carry out. It does no I/O and never waits. The returned
// slice is valid until the next Step.
func (s *shard) Step(now time.Time, in input) []output {
	s.out = s.out[:0]
	var m *mailbox
	switch in := in.(type) {
	case inStart:
		if s.runs[in.runID] != nil {
			// Its id was derived from a key, and an earlier try is under way.
			s.emit(outPlace{held: !in.place})
			in.envelope.answer(Outcome{RunID: in.runID}, domain.E(domain.KindUnavailable, "start run", in.runID, "an earlier try is under way; try again"))
			return s.out
		}
		m = s.open(in.runID)
		m.session, m.state = in.session, run.New()
		m.place, m.held, m.carried = in.place, !in.place, in.place
		s.push(m, in.envelope)
	case inOpen:
		m = s.activate(in.runID)
	case inVisit:
		if m = s.runs[in.runID]; m == nil {
			m = s.open(in.runID)
			m.session = in.envelope.session
			s.load(m, 0)
		}
		s.push(m, in.envelope)
	case inCommand:
		if m = s.runs[in.runID]; m == nil {
			in.envelope.answer(Outcome{RunID: in.runID}, domain.E(domain.KindNotFound, "command run", in.runID, "is not active"))
		} else {
			s.push(m, in.envelope)
		}
	case inAppended:
		if m = s.runs[in.runID]; m != nil && m.flight == in.flight {
			s.appended(m, in)
		}
	case inRepeat:
		if m = s.runs[in.runID]; m != nil && m.flight == in.flight {
			s.emit(outAppend{runID: m.id, stream: m.stream, flight: m.flight})
		}
	case inLoaded:
		if m = s.runs[in.runID]; m != nil && m.loading {
			s.loaded(m, in)
		}
	case inTimer:
		if m = s.runs[in.runID]; m != nil {
			s.due(m, in)
		}
	case inPeek:
		s.peek(in)
	case inSession:
		if m := s.runs[in.runID]; m != nil {
			in.session <- m.session
		} else {
			in.session <- nil
		}
	case inForget:
		if m := s.runs[in.runID]; m != nil {
			m.waiters = slices.DeleteFunc(m.waiters, func(w chan<- *run.State) bool { return w == in.ended })
		}
	}
	if m != nil {
		s.drive(now, m)
	}
	return s.out
}

func (s *shard) emit(o output) { s.out = append(s.out, o) }

func (s *shard) open(id string) *mailbox {
	m := &mailbox{id: id, stream: RunStream(id), head: wire.NewHead()}
	m.effects, m.cancel = context.WithCancelCause(s.work)
	s.runs[id] = m
	return m
}

func (s *shard) push(m *mailbox, e envelope) {
	if err := m.push(e, s.limits.MailboxMax); err != nil {
		e.answer(Outcome{RunID: m.id}, err)
	}
}

// activate gives a run the place that was meant for it.
func (s *shard) activate(id string) *mailbox {
	m := s.runs[id]
	switch {
	case m == nil:
		m = s.open(id)
		m.place = true
		s.load(m, 0)
	case m.place:
		s.emit(outPlace{})
	default:
		m.place = true
		if !m.loading {
			s.carryOn(m)
		}
	}
	return m
}

// carryOn asks for what a run left unfinished before its mailbox was opened.
func (s *shard) carryOn(m *mailbox) {
	m.carried = true
	s.unfinished(m)
	m.state.Channels(func(task, channel string) { s.emit(outAwaits{runID: m.id, task: task, channel: channel}) })
}

// unfinished asks for what nobody works on: attempts of processes that are gone, tasks that are ready,
// and what waits for an instant.
func (s *shard) unfinished(m *mailbox) {
	m.queue = append(m.queue,
		envelope{command: run.Recover{Node: s.node}, cause: s.cause(m, "recovery", domain.EventID{})},
		envelope{command: run.Continue{Node: s.node}, cause: s.cause(m, "continue", domain.EventID{})})
	for i := range m.state.Tasks() {
		if t := m.state.Task(i); t.Waits() {
			s.emit(outTimer{runID: m.id, task: m.state.Graph.Nodes[i].Name, at: t.DueAt})
		}
	}
}

// load asks for the run as its stream has it.
func (s *shard) load(m *mailbox, wait time.Duration) {
	after := endOfStream
	if m.state != nil {
		after = m.head.Revision
	}
	m.loading = true
	s.emit(outLoad{runID: m.id, stream: m.stream, after: after, session: m.session, wait: wait})
}

// backoff is the wait before the n-th try after the first.
func (s *shard) backoff(n int) time.Duration {
	after := min(appendRetryFirst<<min(n, 20), s.limits.AppendRetryMax)
	return after + time.Duration(float64(after)*0.2*s.ids.Jitter())
}

func (s *shard) peek(in inPeek) {
	m := s.runs[in.runID]
	if m == nil || m.state == nil {
		in.state <- s.recent.get(in.runID)
		return
	}
	in.state <- m.state
	if in.ended != nil {
		m.waiters = append(m.waiters, in.ended)
	}
}

// drive sends the next append if none is in flight, and retires the run when it has ended, when all
// it has to do is to wait for long, or when, having no place, it has no command left.
func (s *shard) drive(now time.Time, m *mailbox) {
	if s.runs[m.id] != m || m.loading || m.flight != nil {
		return
	}
	if len(m.queue) > 0 {
		s.decide(now, m)
	}
	if s.runs[m.id] != m || m.flight != nil {
		return
	}
	if !m.place || m.state.Phase != run.Running {
		s.retire(m, nil)
		return
	}
	if due, ok := m.state.WaitsUntil(); ok && (due.IsZero() || due.Sub(now) > s.limits.SleepAfter) && s.bed() {
		s.leave(m, outRetired{sleeps: true, due: due})
	}
}

func (s *shard) decide(now time.Time, m *mailbox) {
	f := m.newFlight()
	defer func() {
		// A panic here is a bug in deciding one run; it must not take the others along.
		if r := recover(); r != nil {
			m.requeue(f.parts)
			s.quarantine(m, panicError("decide", m.id, r))
		}
	}()
	if m.decide(f, now, s.compute) {
		m.flight, m.repeats = f, 0
		s.emit(outAppend{runID: m.id, stream: m.stream, flight: f})
	}
}

func (s *shard) appended(m *mailbox, in inAppended) {
	f := m.flight
	if in.err == nil {
		m.flight, m.conflicts, m.stored = nil, 0, true
		s.awaitedNoMore(m.id, m.state, f.next)
		m.state, m.head = f.next, f.head
		s.follow(m, f, in.appended)
		return
	}
	switch domain.KindOf(in.err) {
	case domain.KindConflict:
		m.flight = nil
		m.requeue(f.parts)
		// Somebody else got ahead: once is bad luck, more often is a fight that needs a pause.
		wait := time.Duration(0)
		if m.conflicts++; m.conflicts > 1 {
			wait = s.backoff(m.conflicts - 2)
		}
		m.repeats = 0
		s.load(m, wait)
	case domain.KindUnavailable, domain.KindExhausted:
		if f.unknown {
			s.repeat(m, f) // this try was not stored; an earlier one may have been
			return
		}
		s.giveUpOrRepeat(m, f, in.err)
	case domain.KindIndeterminate, domain.KindCanceled, domain.KindDeadline:
		f.unknown = true
		s.repeat(m, f)
	default:
		m.flight = nil
		err := fmt.Errorf("append %s: %w", m.stream, in.err)
		answer := err
		if f.unknown {
			answer = domain.Wrap(domain.KindIndeterminate, "append", string(m.stream), in.err)
		}
		for i := range f.parts {
			m.answer(&f.parts[i].envelope, Outcome{RunID: m.id}, answer)
		}
		s.quarantine(m, err)
	}
}

// awaitedNoMore tells which events tasks waited for before an append and do not after it.
func (s *shard) awaitedNoMore(runID string, before, after *run.State) {
	before.Channels(func(task, channel string) {
		if i, ok := after.Graph.Index(task); !ok || after.Phase.Ended() || after.Task(i).Phase != run.TaskAwaiting {
			s.emit(outAwaits{runID: runID, task: task, channel: channel, over: true})
		}
	})
}

// giveUpOrRepeat handles an append that certainly did not happen: whoever waits outside is told;
// what the run itself needs is sent again.
func (s *shard) giveUpOrRepeat(m *mailbox, f *flight, err error) {
	kept := f.parts[:0:0]
	for _, p := range f.parts {
		if p.envelope.outside {
			m.answer(&p.envelope, Outcome{RunID: m.id}, err)
		} else {
			kept = append(kept, p)
		}
	}
	if len(kept) == len(f.parts) {
		s.repeat(m, f)
		return
	}
	m.flight = nil
	m.requeue(kept)
}

const appendRetryFirst = 10 * time.Millisecond

func (s *shard) repeat(m *mailbox, f *flight) {
	s.emit(outRepeat{runID: m.id, flight: f, after: s.backoff(m.repeats)})
	m.repeats++
}

// follow answers the commands of a stored append and carries out what its events ask for.
func (s *shard) follow(m *mailbox, f *flight, at Appended) {
	for i := range f.parts {
		p := &f.parts[i]
		position := at.Position
		m.answer(&p.envelope, Outcome{RunID: m.id, Revision: p.revision, Position: position, State: f.next}, nil)
	}
	if m.state.Phase.Ended() {
		m.cancel(errRunEnded)
		return
	}
	revision := f.expected
	for i := range f.parts {
		m.session.Recorded(secretsOf(f.parts[i].envelope.command))
		for _, e := range f.parts[i].events {
			revision++
			s.carryOut(m, e, f.events[revision-f.expected-1].ID)
		}
	}
	if last := &f.parts[len(f.parts)-1]; last.more {
		// The bounds of one append stopped a decision. A recovery is asked for again, since only it
		// restarts what was running; everything else goes on by starting what is ready.
		front := envelope{command: run.Continue{Node: s.node}, cause: s.cause(m, "continue", domain.EventID{})}
		if _, recovery := last.envelope.command.(run.Recover); recovery {
			front = envelope{command: run.Recover{Node: s.node}, cause: s.cause(m, "recovery", domain.EventID{})}
		}
		m.queue = append([]envelope{front}, m.queue...)
	}
}

// secretsOf are the secrets that the events of a command list.
func secretsOf(c run.Command) []run.Secret {
	switch c := c.(type) {
	case run.Start:
		return c.Secrets
	case run.CompleteTask:
		return c.Secrets
	case run.FailTask:
		return c.Secrets
	case run.Signal:
		return c.Secrets
	case run.Deliver:
		return c.Secrets
	}
	return nil
}

var errRunEnded = errors.New("the run has ended")

func (s *shard) carryOut(m *mailbox, e run.Event, id domain.EventID) {
	switch e := e.(type) {
	case run.TaskStarted:
		s.dispatch(m, e.Task, 1, id)
	case run.TaskAttemptStarted:
		s.dispatch(m, e.Task, e.Attempt, id)
	case run.TaskRetryScheduled:
		s.emit(outTimer{runID: m.id, task: e.Task, at: e.RetryAt})
	case run.TimerSet:
		s.emit(outTimer{runID: m.id, task: e.Task, at: e.DueAt})
	case run.ApprovalRequested:
		s.failsAt(m, e.Task, e.DueAt)
	case run.EventAwaited:
		s.failsAt(m, e.Task, e.DueAt)
		s.emit(outAwaits{runID: m.id, task: e.Task, channel: e.Channel})
	case run.Resumed:
		if m.place {
			s.unfinished(m)
		}
	}
}

// failsAt sets the timer of a wait that ends by itself.
func (s *shard) failsAt(m *mailbox, task string, due time.Time) {
	if !due.IsZero() {
		s.emit(outTimer{runID: m.id, task: task, at: due})
	}
}

// due asks for what task waited for: its next attempt, or its end.
func (s *shard) due(m *mailbox, in inTimer) {
	if !in.over {
		s.emit(outTimer{runID: m.id, task: in.task, at: in.at})
		return
	}
	if m.state == nil {
		return // still loading; it asks again once that is done
	}
	i, ok := m.state.Graph.Index(in.task)
	if !ok || !m.state.Task(i).Waits() {
		return
	}
	if m.state.Paused {
		return // asked for again when it is resumed
	}
	e := envelope{command: run.StartAttempt{At: in.at, Task: in.task, Node: s.node}, cause: s.cause(m, "timer", domain.EventID{})}
	kind := "retry:"
	if m.state.Task(i).Phase != run.TaskBackoff {
		e.command, kind = run.FireTimer{At: in.at, Task: in.task, Node: s.node}, "timer:"
	}
	e.cause.CommandID = commandID(kind, m.id+"/"+in.task+":"+in.at.Format(domain.TimeLayout))
	m.queue = append(m.queue, e)
}

func (s *shard) dispatch(m *mailbox, task string, attemptNo int, cause domain.EventID) {
	i, ok := m.state.Graph.Index(task)
	if !ok || m.state.Graph.Nodes[i].Pure {
		return
	}
	// An attempt that another process began is that one's to run.
	if t := m.state.Task(i); t.Phase != run.TaskRunning || int(t.Attempt) != attemptNo || t.Node != s.node {
		return
	}
	s.emit(outEffect{attempt: attempt{
		runID: m.id, state: m.state, index: i, number: attemptNo, session: m.session, ctx: m.effects, cause: cause,
	}})
}

func (s *shard) cause(m *mailbox, via string, causation domain.EventID) wire.Cause {
	c := wire.Cause{
		Actor: wire.Actor{Kind: wire.ActorSystem, ID: s.node, Via: via}, CorrelationID: m.id,
		CommandID: via + ":" + m.id + ":" + strconv.FormatInt(int64(m.head.Revision), 10) + ":" + s.node,
	}
	if causation != (domain.EventID{}) {
		c.CausationID = causation.String()
	}
	return c
}

// loaded continues a run from what its stream says.
func (s *shard) loaded(m *mailbox, in inLoaded) {
	m.loading = false
	if in.err != nil {
		s.loadFailed(m, in.err)
		return
	}
	again := m.state != nil
	m.state, m.head, m.session, m.repeats = in.loaded.state, in.loaded.head, in.session, 0
	s.answerRepeats(m, in.loaded)
	if m.state.Phase == run.PhaseAbandoned && !again {
		s.answerAll(m, domain.E(domain.KindNotFound, "command run", m.id, "does not exist"))
	}
	if m.state.Phase != run.Running || !m.place {
		return
	}
	if !m.carried {
		s.carryOn(m)
	}
	if again {
		// What came between may be an append of this process whose outcome was unknown: what it asks
		// for has not been carried out.
		for _, e := range in.loaded.since {
			s.carryOut(m, e.event, e.id)
		}
		m.queue = append(m.queue, envelope{command: run.Continue{Node: s.node}, cause: s.cause(m, "continue", domain.EventID{})})
	}
}

func (s *shard) loadFailed(m *mailbox, err error) {
	if m.state == nil && !m.place {
		// Nothing depends on it but the commands that brought it here.
		s.answerAll(m, err)
		s.retire(m, nil)
		return
	}
	switch domain.KindOf(err) {
	case domain.KindUnavailable, domain.KindExhausted, domain.KindDeadline, domain.KindCanceled:
		s.load(m, s.backoff(m.repeats))
		m.repeats++
	default:
		s.quarantine(m, err)
	}
}

// answerRepeats answers the commands that the stream turned out to hold already.
func (s *shard) answerRepeats(m *mailbox, l loaded) {
	if len(l.since) == 0 {
		return
	}
	last := make(map[string]*stored, len(l.since))
	for i := range l.since {
		last[l.since[i].command] = &l.since[i]
	}
	kept := m.queue[:0:0]
	for _, e := range m.queue {
		at, done := last[e.cause.CommandID]
		if !done || e.cause.CommandID == "" {
			kept = append(kept, e)
			continue
		}
		m.stored = true
		m.session.Recorded(secretsOf(e.command))
		m.answer(&e, Outcome{RunID: m.id, Revision: at.revision, Position: at.position, State: m.state}, nil)
	}
	m.queue = kept
}

func (s *shard) answerAll(m *mailbox, err error) {
	for i := range m.queue {
		m.queue[i].answer(Outcome{RunID: m.id}, err)
	}
	m.queue, m.outside = nil, 0
}

// quarantine takes a run out of work without touching its stream.
func (s *shard) quarantine(m *mailbox, err error) {
	answer := err
	if domain.KindOf(err) == domain.KindInternal {
		answer = domain.E(domain.KindInternal, "command run", m.id, "the server failed at this run and put it aside; its log has the details")
	}
	s.answerAll(m, answer)
	s.retire(m, err)
}

func (s *shard) retire(m *mailbox, quarantined error) {
	s.leave(m, outRetired{quarantined: quarantined})
}

// leave takes a run out of memory; o says why.
func (s *shard) leave(m *mailbox, o outRetired) {
	delete(s.runs, m.id)
	m.cancel(errRunEnded)
	for _, w := range m.waiters {
		w <- m.state
	}
	m.waiters = nil
	o.runID, o.place, o.held = m.id, m.place, m.held
	if m.state != nil && o.quarantined == nil {
		if m.state.Phase.Ended() && m.state.Phase != run.PhaseAbandoned {
			if s.recent.get(m.id) == nil {
				s.recent.put(m.state)
			}
			if m.stored {
				o.status = m.state.Phase.String()
			}
		}
		running := !m.place && m.state.Phase == run.Running
		o.waits = m.held && running
		o.wakes = !m.held && running && m.stored
	}
	s.emit(o)
}
