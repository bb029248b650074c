package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/postgres"
	"quipu/infra/sqlite"
	"quipu/projections"
	"quipu/projections/view"
	"quipu/readapi/history"
)

// viewsFolder is where the views live below the data folder, unless they are in Postgres. A backup
// leaves it out: views are derived.
const viewsFolder = "views"

// viewStore is what both adapters of the views are.
type viewStore interface {
	projections.Generations
	history.Views
}

// openViews names the views of a configuration. It asks no database yet: the server starts without.
func openViews(ctx context.Context, c config.Config, log sqlite.EventLog) (viewStore, error) {
	if url := c.Views.URL.Reveal(); url != "" {
		return postgres.Open(ctx, url, postgres.Options{
			ReadersMax: c.Views.ReadersMax, ReadTimeout: c.Views.ReadTimeout, Notify: c.Cluster.Shared(), DirectURL: c.Cluster.ViewsDirect.Reveal(),
		})
	}
	return sqlite.Open(filepath.Join(c.Storage.Data, viewsFolder), log, sqlite.Options{ReadersMax: c.Views.ReadersMax, SpanPositions: spanPositions(c)})
}

// spanPositions is how wide the ranges are that SQLite keeps times of: positions of a KurrentDB count bytes.
func spanPositions(c config.Config) int64 {
	if c.Log.Remote() {
		return 64 << 10
	}
	return 0 // the default
}

// newRunner makes what keeps the views at the head of the log.
// owner is nil for views that no other process keeps.
func newRunner(store projections.Generations, feed projections.Feed, owner projections.Owner, c config.Config, logger *slog.Logger, hooks projections.Hooks) *projections.Runner {
	system := clock.System{}
	linger := c.Views.Linger
	if linger == 0 {
		linger = -1 // the option's zero means its default
	}
	return projections.NewRunner(store, feed, system, projections.Options{
		Owner: owner, Linger: linger, BatchEvents: c.Views.BatchMax, Random: system.Jitter, Logger: logger, Hooks: hooks,
	})
}

// viewsFeed fits the log to what projectors read.
type viewsFeed struct{ commands.Log }

// Follow implements projections.Feed.
func (f viewsFeed) Follow(ctx context.Context, after domain.Position) (projections.Source, error) {
	sub, err := f.Subscribe(ctx, after, "")
	if err != nil {
		return nil, err
	}
	return source{sub}, nil
}

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
	if s.viewStore, err = openViews(ctx, s.config, s.log); err != nil {
		return fmt.Errorf("views: %w", err)
	}
	hooks := projections.Hooks{
		Committed: s.metrics.ViewsCommitted,
		Failed:    func(err error) { s.metrics.ViewsFailed(outcome(err)) },
		Rebuilt:   func(time.Duration) { s.metrics.ViewsRebuilt() },
		Parked:    func(view.Parked) {}, // counted from the status, so that a rebuild can lower it
	}
	if s.tracer != nil {
		hooks.Projected = s.tracer.Projected
	}
	s.views = newRunner(s.viewStore, viewsFeed{s.log}, s.viewsOwner(), s.config, s.logger, hooks)
	return nil
}

// measureViews says how far the views are behind the log at the moment of asking.
func (s *server) measureViews(ctx context.Context) {
	status := s.views.Status(ctx)
	s.metrics.FeedLag("views", status.Lag, lagAge(ctx, s.log, status.Position, status.Lag, s.clock.Now()))
	s.metrics.ViewsParked(status.Parked)
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
