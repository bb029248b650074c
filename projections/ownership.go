package projections

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"quipu/domain"
)

// Owner tells whether this process is the one that projects: several may share a database of views, and
// one of them keeps the rows. Two that both think so for a moment do no harm, since the checkpoint
// moves only from the value that was read. Safe for concurrent use.
type Owner interface {
	// Owns reports whether this process projects, and a channel that is closed when that may have
	// changed; nil if it never does.
	Owns() (owns bool, changed <-chan struct{})
}

// How often a runner that follows looks where the rows are. A notification or a reader cuts it short.
const (
	followEveryDefault = 250 * time.Millisecond
	followWaitingEvery = 20 * time.Millisecond // while a reader waits
	// FollowStillAfter is how long the rows may lag behind without moving before the views count as
	// standing still on a node that follows: the time in which another one takes over, and some.
	FollowStillAfter = 15 * time.Second
)

// owns asks the owner, if there is one.
func (r *Runner) owns() (bool, <-chan struct{}) {
	if r.options.Owner == nil {
		return true, nil
	}
	return r.options.Owner.Owns()
}

// term is a context that ends when ctx does, or when another process projects than now. Call end.
func (r *Runner) term(ctx context.Context) (term context.Context, mine bool, end func()) {
	mine, changed := r.owns()
	term, cancel := context.WithCancel(ctx)
	if changed == nil {
		return term, mine, cancel
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-changed:
			case <-term.Done():
				return
			}
			var now bool
			if now, changed = r.owns(); now != mine {
				cancel()
				return
			}
		}
	})
	return term, mine, func() { cancel(); watch.Wait() }
}

// Moved tells a runner that follows that somebody has moved the rows, so that it looks at once. It never
// blocks.
func (r *Runner) Moved() { r.wake() }

// lostTurn reports whether err only says that another process moved or replaced the rows, as happens
// when ownership moves: no failure worth a word.
func (r *Runner) lostTurn(err error) bool {
	return r.options.Owner != nil && errors.Is(err, domain.ErrConflict)
}

// follow looks where the rows are, which another process moves, until ctx ends.
func (r *Runner) follow(ctx context.Context) {
	f := follower{r: r}
	failures := 0
	for ctx.Err() == nil {
		err := f.guarded(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			failures = 0
			every := r.options.FollowEvery
			if r.waiting() {
				every = min(every, followWaitingEvery)
			}
			r.pause(ctx, every, true)
		case errors.Is(err, domain.ErrConflict) && failures == 0:
			failures++ // the rows were replaced: look for the new ones at once
		default:
			failures++
			wait := r.options.backoff(failures)
			r.failed(err, wait)
			r.pause(ctx, wait, false)
		}
	}
}

// follower reads how far the rows are.
type follower struct {
	r     *Runner
	store Store // nil: to be opened
}

// guarded is look whose panic is an error.
func (f *follower) guarded(ctx context.Context) (err error) {
	defer f.r.working(false)
	defer func() {
		if v := recover(); v != nil {
			f.r.options.Logger.Error("views panicked", "stack", string(debug.Stack()))
			err = domain.E(domain.KindInternal, "follow", "views", "panic")
		}
		if err != nil {
			f.store = nil
		}
	}()
	f.r.working(true)
	return f.look(ctx)
}

func (f *follower) look(ctx context.Context) (err error) {
	r := f.r
	if f.store == nil {
		if f.store, err = r.gens.Current(ctx); err != nil {
			return err
		}
	}
	state, err := f.store.State(ctx)
	if err != nil {
		return err
	}
	// Whether they reach beyond the log's head is the owner's to find out: here the head may be older
	// than what the owner has read.
	if err := r.fits(state, state.Position); err != nil {
		return err
	}
	r.published(func(s *Status) {
		s.Phase, s.Log, s.Position, s.Parked, s.Error, s.Code = Following, r.feed.ID(), state.Position, state.Parked, "", ""
	})
	return nil
}

// lags notes since when the rows lag behind without moving. r.mu is held.
func (r *Runner) lags(s *Status, now time.Time) {
	if s.Phase != Following || s.Lag == 0 {
		r.lagging = lagging{}
		return
	}
	if r.lagging.since.IsZero() || r.lagging.at != s.Position {
		r.lagging = lagging{at: s.Position, since: now}
	}
	s.Lagging = max(now.Sub(r.lagging.since), 0)
}

// lagging is where rows stand that do not move, and since when.
type lagging struct {
	at    domain.Position
	since time.Time
}
