package projections

import (
	"context"
	"errors"
	"maps"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"quipu/domain"
)

// Clock tells the time and wakes up. Tests give a virtual one.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, on a goroutine of its own or the clock's, after d; stop prevents it.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Codes of a refusal: the views stand still until somebody acts.
const (
	CodeLogChanged = "LOG_CHANGED" // the rows are of another log
	CodeViewsAhead = "VIEWS_AHEAD" // the rows reach beyond the log's head
	CodeViewsNewer = "VIEWS_NEWER" // a newer version of the program wrote them
	CodeViewsBusy  = "VIEWS_BUSY"  // they are being rebuilt or checked already
)

// Runner keeps the views at the head of the log.
//
// Lifetime: NewRunner, Run (once) until ctx ends. All other methods are safe for concurrent use at any
// time; Rebuild and Verify work without Run too.
type Runner struct {
	gens    Generations
	feed    Feed
	clock   Clock
	options Options
	kick    chan struct{} // capacity 1: a reader waits
	turn    chan struct{} // capacity 1: held while the served generation is moved or replaced
	beside  chan struct{} // capacity 1: held while a generation is built beside it
	damaged chan struct{} // capacity 1: a reader met rows that cannot be read

	live *projection   // nil until opened; belongs to the goroutine of Run
	took time.Duration // of the last commit, folding included; likewise

	mu       sync.Mutex
	status   Status
	waiters  map[*waiter]struct{}
	since    time.Time // of the step under way; zero while it waits for events
	stale    bool      // the rows must be built anew: other versions made them, or they cannot be read
	retryAt  time.Time // when Failing: of the next try
	lagging  lagging   // when Following
	promoted *promoted // a generation that live has to go on with
}

type promoted struct {
	store Store
	state State
}

// NewRunner makes a runner. It panics on a nil port or bad options: both are programming errors.
func NewRunner(gens Generations, feed Feed, clock Clock, options Options) *Runner {
	if gens == nil || feed == nil || clock == nil {
		panic("projections: NewRunner needs generations, a feed and a clock")
	}
	if err := options.Validate(); err != nil {
		panic("projections: " + err.Error())
	}
	return &Runner{
		gens: gens, feed: feed, clock: clock, options: options.withDefaults(),
		kick: make(chan struct{}, 1), turn: make(chan struct{}, 1), beside: make(chan struct{}, 1), damaged: make(chan struct{}, 1),
		status: Status{Phase: Starting}, waiters: map[*waiter]struct{}{},
	}
}

// Run projects until ctx ends, then returns nil. Whatever fails is tried again after a wait; rows
// that other versions of the projectors made, or that cannot be read, are built anew beside and
// replaced, while the old ones are served. While Options.Owner says that another process projects, it
// follows: it only looks where the rows are.
func (r *Runner) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	defer r.reopen()
	var building atomic.Bool
	beside.Go(func() { // what readers meet must not wait for the next event
		for {
			select {
			case <-r.damaged:
			case <-ctx.Done():
				return
			}
			if r.isStale() && building.CompareAndSwap(false, true) {
				r.rebuildBeside(ctx)
				building.Store(false)
			}
		}
	})
	build := func() {
		if r.isStale() && building.CompareAndSwap(false, true) {
			beside.Go(func() {
				defer building.Store(false)
				r.rebuildBeside(ctx)
			})
		}
	}
	for ctx.Err() == nil {
		term, mine, end := r.term(ctx)
		if mine {
			r.project(term, build)
		} else {
			r.follow(term)
		}
		end()
		r.reopen()
	}
	return nil
}

// project projects until ctx ends. build is called when rows have to be built anew.
func (r *Runner) project(ctx context.Context, build func()) {
	failures := 0
	for ctx.Err() == nil {
		caughtUp, err := r.guarded(ctx)
		if ctx.Err() != nil {
			break
		}
		build()
		if err == nil {
			failures = 0
			if caughtUp && !r.waiting() {
				r.pause(ctx, r.options.linger(r.took), true)
			}
			continue
		}
		failures++
		wait := r.options.backoff(failures)
		if r.lostTurn(err) {
			r.reopen()
			r.pause(ctx, wait, false)
			continue
		}
		r.failed(err, wait)
		r.pause(ctx, wait, false)
	}
}

// reopen makes the next step begin with the generation that is then current.
func (r *Runner) reopen() {
	if r.live != nil {
		r.live.disconnect()
		r.live = nil
	}
}

// guarded is Once whose panic is an error: a projector's mistake must not end the process.
func (r *Runner) guarded(ctx context.Context) (caughtUp bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			r.options.Logger.Error("views panicked", "stack", string(debug.Stack()))
			err = domain.E(domain.KindInternal, "project", "views", "panic")
		}
	}()
	return r.Once(ctx)
}

// Once is one step of Run: it waits until the log holds something new, takes what there is, up to
// Options.BatchEvents, and commits it. caughtUp says that this was all. Only one goroutine may call
// it.
func (r *Runner) Once(ctx context.Context) (caughtUp bool, err error) {
	defer r.working(false)
	if r.live == nil {
		r.working(true)
		if err := r.open(ctx); err != nil {
			return false, err
		}
		r.working(false)
	}
	// Waiting for events is done outside the turn, so that a rebuild can replace the rows meanwhile.
	if err := r.live.read(ctx); err != nil {
		return false, err
	}
	r.working(true)
	if err := r.take(ctx); err != nil {
		return false, err
	}
	defer r.give()
	if r.adopt(); r.live.source == nil {
		return false, nil // the rows were replaced by others that need older events
	}
	began := r.clock.Now()
	done, err := r.live.commit(ctx, everything)
	if err != nil {
		return false, r.corrupted(err)
	}
	caughtUp = r.live.caughtUp && !r.live.behind(everything)
	r.took = r.clock.Now().Sub(began)
	r.publish(done, caughtUp, r.took)
	return caughtUp, nil
}

// working notes whether a step is under way, for Status.
func (r *Runner) working(begins bool) {
	var since time.Time
	if begins {
		since = r.clock.Now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = since
}

func (r *Runner) take(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return contextError(ctx, "project")
	}
}

func (r *Runner) give() { <-r.turn }

// open opens the current generation and checks that it fits the log.
func (r *Runner) open(ctx context.Context) error {
	if err := r.take(ctx); err != nil {
		return err
	}
	defer r.give()
	store, state, err := r.current(ctx)
	if err != nil {
		return r.corrupted(err)
	}
	head, err := r.feed.Head(ctx)
	if err != nil {
		return feedError{err}
	}
	r.mu.Lock()
	r.promoted = nil // it is the current one now
	r.mu.Unlock()
	r.live = newProjection(r.feed, r.options.BatchEvents, store, state)
	r.serves(state, head)
	if len(state.Versions) > 0 && !maps.Equal(state.Versions, Versions()) {
		r.options.Logger.Info("views were made by other versions of the projectors: building them anew beside", "found", state.Versions, "wanted", Versions())
		r.setStale(true)
	}
	return nil
}

// adopt goes on with a generation that was promoted since the last step. Within turn.
func (r *Runner) adopt() {
	r.mu.Lock()
	p := r.promoted
	r.promoted = nil
	r.mu.Unlock()
	if p != nil {
		r.live.use(p.store, p.state)
	}
}

// current opens the current generation. Errors: those of the port; ErrRefused with a code if its rows
// do not belong to this log.
func (r *Runner) current(ctx context.Context) (Store, State, error) {
	store, err := r.gens.Current(ctx)
	if err != nil {
		return nil, State{}, err
	}
	state, err := store.State(ctx)
	if err != nil {
		return nil, State{}, err
	}
	head, err := r.feed.Head(ctx)
	if err != nil {
		return nil, State{}, feedError{err}
	}
	if err := r.fits(state, head); err != nil {
		return store, state, err
	}
	return store, state, r.sameEvents(ctx, state)
}

func (r *Runner) fits(state State, head domain.Position) error {
	switch {
	case state.Position == 0:
		return nil
	case state.Log != r.feed.ID():
		return refuse(CodeLogChanged, "they are of log "+string(state.Log)+", this is log "+string(r.feed.ID()))
	case state.Position > head:
		return refuse(CodeViewsAhead, "they reach to "+state.Position.Cursor(state.Log)+", beyond the end of the log at "+head.Cursor(r.feed.ID())+": the log lost its end or was replaced by an older copy")
	}
	return nil
}

// serves tells readers which rows they get. At the head of the log there may be nothing to commit for
// long, so that is live already.
func (r *Runner) serves(state State, head domain.Position) {
	phase := CatchingUp
	if state.Position >= head {
		phase = Live
	}
	r.published(func(s *Status) {
		s.Phase, s.Log, s.Position, s.Parked, s.Error, s.Code = phase, r.feed.ID(), state.Position, state.Parked, "", ""
	})
}

func (r *Runner) publish(done committed, caughtUp bool, took time.Duration) {
	state := r.live.state
	r.published(func(s *Status) {
		s.Position, s.Parked, s.Error, s.Code = state.Position, state.Parked, "", ""
		// Falling back by one batch is no change of phase worth a name.
		if caughtUp {
			s.Phase = Live
		} else if s.Phase != Live {
			s.Phase = CatchingUp
		}
	})
	if f := r.options.Hooks.Committed; f != nil && done.rows > 0 {
		f(done.events, done.rows, took)
	}
	if f := r.options.Hooks.Projected; f != nil && len(done.batch) > 0 {
		f(done.batch, took)
	}
	for _, p := range done.parked {
		r.options.Logger.Error("event parked: a view cannot take it in", "projector", p.Projector, "position", p.Position.Cursor(r.feed.ID()),
			"stream", p.Stream, "revision", p.Revision, "type", p.Type, "reason", p.Reason)
		if f := r.options.Hooks.Parked; f != nil {
			f(p)
		}
	}
}

// corrupted notes rows that cannot be read: they are derived, so they are built anew. The log's own
// damage is another matter.
func (r *Runner) corrupted(err error) error {
	var ofFeed feedError
	if errors.Is(err, domain.ErrCorrupt) && !errors.As(err, &ofFeed) {
		r.options.Logger.Error("views cannot be read: building them anew beside", "error", err)
		r.setStale(true)
	}
	return err
}

// Damaged is told of rows that a reader could not read, so that they are built anew beside: the
// projectors themselves may never touch them again. Rows that stand still keep standing: whose they
// are is for somebody to find out.
func (r *Runner) Damaged(err error) {
	r.mu.Lock()
	moving := r.status.Phase == Live || r.status.Phase == CatchingUp || r.status.Phase == Following
	first := moving && !r.stale
	r.stale = r.stale || moving
	r.mu.Unlock()
	if !first {
		return
	}
	r.options.Logger.Error("a reader met views that cannot be read: building them anew beside", "error", err)
	select {
	case r.damaged <- struct{}{}:
	default:
	}
}

// failed makes an error visible; the next step opens what has to be opened anew.
func (r *Runner) failed(err error, wait time.Duration) {
	phase, code := Failing, ""
	var coded *domain.Error
	if errors.As(err, &coded) {
		code = coded.Code
	}
	if errors.Is(err, domain.ErrRefused) {
		phase = Refused
	}
	r.mu.Lock()
	before := r.status
	r.retryAt = r.clock.Now().Add(wait)
	r.mu.Unlock()
	if before.Phase != phase || before.Error != err.Error() { // once for each reason, not for each try
		r.options.Logger.Warn("views stand still", "phase", phase, "error", err, "retry_in", wait)
	}
	r.published(func(s *Status) { s.Phase, s.Error, s.Code = phase, err.Error(), code })
	if f := r.options.Hooks.Failed; f != nil {
		f(err)
	}
	// Somebody else may have moved or replaced the rows; what was read of the log alone is no reason.
	var ofFeed feedError
	if !errors.As(err, &ofFeed) {
		r.reopen()
	}
}

func (r *Runner) setStale(stale bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stale = stale
}

func (r *Runner) isStale() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stale
}

// pause waits for d, or until ctx ends or, if readers count, one of them waits.
func (r *Runner) pause(ctx context.Context, d time.Duration, readers bool) {
	if d <= 0 {
		return
	}
	done := make(chan struct{})
	stop := r.clock.AfterFunc(d, func() { close(done) })
	defer stop()
	var kick <-chan struct{}
	if readers {
		kick = r.kick
	}
	select {
	case <-done:
	case <-kick:
	case <-ctx.Done():
	}
}
