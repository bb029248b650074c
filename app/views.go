package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"quipu/app/process"
	"quipu/app/stores"
	"quipu/commands"
	"quipu/domain"
	"quipu/projections"
	"quipu/projections/view"
)

// seenLog notes the positions that this node acknowledges.
type seenLog struct {
	commands.Log
	seen *atomic.Uint64
}

// Append implements commands.Log.
func (l seenLog) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	at, err := l.Log.Append(ctx, stream, expected, events)
	if err == nil {
		raise(l.seen, at.Position)
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

// freshness tells readers of the views what this node has seen, and when the views hold it.
type freshness struct {
	*projections.Runner
	acknowledged, published *atomic.Uint64
}

// Seen implements history.Freshness.
func (f freshness) Seen() domain.Position {
	return domain.Position(max(f.acknowledged.Load(), f.published.Load()))
}

func (s *server) buildViews(ctx context.Context) (err error) {
	if s.viewStore, err = stores.OpenViews(ctx, s.Config, s.log); err != nil {
		return fmt.Errorf("views: %w", err)
	}
	hooks := projections.Hooks{
		Committed: s.Metrics.ViewsCommitted,
		Failed:    func(err error) { s.Metrics.ViewsFailed(process.Outcome(err)) },
		Rebuilt:   func(time.Duration) { s.Metrics.ViewsRebuilt() },
		Parked:    func(view.Parked) {}, // counted from the status, so that a rebuild can lower it
	}
	if s.Tracer != nil {
		hooks.Projected = s.Tracer.Projected
	}
	s.views = stores.NewRunner(s.viewStore, stores.ViewsFeed{Log: s.log}, s.viewsOwner(), s.Config, s.Logger, hooks)
	return nil
}

// measureViews says how far the views are behind the log at the moment of asking.
func (s *server) measureViews(ctx context.Context) {
	status := s.views.Status(ctx)
	s.TellLag(ctx, s.log, "views", status.Position, status.Lag)
	s.Metrics.ViewsParked(status.Parked)
}

// checkViews says what is wrong with the views. Commands and sockets do without them.
func (s *server) checkViews(ctx context.Context) error {
	status := s.views.Status(ctx)
	if why := status.StandsStill(); why != "" {
		return errors.New("they stand still at " + status.Position.Cursor(s.log.ID()) + ": " + why)
	}
	if status.Parked > 0 {
		return fmt.Errorf("%d events could not be taken in; look for \"event parked\" in the log lines", status.Parked)
	}
	return nil
}
