package run_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// finish drives a run to its end, completing what runs in random order. History checks order,
// gating, parallelism and bounds at every step.
func finish(t *rapid.T, h *domaintest.History) {
	for !h.State.Phase.Ended() {
		at := h.State.LastAt.Add(time.Millisecond)
		running := h.Running()
		var c run.Command
		awaiting := h.Awaiting()
		switch {
		case h.State.Paused:
			c = run.Resume{At: at, Node: "n1"}
		case h.State.HasReady() || h.State.Active() == 0:
			c = run.Continue{At: at, Node: "n1"}
		case len(running) > 0:
			i := running[rapid.IntRange(0, len(running)-1).Draw(t, "next")]
			c = run.CompleteTask{
				At: at, Task: h.State.Graph.Nodes[i].Name, Attempt: int(h.State.Task(i).Attempt),
				Output: domaintest.Output(t), Details: domain.Raw([]byte(`{}`)), Node: "n1",
			}
		case len(awaiting) > 0 && rapid.Bool().Draw(t, "comes"):
			c = answer(t, h, awaiting, at)
		default:
			c = due(t, h, at)
		}
		d, err := h.Do(t, c)
		if err != nil || len(d.Events) == 0 {
			t.Fatalf("%T gave %d events, %v", c, len(d.Events), err)
		}
	}
}

// answer is what one of the tasks that wait for it wait for.
func answer(t *rapid.T, h *domaintest.History, awaiting []int, at time.Time) run.Command {
	i := awaiting[rapid.IntRange(0, len(awaiting)-1).Draw(t, "awaiting")]
	name, channel := h.State.Graph.Nodes[i].Name, h.State.Task(i).Channel
	switch {
	case channel == "":
		return run.DecideApproval{At: at, Task: name, Action: run.Approved, Node: "n1"}
	case rapid.Bool().Draw(t, "by signal"):
		return run.Signal{At: at, SignalID: "finish " + name + strconv.Itoa(int(h.State.Revision)), Name: channel, Payload: domaintest.Output(t), Node: "n1"}
	}
	return run.Deliver{At: at, Task: name, Channel: channel, MessageID: "1", Payload: domaintest.Output(t), Node: "n1"}
}

// due is the command for one of the tasks that wait, at its instant or later.
func due(t *rapid.T, h *domaintest.History, at time.Time) run.Command {
	waiting := append(h.BackingOff(), h.Timed()...)
	until, ok := h.State.WaitsUntil()
	if !ok {
		t.Fatalf("nothing runs, %d tasks wait, and yet the run does not say until when", len(waiting))
	}
	for _, i := range waiting {
		if h.State.Task(i).DueAt.Before(until) {
			t.Fatalf("task %d goes on at %s, the run says %s", i, h.State.Task(i).DueAt, until)
		}
	}
	if awaiting := h.Awaiting(); len(waiting) == 0 {
		if len(awaiting) == 0 || !until.IsZero() && h.State.Task(awaiting[0]).DueAt.IsZero() && len(awaiting) == 1 {
			t.Fatalf("%d tasks wait for a message, the run says until %s", len(awaiting), until)
		}
		return answer(t, h, awaiting, at)
	}
	i := waiting[rapid.IntRange(0, len(waiting)-1).Draw(t, "waiting")]
	if due := h.State.Task(i).DueAt; due.After(at) {
		at = due
	}
	if h.State.Task(i).Phase == run.TaskTimed {
		return run.FireTimer{At: at, Task: h.State.Graph.Nodes[i].Name, Node: "n1"}
	}
	return run.StartAttempt{At: at, Task: h.State.Graph.Nodes[i].Name, Node: "n1"}
}

// Whatever the graph and the order of results, a run without failures completes: every task once,
// after its predecessors, as early as possible.
func TestRun_RandomGraphsComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := domaintest.NewHistory()
		if _, err := h.Do(t, domaintest.StartOf(t, domaintest.Definition(t, 12, false))); err != nil {
			t.Fatal(err)
		}
		finish(t, h)
		if h.State.Phase != run.PhaseCompleted {
			t.Fatalf("ended as %s", h.State.Phase)
		}
	})
}

// Random commands in any order, many of them nonsense, late or doubled.
func TestRun_RandomScriptsKeepTheInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := domaintest.NewHistory()
		start := domaintest.StartOf(t, domaintest.Definition(t, 8, true))
		at := domaintest.At(0)
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			at = at.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "pause")) * time.Millisecond)
			if h.State.LastAt.After(at) {
				at = h.State.LastAt
			}
			step(t, h, domaintest.Command(t, h, start, at))
		}
		cuts(t, h)
		if h.State.Phase == run.Running {
			finish(t, h)
		}
	})
}

// step does a command twice: the second time must change nothing.
func step(t *rapid.T, h *domaintest.History, c run.Command) {
	ended := h.State.Phase.Ended()
	first, err := h.Do(t, c)
	if ended && err == nil && len(first.Events) > 0 {
		t.Fatalf("%T changed a finished run", c)
	}
	if err != nil || first.More || h.State.HasReady() {
		return // refused, or there is more to do
	}
	again, err := h.Do(t, c)
	if err == nil && len(again.Events) > 0 {
		t.Fatalf("the same %T again gave %v", c, domaintest.DescribeAll(again.Events))
	}
}

// cuts folds the history in two parts at every place.
func cuts(t *rapid.T, h *domaintest.History) {
	for cut := range len(h.Facts) + 1 {
		front, err := run.Fold(run.New(), h.Facts[:cut]...)
		if err != nil {
			t.Fatalf("cut %d: %v", cut, err)
		}
		whole, err := run.Fold(front, h.Facts[cut:]...)
		if err != nil {
			t.Fatalf("cut %d: %v", cut, err)
		}
		if diff := domaintest.DiffStates(h.State, whole); diff != "" {
			t.Fatalf("cut %d (-decided +folded):\n%s", cut, diff)
		}
	}
}

// A state that was handed out never changes, whatever is decided or folded from it later.
func TestState_IsAValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := domaintest.NewHistory()
		start := domaintest.StartOf(t, domaintest.Definition(t, 16, false))
		start.Hold = false
		_, err := h.Do(t, start)
		require.NoError(t, err)
		kept, n := h.State, len(h.Facts)
		finish(t, h)
		again, err := run.Fold(run.New(), h.Facts[:n]...)
		require.NoError(t, err)
		if diff := domaintest.DiffStates(again, kept); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Two decisions from one state, as after a conflict, must not write into each other.
func TestState_BranchesDoNotShare(t *testing.T) {
	var d workflow.Definition
	for i := range 350 {
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint("t", i), "effect", ""))
	}
	for i := range 20 {
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint("after", i), "effect", fmt.Sprintf(`{"x":{"depends":"t%d"}}`, i)))
	}
	h := domaintest.Given(t, domaintest.Start(t, d, `{}`), complete(1, "t19", 1, "1")).H
	var kept []run.Decision
	for i := range 19 {
		dec, err := run.Decide(h.State, complete(2, fmt.Sprint("t", i), 1, "1"), domaintest.Compute{})
		require.NoError(t, err)
		kept = append(kept, dec)
	}
	for _, dec := range kept {
		facts := make([]run.Fact, len(dec.Events))
		for i, e := range dec.Events {
			facts[i] = run.Fact{Revision: h.State.Revision + 1 + domain.Revision(i), At: domaintest.At(2), Event: e}
		}
		// From the beginning, since a fold of h.State could repair what it shares.
		again, err := run.Fold(run.New(), append(slices.Clone(h.Facts), facts...)...)
		require.NoError(t, err)
		require.Empty(t, domaintest.DiffStates(dec.Next, again))
	}
}
