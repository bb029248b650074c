package commands

import (
	"context"
	"fmt"
	"slices"
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

	// With several nodes on one log (shard_nodes.go):
	alive []string                   // nodes; nil: this one alone
	known map[string]domain.Revision // what was dealt with of runs that are not in memory; nil: one node
	owns  func(runID string) bool    // this node works on the run; nil: on all
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
		m.place, m.held, m.carried, m.opened = in.place, !in.place, in.place, true
		m.trace = in.envelope.cause.Traceparent
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
	case inSeen:
		for i := range in.events {
			s.seen(now, &in.events[i])
		}
	case inNodes:
		s.nodes(now, in)
	case inOwn:
		s.own(in.runID)
	case inDisown:
		m = s.disown(in.runID)
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
	m := &mailbox{id: id, stream: RunStream(id), head: wire.NewHead(), seen: domain.NoStream}
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
	delete(s.known, id)
	if !s.mine(id) {
		s.emit(outPlace{}) // given away while it was on its way
		return nil
	}
	switch {
	case m == nil:
		m = s.open(id)
		m.place, m.opened = true, true
		s.load(m, 0)
	case m.place:
		s.emit(outPlace{})
	default:
		m.place, m.leaving = true, false
		// Without a place it is not told what other nodes append.
		m.stale = s.known != nil
		if !m.stale && !m.loading {
			s.carryOn(m)
		}
	}
	return m
}

// carryOn asks for what a run left unfinished before its mailbox was opened.
func (s *shard) carryOn(m *mailbox) {
	m.carried = true
	if s.known != nil {
		s.emit(outAwaits{runID: m.id, over: true}) // whatever it waited for when it was worked on here before
	}
	s.unfinished(m)
	m.state.Channels(func(task, channel string) { s.emit(outAwaits{runID: m.id, task: task, channel: channel}) })
}

// unfinished asks for what nobody works on: attempts of processes that are gone, tasks that are ready,
// and what waits for an instant.
func (s *shard) unfinished(m *mailbox) {
	m.queue = append(m.queue,
		envelope{command: run.Recover{Node: s.node, Alive: s.alive}, cause: s.cause(m, "recovery", domain.EventID{})},
		envelope{command: run.Continue{Node: s.node}, cause: s.cause(m, "continue", domain.EventID{})})
	for i := range m.state.Tasks() {
		if t := m.state.Task(i); t.Waits() {
			s.emit(outTimer{runID: m.id, task: m.state.Graph.Nodes[i].Name, at: t.DueAt})
		}
	}
}

// backoff is the wait before the n-th try after the first.
func (s *shard) backoff(n int) time.Duration {
	after := min(appendRetryFirst<<min(n, 20), s.limits.AppendRetryMax)
	return after + time.Duration(float64(after)*0.2*s.ids.Jitter())
}

func (s *shard) peek(in inPeek) {
	m := s.runs[in.runID]
	if m == nil || m.state == nil || s.known != nil && !m.place { // what others append is not brought to it
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
	if s.runs[m.id] != m || m.loading || m.flight != nil || s.catchUp(m) {
		return
	}
	s.resealStrays(m)
	if len(m.queue) > 0 {
		s.decide(now, m)
	}
	if s.runs[m.id] != m || m.flight != nil {
		return
	}
	if m.state.Phase != run.Running || !m.place && !s.finishes(m) {
		s.retire(m, nil)
		return
	}
	if !m.place {
		return
	}
	due, ok := m.state.WaitsUntil()
	if !ok {
		ok = m.state.PausedFor(s.node)
	}
	if ok && (due.IsZero() || due.Sub(now) > s.limits.SleepAfter) && s.bed() {
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
		o.waits = m.held && running && s.mine(m.id)
		o.wakes = !m.held && running && m.stored
	}
	if s.known != nil {
		s.remember(m, o)
	}
	s.emit(o)
}
