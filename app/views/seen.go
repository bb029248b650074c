package views

import (
	"context"
	"sync/atomic"

	"quipu/commands"
	"quipu/domain"
	"quipu/projections"
)

// Seen is what this node has seen of its log: whoever was told of a position by this node, or may have
// been, finds what led up to it in lists. The zero value is ready.
type Seen struct {
	// acknowledged is the highest position that a client of this node may know of.
	acknowledged atomic.Uint64
	// published is the position up to which the hub has handed events on.
	published atomic.Uint64
}

// Acknowledge notes that clients may know of a position.
func (s *Seen) Acknowledge(p domain.Position) { raise(&s.acknowledged, p) }

// Publish notes the position up to which events were handed on.
func (s *Seen) Publish(p domain.Position) { s.published.Store(uint64(p)) }

// Published is the position of the last Publish.
func (s *Seen) Published() domain.Position { return domain.Position(s.published.Load()) }

// Seen is the highest position of all.
func (s *Seen) Seen() domain.Position {
	return domain.Position(max(s.acknowledged.Load(), s.published.Load()))
}

// Log notes what is appended to a log: who appends is told of it.
func (s *Seen) Log(log commands.Log) commands.Log { return seenLog{log, s} }

// seenLog notes the positions that this node acknowledges.
type seenLog struct {
	commands.Log
	seen *Seen
}

// Append implements commands.Log.
func (l seenLog) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	at, err := l.Log.Append(ctx, stream, expected, events)
	if err == nil {
		l.seen.Acknowledge(at.Position)
	}
	return at, err
}

// raise sets a position that only grows.
func raise(to *atomic.Uint64, p domain.Position) {
	for {
		old := to.Load()
		if uint64(p) <= old || to.CompareAndSwap(old, uint64(p)) {
			return
		}
	}
}

// Freshness tells readers of the views what this node has seen, and when the views hold it.
type Freshness struct {
	*projections.Runner
	seen *Seen
}

// Seen implements history.Freshness.
func (f Freshness) Seen() domain.Position { return f.seen.Seen() }
