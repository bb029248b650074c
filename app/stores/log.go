package stores

import (
	"context"
	"log/slog"

	"quipu/commands"
	"quipu/domain"
	"quipu/eventbus"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/kurrentdb"
	"quipu/projections"
)

// OpenKurrentDB opens a log that a KurrentDB keeps.
func OpenKurrentDB(ctx context.Context, url config.Secret, prefix string, logger *slog.Logger, hooks kurrentdb.Hooks) (commands.Log, error) {
	log, err := kurrentdb.Open(ctx, kurrentdb.Options{
		URL: url.Reveal(), Prefix: prefix, Random: clock.System{}.Jitter, Logger: logger, Hooks: hooks,
	})
	if err != nil {
		return nil, err // not log itself: a nil of its type would not be a nil log
	}
	return log, nil
}

// FollowLog fits the log's subscription to what the feed asks for.
func FollowLog(log commands.Log) eventbus.OpenFunc {
	return func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		sub, err := log.Subscribe(ctx, after, prefix)
		if err != nil {
			return nil, err
		}
		return source{sub}, nil
	}
}

// source fits a subscription to the sources that the feed and projectors read.
type source struct{ commands.Subscription }

// Next implements eventbus.Source and projections.Source.
func (s source) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	b, err := s.Subscription.Next(ctx)
	return b.Events, b.Position, b.CaughtUp, err
}

// ViewsFeed fits the log to what projectors read.
type ViewsFeed struct{ commands.Log }

// Follow implements projections.Feed.
func (f ViewsFeed) Follow(ctx context.Context, after domain.Position) (projections.Source, error) {
	sub, err := f.Subscribe(ctx, after, "")
	if err != nil {
		return nil, err
	}
	return source{sub}, nil
}

var _ commands.Log = (*embedded.Log)(nil)
