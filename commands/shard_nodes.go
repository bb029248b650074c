package commands

import (
	"math"
	"slices"
	"time"

	"quipu/domain"
	"quipu/domain/run"
)

// Several nodes may work on one log. Each run has one owner, which starts its tasks and sets its timers;
// any node may append a command's events, since the exact revision fences decisions. The owner sees them
// in the feed and goes on from there. What is said here only decides who works on what: should two nodes
// believe that a run is theirs, for a moment or longer, each decision still is made once.

// seen is an event that the feed brought.
type seen struct {
	runID    string
	revision domain.Revision
	over     bool // it ended the run
	mine     bool // the run is this node's
}

// dealtWith stands in shard.known for a run whose events need no look: it is on its way to a mailbox or in
// line for one, was put aside, or has ended.
const dealtWith = domain.Revision(math.MaxInt64)

// seen wakes a run of this node that got something to do by another, or brings its mailbox up to date.
func (s *shard) seen(now time.Time, e *seen) {
	m := s.runs[e.runID]
	switch {
	case m != nil:
		m.over = m.over || e.over
		if (e.mine || e.over && m.leaving) && e.revision > m.seen {
			m.seen = e.revision
			s.drive(now, m)
		}
	case e.over:
		delete(s.known, e.runID)
		if e.mine {
			s.emit(outDropped{runID: e.runID})
		}
	case e.mine:
		if dealt, ok := s.known[e.runID]; !ok || e.revision > dealt {
			s.wake(e.runID)
		}
	}
}

func (s *shard) mine(runID string) bool { return s.owns == nil || s.owns(runID) }

func (s *shard) wake(runID string) {
	s.known[runID] = dealtWith
	s.emit(outWake{runID: runID})
}

// catchUp loads what others appended to a run that is worked on here. It reports whether it does.
func (s *shard) catchUp(m *mailbox) bool {
	follows := m.place || m.leaving && m.over // its end cuts off what runs here
	if !follows || m.state == nil {
		return false
	}
	if m.stale && m.state.Phase == run.Running {
		m.stale = false
		s.load(m, 0)
		return true
	}
	if m.seen <= m.head.Revision {
		m.behind = 0
		return false
	}
	wait := time.Duration(0)
	if m.behind++; m.behind > 1 { // the log was read where it is not that far yet
		wait = s.backoff(m.behind - 2)
	}
	s.load(m, wait)
	return true
}

// own takes up a run that has become this node's.
func (s *shard) own(runID string) {
	m := s.runs[runID]
	if _, known := s.known[runID]; m == nil && !known || m != nil && !m.place {
		s.wake(runID)
	}
}

// disown gives a run away. Attempts that run here go on to their end, which is recorded here; all else is
// the new owner's.
func (s *shard) disown(runID string) *mailbox {
	delete(s.known, runID)
	s.emit(outDropped{runID: runID})
	m := s.runs[runID]
	if m == nil || !m.place {
		return nil
	}
	m.place, m.leaving, m.carried = false, true, false
	s.emit(outPlace{})
	return m
}

// finishes reports whether attempts still run here of a run that was given away.
func (s *shard) finishes(m *mailbox) bool {
	if !m.leaving {
		return false
	}
	for i := range m.state.Tasks() {
		if t := m.state.Task(i); t.Phase == run.TaskRunning && t.Node == s.node {
			return true
		}
	}
	return false
}

// nodes takes note of who lives. What a node that is gone had begun is begun anew.
//
// Such attempts come up later, too: the feed brought them after the news that their node is gone, or it
// was only taken for dead, went on, and then died. So there is a look now and then. It takes two, since a
// node that has just come may be heard of here after what it began.
func (s *shard) nodes(now time.Time, in inNodes) {
	s.alive = in.alive
	if !in.gone && !in.look {
		return
	}
	for _, m := range s.runs {
		if !m.place || m.state == nil || m.state.Phase != run.Running || m.state.Paused || !s.lost(m) {
			m.doubted = false
			continue
		}
		if in.gone || m.doubted {
			m.queue = append(m.queue, envelope{command: run.Recover{Node: s.node, Alive: s.alive}, cause: s.cause(m, "recovery", domain.EventID{})})
		}
		m.doubted = !in.gone && !m.doubted
		s.drive(now, m)
	}
}

// lost reports whether an attempt of a run is lost with its node.
func (s *shard) lost(m *mailbox) bool {
	for i := range m.state.Tasks() {
		t := m.state.Task(i)
		if t.Phase != run.TaskRunning || t.Node == s.node {
			continue
		}
		if _, lives := slices.BinarySearch(s.alive, t.Node); !lives {
			return true
		}
	}
	return false
}

// remember notes what the feed needs not bring up again of a run that leaves memory, and wakes one that
// nobody would look after.
func (s *shard) remember(m *mailbox, o outRetired) {
	dealt, known := s.known[m.id]
	if !known {
		dealt = domain.NoStream
	}
	ended := m.state != nil && m.state.Phase.Ended()
	if (ended || m.over) && o.status == "" {
		s.emit(outDropped{runID: m.id}) // it ended elsewhere; it may have slept here
	}
	switch {
	case m.over:
		delete(s.known, m.id) // whether it could be read or not
	case m.leaving && !ended:
		delete(s.known, m.id)
	case o.quarantined != nil || ended:
		// Until the feed brings its end, which it does once.
		if ended && !m.stored || !m.opened && !m.stored {
			delete(s.known, m.id)
		} else {
			s.known[m.id] = dealtWith
		}
	case o.sleeps:
		s.known[m.id] = m.head.Revision
	case o.waits:
		s.known[m.id] = dealtWith
	case !s.mine(m.id):
		delete(s.known, m.id)
	case m.newest() > dealt:
		// It came while a command was carried out, or was that command.
		s.wake(m.id)
	}
}

// newest is the newest event that this node knows of a run.
func (m *mailbox) newest() domain.Revision {
	if m.state == nil || m.state.Phase != run.Running {
		return m.seen
	}
	return max(m.seen, m.head.Revision)
}
