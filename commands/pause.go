package commands

import (
	"context"
	"time"
)

// pause lets some time pass; an error says that ctx ended before.
func pause(ctx context.Context, clock Clock, delay time.Duration) error {
	over := make(chan struct{})
	stop := clock.AfterFunc(delay, func() { close(over) })
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		stop()
		return ctx.Err()
	}
}
