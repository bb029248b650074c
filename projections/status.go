package projections

import (
	"context"
	"fmt"
	"time"

	"quipu/domain"
	"quipu/projections/view"
)

// Phase is what a runner is doing.
type Phase string

// The phases. In Failing the views stand still and the runner tries again by itself; in Refused they
// stand still until somebody acts on what Status.Error says.
const (
	Starting   Phase = "starting"
	CatchingUp Phase = "catching_up"
	Live       Phase = "live"
	Following  Phase = "following" // another process projects
	Failing    Phase = "failing"
	Refused    Phase = "refused"
)

// Status says how the views stand.
type Status struct {
	Phase      Phase           `json:"phase"`
	Log        domain.LogID    `json:"log"`
	Position   domain.Position `json:"position"`   // up to where rows are served
	Head       domain.Position `json:"head"`       // of the log; 0 if it cannot be read
	Lag        uint64          `json:"lag"`        // positions between the two
	Parked     int             `json:"parked"`     // events that a projector or the database could not take in
	Rebuilding bool            `json:"rebuilding"` // a generation is being built or checked beside
	UnderWay   time.Duration   `json:"under_way"`  // of the step that is under way, nanoseconds; 0 while there is nothing to do
	Lagging    time.Duration   `json:"lagging"`    // when Following: for how long they lag behind without moving, nanoseconds
	Error      string          `json:"error,omitempty"`
	Code       string          `json:"code,omitempty"` // of the error: LOG_CHANGED, VIEWS_AHEAD, VIEWS_NEWER, …
}

// StandsStill says why the views do not move, "" if they do. A database that does not answer is no
// error until it times out, so a step under way for StillAfter counts as well.
func (s Status) StandsStill() string {
	switch {
	case s.Phase == Failing, s.Phase == Refused:
		return s.Error
	case s.UnderWay >= StillAfter:
		return fmt.Sprintf("their database has not answered for %.0f s (paused, overloaded, or a table is locked)", s.UnderWay.Seconds())
	case s.Lagging >= FollowStillAfter:
		return fmt.Sprintf("another node keeps them and has not moved them for %.0f s; look there", s.Lagging.Seconds())
	}
	return ""
}

// Status tells how the views stand now.
func (r *Runner) Status(ctx context.Context) Status {
	head, err := r.feed.Head(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	if !r.since.IsZero() {
		s.UnderWay = max(r.clock.Now().Sub(r.since), 0)
	}
	if err == nil {
		s.Head = head
		s.Lag = uint64(max(head, s.Position) - s.Position)
		r.lags(&s, r.clock.Now())
	}
	return s
}

// Position is up to where the rows that readers see are the fold of the log; 0 before the views were
// opened.
func (r *Runner) Position() domain.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.Position
}

// Checkpoint is Position with the log it belongs to.
func (r *Runner) Checkpoint() view.Checkpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	return view.Checkpoint{Log: r.status.Log, Position: r.status.Position}
}

// Wait returns once the views have reached position, with where they are then. While it waits commits
// are not held back to be joined.
//
// Errors: ErrDeadline or ErrCanceled when ctx ends, the former at once if the views fail and are tried
// again only after ctx's deadline; ErrUnavailable if the views are refused: they will
// not move by themselves, and rows that reach to position may be those of another log; ErrExhausted
// beyond 100,000 waiters; the position reached comes with each.
func (r *Runner) Wait(ctx context.Context, position domain.Position) (domain.Position, error) {
	r.mu.Lock()
	if err := r.standsStill(); err != nil {
		defer r.mu.Unlock()
		return r.status.Position, err
	}
	if r.status.Position >= position {
		defer r.mu.Unlock()
		return r.status.Position, nil
	}
	if len(r.waiters) >= WaitersMax {
		defer r.mu.Unlock()
		return r.status.Position, domain.E(domain.KindExhausted, "wait for", "views", "too many readers wait")
	}
	w := &waiter{position: position, done: make(chan struct{})}
	w.until, w.bounded = ctx.Deadline()
	if r.inVain(w) {
		defer r.mu.Unlock()
		return r.status.Position, tooLate()
	}
	r.waiters[w] = struct{}{}
	r.mu.Unlock()
	r.wake()

	var err error
	select {
	case <-w.done:
	case <-ctx.Done():
		err = contextError(ctx, "wait for")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiters, w)
	if err == nil && r.status.Position < position {
		if err = r.standsStill(); err == nil {
			err = tooLate()
		}
	}
	return r.status.Position, err
}

type waiter struct {
	position domain.Position
	until    time.Time // not longer, if bounded
	bounded  bool
	done     chan struct{} // closed once, when it was taken off waiters
}

// inVain reports whether the views fail and are tried again only when w waits no more. r.mu is held.
func (r *Runner) inVain(w *waiter) bool {
	return r.status.Phase == Failing && w.bounded && w.until.Before(r.retryAt)
}

func tooLate() error {
	return domain.E(domain.KindDeadline, "wait for", "views", "they fail, and are tried again later than this is waited for")
}

// standsStill is the reason why the views will not move by themselves. r.mu is held.
func (r *Runner) standsStill() error {
	if r.status.Phase != Refused {
		return nil
	}
	return domain.E(domain.KindUnavailable, "wait for", "views", r.status.Error).WithCode(r.status.Code)
}

// waiting reports whether a reader waits for more than there is.
func (r *Runner) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiters) > 0
}

// wake cuts the pace between two commits short.
func (r *Runner) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// published tells readers how far the views have come, or that they stand still.
func (r *Runner) published(change func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status)
	for w := range r.waiters {
		if r.status.Position >= w.position || r.status.Phase == Refused || r.inVain(w) {
			delete(r.waiters, w)
			close(w.done)
		}
	}
}

func contextError(ctx context.Context, op string) error {
	kind := domain.KindCanceled
	if context.Cause(ctx) == context.DeadlineExceeded || ctx.Err() == context.DeadlineExceeded {
		kind = domain.KindDeadline
	}
	return domain.Wrap(kind, op, "views", ctx.Err())
}
