package commands

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// input is something that happened: a command, the outcome of an append or a load, a due timer.
type input interface{ shardInput() }

type (
	// inStart opens a mailbox for a run that does not exist yet.
	inStart struct {
		runID    string
		session  *Session
		envelope envelope
	}
	// inOpen opens a mailbox for a run that exists: recovery and activation.
	inOpen struct{ runID string }
	// inCommand is for an active run.
	inCommand struct {
		runID    string
		envelope envelope
	}
	// inAppended is the outcome of an append.
	inAppended struct {
		runID    string
		flight   *flight
		appended Appended
		err      error
	}
	// inRepeat sends an append again after its backoff.
	inRepeat struct {
		runID  string
		flight *flight
	}
	// inLoaded is the outcome of a load.
	inLoaded struct {
		runID   string
		loaded  loaded
		session *Session
		err     error
	}
	// inPeek asks for the state of an active run, and optionally to be told its end.
	inPeek struct {
		runID string
		state chan<- *run.State // gets nil if the run is neither active nor lately ended; capacity 1
		ended chan<- *run.State // optional; capacity 1
	}
)

func (inStart) shardInput()    {}
func (inOpen) shardInput()     {}
func (inCommand) shardInput()  {}
func (inAppended) shardInput() {}
func (inRepeat) shardInput()   {}
func (inLoaded) shardInput()   {}
func (inPeek) shardInput()     {}

// output is something to carry out.
type output interface{ shardOutput() }

type (
	outAppend struct {
		runID  string
		stream domain.StreamID
		flight *flight
	}
	outRepeat struct {
		runID  string
		flight *flight
		after  time.Duration
	}
	outLoad struct {
		runID  string
		stream domain.StreamID
		after  domain.Revision
		wait   time.Duration
	}
	outEffect struct{ attempt attempt }
	outTimer  struct {
		runID, task string
		at          time.Time
	}
	// outRetired says that a run left the shard.
	outRetired struct {
		runID       string
		status      string
		quarantined error
	}
)

func (outAppend) shardOutput()  {}
func (outRepeat) shardOutput()  {}
func (outLoad) shardOutput()    {}
func (outEffect) shardOutput()  {}
func (outTimer) shardOutput()   {}
func (outRetired) shardOutput() {}

// shard holds the mailboxes of a part of the runs. Step is its whole behaviour; it belongs to one
// goroutine.
type shard struct {
	node    string // this process's incarnation
	limits  Limits
	compute run.Compute
	ids     IDs
	work    context.Context // parent of all effects
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
		m = s.open(in.runID)
		m.session, m.state, m.head = in.session, run.New(), wire.NewHead()
		m.queue = append(m.queue, in.envelope)
	case inOpen:
		if s.runs[in.runID] == nil {
			m = s.open(in.runID)
			s.load(m, domain.NoStream)
		}
	case inCommand:
		if m = s.runs[in.runID]; m == nil {
			in.envelope.answer(Outcome{RunID: in.runID}, domain.E(domain.KindNotFound, "command run", in.runID, "is not active"))
		} else if err := m.push(in.envelope, s.limits.MailboxMax); err != nil {
			in.envelope.answer(Outcome{RunID: in.runID}, err)
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
		if m = s.runs[in.runID]; m != nil {
			s.loaded(m, in)
		}
	case inPeek:
		s.peek(in)
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

func (s *shard) load(m *mailbox, after domain.Revision) {
	m.loading = true
	s.emit(outLoad{runID: m.id, stream: m.stream, after: after})
}

// backoff is the wait before repeat number m.repeats, which it counts.
func (s *shard) backoff(m *mailbox) time.Duration {
	after := min(appendRetryFirst<<min(m.repeats, 20), s.limits.AppendRetryMax)
	m.repeats++
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

// drive sends the next append if none is in flight, and retires the run when it has ended.
func (s *shard) drive(now time.Time, m *mailbox) {
	if s.runs[m.id] != m || m.loading || m.flight != nil {
		return
	}
	if len(m.queue) > 0 {
		s.decide(now, m)
	}
	if s.runs[m.id] == m && m.flight == nil && !m.loading && (m.state.Phase.Ended() || m.state.Phase == run.None) {
		s.retire(m, m.state.Phase.String(), nil)
	}
}

func (s *shard) decide(now time.Time, m *mailbox) {
	defer func() {
		// A panic here is a bug in deciding one run; it must not take the others along.
		if r := recover(); r != nil {
			s.quarantine(m, domain.E(domain.KindInternal, "decide", m.id, fmt.Sprintf("panic: %v\n%s", r, debug.Stack())))
		}
	}()
	if f := m.decide(now, s.compute); f != nil {
		m.flight, m.repeats = f, 0
		s.emit(outAppend{runID: m.id, stream: m.stream, flight: f})
	}
}

func (s *shard) appended(m *mailbox, in inAppended) {
	f := m.flight
	if in.err == nil {
		m.flight = nil
		m.state, m.head = f.next, f.head
		s.follow(m, f, in.appended)
		return
	}
	switch domain.KindOf(in.err) {
	case domain.KindConflict:
		m.flight = nil
		m.requeue(f.parts)
		s.load(m, f.expected)
	case domain.KindUnavailable, domain.KindExhausted:
		s.giveUpOrRepeat(m, f, in.err)
	case domain.KindIndeterminate, domain.KindCanceled, domain.KindDeadline:
		s.repeat(m, f)
	default:
		m.flight = nil
		s.quarantine(m, fmt.Errorf("append %s: %w", m.stream, in.err))
		for i := range f.parts {
			f.parts[i].envelope.answer(Outcome{RunID: m.id}, in.err)
		}
	}
}

// giveUpOrRepeat handles an append that certainly did not happen: whoever waits outside is told;
// what the run itself needs is sent again.
func (s *shard) giveUpOrRepeat(m *mailbox, f *flight, err error) {
	kept := f.parts[:0:0]
	for _, p := range f.parts {
		if p.envelope.outside {
			p.envelope.answer(Outcome{RunID: m.id}, err)
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
	s.emit(outRepeat{runID: m.id, flight: f, after: s.backoff(m)})
}

// follow answers the commands of a stored append and carries out what its events ask for.
func (s *shard) follow(m *mailbox, f *flight, at Appended) {
	for i := range f.parts {
		p := &f.parts[i]
		position := at.Position
		p.envelope.answer(Outcome{RunID: m.id, Revision: p.revision, Position: position, State: f.next}, nil)
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
	}
}

func (s *shard) dispatch(m *mailbox, task string, attemptNo int, cause domain.EventID) {
	i, ok := m.state.Graph.Index(task)
	if !ok || m.state.Graph.Nodes[i].Pure || m.state.Task(i).Phase != run.TaskRunning || int(m.state.Task(i).Attempt) != attemptNo {
		return
	}
	s.emit(outEffect{attempt: attempt{
		runID: m.id, state: m.state, index: i, number: attemptNo, session: m.session, ctx: m.effects, cause: cause,
	}})
}

func (s *shard) cause(m *mailbox, via string, causation domain.EventID) wire.Cause {
	c := wire.Cause{
		Actor: wire.Actor{Kind: wire.ActorSystem, ID: s.node, Via: via}, CorrelationID: m.id,
		CommandID: via + ":" + m.id + ":" + strconv.FormatInt(int64(m.head.Revision), 10),
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
		if k := domain.KindOf(in.err); k == domain.KindUnavailable || k == domain.KindDeadline || k == domain.KindCanceled {
			m.loading = true
			s.emit(outLoad{runID: m.id, stream: m.stream, after: m.head.Revision, wait: s.backoff(m)})
			return
		}
		s.quarantine(m, in.err)
		return
	}
	first := m.state == nil
	m.state, m.head = in.loaded.state, in.loaded.head
	if in.session != nil {
		m.session = in.session
	}
	s.answerRepeats(m, in.loaded)
	if !first || m.state.Phase != run.Running {
		return
	}
	m.queue = append(m.queue,
		envelope{command: run.Recover{Node: s.node}, cause: s.cause(m, "recovery", domain.EventID{})},
		envelope{command: run.Continue{Node: s.node}, cause: s.cause(m, "continue", domain.EventID{})})
	for i := range m.state.Tasks() {
		if t := m.state.Task(i); t.Phase == run.TaskBackoff {
			s.emit(outTimer{runID: m.id, task: m.state.Graph.Nodes[i].Name, at: t.RetryAt})
		}
	}
}

// answerRepeats answers the commands that the stream turned out to hold already.
func (s *shard) answerRepeats(m *mailbox, l loaded) {
	kept := m.queue[:0:0]
	for _, e := range m.queue {
		if revision, done := l.commands[e.cause.CommandID]; done && e.cause.CommandID != "" {
			if e.outside {
				m.outside--
			}
			e.answer(Outcome{RunID: m.id, Revision: revision, State: m.state}, nil)
			continue
		}
		kept = append(kept, e)
	}
	m.queue = kept
}

// quarantine takes a run out of work without touching its stream.
func (s *shard) quarantine(m *mailbox, err error) {
	for i := range m.queue {
		m.queue[i].answer(Outcome{RunID: m.id}, err)
	}
	m.queue, m.outside = nil, 0
	s.retire(m, "quarantined", err)
}

func (s *shard) retire(m *mailbox, status string, quarantined error) {
	delete(s.runs, m.id)
	m.cancel(errRunEnded)
	for _, w := range m.waiters {
		w <- m.state
	}
	m.waiters = nil
	if m.state != nil && m.state.Phase.Ended() && m.state.Phase != run.PhaseAbandoned && quarantined == nil {
		s.recent.put(m.state)
	}
	s.emit(outRetired{runID: m.id, status: status, quarantined: quarantined})
}
