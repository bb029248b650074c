package commands

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// pair is the shard of node a beside a node b that the test plays. What the shard asks for is carried out
// when the test says so, in any order.
type pair struct {
	*sim
	owner string // of every run
	beds  bool
	fedTo int
	out   []output
}

func newPair(t *testing.T) *pair {
	w := &pair{sim: newSim(t, 4), owner: "a", beds: true}
	w.shard.node, w.shard.alive, w.shard.known = "a", []string{"a", "b"}, map[string]domain.Revision{}
	w.shard.owns = func(string) bool { return w.owner == "a" }
	w.shard.bed = func() bool { return w.beds }
	return w
}

func (w *pair) step(in input) { w.out = append(w.out, w.shard.Step(w.wall(), in)...) }

func asked[O output](w *pair) (n int) {
	for _, o := range w.out {
		if _, ok := o.(O); ok {
			n++
		}
	}
	return n
}

// next takes the first output of a kind.
func next[O output](w *pair) (o O) {
	w.t.Helper()
	i := slices.IndexFunc(w.out, func(o output) bool { _, ok := o.(O); return ok })
	require.GreaterOrEqual(w.t, i, 0, "no %T", o)
	o, _ = w.out[i].(O)
	w.out = slices.Delete(w.out, i, i+1)
	return o
}

// store carries out an append; its outcome is err if that is not nil.
func (w *pair) store(err error) {
	w.t.Helper()
	o := next[outAppend](w)
	at, failed := w.log.append(w.sim, o.stream, o.flight.expected, o.flight.events)
	if err == nil {
		err = failed
	}
	w.step(inAppended{runID: o.runID, flight: o.flight, appended: at, err: err})
}

// load carries out a load.
func (w *pair) load() {
	w.t.Helper()
	o := next[outLoad](w)
	l, err := load(w.t.Context(), w.log, w.blobs, o.stream, o.after)
	w.step(inLoaded{runID: o.runID, loaded: l, err: err, session: &Session{recorded: map[string]bool{}}})
}

// elsewhere is what node b decides, held unless it begins something.
func (w *pair) elsewhere(commandID string, c run.Command, hold bool) {
	w.t.Helper()
	stream, l := RunStream("r"), loaded{state: run.New(), head: wire.NewHead()}
	if w.log.head(stream) >= 0 {
		var err error
		l, err = load(w.t.Context(), w.log, w.blobs, stream, endOfStream)
		require.NoError(w.t, err)
	}
	at := l.head.Instant(w.wall())
	c = stamp(c, at)
	if hold {
		c = stampHeld(c, at, true)
	}
	d, err := run.Decide(l.state, c, domaintest.Compute{})
	require.NoError(w.t, err)
	events, _ := chain(nil, stream, l.head, at, wire.Cause{CommandID: commandID}, d.Events)
	_, err = w.log.append(w.sim, stream, l.head.Revision, events)
	require.NoError(w.t, err)
}

// feed hands on what has come into the log since the last time.
func (w *pair) feed() {
	events := w.log.streams[RunStream("r")]
	in := inSeen{}
	for _, r := range events[w.fedTo:] {
		one := seen{runID: "r", revision: r.Revision, over: wire.EndsRun(r.Type), mine: w.owner == "a"}
		if one.mine || one.over {
			in.events = append(in.events, one)
		}
	}
	w.fedTo = len(events)
	w.step(in)
}

func (w *pair) begin(d workflow.Definition) run.Start {
	s := domaintest.Start(w.t, d, `{}`)
	s.RunID, s.Node = "r", "a"
	return s
}

func (w *pair) visit(commandID string, c run.Command) *reply {
	r := &reply{}
	w.step(inVisit{runID: "r", envelope: envelope{command: c, outside: true, cause: wire.Cause{CommandID: commandID}, reply: func(o Outcome, err error) {
		r.count++
		r.out, r.err = o, err
	}}})
	return r
}

// started is a run with a place that waits for a decision or has an attempt running, and that the feed
// has brought.
func (w *pair) started(d workflow.Definition) {
	w.t.Helper()
	w.step(inStart{runID: "r", place: true, session: &Session{recorded: map[string]bool{}}, envelope: envelope{command: w.begin(d), cause: wire.Cause{CommandID: "start:r"}}})
	w.store(nil)
	w.feed()
}

func approvals(n int) workflow.Definition {
	d := workflow.Definition{}
	for i := range n {
		params := ""
		if i > 0 {
			params = `{"before":{"depends":"ask` + string(rune('0'+i-1)) + `"}}`
		}
		d.Nodes = append(d.Nodes, domaintest.Node("ask"+string(rune('0'+i)), "approval", params))
	}
	return d
}

func effects(n int) workflow.Definition {
	d := workflow.Definition{}
	for i := range n {
		params := ""
		if i > 0 {
			params = `{"before":{"depends":"t` + string(rune('0'+i-1)) + `"}}`
		}
		d.Nodes = append(d.Nodes, domaintest.Node("t"+string(rune('0'+i)), "effect", params))
	}
	return d
}

var approve = run.DecideApproval{Task: "ask0", Action: run.Approved, Approver: "me", Node: "b"}

// What another node did to a run that sleeps here is found by the feed while a command, which changes
// nothing, has the run in memory: it has to be woken all the same.
func TestShardNodes_NewsDuringAVisitWakes(t *testing.T) {
	for name, failure := range map[string]error{"loaded": nil, "unreadable": domain.E(domain.KindUnavailable, "load", "r", "away")} {
		t.Run(name, func(t *testing.T) {
			w := newPair(t)
			w.started(approvals(2))
			require.True(t, next[outRetired](w).sleeps)
			w.elsewhere("decide", approve, true)
			answer := w.visit("again", approve)
			w.feed()
			require.Zero(t, asked[outWake](w))
			if failure != nil {
				w.step(inLoaded{runID: "r", err: failure})
			} else {
				w.load()
			}
			require.Error(t, answer.err)
			next[outWake](w)
			w.step(inOpen{runID: "r"})
			w.load()
			w.store(nil)
			require.Equal(t, wire.RunApprovalRequested, w.log.last(RunStream("r")).Type)
			require.Zero(t, asked[outWake](w))
		})
	}
}

// A start that was stored held by another node is met by a command before the feed brings it.
func TestShardNodes_NewRunDuringAVisitWakes(t *testing.T) {
	w := newPair(t)
	s := w.begin(approvals(1))
	s.Hold = true
	w.elsewhere("start:r", s, false)
	answer := w.visit("early", approve)
	w.feed()
	w.load()
	require.ErrorIs(t, answer.err, domain.ErrRefused)
	next[outWake](w)
	require.Zero(t, asked[outWake](w), "once is enough")
}

// The feed may bring an append before its writer knows.
func TestShardNodes_NewRunWithItsOwnAppendWakes(t *testing.T) {
	w := newPair(t)
	s := w.begin(approvals(1))
	s.Hold = true
	w.elsewhere("start:r", s, false)
	answer := w.visit("pause", run.Pause{})
	w.load()
	o := next[outAppend](w)
	at, err := w.log.append(w.sim, o.stream, o.flight.expected, o.flight.events)
	require.NoError(t, err)
	w.feed()
	w.step(inAppended{runID: "r", flight: o.flight, appended: at})
	require.Equal(t, 1, answer.count)
	next[outWake](w)
}

// A place that comes for a run which has become another node's is given back, also while the run is in
// memory for a command.
func TestShardNodes_PlaceOfAnothersRunIsGivenBack(t *testing.T) {
	w := newPair(t)
	w.started(approvals(1))
	next[outRetired](w)
	w.visit("again", approve)
	w.owner = "b"
	w.step(inDisown{runID: "r"})
	w.step(inOpen{runID: "r"})
	next[outPlace](w)
	require.False(t, w.shard.runs["r"].place)
	w.load()
	w.store(nil)
	require.Empty(t, w.shard.runs)
	require.Empty(t, w.shard.known)
}

// An attempt of an append whose outcome was not known is carried out, though the run was given away before
// it became known: nobody else does.
func TestShardNodes_AttemptFoundAfterGivingAwayRuns(t *testing.T) {
	w := newPair(t)
	w.step(inStart{runID: "r", place: true, session: &Session{recorded: map[string]bool{}}, envelope: envelope{command: w.begin(effects(2)), cause: wire.Cause{CommandID: "start:r"}}})
	w.store(domain.E(domain.KindIndeterminate, "append", "r", "lost"))
	o := next[outRepeat](w)
	w.step(inRepeat{runID: "r", flight: o.flight})
	w.store(domain.E(domain.KindConflict, "append", "r", "unrecognised repeat"))
	w.owner = "b"
	w.step(inDisown{runID: "r"})
	w.load()
	require.Equal(t, 1, next[outEffect](w).attempt.number)
	w.step(inCommand{runID: "r", envelope: envelope{command: run.CompleteTask{Task: "t0", Attempt: 1, Output: domain.Null(), Node: "a"}}})
	w.store(nil)
	require.Equal(t, wire.RunTaskCompleted, w.log.last(RunStream("r")).Type, "what comes next is the owner's")
	require.Empty(t, w.shard.runs)
}

// A node that is taken for dead goes on for a while: what it begins after that, and leaves behind when it
// does end, is begun anew.
func TestShardNodes_AttemptOfANodeThatIsGoneIsFoundLater(t *testing.T) {
	w := newPair(t)
	w.started(effects(2))
	next[outEffect](w)
	w.step(inNodes{alive: []string{"a"}, gone: true})
	w.elsewhere("late", run.CompleteTask{Task: "t0", Attempt: 1, Output: domain.Null(), Node: "b"}, false)
	w.feed()
	w.load()
	require.Zero(t, asked[outAppend](w), "b may be new, and not known here yet")
	w.step(inNodes{alive: []string{"a"}, look: true})
	require.Zero(t, asked[outAppend](w))
	w.step(inNodes{alive: []string{"a"}, look: true})
	w.store(nil)
	require.Equal(t, 2, next[outEffect](w).attempt.number)
	w.step(inNodes{alive: []string{"a"}, look: true})
	w.step(inNodes{alive: []string{"a"}, look: true})
	require.Zero(t, asked[outAppend](w))
}

// Two nodes are sent different starts under one key at one moment: one of them is refused.
func TestShardNodes_StartUnderAnothersKeyIsRefused(t *testing.T) {
	for body, refused := range map[string]bool{"mine": false, "other": true} {
		w := newPair(t)
		s := w.begin(effects(1))
		s.BodySHA256 = body
		other := s
		other.Node, other.Hold = "b", true
		w.elsewhere("start:r", other, false)
		s.BodySHA256 = "mine"
		var answer *reply
		w.step(inStart{runID: "r", place: true, envelope: envelope{command: s, outside: true, cause: wire.Cause{CommandID: "start:r"}, reply: func(o Outcome, err error) {
			answer = &reply{out: o, err: err}
		}}})
		w.store(nil)
		w.load()
		if refused {
			require.ErrorIs(t, answer.err, domain.ErrUnprocessable)
		} else {
			require.NoError(t, answer.err)
		}
	}
}

// A command that is repeated while it still waits is carried out once.
func TestShardNodes_RepeatInTheSameAppendIsOne(t *testing.T) {
	w := newPair(t)
	w.beds, w.shard.limits.MailboxMax = false, 8
	w.started(approvals(2))
	w.visit("other", run.Pause{})
	c := approve
	c.Task = ""
	id := keyPrefix + strings.Repeat("ab", 32) + ":body"
	w.visit("on", run.Resume{Node: "a"})
	one, two := w.visit(id, c), w.visit(id, c)
	for asked[outAppend](w) > 0 {
		w.store(nil)
	}
	require.NoError(t, one.err)
	require.NoError(t, two.err)
	require.True(t, two.out.Repeated)
	require.Equal(t, []string{"ask1"}, w.shard.runs["r"].state.Approvals())
}

// While a run that was given away is in memory to finish an attempt, what it is like is asked of the log;
// its end elsewhere cuts the attempt off.
func TestShardNodes_GivenAwayIsNotShown(t *testing.T) {
	w := newPair(t)
	w.started(effects(2))
	a := next[outEffect](w).attempt
	w.owner = "b"
	w.step(inDisown{runID: "r"})
	state := make(chan *run.State, 1)
	w.step(inPeek{runID: "r", state: state})
	require.Nil(t, <-state)
	w.elsewhere("cancel", run.Cancel{}, false)
	require.NoError(t, a.ctx.Err())
	w.feed()
	w.load()
	require.Error(t, a.ctx.Err())
	require.Empty(t, w.shard.runs)
	require.Empty(t, w.shard.known)
}

// What came while a run was another node's was not brought here: it is read before the run goes on.
func TestShardNodes_TakenBackIsReadAgain(t *testing.T) {
	w := newPair(t)
	w.started(approvals(2))
	next[outRetired](w)
	w.owner = "b"
	w.step(inDisown{runID: "r"})
	w.visit("pause", run.Pause{})
	w.load()
	o := next[outAppend](w)
	w.elsewhere("decide", approve, true)
	w.feed()
	w.owner = "a"
	w.step(inOwn{runID: "r"})
	next[outWake](w)
	w.step(inOpen{runID: "r"})
	w.step(inAppended{runID: "r", flight: o.flight, err: domain.E(domain.KindUnavailable, "append", "r", "away")})
	w.load()
	w.store(nil)
	require.Equal(t, wire.RunApprovalRequested, w.log.last(RunStream("r")).Type)
}

// A read that shows less than is known is of a server that is behind: nothing is begun again over it.
func TestShardNodes_OlderReadIsNotBelieved(t *testing.T) {
	w := newPair(t)
	w.started(effects(2))
	next[outEffect](w)
	stream := RunStream("r")
	all := w.log.streams[stream]
	w.elsewhere("pause", run.Pause{}, false)
	w.feed()
	all, w.log.streams[stream] = w.log.streams[stream], all[:1]
	w.load()
	w.log.streams[stream] = all
	w.load()
	require.Zero(t, asked[outEffect](w))
	require.True(t, w.shard.runs["r"].state.Paused)
}

// Who waits for events is told of a wait's end wherever that was decided.
func TestShardNodes_WaitEndedElsewhereIsTold(t *testing.T) {
	w := newPair(t)
	w.beds = false
	w.started(workflow.Definition{Nodes: []workflow.Node{
		domaintest.Node("hear", "event", `{"config":{"channel":"c"},"channel":"c"}`), domaintest.Node("t", "effect", `{"before":{"depends":"hear"}}`),
	}})
	told := next[outAwaits](w)
	require.Equal(t, "hear", told.task)
	w.elsewhere("signal", run.Signal{SignalID: "1", Name: told.channel, Payload: domain.Null(), Node: "b"}, true)
	w.feed()
	w.load()
	require.Equal(t, outAwaits{runID: "r", task: "hear", channel: told.channel, over: true}, next[outAwaits](w))
}

// A run that ended elsewhere while a command had it in memory leaves nothing behind here.
func TestShardNodes_EndDuringAVisitIsDropped(t *testing.T) {
	w := newPair(t)
	w.started(approvals(1))
	require.True(t, next[outRetired](w).sleeps)
	w.visit("again", approve)
	w.elsewhere("cancel", run.Cancel{}, false)
	w.feed()
	w.load()
	require.Equal(t, "r", next[outDropped](w).runID)
	require.Empty(t, w.shard.known)
}
