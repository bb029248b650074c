package logcopy

import (
	"context"
	"math"
	"slices"
	"time"

	"quipu/domain"
)

// reader yields the events of a log in order, reading one page ahead.
type reader struct {
	pages chan page
	stop  context.CancelFunc
	rest  []domain.Recorded
}

type page struct {
	events []domain.Recorded
	err    error
}

// unlimited lets a reader go on to the end of its log.
const unlimited = domain.Position(math.MaxUint64)

// reader reads a log after a position, up to `to` at most. Close it.
func (c *copier) reader(ctx context.Context, from Source, after, to domain.Position) *reader {
	ctx, stop := context.WithCancel(ctx)
	r := &reader{pages: make(chan page, 1), stop: stop}
	go func() {
		defer close(r.pages)
		for after < to {
			var events []domain.Recorded
			err := c.retry(ctx, func() (err error) {
				events, err = from.ReadAll(ctx, after, c.o.PageEventsMax)
				return err
			})
			last := err != nil || len(events) == 0
			if !last {
				after = events[len(events)-1].Position
			}
			for len(events) > 0 && events[len(events)-1].Position > to {
				events, last = events[:len(events)-1], true
			}
			events = c.wanted(events)
			select {
			case r.pages <- page{events, err}:
			case <-ctx.Done():
				return
			}
			if last {
				return
			}
		}
	}()
	return r
}

// wanted returns the events that are not left out.
func (c *copier) wanted(events []domain.Recorded) []domain.Recorded {
	if c.o.LeaveOut == nil || !slices.ContainsFunc(events, func(e domain.Recorded) bool { return c.o.LeaveOut(e.Stream) }) {
		return events
	}
	// The page may be shared.
	return slices.DeleteFunc(slices.Clone(events), func(e domain.Recorded) bool { return c.o.LeaveOut(e.Stream) })
}

// next returns the next event, nil behind the last. It stays valid.
func (r *reader) next() (*domain.Recorded, error) {
	for len(r.rest) == 0 {
		p, more := <-r.pages
		if !more || p.err != nil {
			return nil, p.err
		}
		r.rest = p.events
	}
	e := &r.rest[0]
	r.rest = r.rest[1:]
	return e, nil
}

// close ends the reading and waits for it.
func (r *reader) close() {
	r.stop()
	for range r.pages { //nolint:revive // until it is closed
	}
}

const (
	retryFirst = 50 * time.Millisecond
	retryMax   = 2 * time.Second
)

// retry calls again what failed because a log is away or does not know what became of the call.
func (c *copier) retry(ctx context.Context, call func() error) error {
	for wait, waited := retryFirst, time.Duration(0); ; wait, waited = min(2*wait, retryMax), waited+wait {
		err := call()
		if kind := domain.KindOf(err); err == nil || kind != domain.KindUnavailable && kind != domain.KindIndeterminate || waited >= c.o.RetryFor {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}
