package commands

import (
	"errors"
	"strconv"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// follow answers the commands of a stored append and carries out what its events ask for.
func (s *shard) follow(m *mailbox, f *flight, at Appended) {
	for i := range f.parts {
		p := &f.parts[i]
		position := at.Position
		m.remember(p.envelope.cause.CommandID, p.revision, position)
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
			s.carryOut(m, e, f.events[revision-f.expected-1].ID, f.parts[i].envelope.cause.Traceparent)
		}
	}
	if last := &f.parts[len(f.parts)-1]; last.more {
		// The bounds of one append stopped a decision. A recovery is asked for again, since only it
		// restarts what was running; everything else goes on by starting what is ready.
		front := envelope{command: run.Continue{Node: s.node}, cause: s.cause(m, "continue", domain.EventID{})}
		if _, recovery := last.envelope.command.(run.Recover); recovery {
			front = envelope{command: run.Recover{Node: s.node, Alive: s.alive}, cause: s.cause(m, "recovery", domain.EventID{})}
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

// carryOut does what a stored event of that id and trace asks for.
func (s *shard) carryOut(m *mailbox, e run.Event, id domain.EventID, trace string) {
	switch e := e.(type) {
	case run.TaskStarted:
		s.dispatch(m, e.Task, 1, id, trace)
	case run.TaskAttemptStarted:
		s.dispatch(m, e.Task, e.Attempt, id, trace)
	case run.TaskRetryScheduled:
		s.emit(outTimer{runID: m.id, task: e.Task, at: e.RetryAt})
	case run.TimerSet:
		s.emit(outTimer{runID: m.id, task: e.Task, at: e.DueAt})
	case run.ApprovalRequested:
		s.failsAt(m, e.Task, e.DueAt)
	case run.EventAwaited:
		s.failsAt(m, e.Task, e.DueAt)
		if m.place {
			s.emit(outAwaits{runID: m.id, task: e.Task, channel: e.Channel})
		}
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
	if m.state.Paused || !m.place {
		return // asked for again when it is resumed, or by the node that has it now
	}
	e := envelope{command: run.StartAttempt{At: in.at, Task: in.task, Node: s.node}, cause: s.cause(m, "timer", domain.EventID{})}
	kind := "retry:"
	if m.state.Task(i).Phase != run.TaskBackoff {
		e.command, kind = run.FireTimer{At: in.at, Task: in.task, Node: s.node}, "timer:"
	}
	e.cause.CommandID = commandID(kind, m.id+"/"+in.task+":"+in.at.Format(domain.TimeLayout))
	m.queue = append(m.queue, e)
}

func (s *shard) dispatch(m *mailbox, task string, attemptNo int, cause domain.EventID, trace string) {
	i, ok := m.state.Graph.Index(task)
	if !ok || m.state.Graph.Nodes[i].Pure {
		return
	}
	// An attempt that another process began is that one's to run.
	if t := m.state.Task(i); t.Phase != run.TaskRunning || int(t.Attempt) != attemptNo || t.Node != s.node {
		return
	}
	s.emit(outEffect{attempt: attempt{
		runID: m.id, state: m.state, index: i, number: attemptNo, session: m.session, ctx: m.effects, cause: cause, trace: trace,
	}})
}

func (s *shard) cause(m *mailbox, via string, causation domain.EventID) wire.Cause {
	c := wire.Cause{
		Actor: wire.Actor{Kind: wire.ActorSystem, ID: s.node, Via: via}, CorrelationID: m.id,
		CommandID:   via + ":" + m.id + ":" + strconv.FormatInt(int64(m.head.Revision), 10) + ":" + s.node,
		Traceparent: m.trace,
	}
	if causation != (domain.EventID{}) {
		c.CausationID = causation.String()
	}
	return c
}
