package commands

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

var (
	simSeeds = flag.Int("sim.seeds", 60, "how many seeds TestShard_Simulation runs")
	simFirst = flag.Uint64("sim.first", 1, "the first of them")
	simTrace = flag.Bool("sim.trace", false, "print every step of the seed -sim.first to stderr")
)

// The shard's steps on one goroutine, under virtual time, with the outcomes of appends, loads,
// effects and timers in seeded order, against a log that fails, other processes that write to the
// same runs, and crashes. After each step: the mailboxes are consistent, every place is accounted
// for, what was answered is true. In the end every run that began has ended, as the model says it may.
func TestShard_Simulation(t *testing.T) {
	slept := 0
	for i := range *simSeeds {
		seed := *simFirst + uint64(i)
		w := newSim(t, seed)
		w.trace = *simTrace && i == 0
		w.run()
		slept += w.slept
		if t.Failed() {
			t.Fatalf("reproduce with: go test ./commands -run TestShard_Simulation -sim.seeds 1 -sim.trace -sim.first %d", seed)
		}
	}
	if *simSeeds > 20 && slept < *simSeeds {
		t.Fatalf("runs slept only %d times", slept)
	}
}

const (
	simRuns   = 8
	simPlaces = 3
	simLine   = 4 // pending runs
	simBeds   = 3 // sleeping runs
)

type sim struct {
	t      *testing.T
	seed   uint64
	trace  bool
	random *rand.Rand
	now    time.Time     // since boot, as timers see it
	skew   time.Duration // of the wall clock
	log    *simLog
	blobs  simBlobs

	shard    *shard
	coming   []coming // what will reach the shard or the log
	active   int      // places taken
	pending  []string
	sleeping map[string]time.Time // until when
	slept    int
	reserved int
	faults   bool
	foreign  bool
	crashing bool
	ending   bool // cancels
	crashes  int
	started  int
	replies  map[string]*reply // by command id
	attempts map[string]int    // times a recorded attempt was dispatched
	ids      int
}

// coming is something that happens at `at` or later.
type coming struct {
	at     time.Time
	what   string
	happen func()
	lost   func() // instead of happen, if the process crashes first; may be nil
}

type reply struct {
	stream domain.StreamID
	count  int
	err    error
	out    Outcome
	lost   bool // the process crashed
}

func newSim(t *testing.T, seed uint64) *sim {
	w := &sim{
		t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 2)), now: domaintest.At(0), log: &simLog{streams: map[domain.StreamID][]domain.Recorded{}},
		blobs: simBlobs{}, replies: map[string]*reply{}, attempts: map[string]int{}, faults: seed%4 != 0, foreign: seed%3 == 0, crashing: seed%2 == 0, ending: seed%5 < 2,
	}
	w.boot()
	return w
}

func (w *sim) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed=%d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *sim) tracef(format string, args ...any) {
	if w.trace {
		fmt.Fprintf(os.Stderr, "%s %s\n", w.now.Format("05.000"), fmt.Sprintf(format, args...))
	}
}

func (w *sim) wall() time.Time { return w.now.Add(w.skew) }

func (w *sim) chance(percent int) bool { return w.random.IntN(100) < percent }

// NewID and Jitter make w an IDs.
func (w *sim) NewID() string   { w.ids++; return fmt.Sprintf("id-%d", w.ids) }
func (w *sim) Jitter() float64 { return w.random.Float64() }

// boot starts a process: an empty shard, and every open run in line.
func (w *sim) boot() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	w.crashes++
	w.shard = &shard{
		node: "node-" + strconv.Itoa(w.crashes), limits: Limits{MailboxMax: 2, SleepAfter: 300 * time.Millisecond}.withDefaults(), bed: func() bool { return len(w.sleeping) < simBeds }, compute: domaintest.Compute{},
		ids: w, work: ctx, runs: map[string]*mailbox{}, recent: newRecentRuns(),
	}
	w.coming, w.active, w.pending, w.reserved, w.sleeping = nil, 0, nil, 0, map[string]time.Time{}
	for _, s := range w.log.order {
		if !wire.EndsRun(w.log.last(s).Type) {
			w.wait(strings.TrimPrefix(string(s), RunStreamPrefix), false)
		}
	}
}

func (w *sim) crash() {
	w.tracef("CRASH")
	for _, c := range w.coming {
		if c.lost != nil && w.chance(50) {
			c.lost()
		}
	}
	for _, r := range w.replies {
		r.lost = r.lost || r.count == 0
	}
	w.boot()
}

func (w *sim) later(wait time.Duration, what string, happen, lost func()) {
	w.coming = append(w.coming, coming{at: w.now.Add(max(wait, 0)), what: what, happen: happen, lost: lost})
}

// soon is a short while that no two outcomes share.
func (w *sim) soon() time.Duration { return time.Duration(w.random.IntN(20)) * time.Millisecond }

func (w *sim) run() {
	for range 600 {
		w.act()
		w.check()
	}
	// From here on all is well, and everything must come to its end by itself; after strangers took
	// part only once the runs are taken over.
	w.faults = false
	w.settle()
	if w.foreign {
		w.foreign = false
		w.crash()
		w.settle()
	}
	w.finish()
}

func (w *sim) act() {
	switch n := w.random.IntN(100); {
	case n < 4 && w.started < simRuns:
		w.start()
	case n < 10 && w.ending && len(w.log.order) > 0:
		w.cancel(w.log.order[w.random.IntN(len(w.log.order))])
	case n < 13 && w.foreign && len(w.log.order) > 0:
		w.stranger(w.log.order[w.random.IntN(len(w.log.order))])
	case n == 13 && w.crashing && w.crashes < 4:
		w.crash()
	case n == 14:
		w.skew -= time.Duration(w.random.IntN(3000)) * time.Millisecond
		w.tracef("clock set back")
	case n == 15 && len(w.log.order) > 0 && len(w.pending) < simLine:
		// A scan for unfinished runs that meets one which is at work already.
		if s := w.log.order[w.random.IntN(len(w.log.order))]; !wire.EndsRun(w.log.last(s).Type) {
			w.wait(strings.TrimPrefix(string(s), RunStreamPrefix), false)
		}
	case n < 20 && len(w.log.order) > 0:
		w.ask(w.log.order[w.random.IntN(len(w.log.order))], w.random.IntN(4))
	default:
		w.next()
	}
}

// ask sends a run what somebody outside may.
func (w *sim) ask(stream domain.StreamID, kind int) {
	id := strings.TrimPrefix(string(stream), RunStreamPrefix)
	commandID := "ask:" + w.NewID()
	var c run.Command
	switch kind {
	case 0:
		c = run.Pause{Reason: "test"}
	case 1:
		c = run.Resume{Node: w.shard.node}
	case 2:
		c = run.DecideApproval{Action: []string{run.Approved, run.Rejected}[w.random.IntN(2)], Node: w.shard.node}
	default:
		c = run.Signal{SignalID: commandID, Name: []string{"c", "é\""}[w.random.IntN(2)], Payload: simOutputs[w.random.IntN(len(simOutputs))], Node: w.shard.node}
	}
	w.tracef("%T %s", c, id)
	w.step(inVisit{runID: id, envelope: w.command(id, commandID, c)})
}

// help gives the runs that only wait what they wait for; false if there is none.
func (w *sim) help() bool {
	helped := false
	for _, stream := range w.log.order {
		if wire.EndsRun(w.log.last(stream).Type) {
			continue
		}
		l, err := load(w.t.Context(), w.log, w.blobs, stream, endOfStream)
		if err != nil {
			w.fatalf("%s: %v", stream, err)
		}
		visit := func(c run.Command) {
			helped = true
			id := strings.TrimPrefix(string(stream), RunStreamPrefix)
			w.step(inVisit{runID: id, envelope: w.command(id, "help:"+w.NewID(), c)})
		}
		if l.state.Paused {
			visit(run.Resume{Node: w.shard.node})
			continue
		}
		for _, task := range l.state.Approvals() {
			visit(run.DecideApproval{Task: task, Action: run.Approved, Node: w.shard.node})
			break
		}
		l.state.Channels(func(task, channel string) {
			visit(run.Deliver{Task: task, Channel: channel, MessageID: "0", Payload: simOutputs[1], Node: w.shard.node})
		})
	}
	return helped
}

// next lets one thing happen: any that is due, else the first that will be.
func (w *sim) next() bool {
	if len(w.coming) == 0 {
		return false
	}
	var due []int
	first := 0
	for i, c := range w.coming {
		if !c.at.After(w.now) {
			due = append(due, i)
		}
		if c.at.Before(w.coming[first].at) {
			first = i
		}
	}
	i := first
	if len(due) > 0 {
		i = due[w.random.IntN(len(due))]
	} else {
		w.now = w.coming[first].at
	}
	c := w.coming[i]
	w.coming = slices.Delete(w.coming, i, i+1)
	w.tracef("%s", c.what)
	c.happen()
	return true
}

func (w *sim) settle() {
	for range 20_000 {
		if !w.next() && !w.help() {
			return
		}
		w.check()
	}
	w.fatalf("does not come to rest; %d mailboxes, next: %s", len(w.shard.runs), w.coming[0].what)
}

func (w *sim) step(in input) {
	for _, o := range slices.Clone(w.shard.Step(w.wall(), in)) {
		w.carryOut(o)
	}
}

func (w *sim) carryOut(o output) {
	switch o := o.(type) {
	case outAppend:
		w.append(o)
	case outRepeat:
		w.later(o.after, "repeat "+o.runID, func() { w.step(inRepeat{runID: o.runID, flight: o.flight}) }, nil)
	case outLoad:
		w.later(o.wait+w.soon(), "load "+o.runID, func() { w.load(o) }, nil)
	case outEffect:
		w.effect(o.attempt)
	case outTimer:
		// A long wait comes in pieces.
		wait, over := o.at.Sub(w.wall()), true
		if wait > 500*time.Millisecond && w.chance(20) {
			wait, over = w.soon(), false
		}
		w.later(wait, "timer "+o.runID+" "+o.task, func() {
			w.step(inTimer{runID: o.runID, task: o.task, at: o.at, over: over})
		}, nil)
	case outRetired:
		w.tracef("retired %s %q place=%v waits=%v", o.runID, o.status, o.place, o.waits)
		if o.quarantined != nil {
			w.fatalf("%s quarantined: %v", o.runID, o.quarantined)
		}
		w.retired(o)
	case outPlace:
		if o.held {
			w.reserved--
		} else {
			w.leave()
		}
	}
}

// The five below mirror the places and the line of the executor.
func (w *sim) retired(o outRetired) {
	switch {
	case o.waits:
		w.wait(o.runID, true)
	case o.held:
		w.reserved--
	case o.sleeps:
		w.slept++
		w.sleeping[o.runID] = o.due
		if !o.due.IsZero() {
			w.wake(o.runID, o.due)
		}
	case o.wakes && w.asleep(o.runID):
		delete(w.sleeping, o.runID)
		w.wait(o.runID, false)
	case o.status != "" && w.asleep(o.runID):
		delete(w.sleeping, o.runID)
	case !o.place && o.status != "":
		w.pending = slices.DeleteFunc(w.pending, func(id string) bool { return id == o.runID })
	}
	if o.place {
		w.leave()
	}
}

func (w *sim) asleep(id string) bool {
	_, ok := w.sleeping[id]
	return ok
}

// wake opens a run when it is due by the wall clock, unless it has ended or sleeps for another instant.
func (w *sim) wake(id string, due time.Time) {
	w.later(due.Sub(w.wall()), "wake "+id, func() {
		switch {
		case !w.asleep(id) || !w.sleeping[id].Equal(due):
		case w.wall().Before(due):
			w.wake(id, due)
		default:
			delete(w.sleeping, id)
			w.wait(id, false)
		}
	}, nil)
}

func (w *sim) wait(id string, reserved bool) {
	w.pending = append(w.pending, id)
	if reserved {
		w.reserved--
	}
	if w.active < simPlaces {
		w.active++
		w.leave()
	}
}

func (w *sim) leave() {
	if len(w.pending) == 0 {
		w.active--
		return
	}
	id := w.pending[0]
	w.pending = w.pending[1:]
	w.later(w.soon(), "open "+id, func() { w.step(inOpen{runID: id}) }, nil)
}

func (w *sim) start() {
	w.started++
	id := fmt.Sprintf("r%d", w.started)
	d := simDefinition(int(w.seed)*100 + w.started)
	s := domaintest.Start(w.t, d, `{"q":-0}`)
	s.RunID, s.Node = id, w.shard.node
	switch {
	case w.active < simPlaces:
		w.active++
	case len(w.pending)+w.reserved < simLine:
		w.reserved++
		s.Hold = true
	default:
		return
	}
	w.later(w.soon(), "start "+id, func() { w.step(inStart{runID: id, place: !s.Hold, envelope: w.command(id, "start:"+id, s)}) }, nil)
}

// simDefinition is one of a few hundred graphs.
func simDefinition(n int) workflow.Definition {
	d := rapid.Custom(func(t *rapid.T) workflow.Definition { return domaintest.Definition(t, 6, true) }).Example(n % 300)
	for i := range d.Nodes {
		d.Nodes[i].Params = withoutSecrets(d.Nodes[i].Params)
		if d.Nodes[i].Type == "effect" && (n+i)%3 == 0 {
			d.Nodes[i].Type, d.Nodes[i].Timer = "timer", true
			d.Nodes[i].Params = withMember(d.Nodes[i].Params, "ms", fmt.Sprint(100+300*(n%7)))
		}
		if !d.Nodes[i].Pure {
			d.Nodes[i].Retry = workflow.Retry{Attempts: 1 + n%4, Initial: 50 * time.Millisecond, Factor: 2, Max: time.Second}
		}
	}
	return d
}

func withMember(v domain.Value, key, raw string) domain.Value {
	var o domain.Object
	for _, m := range v.Members() {
		o.Add(m.Key, m.Value)
	}
	o.Add(key, domain.Raw([]byte(raw)))
	return o.Value()
}

// withoutSecrets leaves a payload's secret places null: sessions are not part of this simulation.
func withoutSecrets(v domain.Value) domain.Value { return domain.Raw(v.JSON) }

func (w *sim) cancel(stream domain.StreamID) {
	id := strings.TrimPrefix(string(stream), RunStreamPrefix)
	w.tracef("cancel %s", id)
	w.step(inVisit{runID: id, envelope: w.command(id, "cancel:"+w.NewID(), run.Cancel{Reason: "test"})})
}

// command makes an outside command whose answer is checked.
func (w *sim) command(runID, commandID string, c run.Command) envelope {
	r := &reply{stream: RunStream(runID)}
	w.replies[commandID] = r
	return envelope{command: c, outside: true, cause: wire.Cause{CommandID: commandID}, reply: func(o Outcome, err error) {
		r.count++
		r.out, r.err = o, err
		w.tracef("answer %s: %v", commandID, err)
		w.checkReply(commandID, r)
	}}
}

func (w *sim) checkReply(commandID string, r *reply) {
	if r.count > 1 {
		w.fatalf("%s was answered twice", commandID)
	}
	at := w.log.find(r.stream, commandID)
	switch {
	case r.err == nil && at == nil && r.out.Position == 0: // there was nothing to do
	case r.err == nil && (at == nil || r.out.Revision != at.Revision || r.out.Position < at.Position):
		w.fatalf("%s was answered with revision %d and position %d; the log has %v", commandID, r.out.Revision, r.out.Position, at)
	case r.err != nil && !errors.Is(r.err, domain.ErrIndeterminate) && at != nil:
		w.fatalf("%s was answered with %v and yet is stored", commandID, r.err)
	}
}

// append happens in two steps: the log takes it or not, and the answer comes, or another.
func (w *sim) append(o outAppend) {
	f := o.flight
	write := func() (Appended, error) {
		for _, b := range f.blobs {
			w.blobs.add(b)
		}
		return w.log.append(w, o.stream, f.expected, f.events)
	}
	w.later(w.soon(), "append "+o.runID, func() {
		var appended Appended
		var err error
		switch n := w.random.IntN(100); {
		case !w.faults || n < 60:
			appended, err = write()
		case n < 72:
			err = domain.E(domain.KindUnavailable, "append", o.runID, "refused")
		case n < 80:
			err = domain.E(domain.KindIndeterminate, "append", o.runID, "lost")
		case n < 92:
			if _, err = write(); err == nil {
				err = domain.E(domain.KindIndeterminate, "append", o.runID, "unanswered")
			}
		case n < 96:
			// A log that knows its repeats only within a window, as KurrentDB does.
			if _, err = write(); err == nil {
				err = domain.E(domain.KindConflict, "append", o.runID, "unrecognised repeat")
			}
		default:
			if w.foreign {
				w.stranger(o.stream)
			}
			appended, err = write()
		}
		w.tracef("append %s at %d: %d events: %v", o.runID, f.expected, len(f.events), err)
		w.later(w.soon(), "appended "+o.runID, func() {
			w.step(inAppended{runID: o.runID, flight: f, appended: appended, err: err})
		}, nil)
	}, func() { _, _ = write() })
}

func (w *sim) load(o outLoad) {
	l, err := load(w.t.Context(), w.log, w.blobs, o.stream, o.after)
	if w.faults && w.chance(20) {
		l, err = loaded{}, domain.E(domain.KindUnavailable, "load", o.runID, "refused")
	}
	w.later(w.soon(), "loaded "+o.runID, func() {
		w.step(inLoaded{runID: o.runID, loaded: l, err: err, session: &Session{recorded: map[string]bool{}}})
	}, nil)
}

var simOutputs = []domain.Value{domain.Null(), domain.Raw([]byte("true")), domain.Text("<b>"), domaintest.Big("o")}

func (w *sim) effect(a attempt) {
	task := a.state.Graph.Nodes[a.index].Name
	key := fmt.Sprintf("%s/%s/%d", a.runID, task, a.number)
	if w.attempts[key]++; w.attempts[key] > 1 {
		w.fatalf("attempt %s is handed over twice", key)
	}
	node := w.shard.node
	if by := a.state.Task(a.index).Node; by != node {
		w.fatalf("attempt %s belongs to %s", key, by)
	}
	w.later(10*w.soon(), "result "+key, func() {
		if a.ctx.Err() != nil {
			return
		}
		var c run.Command = run.CompleteTask{Task: task, Attempt: a.number, Output: simOutputs[w.random.IntN(len(simOutputs))], Node: node}
		if w.chance(25) {
			c = run.FailTask{Task: task, Attempt: a.number, Retryable: w.chance(80), Jitter: w.Jitter(), Error: run.ErrorInfo{Type: "E", Code: "C"}}
		}
		w.step(inCommand{runID: a.runID, envelope: envelope{command: c, cause: wire.Cause{CommandID: "result:" + key + node}}})
	}, nil)
}

// stranger is another process that decides something for a run of ours.
func (w *sim) stranger(stream domain.StreamID) {
	l, err := load(w.t.Context(), w.log, w.blobs, stream, endOfStream)
	if err != nil {
		return
	}
	at := l.head.Instant(w.wall())
	var c run.Command
	switch n := w.random.IntN(3); {
	case n == 0:
		c = run.Cancel{At: at, Reason: "elsewhere"}
	case n == 1:
		c = run.Recover{At: at, Node: "stranger"}
	default:
		c = run.Continue{At: at, Node: "stranger"}
		for i := range l.state.Tasks() {
			if l.state.Task(i).Phase == run.TaskRunning {
				c = run.CompleteTask{At: at, Task: l.state.Graph.Nodes[i].Name, Attempt: int(l.state.Task(i).Attempt), Output: domain.Null(), Node: "stranger"}
			}
		}
	}
	d, err := run.Decide(l.state, c, domaintest.Compute{})
	if err != nil || len(d.Events) == 0 {
		return
	}
	for _, b := range d.Blobs {
		w.blobs.add(b)
	}
	events, _ := chain(nil, stream, l.head, at, wire.Cause{CommandID: "stranger:" + w.NewID()}, d.Events)
	_, err = w.log.append(w, stream, l.head.Revision, events)
	w.tracef("stranger %T %s: %v", c, stream, err)
}
