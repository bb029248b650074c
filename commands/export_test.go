package commands

import (
	"context"
	"time"

	"quipu/infra/clock"
)

// Sleepy is an executor that only keeps sleepers.
type Sleepy struct{ e *Executor }

// NewExecutorForSleep makes one with the system's clock and ids.
func NewExecutorForSleep() Sleepy {
	return Sleepy{NewExecutor(Deps{Clock: clock.System{}, IDs: clock.System{}}, Limits{})}
}

// Sleep lets a run sleep.
func (s Sleepy) Sleep(id string, due time.Time) {
	s.e.sleepers.reserve()
	s.e.sleep(id, due)
}

// Sleeping is how many do.
func (s Sleepy) Sleeping() int { return s.e.sleeping() }

// Stop ends its timer.
func (s Sleepy) Stop() {
	s.e.stop(nil)
	s.e.alarm()
	s.e.wg.Wait()
	s.e.sleepers.byID, s.e.sleepers.queue = nil, nil // a stopped timer may hold on to s for a while
}

// OpenRun is a run that a start carries on, and until when it may wait, in Unix milliseconds.
type OpenRun struct {
	ID  string
	Due int64
}

// OpenRuns lists what an executor over deps would carry on.
func OpenRuns(ctx context.Context, deps Deps) ([]OpenRun, error) {
	deps.IDs = clock.System{}
	e := NewExecutor(deps, Limits{AppendRetryMax: time.Millisecond})
	found, err := e.findRuns(ctx)
	out := make([]OpenRun, len(found))
	for i, r := range found {
		out[i] = OpenRun{ID: r.id, Due: r.due}
	}
	return out, err
}

// NamesRemembered is how many names the service remembers.
func (i *Invocations) NamesRemembered() int {
	i.names.mu.Lock()
	defer i.names.mu.Unlock()
	return len(i.names.byName)
}

// Remember makes a place for a name.
func (i *Invocations) Remember(endpointID, name string) { i.names.entry(endpointID, name) }

// Waiting is how many tasks are known to wait for a message, by channel and by run.
func (c *Channels) Waiting() (byChannel, byRun int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range c.waiting {
		byChannel += len(of)
	}
	for _, of := range c.awaited {
		byRun += len(of)
	}
	return byChannel, byRun
}
