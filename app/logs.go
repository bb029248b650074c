package app

import (
	"context"
	"fmt"
	"time"

	"quipu/app/stores"
	"quipu/commands"
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
		if log, err = stores.OpenKurrentDB(ctx, s.config.Log.URL, s.config.LogNames.Prefix, s.logger, s.logHooks()); err != nil {
			return nil, nil, fmt.Errorf("open log (start the servers that --log names, or set it to others): %w", err)
		}
		return log, nil, nil
	}
	opened, err := embedded.Open(stores.LogDir(s.config.Storage.Data), embedded.Options{
		SegmentBytes: int64(s.config.Storage.SegmentBytes), Logger: s.logger, Clock: s.clock.Now,
		Flushed: s.metrics.FlushObserved,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open log (set --data to a folder that this server alone may write): %w", err)
	}
	return opened, opened, nil
}

func (s *server) logHooks() kurrentdb.Hooks {
	return kurrentdb.Hooks{
		Lost:          func(role string, _ error) { s.metrics.LogConnectionLost(role) },
		Resubscribing: func(error, time.Duration) { s.metrics.LogResubscribed() },
		LeftBehind:    s.metrics.LogCallsLeftBehind,
	}
}
