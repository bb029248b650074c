package eventbus

import (
	"context"
	"runtime/debug"
	"time"

	"quipu/domain"
)

// Hub follows the log once for the whole process and fans its events out by stream.
//
// Lifetime: New, Run (once), then ctx ends. Subscribers and readers may come and go at any time,
// also before Run; without Run readers still serve what the log holds when they are asked.
type Hub struct {
	log     Log
	open    OpenFunc
	clock   Clock
	options Options
	shards  *shards
	topics  *topics
	owners  *owners
	scans   chan struct{} // places of feeds that read the log

	// The following belong to the goroutine of Run.
	started bool // after holds
	after   domain.Position
}

// New makes a hub over log, which open subscribes to. It panics on a nil port or bad options:
// both are programming errors.
func New(log Log, open OpenFunc, clock Clock, options Options) *Hub {
	if log == nil || open == nil || clock == nil {
		panic("eventbus: New needs a log, an open function and a clock")
	}
	if err := options.Validate(); err != nil {
		panic("eventbus: " + err.Error())
	}
	return &Hub{
		log: log, open: open, clock: clock, options: options.withDefaults(), shards: newShards(),
		topics: newTopics(), owners: newOwners(log), scans: make(chan struct{}, feedScansMax),
	}
}

// Run follows the log until ctx ends, then returns nil. A subscription that fails is opened again
// where it ended, after a wait (Options.BackoffMin); nothing is skipped in between.
func (h *Hub) Run(ctx context.Context) error {
	failures := 0
	for ctx.Err() == nil {
		connected, err := h.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if connected {
			failures = 0
		}
		failures++
		wait := h.options.backoff(failures)
		if f := h.options.Hooks.Disconnected; f != nil {
			f(err, wait)
		}
		h.wait(ctx, wait)
	}
	return nil
}

// follow is one subscription from opening to failure.
func (h *Hub) follow(ctx context.Context) (connected bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = domain.E(domain.KindInternal, "follow", "log", "panic")
			if f := h.options.Hooks.Panicked; f != nil {
				f(r, debug.Stack())
			}
		}
	}()
	source, err := h.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = source.Close() }() // it is over either way
	for {
		if err := h.Once(ctx, source); err != nil {
			return connected, err
		}
		connected = true
	}
}

// Connect is the first half of a step of Run: it opens a subscription where the last one ended,
// at the head the first time.
func (h *Hub) Connect(ctx context.Context) (Source, error) {
	first := !h.started
	if first {
		head, err := h.log.Head(ctx)
		if err != nil {
			return nil, err
		}
		h.after = head
	}
	source, err := h.open(ctx, h.after, h.options.Prefix)
	if err != nil {
		return nil, err
	}
	h.started = true
	if f := h.options.Hooks.Connected; f != nil {
		f(h.after)
	}
	if first {
		// Readers that came before the head was taken have read history up to some earlier point
		// and were not told of what came between.
		h.shards.each((*Subscriber).lag)
		h.topics.begin(h.after)
	}
	return source, nil
}

// Once is the second half: it waits for one batch of source and fans it out.
func (h *Hub) Once(ctx context.Context, source Source) error {
	events, position, _, err := source.Next(ctx)
	if err != nil {
		return err
	}
	h.publish(events)
	h.topics.publish(ctx, h.owners, events, position)
	h.after = max(h.after, position)
	if f := h.options.Hooks.Published; f != nil {
		f(len(events), position)
	}
	return nil
}

// publish fans events out in runs of the same stream.
func (h *Hub) publish(events []domain.Recorded) {
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Stream == events[0].Stream {
			n++
		}
		h.shards.publish(events[0].Stream, events[:n])
		events = events[n:]
	}
}

func (h *Hub) wait(ctx context.Context, d time.Duration) {
	done := make(chan struct{})
	stop := h.clock.AfterFunc(d, func() { close(done) })
	select {
	case <-done:
	case <-ctx.Done():
		stop()
	}
}
