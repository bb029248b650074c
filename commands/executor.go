package commands

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/run"
)

// Deps are the executor's collaborators; all are required but Node, Members, Snapshots, Tails, Logger, Hooks and Tracer.
type Deps struct {
	// Node is this process's incarnation, different at each start; "": one is made up.
	Node      string
	Members   Members   // nil: this node is alone
	Snapshots Snapshots // nil: a start reads the whole log
	Log       Log
	Tails     Tails // of Log; nil: a start reads the whole log
	Blobs     Blobs
	Secrets   Secrets
	Effects   Effects
	Registry  *node.Registry
	Compute   run.Compute
	Clock     Clock
	IDs       IDs
	Logger    *slog.Logger
	Hooks     Hooks
	Tracer    Tracer // nil: traces are passed on and not recorded
}

// Executor owns the active runs of this process. Create it with NewExecutor, start it with Run.
// All other methods are safe for concurrent use and fail with ErrUnavailable once Run has returned.
type Executor struct {
	deps   Deps
	limits Limits
	node   string
	nodes  atomic.Pointer[Nodes]
	// changed is closed when nodes is out of date; nil if this node is alone.
	changed <-chan struct{}
	runner  runner
	shards  []*shardLoop
	seed    maphash.Seed
	stop    context.CancelCauseFunc
	work    context.Context
	wg      sync.WaitGroup // appends, loads, timers
	ready   chan struct{}
	// runs are all those without an end, if there are several nodes; the follower's, like snapshots.
	runs      *openRuns
	snapshots snapshots

	draining    atomic.Bool
	running     atomic.Int64  // effects handed over whose outcome is not stored yet
	appending   atomic.Int64  // appends whose outcome has not been carried out yet
	effectEnded chan struct{} // capacity 1: wakes drain

	active      atomic.Int64
	quarantined atomic.Int64
	pendingMu   sync.Mutex
	pending     []string // runs that wait for a free place, in order
	inLine      map[string]struct{}
	reserved    int // starts under way that will wait
	sleepers    sleepers
	names       nameLocks
	repeats     nameLocks     // of starts with an id of their own
	loading     chan struct{} // one entry per load at work
}

// shardLoop drives one shard.
type shardLoop struct {
	shard  *shard
	in     chan input
	timers map[string]map[timerKey]func() bool // by run; they belong to the loop
}

// timerKey names a timer of a run: that of a task's retry, or the one of its mailbox.
type timerKey struct {
	kind timerKind
	task string
}

type timerKind uint8

const (
	timerMailbox timerKind = iota
	timerTask
)

// timerStepMax is how long a timer runs before it looks at the wall clock again, which may have been
// set, or gone on while the machine slept.
const timerStepMax = time.Hour

const (
	shardCount = 8
	shardQueue = 1024
	// loadsMax is how many runs are read from the log at once: a recovery of thousands must not hold
	// all their pages in memory together.
	loadsMax = 32
)

// NewExecutor builds an executor. Each has an incarnation of its own, so that a restart is told
// apart from the process before it.
func NewExecutor(deps Deps, limits Limits) *Executor {
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Executor{
		deps: deps, limits: limits.withDefaults(), node: deps.Node, inLine: map[string]struct{}{}, seed: maphash.MakeSeed(), ready: make(chan struct{}), effectEnded: make(chan struct{}, 1),
		loading: make(chan struct{}, loadsMax),
	}
	if e.node == "" {
		e.node = deps.IDs.NewID()
	}
	if e.deps.Members == nil {
		e.deps.Members = Alone(e.node)
	}
	nodes, changed := e.deps.Members.Live()
	e.nodes.Store(&nodes)
	e.changed = changed
	e.snapshots.busy = make(chan struct{}, 1)
	e.sleepers.max = int64(max(e.limits.SleepingRunsMax, 0))
	e.work, e.stop = context.WithCancelCause(context.Background())
	e.runner = runner{registry: deps.Registry, node: e.node, ids: deps.IDs, clock: deps.Clock, hooks: deps.Hooks, logger: deps.Logger, tracer: deps.Tracer}
	for range shardCount {
		e.shards = append(e.shards, &shardLoop{
			in: make(chan input, shardQueue), timers: map[string]map[timerKey]func() bool{},
			shard: &shard{
				node: e.node, limits: e.limits, bed: e.sleepers.reserve, compute: deps.Compute, ids: deps.IDs, work: e.work, runs: map[string]*mailbox{}, recent: newRecentRuns(),
			},
		})
		if changed != nil {
			s := e.shards[len(e.shards)-1].shard
			s.alive, s.known, s.owns = nodes.Alive, map[string]domain.Revision{}, e.owns
		}
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
	waiting, err := e.takeUp(ctx)
	if ctx.Err() != nil {
		err = nil // asked to stop meanwhile
	} else if err == nil {
		close(e.ready)
		e.wg.Go(func() { e.doze(waiting) })
		<-ctx.Done()
	}
	e.stop(domain.E(domain.KindUnavailable, "executor", "", "the server is stopping"))
	loops.Wait()
	e.alarm() // stops it
	e.wg.Wait()
	return err
}

// Drain starts no further effect and returns when those that run have ended and are recorded, or
// when ctx ends. Commands are still taken. Call it before ending Run, and tell the others first that this
// node owns nothing any more, if there are several.
func (e *Executor) Drain(ctx context.Context) error {
	e.giveAway(ctx)
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
	defer func() {
		for id := range l.timers {
			e.stopTimers(l, id)
		}
	}()
	for {
		select {
		case <-e.work.Done():
			return
		case in := <-l.in:
			for _, o := range l.shard.Step(e.deps.Clock.Now(), in) {
				e.carryOut(l, o)
			}
			if _, ok := in.(inAppended); ok {
				e.appending.Add(-1)
			}
		}
	}
}

// send puts an input into the shard of a run. It reports false when the executor stops or ctx ends.
func (e *Executor) send(ctx context.Context, runID string, in input) error {
	l := e.shards[e.shardOf(runID)]
	if e.work.Err() != nil {
		return context.Cause(e.work)
	}
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
		e.appending.Add(1)
		e.wg.Go(func() { l.put(e, e.append(o)) })
	case outRepeat:
		e.after(l, o.runID, timerKey{}, o.after, func() { l.put(e, inRepeat{runID: o.runID, flight: o.flight}) })
	case outLoad:
		if o.wait > 0 {
			e.after(l, o.runID, timerKey{}, o.wait, func() { l.put(e, e.load(o)) })
			return
		}
		e.wg.Go(func() { l.put(e, e.load(o)) })
	case outEffect:
		e.start(l, o.attempt)
	case outTimer:
		wait := o.at.Sub(e.deps.Clock.Now())
		e.after(l, o.runID, timerKey{timerTask, o.task}, min(wait, timerStepMax), func() {
			l.put(e, inTimer{runID: o.runID, task: o.task, at: o.at, over: wait <= timerStepMax})
		})
	case outRetired:
		e.stopTimers(l, o.runID)
		e.retired(o)
	case outPlace:
		if o.held {
			e.unreserve()
		} else {
			e.open(e.leave())
		}
	case outAwaits:
		e.awaits(o)
	case outReseal:
		e.wg.Go(func() {
			o.envelope.command = o.envelope.reseal(o.envelope.session)
			l.put(e, inCommand(o))
		})
	case outWake:
		e.wake(o.runID)
	case outDropped:
		e.dropped(o.runID)
	}
}

func (e *Executor) awaits(o outAwaits) {
	if e.deps.Hooks.Awaits != nil {
		e.deps.Hooks.Awaits(o.runID, o.task, o.channel, o.over)
	}
}

// commandID keeps ids within what decisions reckon with, whatever a task is called.
func commandID(kind, id string) string {
	const most = 100
	if len(kind)+len(id) > most {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:])
	}
	return kind + id
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

// after sets a timer of a run in place of an earlier one of the same key. It is called from the
// shard's loop, which stops what is left when the run retires or the executor stops.
func (e *Executor) after(l *shardLoop, runID string, k timerKey, d time.Duration, f func()) {
	of := l.timers[runID]
	if of == nil {
		of = map[timerKey]func() bool{}
		l.timers[runID] = of
	}
	if stop := of[k]; stop != nil && stop() {
		e.wg.Done()
	}
	e.wg.Add(1)
	of[k] = e.deps.Clock.AfterFunc(max(d, 0), func() {
		defer e.wg.Done()
		f()
	})
}

func (e *Executor) stopTimers(l *shardLoop, runID string) {
	for _, stop := range l.timers[runID] {
		if stop() {
			e.wg.Done()
		}
	}
	delete(l.timers, runID)
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
	if e.deps.Tracer != nil && f.trace != "" {
		ctx = e.deps.Tracer.Appending(ctx, f.trace)
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
	select {
	case e.loading <- struct{}{}:
		defer func() { <-e.loading }()
	case <-ctx.Done():
		return inLoaded{runID: o.runID, err: context.Cause(ctx)}
	}
	l, err := load(ctx, e.deps.Log, e.deps.Blobs, o.stream, o.after)
	if err != nil {
		return inLoaded{runID: o.runID, err: err}
	}
	// Running effects seal with the session there is: another one beside it would hand out the same
	// ids for other secrets.
	session := o.session
	if session == nil {
		session, err = e.deps.Secrets.Session(ctx, o.stream, l.secrets)
	} else {
		err = session.learn(ctx, l.secrets)
	}
	return inLoaded{runID: o.runID, loaded: l, session: session, err: err}
}

func (e *Executor) retired(o outRetired) {
	if o.quarantined != nil {
		e.quarantined.Add(1)
		e.deps.Logger.Error("run quarantined", "run_id", o.runID, "error", o.quarantined)
		if e.deps.Hooks.Quarantined != nil {
			e.deps.Hooks.Quarantined(RunStream(o.runID), o.quarantined)
		}
	} else if e.deps.Hooks.Ended != nil && o.status != "" {
		e.deps.Hooks.Ended(o.status)
	}
	switch {
	case o.waits:
		e.open(e.wait(o.runID, true))
	case o.held:
		e.unreserve()
	case o.sleeps:
		e.sleep(o.runID, o.due)
	case o.wakes:
		if e.sleepers.remove(o.runID) {
			e.countSleepers()
			e.wg.Go(func() { _ = e.admitOpen(e.work, o.runID) })
		}
	case o.status != "":
		if e.sleepers.remove(o.runID) {
			e.countSleepers()
			e.alarm()
		} else if !o.place {
			e.waitNoMore(o.runID)
		}
	}
	if o.place {
		e.open(e.leave())
	}
}
