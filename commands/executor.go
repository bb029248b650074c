package commands

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/run"
)

// Deps are the executor's collaborators; all are required but Logger and Hooks.
type Deps struct {
	Log      Log
	Blobs    Blobs
	Secrets  Secrets
	Effects  Effects
	Registry *node.Registry
	Compute  run.Compute
	Clock    Clock
	IDs      IDs
	Logger   *slog.Logger
	Hooks    Hooks
}

// Executor owns the active runs of this process. Create it with NewExecutor, start it with Run.
// All other methods are safe for concurrent use and fail with ErrUnavailable once Run has returned.
type Executor struct {
	deps   Deps
	limits Limits
	node   string
	runner runner
	shards []*shardLoop
	seed   maphash.Seed
	stop   context.CancelCauseFunc
	work   context.Context
	wg     sync.WaitGroup // appends, loads, timers
	ready  chan struct{}

	draining    atomic.Bool
	running     atomic.Int64  // effects handed over whose outcome is not stored yet
	effectEnded chan struct{} // capacity 1: wakes drain

	active      atomic.Int64
	quarantined atomic.Int64
	pendingMu   sync.Mutex
	pending     []string // runs that wait for a free place, in order
	names       nameLocks
}

// shardLoop drives one shard.
type shardLoop struct {
	shard *shard
	in    chan input
}

const (
	shardCount = 8
	shardQueue = 1024
)

// NewExecutor builds an executor. Each has an incarnation of its own, so that a restart is told
// apart from the process before it.
func NewExecutor(deps Deps, limits Limits) *Executor {
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Executor{
		deps: deps, limits: limits.withDefaults(), node: deps.IDs.NewID(), seed: maphash.MakeSeed(), ready: make(chan struct{}), effectEnded: make(chan struct{}, 1),
	}
	e.work, e.stop = context.WithCancelCause(context.Background())
	e.runner = runner{registry: deps.Registry, node: e.node, ids: deps.IDs, clock: deps.Clock, hooks: deps.Hooks}
	for range shardCount {
		e.shards = append(e.shards, &shardLoop{
			in: make(chan input, shardQueue),
			shard: &shard{
				node: e.node, limits: e.limits, compute: deps.Compute, ids: deps.IDs, work: e.work, runs: map[string]*mailbox{}, recent: newRecentRuns(),
			},
		})
	}
	return e
}

// Node is this process's incarnation.
func (e *Executor) Node() string { return e.node }

// Ready is closed once every unfinished run has been found; they may still be loading.
func (e *Executor) Ready() <-chan struct{} { return e.ready }

// Run recovers unfinished runs and works until ctx ends; then it cuts off running effects and waits
// for appends in flight. What was cut off is carried on by the next start. Drain first to cut off
// little.
func (e *Executor) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	for _, l := range e.shards {
		loops.Go(func() { e.loop(l) })
	}
	err := e.recover(ctx)
	if err == nil {
		close(e.ready)
		<-ctx.Done()
	}
	e.stop(domain.E(domain.KindUnavailable, "executor", "", "the server is stopping"))
	loops.Wait()
	e.wg.Wait()
	return err
}

// Drain starts no further effect and returns when those that run have ended and are recorded, or
// when ctx ends. Commands are still taken. Call it before ending Run.
func (e *Executor) Drain(ctx context.Context) error {
	e.draining.Store(true)
	for e.running.Load() > 0 {
		select {
		case <-e.effectEnded:
		case <-e.work.Done():
			return nil
		case <-ctx.Done():
			e.deps.Logger.Warn("effects are cut off; the next start runs them again", "effects", e.running.Load())
			return nil
		}
	}
	return nil
}

func (e *Executor) loop(l *shardLoop) {
	for {
		select {
		case <-e.work.Done():
			return
		case in := <-l.in:
			for _, o := range l.shard.Step(e.deps.Clock.Now(), in) {
				e.carryOut(l, o)
			}
		}
	}
}

// send puts an input into the shard of a run. It reports false when the executor stops or ctx ends.
func (e *Executor) send(ctx context.Context, runID string, in input) error {
	l := e.shards[maphash.String(e.seed, runID)%shardCount]
	select {
	case l.in <- in:
		return nil
	case <-e.work.Done():
		return context.Cause(e.work)
	case <-ctx.Done():
		return domain.Wrap(domain.KindDeadline, "command run", runID, ctx.Err())
	}
}

func (e *Executor) carryOut(l *shardLoop, o output) {
	switch o := o.(type) {
	case outAppend:
		e.wg.Go(func() { l.put(e, e.append(o)) })
	case outRepeat:
		e.after(o.after, func() { l.put(e, inRepeat{runID: o.runID, flight: o.flight}) })
	case outLoad:
		if o.wait > 0 {
			e.after(o.wait, func() { l.put(e, e.load(o)) })
			return
		}
		e.wg.Go(func() { l.put(e, e.load(o)) })
	case outEffect:
		e.start(l, o.attempt)
	case outTimer:
		e.after(o.at.Sub(e.deps.Clock.Now()), func() {
			l.put(e, inCommand{runID: o.runID, envelope: envelope{
				command: run.StartAttempt{Task: o.task, Node: e.node},
				cause:   e.systemCause(o.runID, "timer", "retry:"+o.runID+"/"+o.task+":"+o.at.Format(domain.TimeLayout)),
			}})
		})
	case outRetired:
		e.retired(o)
	}
}

// start hands an attempt to the pool. While draining it does not: its start is on record, and the
// next process runs it.
func (e *Executor) start(l *shardLoop, a attempt) {
	if e.draining.Load() {
		return
	}
	e.running.Add(1)
	e.runner.submit(e.deps.Effects, a, e.limits.TaskTimeout, func(env envelope) {
		// Recorded means stored: while draining, an effect counts as running until then.
		env.reply = func(Outcome, error) { e.effectDone() }
		l.put(e, inCommand{runID: a.runID, envelope: env})
	}, e.effectDone)
}

func (e *Executor) effectDone() {
	e.running.Add(-1)
	select {
	case e.effectEnded <- struct{}{}:
	default:
	}
}

// put delivers an outcome; after the executor has stopped nobody needs it.
func (l *shardLoop) put(e *Executor, in input) {
	select {
	case l.in <- in:
	case <-e.work.Done():
	}
}

func (e *Executor) after(d time.Duration, f func()) {
	e.deps.Clock.AfterFunc(max(d, 0), f)
}

func (e *Executor) append(o outAppend) input {
	f := o.flight
	// An append in flight outlives the stop: it is waited for, so that its outcome is known.
	ctx := context.WithoutCancel(e.work)
	for _, b := range f.blobs {
		if _, err := e.deps.Blobs.Put(ctx, b); err != nil {
			return inAppended{runID: o.runID, flight: f, err: domain.Wrap(domain.KindUnavailable, "store blob", o.runID, err)}
		}
	}
	started := e.deps.Clock.Now()
	appended, err := e.deps.Log.Append(ctx, o.stream, f.expected, f.events)
	if e.deps.Hooks.Appended != nil {
		e.deps.Hooks.Appended(len(f.events), e.deps.Clock.Now().Sub(started), err)
	}
	return inAppended{runID: o.runID, flight: f, appended: appended, err: err}
}

func (e *Executor) load(o outLoad) input {
	ctx := e.work
	l, err := load(ctx, e.deps.Log, e.deps.Blobs, o.stream, o.after)
	if err != nil {
		return inLoaded{runID: o.runID, err: err}
	}
	session, err := e.deps.Secrets.Session(ctx, o.stream, l.secrets)
	return inLoaded{runID: o.runID, loaded: l, session: session, err: err}
}

func (e *Executor) retired(o outRetired) {
	if o.quarantined != nil {
		e.quarantined.Add(1)
		e.deps.Logger.Error("run quarantined", "run_id", o.runID, "error", o.quarantined)
		if e.deps.Hooks.Quarantined != nil {
			e.deps.Hooks.Quarantined(RunStream(o.runID), o.quarantined)
		}
	} else if e.deps.Hooks.Ended != nil {
		e.deps.Hooks.Ended(o.status)
	}
	e.leave()
}

// enter takes a place among the active runs; false if all are taken.
func (e *Executor) enter() bool {
	for {
		n := e.active.Load()
		if n >= int64(e.limits.ActiveRunsMax) {
			return false
		}
		if e.active.CompareAndSwap(n, n+1) {
			e.countRuns()
			return true
		}
	}
}

// leave gives a place back, or straight to the longest waiting run.
func (e *Executor) leave() {
	e.pendingMu.Lock()
	var next string
	if len(e.pending) > 0 {
		next = e.pending[0]
		e.pending = e.pending[1:]
	}
	e.pendingMu.Unlock()
	if next == "" {
		e.active.Add(-1)
		e.countRuns()
		return
	}
	e.wg.Go(func() { _ = e.send(e.work, next, inOpen{runID: next}) })
}

// wait puts a durable run behind the others that wait for a place.
func (e *Executor) wait(runID string) {
	e.pendingMu.Lock()
	e.pending = append(e.pending, runID)
	e.pendingMu.Unlock()
	// A place may have become free in between.
	if e.enter() {
		e.leave()
	}
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
