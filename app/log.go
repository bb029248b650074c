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
	if s.Config.Log.Remote() {
		if !s.Config.Cluster.Shared() {
			s.Logger.Warn("the log is on a server and no cluster is set, so this node takes itself for the only one on it: set the same cluster on all nodes if there are others, else each does every task")
		}
		defer s.Clock.AfterFunc(logStartQuiet, func() {
			s.Logger.Warn("the log's server does not answer yet; the start waits for it", "servers", "those that --log names")
		})()
		if log, err = stores.OpenKurrentDB(ctx, s.Config.Log.URL, s.Config.LogNames.Prefix, s.Logger, s.logHooks()); err != nil {
			return nil, nil, fmt.Errorf("open log (start the servers that --log names, or set it to others): %w", err)
		}
		return log, nil, nil
	}
	opened, err := embedded.Open(stores.LogDir(s.Config.Storage.Data), embedded.Options{
		SegmentBytes: int64(s.Config.Storage.SegmentBytes), Logger: s.Logger, Clock: s.Clock.Now,
		Flushed: s.Metrics.FlushObserved,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open log (set --data to a folder that this server alone may write): %w", err)
	}
	return opened, opened, nil
}

func (s *server) logHooks() kurrentdb.Hooks {
	return kurrentdb.Hooks{
		Lost:          func(role string, _ error) { s.Metrics.LogConnectionLost(role) },
		Resubscribing: func(error, time.Duration) { s.Metrics.LogResubscribed() },
		LeftBehind:    s.Metrics.LogCallsLeftBehind,
	}
}
