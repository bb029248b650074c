package stores

import (
	"context"
	"log/slog"

	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/postgres"
	"quipu/infra/sqlite"
	"quipu/projections"
	"quipu/readapi/history"
)

// Views is what both adapters of the views are.
type Views interface {
	projections.Generations
	history.Views
}

// OpenViews names the views of a configuration. It asks no database yet: the server starts without.
func OpenViews(ctx context.Context, c config.Config, log sqlite.EventLog) (Views, error) {
	if url := c.Views.URL.Reveal(); url != "" {
		return postgres.Open(ctx, url, postgres.Options{
			ReadersMax: c.Views.ReadersMax, ReadTimeout: c.Views.ReadTimeout, Notify: c.Cluster.Shared(), DirectURL: c.Cluster.ViewsDirect.Reveal(),
		})
	}
	return sqlite.Open(ViewsDir(c.Storage.Data), log, sqlite.Options{ReadersMax: c.Views.ReadersMax, SpanPositions: spanPositions(c)})
}

// spanPositions is how wide the ranges are that SQLite keeps times of: positions of a KurrentDB count bytes.
func spanPositions(c config.Config) int64 {
	if c.Log.Remote() {
		return 64 << 10
	}
	return 0 // the default
}

// NewRunner makes what keeps the views at the head of the log, or builds and compares them.
// owner is nil for views that no other process keeps.
func NewRunner(store projections.Generations, feed projections.Feed, owner projections.Owner, c config.Config, logger *slog.Logger, hooks projections.Hooks) *projections.Runner {
	system := clock.System{}
	linger := c.Views.Linger
	if linger == 0 {
		linger = -1 // the option's zero means its default
	}
	return projections.NewRunner(store, feed, system, projections.Options{
		Owner: owner, Linger: linger, BatchEvents: c.Views.BatchMax, Random: system.Jitter, Logger: logger, Hooks: hooks,
	})
}
