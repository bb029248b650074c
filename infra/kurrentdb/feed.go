package kurrentdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"quipu/domain"
)

// feed is the one subscription to the server of this process. It hands events on through a ring that
// holds the newest ones: whoever lags behind it reads from the server, and nobody holds it up. It begins
// with the first Subscribe.
//
// It is watched: a subscription that ends, or that brings nothing although the log is known to have gone
// on, is opened anew after what was last handled.
type feed struct {
	log   *Log
	ctx   context.Context // ends with the log
	begin sync.Mutex      // held while the first Subscribe begins it
	ended sync.WaitGroup

	mu      sync.Mutex
	begun   bool
	changed chan struct{}     // closed and replaced whenever the ring, or known, grows
	ring    []domain.Recorded // everything of ours after low and up to high
	bytes   int
	low     domain.Position
	high    domain.Position
	next    cursor          // where the server is to go on
	known   domain.Position // the log is known to reach here
	life    int             // counts subscriptions; what an earlier one still brings is dropped
	beats   uint64          // counts what came
}

func newFeed(ctx context.Context, l *Log) *feed {
	return &feed{log: l, ctx: ctx, changed: make(chan struct{})}
}

// start begins the feed at a head, unless it has begun.
func (f *feed) start(head domain.Position) {
	f.begin.Lock()
	defer f.begin.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun || f.log.closed() {
		return
	}
	f.begun = true
	f.low, f.high, f.next = head, head, f.log.cursorAt(head)
	f.known = max(f.known, head)
	f.ended.Go(f.run)
}

// acknowledge notes that the log reaches a position.
func (f *feed) acknowledge(p domain.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = max(f.known, p)
}

// close waits until the feed has ended; the log is closed already.
func (f *feed) close() {
	f.begin.Lock() // nothing begins any more
	defer f.begin.Unlock()
	f.ended.Wait()
}

// run keeps one subscription open until the log is closed.
func (f *feed) run() {
	o := &f.log.options
	for failures := 0; ; {
		f.mu.Lock()
		before := f.beats
		f.mu.Unlock()
		err := f.follow()
		if f.log.closed() {
			return
		}
		f.mu.Lock()
		if f.beats != before {
			failures = 0
		}
		f.mu.Unlock()
		failures++
		wait := o.backoff(failures)
		level := slog.LevelWarn
		if errors.Is(err, errNoConnection) {
			level = slog.LevelDebug // the loss of the connection was told already
		}
		o.Logger.Log(f.ctx, level, "the subscription to the log ended and is opened anew", "error", err, "retry_in", wait)
		if hook := o.Hooks.Resubscribing; hook != nil {
			hook(err, wait)
		}
		if !pause(f.log.stop, wait) {
			return
		}
	}
}

var errRefused = errors.New("the server refuses to go on from where it was")

var errSilent = errors.New("the subscription brings nothing although the log has gone on")

// follow holds one subscription and returns why it ended.
func (f *feed) follow() error {
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	f.mu.Lock()
	f.life++
	life, from := f.life, f.next
	f.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		_, _, err := call(ctx, f.log.follow, func(ctx context.Context, c *esdb.Client) (struct{}, error) {
			return struct{}{}, f.pump(ctx, c, from, life)
		})
		done <- err
	}()
	watch := time.NewTicker(f.log.options.Liveness / 2)
	defer watch.Stop()
	w := watcher{feed: f}
	for {
		select {
		case err := <-done:
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		case <-f.log.stop:
			cancel(closedError("follow", "log"))
			return <-done // call heeds ctx even where the library does not
		case <-watch.C:
			if w.silent(ctx) {
				cancel(errSilent)
			}
		}
	}
}

// pump takes what the server sends. It ends with the subscription, or ctx.
func (f *feed) pump(ctx context.Context, c *esdb.Client, from cursor, life int) error {
	if f.log.leader {
		ctx = askLeader(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var at esdb.AllPosition = esdb.Start{}
	if from.begun {
		at = esdb.Position{Commit: from.commit, Prepare: from.commit}
	}
	unconfirmed := time.AfterFunc(f.log.options.CallTimeout, func() { cancel(errTooLong) })
	sub, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
		From: at, MaxSearchWindow: searchWindow, CheckpointInterval: checkpointInterval,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{f.log.prefix}},
	})
	unconfirmed.Stop()
	if err != nil && classify(err).kind == domain.KindRefused {
		// A position that it gave out itself: what it holds has to be looked at, which a new connection does.
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // it always returns nil
	for {
		switch e := sub.Recv(); {
		case e.SubscriptionDropped != nil:
			return e.SubscriptionDropped.Error
		case e.EventAppeared != nil:
			if r := e.EventAppeared.OriginalEvent(); r != nil {
				f.take(r, life)
			}
		case e.CheckPointReached != nil:
			f.checkpoint(*e.CheckPointReached, life)
		default:
			f.beat(life)
		}
	}
}

// take adds an event to the ring. Events are handled once they are in it.
func (f *feed) take(e *esdb.RecordedEvent, life int) {
	r, ours := f.log.recorded(e)
	f.mu.Lock()
	defer f.mu.Unlock()
	if life != f.life {
		return
	}
	f.beats++
	f.advance(e.Position.Commit)
	if !ours || r.Position <= f.high {
		return
	}
	f.ring = append(f.ring, r)
	f.bytes += len(r.Data) + len(r.Metadata)
	f.high = r.Position
	f.known = max(f.known, f.high)
	f.trim()
	f.broadcast()
}

// trim keeps the ring within its bounds; a quarter goes at once, so that it is moved seldom.
func (f *feed) trim() {
	o := &f.log.options
	if len(f.ring) <= o.RingEvents && f.bytes <= o.RingBytes {
		return
	}
	n := 0
	for n < len(f.ring) && (len(f.ring)-n > o.RingEvents*3/4 || f.bytes > o.RingBytes*3/4) {
		f.bytes -= len(f.ring[n].Data) + len(f.ring[n].Metadata)
		f.low = f.ring[n].Position
		n++
	}
	f.ring = append(make([]domain.Recorded, 0, max(len(f.ring), 64)), f.ring[n:]...)
}

// checkpoint notes how far the server looked through what others wrote.
func (f *feed) checkpoint(p esdb.Position, life int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if life != f.life {
		return
	}
	f.beats++
	f.advance(p.Commit)
}

func (f *feed) beat(life int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if life == f.life {
		f.beats++
	}
}

// advance moves the place to go on from. The caller holds mu.
func (f *feed) advance(commit uint64) {
	if !f.next.begun || commit > f.next.commit {
		f.next = cursor{commit, true}
	}
}

// broadcast wakes who waits for the ring. The caller holds mu.
func (f *feed) broadcast() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// watcher tells a subscription that has nothing to bring from one that is dead.
type watcher struct {
	feed  *feed
	beats uint64
	known domain.Position // that the log reached at the look before
	quiet int             // looks in a row that found nothing new
}

// headEvery is how many quiet looks pass before the server is asked for the head: other processes append
// too.
const headEvery = 4

// silent looks whether something came since the last look, which it should have if the log was known to
// reach further even then.
func (w *watcher) silent(ctx context.Context) bool {
	f := w.feed
	f.mu.Lock()
	beats, high, known := f.beats, f.high, f.known
	f.mu.Unlock()
	if beats != w.beats {
		w.quiet = 0
	} else {
		w.quiet++
	}
	silent := w.quiet > 1 && high < w.known
	w.beats, w.known = beats, known
	if !silent && w.quiet > 0 && w.quiet%headEvery == 0 {
		if head, err := f.log.Head(ctx); err == nil {
			f.acknowledge(head)
		}
	}
	return silent
}
