package commands

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"quipu/domain"
	"quipu/domain/wire"
)

// owns reports whether this node works on a run.
func (e *Executor) owns(runID string) bool { return Owner(e.nodes.Load().Owners, runID) == e.node }

// newRunID draws ids until it has one of a run that is this node's own: its tasks begin with the append
// that starts it, and no other node has to be told. A node that owns nothing takes any.
func (e *Executor) newRunID() string {
	id := e.deps.IDs.NewID()
	nodes := e.nodes.Load().Owners
	if _, owns := slices.BinarySearch(nodes, e.node); !owns {
		return id
	}
	for range 32 * (len(nodes) - 1) { // it fails once in e^32
		if e.owns(id) {
			break
		}
		id = e.deps.IDs.NewID()
	}
	return id
}

// takeUp finds every unfinished run, opens those that are this node's, and follows what the other nodes
// do, if there are any. It returns the runs that may only have to wait.
func (e *Executor) takeUp(ctx context.Context) (mayWait []string, err error) {
	if e.changed == nil {
		return e.recover(ctx)
	}
	// Asked before the runs are listed: what comes in between is seen twice, and not once too little.
	after, err := patiently(ctx, e, func() (domain.Position, error) { return e.deps.Log.Head(ctx) })
	if err != nil {
		return nil, err
	}
	if mayWait, err = e.recover(ctx); err != nil {
		return nil, err
	}
	e.wg.Go(func() { e.follow(after) })
	return mayWait, nil
}

// follow hands on what the feed brings and takes note of nodes that come and go, until the executor
// stops.
func (e *Executor) follow(after domain.Position) {
	batches := make(chan Batch)
	e.wg.Go(func() { e.feed(after, batches) })
	e.snapshot(&e.snapshots, e.runs) // of what the start had to read
	look, stop := e.alarmClock(lostEvery)
	defer func() { stop() }()
	for {
		select {
		case <-look:
			for _, l := range e.shards {
				l.put(e, inNodes{alive: e.nodes.Load().Alive, look: true})
			}
			look, stop = e.alarmClock(lostEvery)
		case b := <-batches:
			e.brought(b.Events)
			e.runs.at = max(e.runs.at, b.Position)
			e.snapshots.read += len(b.Events)
			e.snapshot(&e.snapshots, e.runs)
		case <-e.changed:
			e.regroup()
		case <-e.work.Done():
			return
		}
	}
}

// lostEvery is how often a node looks for attempts of nodes that are not alive. What is lost with a node is
// found at once when it goes; this is for what comes up later. It takes two looks.
const lostEvery = 5 * time.Second

// alarmClock is a channel that is closed after d, and what ends it before.
func (e *Executor) alarmClock(d time.Duration) (due <-chan struct{}, stop func() bool) {
	c := make(chan struct{})
	return c, e.deps.Clock.AfterFunc(d, func() { close(c) })
}

// feed reads the log's runs, again and again should it fail.
func (e *Executor) feed(after domain.Position, to chan<- Batch) {
	for failures := 0; e.work.Err() == nil; failures++ {
		sub, err := e.deps.Log.Subscribe(e.work, after, RunStreamPrefix)
		for err == nil {
			var b Batch
			if b, err = sub.Next(e.work); err != nil {
				break
			}
			select {
			case to <- b:
				after, failures = b.Position, 0
			case <-e.work.Done():
			}
		}
		if sub != nil {
			_ = sub.Close() // nothing is lost with it
		}
		wait := min(scanRetryFirst<<min(failures, 20), e.limits.AppendRetryMax)
		if e.work.Err() == nil {
			e.deps.Logger.Warn("the feed of runs ended; it is opened again", "after", wait, "error", err)
		}
		e.pause(e.work, wait, nil)
	}
}

// brought sorts events by the shards of their runs.
func (e *Executor) brought(events []domain.Recorded) {
	var batches [shardCount][]seen
	for i := range events {
		r := &events[i]
		id := strings.TrimPrefix(string(r.Stream), RunStreamPrefix)
		one := seen{runID: id, revision: r.Revision, over: wire.EndsRun(r.Type), mine: e.owns(id)}
		e.runs.note(r)
		if r.Revision == 0 && !one.over && !one.mine {
			// It may have been started here in the belief that it is this node's.
			e.tell(id, inDisown{runID: id})
		}
		if one.mine || one.over {
			shard := e.shardOf(id)
			batches[shard] = append(batches[shard], one)
		}
	}
	for i, batch := range batches {
		if len(batch) > 0 {
			e.shards[i].put(e, inSeen{events: batch})
		}
	}
}

// regroup takes note of the nodes in force: it takes up the runs that became this node's, gives away those
// that are so no more, and begins anew what was lost with a node.
func (e *Executor) regroup() {
	nodes, changed := e.deps.Members.Live()
	e.changed = changed
	before := e.nodes.Swap(&nodes)
	gone := slices.ContainsFunc(before.Alive, func(n string) bool {
		_, lives := slices.BinarySearch(nodes.Alive, n)
		return !lives
	})
	for _, l := range e.shards {
		l.put(e, inNodes{alive: nodes.Alive, gone: gone})
	}
	if slices.Equal(before.Owners, nodes.Owners) {
		return
	}
	taken, given := 0, 0
	for id := range e.runs.byID {
		was, is := Owner(before.Owners, id) == e.node, e.owns(id)
		switch {
		case is && !was:
			taken++
			e.tell(id, inOwn{runID: id})
		case was && !is:
			given++
			e.tell(id, inDisown{runID: id})
		}
	}
	e.deps.Logger.Info("nodes changed", "owners", len(nodes.Owners), "alive", len(nodes.Alive), "runs_taken", taken, "runs_given", given)
}

func (e *Executor) shardOf(runID string) int {
	return int(maphash.String(e.seed, runID) % shardCount)
}

func (e *Executor) tell(runID string, in input) { e.shards[e.shardOf(runID)].put(e, in) }

// wake opens a run that has got something to do.
func (e *Executor) wake(runID string) {
	if e.sleepers.remove(runID) {
		e.countSleepers()
	}
	e.wg.Go(func() { _ = e.admitOpen(e.work, runID) })
}

// dropped forgets a run that another node works on or has ended.
func (e *Executor) dropped(runID string) {
	if e.sleepers.remove(runID) {
		e.countSleepers()
	}
	e.waitNoMore(runID)
	e.awaits(outAwaits{runID: runID, over: true})
}

// giveAway waits until the runs of a node that drains are others': what would begin here meanwhile and not
// be carried out, nobody would find before this node is gone. Should the nodes not learn of it, as when
// whoever keeps them is away, it does not wait for long.
func (e *Executor) giveAway(ctx context.Context) {
	if e.shards[0].shard.known == nil {
		return // alone: the next start carries on
	}
	for waited := time.Duration(0); waited < giveAwayMax && e.active.Load()+e.appending.Load() > 0; waited += giveAwayPoll {
		if !e.pause(ctx, giveAwayPoll, nil) {
			return
		}
	}
}

const (
	giveAwayMax  = time.Second
	giveAwayPoll = 5 * time.Millisecond
)
