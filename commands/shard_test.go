package commands

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// A run may go on for days while clients ask for its end and give up, again and again.
func TestShard_ForgetsWhoStoppedWaiting(t *testing.T) {
	w := newSim(t, 4)
	w.step(inStart{runID: "r", place: true, envelope: w.command("r", "start:r", domaintest.Start(t, simDefinition(1), `{}`))})
	m := w.shard.runs["r"]
	for range 3 {
		ended, state := make(chan *run.State, 1), make(chan *run.State, 1)
		w.step(inPeek{runID: "r", state: state, ended: ended})
		require.NotNil(t, <-state)
		require.Len(t, m.waiters, 1)
		w.step(inForget{runID: "r", ended: ended})
		require.Empty(t, m.waiters)
	}
}

// A result that waits behind a cancel must not be dropped as late before the cancel is stored: should
// the log refuse that, nobody would send the result again.
func TestShard_ResultBehindARefusedCancelIsKept(t *testing.T) {
	w := newSim(t, 4)
	var f *flight
	step := func(in input) {
		for _, o := range w.shard.Step(w.wall(), in) {
			if a, ok := o.(outAppend); ok {
				f = a.flight
			}
		}
	}
	d := workflow.Definition{Nodes: []workflow.Node{domaintest.Node("a", "effect", "")}}
	step(inStart{runID: "r", place: true, session: &Session{recorded: map[string]bool{}}, envelope: envelope{command: domaintest.Start(t, d, `{}`)}})
	var refused error
	step(inVisit{runID: "r", envelope: envelope{command: run.Cancel{}, outside: true, reply: func(_ Outcome, err error) { refused = err }}})
	step(inCommand{runID: "r", envelope: envelope{command: run.CompleteTask{Task: "a", Attempt: 1, Output: domain.Null()}}})
	step(inAppended{runID: "r", flight: f})
	require.Len(t, f.parts, 1, "the cancel alone")
	step(inAppended{runID: "r", flight: f, err: domain.E(domain.KindUnavailable, "append", "r", "refused")})
	require.ErrorIs(t, refused, domain.ErrUnavailable)
	step(inAppended{runID: "r", flight: f})
	require.Empty(t, w.shard.runs)
	require.Equal(t, run.PhaseCompleted, w.shard.recent.get("r1").Phase)
}

// What is dropped or answered because of a pause waits until the pause is stored: should the log refuse that,
// nobody would ask for it again.
func TestShard_BehindARefusedPauseNothingIsLost(t *testing.T) {
	w := newSim(t, 4)
	var f *flight
	step := func(in input) {
		for _, o := range w.shard.Step(w.wall(), in) {
			if a, ok := o.(outAppend); ok {
				f = a.flight
			}
		}
	}
	d := workflow.Definition{Nodes: []workflow.Node{domaintest.Node("a", "effect", ""), domaintest.Node("b", "effect", `{"before":{"depends":"a"}}`)}}
	step(inStart{runID: "r", place: true, session: &Session{recorded: map[string]bool{}}, envelope: envelope{command: domaintest.Start(t, d, `{}`)}})
	first := f
	var refused error
	answered := 0
	step(inVisit{runID: "r", envelope: envelope{command: run.Pause{}, outside: true, reply: func(_ Outcome, err error) { refused = err }}})
	step(inVisit{runID: "r", envelope: envelope{command: run.Pause{}, outside: true, reply: func(Outcome, error) { answered++ }}})
	step(inAppended{runID: "r", flight: first})
	require.NotSame(t, first, f)
	require.Zero(t, answered, "it is not paused yet")
	pause := f
	step(inAppended{runID: "r", flight: pause, err: domain.E(domain.KindUnavailable, "append", "r", "refused")})
	require.ErrorIs(t, refused, domain.ErrUnavailable)
	require.NotSame(t, pause, f, "the second pause is tried in its turn")
	step(inAppended{runID: "r", flight: f})
	require.Equal(t, 1, answered)
	require.Empty(t, w.shard.runs, "it sleeps")
}

// A session that goes on after a reload must not be replaced: effects at work seal with it, and a
// second one would hand out the same ids for other secrets.
func TestExecutor_LoadKeepsTheSession(t *testing.T) {
	w := newSim(t, 4)
	stream := RunStream("r")
	s := domaintest.Start(t, simDefinition(1), `{}`)
	s.RunID = "r"
	d, err := run.Decide(run.New(), s, domaintest.Compute{})
	require.NoError(t, err)
	events, _ := chain(nil, stream, wire.NewHead(), s.At, w.shard.cause(w.shard.open("x"), "test", domain.EventID{}), d.Events)
	_, err = w.log.append(w, stream, domain.NoStream, events)
	require.NoError(t, err)
	e := &Executor{deps: Deps{Log: w.log, Blobs: w.blobs}, work: t.Context(), loading: make(chan struct{}, 1)}
	session := &Session{recorded: map[string]bool{}}
	in, ok := e.load(outLoad{runID: "r", stream: stream, after: domain.NoStream, session: session}).(inLoaded)
	require.True(t, ok)
	require.NoError(t, in.err)
	require.Same(t, session, in.session)
}

// A panic while folding one run must not end the process: it would again at each start.
func TestLoad_PanicIsAnError(t *testing.T) {
	_, err := load(t.Context(), panickingLog{}, simBlobs{}, "run-x", endOfStream)
	require.Equal(t, domain.KindInternal, domain.KindOf(err))
	require.NotContains(t, err.Error(), "payload")
}

type panickingLog struct{ Log }

func (panickingLog) ReadStream(context.Context, domain.StreamID, domain.Revision, int) ([]domain.Recorded, error) {
	panic("payload")
}

// Ids longer than decisions reckon with would make an append too large for the log.
func TestCommandID_IsBounded(t *testing.T) {
	long := make([]byte, 600)
	require.LessOrEqual(t, len(commandID("result:", string(long))), 100)
	require.NotEqual(t, commandID("result:", string(long)), commandID("result:", string(long[1:])))
	require.Equal(t, "retry:a", commandID("retry:", "a"))
}
