package history

import (
	"context"
	"time"

	"quipu/domain"
)

// gate lets so many through at once.
type gate struct {
	places chan struct{}
	wait   time.Duration
}

func newGate(places int, wait time.Duration) gate {
	return gate{places: make(chan struct{}, places), wait: wait}
}

// enter waits for a place, bounded. leave must be called if there is no error.
// Errors: ErrExhausted if none became free in time; ErrCanceled, ErrDeadline.
func (g gate) enter(ctx context.Context) error {
	select {
	case g.places <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	select {
	case g.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return domain.E(domain.KindExhausted, "", "", "too many reads are running; try again in a moment").WithCode("TOO_MANY_READS")
	}
}

func (g gate) leave() { <-g.places }

// try enters without waiting.
func (g gate) try() bool {
	select {
	case g.places <- struct{}{}:
		return true
	default:
		return false
	}
}
