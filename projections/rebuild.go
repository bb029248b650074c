package projections

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"quipu/domain"
)

// Progress is one step of a Rebuild or Verify, for whoever watches.
type Progress struct {
	Step       Step
	Position   domain.Position // built up to here
	Target     domain.Position // of this step
	Rows       int             // compared so far
	Difference *Difference     // found just now
	Note       string          // something worth knowing, such as why nothing is compared
}

// Step is what is being done.
type Step string

// The steps.
const (
	StepBuild   Step = "building"
	StepCompare Step = "comparing"
	StepPromote Step = "promoting"
)

// Result is what a Rebuild or Verify came to.
type Result struct {
	Position    domain.Position `json:"position"`    // built up to here
	Compared    bool            `json:"compared"`    // false if there was nothing that could be compared
	ComparedAt  domain.Position `json:"compared_at"` // both sides were the fold up to here
	Rows        int             `json:"rows"`        // compared
	Differences int             `json:"differences"` // all of them, also those beyond Options.Differences
	Parked      int             `json:"parked"`      // in the generation built
	Took        time.Duration   `json:"took"`        // nanoseconds
}

// Tries of a build before it gives up, and the wait between them.
const buildTriesMax = 10

// Rebuild builds all rows anew from the log beside those that are served, compares both at the same
// position, and puts the new ones in place at one instant: readers see no gap. report is called from
// this goroutine and may be nil. Differences are reported and no error.
//
// Errors: ErrConflict with CodeViewsBusy if a Rebuild or Verify is under way; ErrRefused with
// CodeViewsNewer; those of the ports. After an error the old rows are served as before.
func (r *Runner) Rebuild(ctx context.Context, report func(Progress)) (Result, error) {
	return r.build(ctx, report, true, true)
}

// Verify builds all rows anew from the log beside those that are served, compares both at the same
// position and throws the new ones away. report and errors are as for Rebuild.
func (r *Runner) Verify(ctx context.Context, report func(Progress)) (Result, error) {
	return r.build(ctx, report, true, false)
}

// rebuildBeside is Rebuild until it works: the rows served are known to be of other versions, or
// unreadable, so there is nothing to compare. It returns a while after that, so that rows which break
// again and again are not built anew all the time.
func (r *Runner) rebuildBeside(ctx context.Context) {
	for ctx.Err() == nil {
		result, err := r.build(ctx, nil, false, true)
		switch {
		case err == nil:
			r.options.Logger.Info("views were built anew", "position", result.Position.Cursor(r.feed.ID()), "took", result.Took)
		case ctx.Err() == nil:
			r.options.Logger.Warn("views could not be built anew", "error", err, "retry_in", rebuildRetriesAfter)
		}
		r.pause(ctx, rebuildRetriesAfter, false)
		if err == nil {
			return
		}
	}
}

func (r *Runner) build(ctx context.Context, report func(Progress), compared, promote bool) (result Result, err error) {
	select {
	case r.beside <- struct{}{}:
	default:
		return Result{}, domain.E(domain.KindConflict, "rebuild", "views", "they are being rebuilt or checked already; try again when that is done").WithCode(CodeViewsBusy)
	}
	defer func() { <-r.beside }()
	r.published(func(s *Status) { s.Rebuilding = true })
	defer r.published(func(s *Status) { s.Rebuilding = false })
	b := &builder{r: r, report: report, began: r.clock.Now(), said: r.clock.Now()}
	defer func() {
		if v := recover(); v != nil {
			r.options.Logger.Error("rebuild of views panicked", "stack", string(debug.Stack()))
			err = domain.E(domain.KindInternal, "rebuild", "views", "panic")
		}
		b.result.Took = r.clock.Now().Sub(b.began)
		result = b.result
	}()
	return b.result, b.run(ctx, compared, promote)
}

// builder is one Rebuild or Verify under way.
type builder struct {
	r      *Runner
	p      *projection
	report func(Progress)
	began  time.Time
	said   time.Time
	result Result
}

func (b *builder) run(ctx context.Context, compared, promote bool) error {
	store, err := b.r.gens.Begin(ctx)
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if b.p != nil {
			b.p.disconnect()
		}
		if !kept {
			// What is left behind if this fails is removed by the next Begin.
			_ = b.r.gens.Drop(context.WithoutCancel(ctx), store)
		}
	}()
	b.p = newProjection(b.r.feed, max(b.r.options.BatchEvents, buildBatchEvents), store, State{})
	if compared {
		if err := b.compare(ctx, !promote); err != nil {
			return err
		}
	}
	if !promote {
		return nil
	}
	kept, err = b.promote(ctx)
	return err
}

// buildBatchEvents is the least that a build commits at once: nobody waits for its rows.
const buildBatchEvents = 5000

// compare builds up to where the rows served are and compares. Without must, rows that cannot be read
// or do not belong to this log are no error: they are about to be replaced.
func (b *builder) compare(ctx context.Context, must bool) error {
	store, state, err := b.r.current(ctx)
	if err == nil && state.Position == 0 {
		b.say(Progress{Step: StepCompare, Note: "there are no rows yet: nothing to compare"})
		return nil
	}
	if err == nil {
		err = b.compareWith(ctx, store, state.Position)
	}
	if err == nil || must || ctx.Err() != nil || errors.Is(err, errBuild) {
		return err
	}
	var coded *domain.Error
	if errors.As(err, &coded) && coded.Code == CodeViewsNewer {
		return err
	}
	b.say(Progress{Step: StepCompare, Note: "not compared: " + err.Error()})
	return nil
}

func (b *builder) compareWith(ctx context.Context, store Store, position domain.Position) error {
	// The rows served move on while this catches up with them; the rest of the way is short.
	if err := b.to(ctx, position); err != nil {
		return err
	}
	served, err := store.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = served.Close() }()
	at := served.State().Position
	if err := b.to(ctx, at); err != nil {
		return err
	}
	built, err := b.p.store.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = built.Close() }()
	c := comparison{
		found: func(d Difference) {
			if b.result.Differences++; b.result.Differences <= b.r.options.Differences {
				b.tell(Progress{Step: StepCompare, Position: b.p.state.Position, Target: at, Rows: b.result.Rows, Difference: &d})
			}
		},
		row: func() {
			b.result.Rows++
			b.say(Progress{Step: StepCompare, Position: b.p.state.Position, Target: at, Rows: b.result.Rows})
		},
	}
	if err := c.run(ctx, served, built); err != nil {
		return err
	}
	b.result.Compared, b.result.ComparedAt = true, at
	return nil
}

// promote brings the new rows up to the ones served and puts them in place.
func (b *builder) promote(ctx context.Context) (done bool, err error) {
	head, err := b.r.feed.Head(ctx)
	if err != nil {
		return false, err
	}
	if err := b.to(ctx, head); err != nil {
		return false, err
	}
	b.tell(Progress{Step: StepPromote, Position: b.p.state.Position, Target: head})
	// From here on the rows served stand still; what came meanwhile is little.
	if err := b.r.take(ctx); err != nil {
		return false, err
	}
	defer b.r.give()
	if head, err = b.r.feed.Head(ctx); err != nil {
		return false, err
	}
	if err := b.to(ctx, head); err != nil {
		return false, err
	}
	if err := b.r.gens.Promote(ctx, b.p.store); err != nil {
		if errors.Is(err, domain.ErrIndeterminate) {
			b.r.setStale(true)
		}
		return false, err
	}
	state := b.p.state
	b.result.Position, b.result.Parked = state.Position, state.Parked
	b.r.mu.Lock()
	b.r.promoted, b.r.stale = &promoted{b.p.store, state}, false
	b.r.mu.Unlock()
	b.r.serves(state, head)
	if f := b.r.options.Hooks.Rebuilt; f != nil {
		f(b.r.clock.Now().Sub(b.began))
	}
	return true, nil
}

// errBuild marks a failure of building, to tell it from one of reading the rows served.
var errBuild = errors.New("build views")

// to builds up to a position, which the log has.
func (b *builder) to(ctx context.Context, target domain.Position) error {
	for failures := 0; b.p.state.Position < target; {
		err := b.p.read(ctx)
		if err == nil {
			_, err = b.p.commit(ctx, target)
		}
		b.result.Position, b.result.Parked = b.p.state.Position, b.p.state.Parked
		if err == nil {
			failures = 0
			b.say(Progress{Step: StepBuild, Position: b.p.state.Position, Target: target})
			continue
		}
		failures++
		passing := errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrIndeterminate)
		if ctx.Err() != nil || !passing || failures == buildTriesMax {
			return errors.Join(errBuild, err)
		}
		b.r.pause(ctx, b.r.options.backoff(failures), false)
	}
	return nil
}

// say tells of progress, not more often than anybody reads.
func (b *builder) say(p Progress) {
	if now := b.r.clock.Now(); p.Note != "" || now.Sub(b.said) >= progressEvery {
		b.said = now
		b.tell(p)
	}
}

func (b *builder) tell(p Progress) {
	if b.report != nil {
		b.report(p)
	}
}
