package commands

import (
	"slices"
)

// enter takes a place among the active runs; false if all are taken.
func (e *Executor) enter() bool {
	ok := e.takePlace()
	if ok {
		e.countRuns()
	}
	return ok
}

func (e *Executor) takePlace() bool {
	for {
		n := e.active.Load()
		if n >= int64(e.limits.ActiveRunsMax) {
			return false
		}
		if e.active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave gives a place back, or names the longest waiting run, which it passes to: the caller opens
// that.
func (e *Executor) leave() string {
	e.pendingMu.Lock()
	next := e.firstInLine()
	if next == "" {
		// Within the lock: a run that gets in line between the look at it and this would find no
		// place, and nobody would give it this one.
		e.active.Add(-1)
	}
	e.pendingMu.Unlock()
	e.countRuns()
	return next
}

// firstInLine takes the longest waiting run out of the line, "" if none waits. pendingMu is held.
func (e *Executor) firstInLine() string {
	if len(e.pending) == 0 {
		return ""
	}
	next := e.pending[0]
	e.pending = e.pending[1:]
	delete(e.inLine, next)
	return next
}

// open hands a place to a run from within a shard's loop, which must not wait for another's.
func (e *Executor) open(runID string) {
	if runID != "" {
		e.wg.Go(func() { _ = e.send(e.work, runID, inOpen{runID: runID}) })
	}
}

// wait puts a durable run behind the others that wait for a place. Should a place have become free
// in between, it returns the run that gets it, for the caller to open.
func (e *Executor) wait(runID string, reserved bool) string {
	e.pendingMu.Lock()
	if _, there := e.inLine[runID]; !there {
		e.inLine[runID] = struct{}{}
		e.pending = append(e.pending, runID)
	}
	if reserved {
		e.reserved--
	}
	next := ""
	if e.takePlace() {
		next = e.firstInLine()
	}
	e.pendingMu.Unlock()
	e.countRuns()
	return next
}

// waitNoMore takes a run out of the line that ended while it waited.
func (e *Executor) waitNoMore(runID string) {
	e.pendingMu.Lock()
	if _, there := e.inLine[runID]; !there {
		e.pendingMu.Unlock()
		return
	}
	delete(e.inLine, runID)
	e.pending = slices.DeleteFunc(e.pending, func(id string) bool { return id == runID })
	e.pendingMu.Unlock()
	e.countRuns()
}

// reserveAnyway is reserve for a start that will wait elsewhere.
func (e *Executor) reserveAnyway() {
	e.pendingMu.Lock()
	e.reserved++
	e.pendingMu.Unlock()
}

// reserve makes sure that a start which is about to be stored may wait.
func (e *Executor) reserve() bool {
	e.pendingMu.Lock()
	defer e.pendingMu.Unlock()
	if len(e.pending)+e.reserved >= max(e.limits.PendingRunsMax, 0) {
		return false
	}
	e.reserved++
	return true
}

func (e *Executor) unreserve() {
	e.pendingMu.Lock()
	e.reserved--
	e.pendingMu.Unlock()
}

func (e *Executor) pendingRuns() int {
	e.pendingMu.Lock()
	defer e.pendingMu.Unlock()
	return len(e.pending)
}

func (e *Executor) countRuns() {
	if e.deps.Hooks.Runs != nil {
		e.deps.Hooks.Runs(int(e.active.Load()), e.pendingRuns(), int(e.quarantined.Load()))
	}
}
