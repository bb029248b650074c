package commands

import (
	"context"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// Cancel ends a run on request, be it active, waiting for a place or put aside, and returns once that
// is durable.
//
// Errors: ErrNotFound for an unknown run; ErrRefused with code RUN_ENDED if it has ended;
// ErrExhausted if too many commands wait for it; ErrUnavailable if certainly nothing was stored;
// ErrIndeterminate if something may have been, as when ctx ends first; ErrCorrupt if it cannot be
// read.
func (e *Executor) Cancel(ctx context.Context, runID, reason string, actor wire.Actor) (Outcome, error) {
	return e.CancelRun(ctx, Ask{RunID: runID, Actor: actor}, reason)
}

func (e *Executor) observe(command string, began time.Time, err error) {
	if e.deps.Hooks.Command != nil {
		e.deps.Hooks.Command(command, e.deps.Clock.Now().Sub(began), err)
	}
}

// CancelRun is Cancel for clients that may repeat it under a key.
func (e *Executor) CancelRun(ctx context.Context, a Ask, reason string) (Outcome, error) {
	texts, err := e.scrub(ctx, a.RunID, reason)
	if err != nil {
		return Outcome{}, err
	}
	return e.control(ctx, "cancel", a, run.Cancel{Reason: texts[0]})
}

// State returns a run as of its last stored event: from its mailbox if it is active, else folded
// from its stream, so that a run is never wrongly unknown. Abandoned runs are unknown.
// Errors: ErrNotFound, ErrCorrupt.
func (e *Executor) State(ctx context.Context, runID string) (*run.State, error) {
	if s := e.peek(ctx, runID, nil); s != nil && s.Phase != run.None {
		return s, nil
	}
	l, err := load(ctx, e.deps.Log, e.deps.Blobs, RunStream(runID), endOfStream)
	if err != nil {
		return nil, err
	}
	if l.state.Phase == run.PhaseAbandoned || l.state.Phase == run.None {
		return nil, domain.E(domain.KindNotFound, "read run", runID, "does not exist")
	}
	return l.state, nil
}

// Await is State, but waits up to d for the run's end first.
func (e *Executor) Await(ctx context.Context, runID string, d time.Duration) (*run.State, error) {
	over := make(chan struct{})
	stop := e.deps.Clock.AfterFunc(d, func() { close(over) })
	defer stop()
	for poll := awaitPollMin; ; poll = min(2*poll, awaitPollMax) {
		ended := make(chan *run.State, 1)
		switch s := e.peek(ctx, runID, ended); {
		case s != nil && s.Phase.Ended():
			return s, nil
		case s == nil:
			// Not active: finished, unknown, loading, in line for a place, or asleep. Only the last
			// three get anywhere by waiting.
			s, err := e.State(ctx, runID)
			if err != nil || s.Phase.Ended() || !e.pause(ctx, poll, over) {
				return s, err
			}
			continue
		}
		select {
		case s := <-ended:
			if s != nil && s.Phase.Ended() {
				return s, nil
			}
			continue // it left memory without an end: it sleeps, or cannot be read
		case <-over:
		case <-ctx.Done():
		case <-e.work.Done():
		}
		// A run may go on for days while clients ask for its end again and again.
		_ = e.send(context.WithoutCancel(ctx), runID, inForget{runID: runID, ended: ended})
		return e.State(ctx, runID)
	}
}

// How often Await looks for a run that is not active yet: each look folds the run.
const (
	awaitPollMin = 20 * time.Millisecond
	awaitPollMax = time.Second
)

// pause waits for d; false if there is no time left.
func (e *Executor) pause(ctx context.Context, d time.Duration, over <-chan struct{}) bool {
	next := make(chan struct{})
	stop := e.deps.Clock.AfterFunc(d, func() { close(next) })
	defer stop()
	select {
	case <-next:
		return true
	case <-over:
	case <-ctx.Done():
	case <-e.work.Done():
	}
	return false
}

// peek asks a run's shard; nil if the run is not active or the executor stops.
func (e *Executor) peek(ctx context.Context, runID string, ended chan<- *run.State) *run.State {
	state := make(chan *run.State, 1)
	if e.send(ctx, runID, inPeek{runID: runID, state: state, ended: ended}) != nil {
		return nil
	}
	select {
	case s := <-state:
		return s
	case <-e.work.Done():
	case <-ctx.Done():
	}
	return nil
}

// Counts are the numbers of runs in each line.
type Counts struct{ Active, Pending, Sleeping, Quarantined int }

// Counts returns how many runs are active, wait for a place, sleep until an instant, or are quarantined.
func (e *Executor) Counts() Counts {
	return Counts{Active: int(e.active.Load()), Pending: e.pendingRuns(), Sleeping: e.sleeping(), Quarantined: int(e.quarantined.Load())}
}
