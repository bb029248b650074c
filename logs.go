package main

import (
	"context"
	"fmt"

	"quipu/commands"
	"quipu/infra/embedded"
)

// openLog opens the log of a server. tails is nil for a log that cannot answer by the last events of its
// streams; a start then reads it whole.
func (s *server) openLog(context.Context) (log commands.Log, tails commands.Tails, err error) {
	opened, err := embedded.Open(logDir(s.config.Storage.Data), embedded.Options{
		SegmentBytes: int64(s.config.Storage.SegmentBytes), Logger: s.logger, Clock: s.clock.Now,
		Flushed: s.metrics.FlushObserved,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open log (set --data to a folder that this server alone may write): %w", err)
	}
	return opened, opened, nil
}
