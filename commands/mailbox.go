package commands

import (
	"context"
	"slices"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// mailbox is one active run: its state as stored, the commands that wait, and the one append in
// flight. It belongs to its shard's goroutine; session and effects are safe elsewhere too.
type mailbox struct {
	id      string
	stream  domain.StreamID
	state   *run.State
	head    wire.Head
	session *Session
	trace   string // W3C traceparent that the run began with, "" if none: what nobody asked for belongs to it
	effects context.Context
	cancel  context.CancelCauseFunc

	place   bool // holds one of Limits.ActiveRunsMax; without one it only carries out commands, no task
	held    bool // opened by a start that found no place
	carried bool // what was unfinished when it was opened has been asked for
	stored  bool // an append of this mailbox is in the log
	opened  bool // it was opened to be worked on, not only for a command
	leaving bool // another node's by now: it stays until what runs here has ended
	stale   bool // events may have come that the feed did not bring here: it is read again before it goes on
	doubted bool // the last look found an attempt of a node that is not alive

	seen   domain.Revision  // the newest event that the feed brought
	over   bool             // the feed brought the run's end
	behind int              // loads in a row that did not bring what the feed had
	keyed  map[string]keyed // commands under clients' keys that the run holds, by key

	queue     []envelope
	outside   int // envelopes in queue and flight that came from outside
	flight    *flight
	loading   bool
	repeats   int // of the append in flight, and of the load
	conflicts int // in a row
	waiters   []chan<- *run.State
}

// envelope is one command on its way.
type envelope struct {
	command run.Command
	cause   wire.Cause
	outside bool                       // counts against Limits.MailboxMax
	session *Session                   // that sealed the command's secrets; nil if the mailbox's own did
	reseal  func(*Session) run.Command // makes the command again with another session; nil if it cannot be
	reply   func(Outcome, error)       // called once, must not block; nil if nobody waits
}

// Outcome is the answer to a command that was carried out or had already been.
type Outcome struct {
	RunID    string
	Revision domain.Revision // of the last event of the run the command led to or met
	Position domain.Position // of the last event of the append it is in; 0 if the command led to no event
	State    *run.State
	// Repeated says that an earlier request with the same idempotency key did it. FlowName, RunName and
	// WorkflowVersion are those of a repeated start.
	Repeated          bool
	FlowName, RunName string
	WorkflowVersion   int
}

func (e *envelope) answer(o Outcome, err error) {
	if e.reply != nil {
		e.reply(o, err)
		e.reply = nil
	}
}

// flight is one append: the decisions of one or more commands, and what follows from them.
type flight struct {
	expected domain.Revision
	events   []domain.Pending
	blobs    [][]byte
	parts    []part
	next     *run.State
	head     wire.Head
	unknown  bool   // an earlier try may have stored it
	trace    string // that the run began with
}

type part struct {
	envelope envelope
	events   []run.Event
	revision domain.Revision // of its last event
	more     bool
}

// push queues an envelope; outside commands have a bound.
func (m *mailbox) push(e envelope, limit int) error {
	if e.outside {
		if m.outside >= limit {
			return domain.E(domain.KindExhausted, "command run", m.id, "too many commands wait for this run; try again later").WithCode("RUN_BUSY")
		}
		m.outside++
	}
	m.queue = append(m.queue, e)
	return nil
}

func (m *mailbox) pop() envelope {
	e := m.queue[0]
	m.queue[0] = envelope{}
	m.queue = m.queue[1:]
	if len(m.queue) == 0 {
		m.queue = nil
	}
	return e
}

// answer answers an envelope that is in the queue no more.
func (m *mailbox) answer(e *envelope, o Outcome, err error) {
	if e.outside {
		m.outside--
	}
	e.answer(o, err)
}

// requeue puts envelopes back in front, in their order.
func (m *mailbox) requeue(parts []part) {
	front := make([]envelope, 0, len(parts)+len(m.queue))
	for _, p := range parts {
		front = append(front, p.envelope)
	}
	m.queue = append(front, m.queue...)
}

// The bounds under which further decisions join an append: well below those of the log, so that
// the last one that joins still fits.
const (
	joinEventsMax = 100
	joinBytesMax  = 128 << 10
)

// newFlight is an append without a decision yet.
func (m *mailbox) newFlight() *flight {
	return &flight{expected: m.head.Revision, next: m.state, head: m.head, trace: m.trace}
}

// decide turns waiting commands into f, the next append. Several join one append while it is small:
// results that came in while the last flush ran share the next one. It reports whether there is
// anything to append. Should it panic, every envelope still is in the queue, among f's parts, or
// answered.
func (m *mailbox) decide(f *flight, now time.Time, compute run.Compute) bool {
	bytes := 0
	for len(m.queue) > 0 {
		if s := m.queue[0].session; s != nil && s != m.session && len(secretsOf(m.queue[0].command)) > 0 {
			// Its ids may stand for other secrets by now.
			e := m.pop()
			m.answer(&e, Outcome{RunID: m.id}, domain.E(domain.KindConflict, "command run", m.id, "its secrets were sealed by another session"))
			continue
		}
		if k := keyOf(m.queue[0].cause.CommandID); k != "" {
			if done, ok := m.keyed[k]; ok {
				e := m.pop()
				m.answer(&e, Outcome{RunID: m.id, Revision: done.revision, Position: done.position, State: f.next, Repeated: true}, done.check(&e, m.id))
				continue
			}
			if f.holdsKey(k) {
				break // its sender gave up waiting, and asks again: this append is the answer
			}
		}
		at := due(m.queue[0].command, f.head.Instant(now))
		command := stamp(m.queue[0].command, at)
		if !m.place {
			// What it makes ready must wait until the run has a place among the active ones.
			command = stampHeld(command, at, true)
		}
		d, err := run.Decide(f.next, command, compute)
		if len(f.parts) > 0 && (err != nil || len(d.Events) == 0) {
			// So it is after what is about to be stored. Should that be refused, this would have been
			// answered wrongly, or a timer have come for nothing: it waits until the log has answered.
			break
		}
		e := m.pop()
		if err != nil {
			m.answer(&e, Outcome{RunID: m.id, Revision: f.head.Revision, State: f.next}, err)
			continue
		}
		if len(d.Events) == 0 {
			m.answer(&e, Outcome{RunID: m.id, Revision: f.head.Revision, State: f.next}, nil)
			continue
		}
		from := len(f.events)
		f.events, f.head = chain(f.events, m.stream, f.head, at, e.cause, d.Events)
		f.blobs = append(f.blobs, d.Blobs...)
		f.next = d.Next
		f.parts = append(f.parts, part{envelope: e, events: d.Events, revision: f.head.Revision, more: d.More})
		bytes += domain.AppendBytes(f.events[from:])
		// Nothing joins behind the end: it may be refused, and what was dropped as too late would be
		// missing.
		if d.More || d.Next.Phase.Ended() || len(f.events) >= joinEventsMax || bytes >= joinBytesMax {
			break
		}
	}
	return len(f.parts) > 0
}

// holdsKey reports whether a command of a client's key is part of the append.
func (f *flight) holdsKey(key string) bool {
	return slices.ContainsFunc(f.parts, func(p part) bool { return keyOf(p.envelope.cause.CommandID) == key })
}

// due is the instant of a command that is decided at the instant at. A retry or a timer comes when
// its time has passed: should the wall clock have been set back since, the instant it was due
// counts, or it would be taken for early and never come again.
func due(c run.Command, at time.Time) time.Time {
	asked := at
	switch c := c.(type) {
	case run.StartAttempt:
		asked = c.At
	case run.FireTimer:
		asked = c.At
	}
	if at.Before(asked) {
		return domain.Instant(asked)
	}
	return at
}

// stamp sets a command's instant.
func stamp(c run.Command, at time.Time) run.Command {
	switch c := c.(type) {
	case run.Start:
		c.At = at
		return c
	case run.Abandon:
		c.At = at
		return c
	case run.Continue:
		c.At = at
		return c
	case run.FailTask:
		c.At = at
		return c
	case run.StartAttempt:
		c.At = at
		return c
	case run.FireTimer:
		c.At = at
		return c
	case run.Recover:
		c.At = at
		return c
	case run.Cancel:
		c.At = at
		return c
	case run.Pause:
		c.At = at
		return c
	}
	return stampHeld(c, at, false)
}

// stampHeld is stamp for the commands that may be held.
func stampHeld(c run.Command, at time.Time, hold bool) run.Command {
	switch c := c.(type) {
	case run.CompleteTask:
		c.At, c.Hold = at, hold
		return c
	case run.DecideApproval:
		c.At, c.Hold = at, hold
		return c
	case run.Signal:
		c.At, c.Hold = at, hold
		return c
	case run.Deliver:
		c.At, c.Hold = at, hold
		return c
	case run.Resume:
		c.At, c.Hold = at, hold
		return c
	}
	return c
}
