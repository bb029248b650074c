package process

import (
	"context"
	"time"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/wire"
)

// TellLag sets the metrics of a consumer of the log that has come up to a position and is so many
// positions behind.
func (p Process) TellLag(ctx context.Context, log commands.Log, consumer string, at domain.Position, behind uint64) {
	p.Metrics.FeedLag(consumer, behind, lagAge(ctx, log, at, behind, p.Clock.Now()))
}

// lagAge is how long the first of the events after a position has been waiting; 0 if none or if it
// cannot be read, which other metrics tell.
func lagAge(ctx context.Context, log commands.Log, after domain.Position, behind uint64, now time.Time) time.Duration {
	if behind == 0 {
		return 0
	}
	page, err := log.ReadAll(ctx, after, 1)
	if err != nil || len(page) == 0 {
		return 0
	}
	at, err := wire.DecodeAt(page[0].Metadata)
	if err != nil {
		return 0
	}
	return max(now.Sub(at), 0)
}
