package commands

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// The shards of three nodes on one goroutine, which share one run: appends, loads, results, timers, the feed
// and the news about nodes reach each of them in seeded order, while the run changes hands, nodes die and
// new ones come. No node begins an attempt twice; in the end the run has ended and no node remembers it.
func TestShardNodes_Simulation(t *testing.T) {
	moved := 0
	for i := range *simSeeds * 2 {
		moved += simulateNodes(t, *simFirst+uint64(i))
	}
	if moved == 0 {
		t.Fatal("the run never changed hands")
	}
}

type simTown struct {
	*sim
	t      *testing.T
	nodes  []*simTownNode
	owner  string
	alive  []string
	calm   bool
	count  int
	begun  map[string]bool // attempts by node
	moved  int
	asking int
}

type simTownNode struct {
	w      *simTown
	name   string
	shard  *shard
	todo   []func()
	owner  string // as it knows
	alive  []string
	fed    int
	known  bool // the feed or the scan had the run
	asleep bool
}

func simulateNodes(t *testing.T, seed uint64) int {
	w := &simTown{sim: newSim(t, 4), t: t, begun: map[string]bool{}}
	w.random = rand.New(rand.NewPCG(seed, 7))
	w.trace = *simTrace
	for range 3 {
		w.join()
	}
	w.owner = w.nodes[0].name
	for _, n := range w.nodes {
		n.owner, n.alive = w.owner, w.alive
	}
	d := workflow.Definition{Nodes: []workflow.Node{
		domaintest.Node("t0", "effect", ""), domaintest.Node("t1", "effect", `{"before":{"depends":"t0"}}`),
		domaintest.Node("ask0", "approval", `{"before":{"depends":"t0"}}`), domaintest.Node("t2", "effect", `{"before":{"depends":"ask0"}}`),
		domaintest.Node("ask1", "approval", `{"before":{"depends":"t2"}}`), domaintest.Node("t3", "effect", `{"before":{"depends":"ask1"}}`),
	}}
	s := domaintest.Start(t, d, `{}`)
	n := w.nodes[w.random.IntN(3)]
	s.RunID, s.Node, s.Hold = "r", n.name, n.owner != n.name
	n.step(inStart{runID: "r", place: !s.Hold, session: &Session{recorded: map[string]bool{}}, envelope: envelope{command: s, cause: wire.Cause{CommandID: "start:r"}}})
	for range 400 {
		w.some()
	}
	w.calm = true
	w.settle()
	stream := RunStream("r")
	if w.log.head(stream) < 0 {
		return 0 // its node died first
	}
	if !wire.EndsRun(w.log.last(stream).Type) {
		var what []string
		for _, r := range w.log.streams[stream] {
			what = append(what, r.Type)
		}
		t.Fatalf("seed %d: the run stands still: owner %s, alive %v: %v", seed, w.owner, w.alive, what)
	}
	for _, n := range w.nodes {
		if len(n.shard.runs)+len(n.shard.known) > 0 || n.asleep {
			t.Fatalf("seed %d: %s keeps something: %v %v", seed, n.name, n.shard.known, n.asleep)
		}
	}
	return w.moved
}

func (w *simTown) join() {
	w.count++
	n := &simTownNode{w: w, name: fmt.Sprintf("n%d", w.count)}
	w.alive = append(slices.Clone(w.alive), n.name)
	slices.Sort(w.alive)
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	n.owner, n.alive = w.owner, w.alive
	n.shard = &shard{
		node: n.name, limits: Limits{SleepAfter: time.Millisecond}.withDefaults(), bed: func() bool { return w.chance(80) }, compute: domaintest.Compute{},
		ids: w, work: ctx, runs: map[string]*mailbox{}, recent: newRecentRuns(),
		alive: n.alive, known: map[string]domain.Revision{}, owns: func(string) bool { return n.owner == n.name },
	}
	w.nodes = append(w.nodes, n)
	stream := RunStream("r")
	n.fed = len(w.log.streams[stream])
	if n.fed > 0 && !wire.EndsRun(w.log.last(stream).Type) {
		n.known = true
		n.admit()
	}
}

// some is one thing that happens.
func (w *simTown) some() {
	n := w.nodes[w.random.IntN(len(w.nodes))]
	switch k := w.random.IntN(100); {
	case k < 50:
		n.work()
	case k < 75:
		n.feed()
	case k < 83:
		n.learn()
	case k < 88:
		w.owner = w.nodes[w.random.IntN(len(w.nodes))].name
		w.moved++
	case k < 89 && w.count < 8:
		w.die(n)
	case k < 91:
		n.step(inNodes{alive: n.alive, look: true})
	default:
		w.command(n)
	}
}

// die ends a node; another one comes.
func (w *simTown) die(n *simTownNode) {
	w.nodes = slices.DeleteFunc(w.nodes, func(o *simTownNode) bool { return o == n })
	w.alive = slices.DeleteFunc(slices.Clone(w.alive), func(o string) bool { return o == n.name })
	if w.owner == n.name {
		w.owner = w.nodes[0].name
	}
	w.join()
}

// command sends a node something that may or may not change the run.
func (w *simTown) command(n *simTownNode) {
	var c run.Command = run.DecideApproval{Task: fmt.Sprint("ask", w.random.IntN(2)), Action: run.Approved, Node: n.name}
	switch w.random.IntN(6) {
	case 0:
		c = run.Pause{}
	case 1:
		c = run.Resume{Node: n.name}
	}
	w.asking++
	n.step(inVisit{runID: "r", envelope: envelope{command: c, outside: true, cause: wire.Cause{CommandID: fmt.Sprint("ask:", w.asking)}, reply: func(Outcome, error) {}}})
}

// settle lets everything come to its end.
func (w *simTown) settle() {
	for range 60 {
		for _, n := range slices.Clone(w.nodes) {
			n.learn()
			for range 50 {
				n.feed()
				n.work()
			}
			n.step(inNodes{alive: n.alive, look: true})
		}
		// Approvals and the end of a pause come in anywhere, and only once for each state of the run.
		stream := RunStream("r")
		if w.log.head(stream) < 0 {
			continue
		}
		l, err := load(w.t.Context(), w.log, w.blobs, stream, endOfStream)
		if err != nil {
			w.fatalf("%v", err)
		}
		n := w.nodes[w.random.IntN(len(w.nodes))]
		switch waiting := l.state.Approvals(); {
		case l.state.Phase.Ended():
		case l.state.Paused:
			n.step(inVisit{runID: "r", envelope: envelope{command: run.Resume{Node: n.name}, outside: true}})
		case len(waiting) > 0:
			n.step(inVisit{runID: "r", envelope: envelope{command: run.DecideApproval{Task: waiting[0], Action: run.Approved, Node: n.name}, outside: true}})
		}
	}
}

// work carries out one of the things that the node is at, now and then out of order.
func (n *simTownNode) work() {
	if len(n.todo) == 0 {
		return
	}
	i := n.w.random.IntN(len(n.todo))
	f := n.todo[i]
	n.todo = slices.Delete(n.todo, i, i+1)
	f()
}

func (n *simTownNode) learn() {
	was := n.owner == n.name
	gone := slices.ContainsFunc(n.alive, func(o string) bool { return !slices.Contains(n.w.alive, o) })
	n.owner, n.alive = n.w.owner, n.w.alive
	n.step(inNodes{alive: n.alive, gone: gone})
	switch is := n.owner == n.name; {
	case !n.known || is == was:
	case is:
		n.step(inOwn{runID: "r"})
	default:
		n.step(inDisown{runID: "r"})
	}
}

func (n *simTownNode) feed() {
	events := n.w.log.streams[RunStream("r")]
	if n.fed == len(events) {
		return
	}
	r := &events[n.fed]
	n.fed++
	one := seen{runID: "r", revision: r.Revision, over: wire.EndsRun(r.Type), mine: n.owner == n.name}
	n.known = !one.over
	if r.Revision == 0 && !one.mine {
		n.step(inDisown{runID: "r"})
	}
	if one.mine || one.over {
		n.step(inSeen{events: []seen{one}})
	}
}

func (n *simTownNode) admit() {
	n.todo = append(n.todo, func() {
		if n.owner == n.name {
			n.todo = append(n.todo, func() { n.step(inOpen{runID: "r"}) })
		}
	})
}

// tell prints what reaches the shard.
func (n *simTownNode) tell(in input) {
	what := ""
	switch in := in.(type) {
	case inSeen:
		what = fmt.Sprintf("%+v", in)
	case inNodes:
		what = fmt.Sprintf("%+v", in)
	}
	n.w.tracef("%s %T %s known=%v asleep=%v owner=%s log=%d", n.name, in, what, n.shard.known, n.asleep, n.owner, n.w.log.head(RunStream("r")))
	if m := n.shard.runs["r"]; m != nil {
		n.w.tracef("  place=%v leaving=%v loading=%v flight=%v seen=%d head=%d over=%v", m.place, m.leaving, m.loading, m.flight != nil, m.seen, m.head.Revision, m.over)
	}
}

func (n *simTownNode) step(in input) {
	if n.w.trace {
		n.tell(in)
	}
	for _, o := range slices.Clone(n.shard.Step(n.w.wall(), in)) {
		n.carryOut(o)
	}
}

func (n *simTownNode) carryOut(o output) {
	w := n.w
	w.tracef("    -> %T", o)
	later := func(f func()) { n.todo = append(n.todo, f) }
	switch o := o.(type) {
	case outAppend:
		later(func() { n.append(o) })
	case outRepeat:
		later(func() { n.step(inRepeat{runID: o.runID, flight: o.flight}) })
	case outLoad:
		later(func() {
			l, err := load(w.t.Context(), w.log, w.blobs, o.stream, o.after)
			if !w.calm && w.chance(10) {
				l, err = loaded{}, domain.E(domain.KindUnavailable, "load", o.runID, "away")
			}
			later(func() {
				n.step(inLoaded{runID: o.runID, loaded: l, err: err, session: &Session{recorded: map[string]bool{}}})
			})
		})
	case outEffect:
		n.effect(o.attempt)
	case outTimer:
		w.fatalf("nothing here waits for an instant")
	case outRetired:
		n.retired(o)
	case outWake:
		n.asleep = false
		n.admit()
	case outDropped:
		n.asleep = false
	}
}

func (n *simTownNode) retired(o outRetired) {
	if o.quarantined != nil {
		n.w.fatalf("put aside: %v", o.quarantined)
	}
	switch {
	case o.waits:
		n.admit()
	case o.sleeps:
		n.asleep = true
	case o.wakes && n.asleep:
		n.asleep = false
		n.admit()
	case o.status != "":
		n.asleep = false
	}
}

func (n *simTownNode) append(o outAppend) {
	w := n.w
	write := func() (Appended, error) { return w.log.append(w.sim, o.stream, o.flight.expected, o.flight.events) }
	var at Appended
	var err error
	switch k := w.random.IntN(100); {
	case w.calm || k < 70:
		at, err = write()
	case k < 80:
		err = domain.E(domain.KindUnavailable, "append", o.runID, "refused")
	case k < 90:
		if _, err = write(); err == nil {
			err = domain.E(domain.KindIndeterminate, "append", o.runID, "unanswered")
		}
	default:
		if _, err = write(); err == nil {
			err = domain.E(domain.KindConflict, "append", o.runID, "unrecognised repeat")
		}
	}
	n.todo = append(n.todo, func() { n.step(inAppended{runID: o.runID, flight: o.flight, appended: at, err: err}) })
}

func (n *simTownNode) effect(a attempt) {
	task := a.state.Graph.Nodes[a.index].Name
	key := fmt.Sprintf("%s/%d", task, a.number)
	if n.w.begun[key] {
		n.w.fatalf("attempt %s is begun twice", key)
	}
	n.w.begun[key] = true
	n.todo = append(n.todo, func() {
		if a.ctx.Err() == nil {
			n.step(inCommand{runID: "r", envelope: envelope{
				command: run.CompleteTask{Task: task, Attempt: a.number, Output: domain.Null(), Node: n.name}, cause: wire.Cause{CommandID: "result:" + key + n.name},
			}})
		}
	})
}
