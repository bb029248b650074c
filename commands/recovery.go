package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// recover finds every unfinished run and opens it: the oldest first, up to
// the limit of active runs, the others in line behind them. Those that may only have to wait are
// returned: a million sleepers must not stand in line before the runs that have something to do.
func (e *Executor) recover(ctx context.Context) (mayWait []string, err error) {
	open, err := e.findRuns(ctx)
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	far := e.deps.Clock.Now().Add(e.limits.SleepAfter).UnixMilli()
	taken := 0
	for _, r := range open {
		if !e.owns(r.id) {
			continue
		}
		taken++
		if r.due > far && e.limits.SleepingRunsMax > 0 {
			mayWait = append(mayWait, r.id)
			continue
		}
		if err := e.admitOpen(ctx, r.id); err != nil {
			return nil, err
		}
	}
	if taken > 0 {
		e.deps.Logger.Info("carrying on unfinished runs", "runs", taken, "waiting", len(mayWait))
	}
	return mayWait, nil
}

// admitOpen opens a run that exists, or puts it in line, if it is this node's.
func (e *Executor) admitOpen(ctx context.Context, id string) error {
	if !e.owns(id) {
		return nil
	}
	if !e.enter() {
		if id = e.wait(id, false); id == "" {
			return nil
		}
	}
	return e.send(ctx, id, inOpen{runID: id})
}

// doze folds runs that may only have to wait, one after the other, and lets those sleep that do. The
// others, and those that cannot be read, are opened like any.
func (e *Executor) doze(ids []string) {
	for _, id := range ids {
		if e.work.Err() != nil {
			return
		}
		if !e.owns(id) {
			continue // given away meanwhile
		}
		// It sleeps before it is read: a command that comes in between wakes it, and it is not put to
		// sleep over that.
		asleep := e.sleepers.reserve()
		if asleep {
			e.sleepers.add(id, never)
		}
		l, err := load(e.work, e.deps.Log, e.deps.Blobs, RunStream(id), endOfStream)
		if asleep && err == nil && e.mayDoze(id, l.state) {
			if !e.owns(id) {
				e.dropped(id) // given away while it was read
			}
			continue
		}
		if !asleep || e.sleepers.remove(id) {
			if err == nil && l.state.Phase.Ended() {
				continue // cancelled meanwhile
			}
			_ = e.admitOpen(e.work, id)
		}
	}
}

// mayDoze lets a run that was just put to sleep go on sleeping if it only waits.
func (e *Executor) mayDoze(id string, s *run.State) bool {
	due, waits := s.WaitsUntil()
	if !waits && !s.PausedFor(e.node) || !due.IsZero() && due.Sub(e.deps.Clock.Now()) <= e.limits.SleepAfter {
		return false
	}
	s.Channels(func(task, channel string) { e.awaits(outAwaits{runID: id, task: task, channel: channel}) })
	if !due.IsZero() {
		e.sleepers.change(id, due)
	}
	e.countSleepers()
	e.alarm()
	return true
}

// scanPage is how many events one read of the scan asks for.
const scanPage = 4096

const scanRetryFirst = 100 * time.Millisecond

// Tails answers what the whole log would have to be read for.
type Tails interface {
	// StreamsByLast returns the streams whose id starts with prefix and whose newest event is of a
	// type that keep accepts, in the order of their first events. keep must not use the log.
	// Errors: ErrCanceled, ErrDeadline, ErrUnavailable.
	StreamsByLast(ctx context.Context, prefix string, keep func(typ string) bool) ([]domain.StreamID, error)
}

// findRuns lists the runs without an end, in the order they started.
//
// A log that is not there yet is waited for: the processes of a machine start in any order.
func (e *Executor) findRuns(ctx context.Context) ([]openRun, error) {
	if e.deps.Tails == nil || e.changed != nil {
		found, read, err := e.scanRuns(ctx)
		e.runs, e.snapshots.read = found, read
		if err != nil {
			return nil, err
		}
		return found.sorted(), nil
	}
	all, err := e.unended(ctx, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	waiting, err := e.unended(ctx, mayWait)
	if err != nil {
		return nil, err
	}
	// Both are in the order of the log, and waiting is part of all.
	out := make([]openRun, len(all))
	for i, stream := range all {
		out[i].id = strings.TrimPrefix(string(stream), RunStreamPrefix)
		if len(waiting) == 0 || waiting[0] != stream {
			continue
		}
		waiting = waiting[1:]
		page, err := patiently(ctx, e, func() ([]domain.Recorded, error) {
			return e.deps.Log.ReadStreamBackward(ctx, stream, endOfStream, waitPage)
		})
		if ctx.Err() != nil {
			return nil, err
		}
		// What cannot be read is put aside when it is opened, and no reason not to start.
		for j := range page {
			out[i].due = max(out[i].due, waitsUntil(&page[j]))
		}
	}
	return out, nil
}

// unended lists the streams of runs without an end whose newest event is of a type like that.
func (e *Executor) unended(ctx context.Context, like func(typ string) bool) ([]domain.StreamID, error) {
	return patiently(ctx, e, func() ([]domain.StreamID, error) {
		return e.deps.Tails.StreamsByLast(ctx, RunStreamPrefix, func(typ string) bool { return !wire.EndsRun(typ) && like(typ) })
	})
}

// waitPage is how many of a run's last events are read to learn whether it waits. Should they not say
// so, it is opened like one that has work to do, and sleeps then.
const waitPage = 8

// mayWait reports whether a run may have nothing to do after an event of this type. After the start of
// an attempt or of its call it has.
func mayWait(typ string) bool {
	switch typ {
	case wire.RunTimerSet, wire.RunTaskRetryScheduled, wire.RunTaskCompleted, wire.RunTaskSkipped,
		wire.RunApprovalRequested, wire.RunEventAwaited, wire.RunSignalReceived, wire.RunPaused, wire.RunResumed:
		return true
	}
	return false
}

// patiently reads from a log that may not be there yet, until it is, fails otherwise, or ctx ends.
func patiently[T any](ctx context.Context, e *Executor, read func() (T, error)) (T, error) {
	for failures := 0; ; failures++ {
		v, err := read()
		if !errors.Is(err, domain.ErrUnavailable) {
			return v, err
		}
		wait := min(scanRetryFirst<<min(failures, 20), e.limits.AppendRetryMax)
		e.deps.Logger.Warn("the log cannot be read; trying again", "after", wait, "error", err)
		if !e.pause(ctx, wait, nil) {
			return v, err
		}
	}
}
