package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"quipu/commands"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/embedded"
	"quipu/infra/kurrentdb"
)

// logStartQuiet is how long a start waits for the log's server without a word.
const logStartQuiet = 2 * time.Second

// openLog opens the log of a server. tails is nil for a log that cannot answer by the last events of its
// streams; a start then reads it whole.
func (s *server) openLog(ctx context.Context) (log commands.Log, tails commands.Tails, err error) {
	if s.config.Log.Remote() {
		if !s.config.Cluster.Shared() {
			s.logger.Warn("the log is on a server and no cluster is set, so this node takes itself for the only one on it: set the same cluster on all nodes if there are others, else each does every task")
		}
		defer s.clock.AfterFunc(logStartQuiet, func() {
			s.logger.Warn("the log's server does not answer yet; the start waits for it", "servers", "those that --log names")
		})()
		if log, err = openKurrentDB(ctx, s.config.Log.URL, s.config.LogNames.Prefix, s.logger, s.logHooks()); err != nil {
			return nil, nil, fmt.Errorf("open log (start the servers that --log names, or set it to others): %w", err)
		}
		return log, nil, nil
	}
	opened, err := embedded.Open(logDir(s.config.Storage.Data), embedded.Options{
		SegmentBytes: int64(s.config.Storage.SegmentBytes), Logger: s.logger, Clock: s.clock.Now,
		Flushed: s.metrics.FlushObserved,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open log (set --data to a folder that this server alone may write): %w", err)
	}
	return opened, opened, nil
}

// openKurrentDB opens a log that a KurrentDB keeps.
func openKurrentDB(ctx context.Context, url config.Secret, prefix string, logger *slog.Logger, hooks kurrentdb.Hooks) (commands.Log, error) {
	log, err := kurrentdb.Open(ctx, kurrentdb.Options{
		URL: url.Reveal(), Prefix: prefix, Random: clock.System{}.Jitter, Logger: logger, Hooks: hooks,
	})
	if err != nil {
		return nil, err // not log itself: a nil of its type would not be a nil log
	}
	return log, nil
}

func (s *server) logHooks() kurrentdb.Hooks {
	return kurrentdb.Hooks{
		Lost:          func(role string, _ error) { s.metrics.LogConnectionLost(role) },
		Resubscribing: func(error, time.Duration) { s.metrics.LogResubscribed() },
		LeftBehind:    s.metrics.LogCallsLeftBehind,
	}
}
