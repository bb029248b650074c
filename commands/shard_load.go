package commands

import (
	"slices"
	"time"

	"quipu/domain"
	"quipu/domain/run"
)

// load asks for the run as its stream has it.
func (s *shard) load(m *mailbox, wait time.Duration) {
	after := endOfStream
	if m.state != nil {
		after = m.head.Revision
	}
	m.loading = true
	s.emit(outLoad{runID: m.id, stream: m.stream, after: after, session: m.session, wait: wait})
}

// loaded continues a run from what its stream says.
func (s *shard) loaded(m *mailbox, in inLoaded) {
	m.loading = false
	if in.err != nil {
		s.loadFailed(m, in.err)
		return
	}
	again := m.state != nil
	if again && in.loaded.head.Revision < m.head.Revision {
		// Read where the log is behind. What has been carried out must not be news once more.
		s.load(m, s.backoff(m.repeats))
		m.repeats++
		return
	}
	if again && s.known != nil {
		s.awaitedNoMore(m.id, m.state, in.loaded.state)
	}
	if in.loaded.trace != "" {
		m.trace = in.loaded.trace
	}
	m.state, m.head, m.session, m.repeats = in.loaded.state, in.loaded.head, in.session, 0
	m.keyed = in.loaded.keyed
	s.answerRepeats(m, in.loaded)
	if m.state.Phase == run.PhaseAbandoned && !again {
		s.answerAll(m, domain.E(domain.KindNotFound, "command run", m.id, "does not exist"))
	}
	if m.state.Phase != run.Running {
		return
	}
	if !m.place {
		// Nobody else runs what this node began with an append whose outcome it did not know.
		for _, e := range in.loaded.since {
			s.began(m, &e)
		}
		return
	}
	if !m.carried {
		s.carryOn(m)
	}
	if again {
		// What came between may be an append of this process whose outcome was unknown: what it asks
		// for has not been carried out.
		for _, e := range in.loaded.since {
			s.carryOut(m, e.event, e.id, e.trace)
		}
		m.queue = append(m.queue, envelope{command: run.Continue{Node: s.node}, cause: s.cause(m, "continue", domain.EventID{})})
	}
}

// began hands over the attempt that an event found in the stream began.
func (s *shard) began(m *mailbox, e *stored) {
	switch e.event.(type) {
	case run.TaskStarted, run.TaskAttemptStarted:
		s.carryOut(m, e.event, e.id, e.trace)
	}
}

func (s *shard) loadFailed(m *mailbox, err error) {
	if m.session != nil && domain.KindOf(err) == domain.KindConflict {
		// The session gave ids to secrets that stand for others by now: another node was first. A command
		// that it sealed is answered, and its sender seals it anew; so are results of tasks.
		m.session = nil
		s.load(m, 0)
		return
	}
	if m.state == nil && !m.place {
		// Nothing depends on it but the commands that brought it here.
		s.answerAll(m, err)
		s.retire(m, nil)
		return
	}
	if m.place && m.stale {
		// It was asked for by a command, before the run was there or its place came.
		m.stale = false
		s.load(m, 0)
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

// resealStrays asks anew for results whose secrets were sealed by a session that the run has no more.
func (s *shard) resealStrays(m *mailbox) {
	stray := func(e envelope) bool {
		return e.reseal != nil && e.session != m.session && len(secretsOf(e.command)) > 0
	}
	if !slices.ContainsFunc(m.queue, stray) {
		return
	}
	kept := m.queue[:0:0]
	for _, e := range m.queue {
		if stray(e) {
			e.session = m.session
			s.emit(outReseal{runID: m.id, envelope: e})
		} else {
			kept = append(kept, e)
		}
	}
	m.queue = kept
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
		if start, ok := e.command.(run.Start); ok && !sameStart(start, l.since[0].event) {
			m.answer(&e, Outcome{RunID: m.id}, KeyReused("start run", m.id))
			continue
		}
		m.stored = true
		m.session.Recorded(secretsOf(e.command))
		m.answer(&e, Outcome{RunID: m.id, Revision: at.revision, Position: at.position, State: m.state}, nil)
	}
	m.queue = kept
}

// sameStart reports whether a run's first event is of the same request as a start of the same id.
func sameStart(start run.Start, first run.Event) bool {
	started, ok := first.(run.Started)
	return ok && started.BodySHA256 == start.BodySHA256
}

func (s *shard) answerAll(m *mailbox, err error) {
	for i := range m.queue {
		m.queue[i].answer(Outcome{RunID: m.id}, err)
	}
	m.queue, m.outside = nil, 0
}
