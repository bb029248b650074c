package projections_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/endpoint"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/clock/clocktest"
	"quipu/infra/memory"
	"quipu/projections"
	"quipu/projections/view"
)

// randomRun is one run's events as the decider makes them.
func randomRun(t *rapid.T, id string) []stored {
	h := domaintest.NewHistory()
	start := domaintest.StartOf(t, domaintest.Definition(t, 5, true))
	if _, err := h.Do(t, start); err != nil {
		t.Fatalf("%v", err)
	}
	for i := range rapid.IntRange(0, 25).Draw(t, "commands") {
		_, _ = h.Do(t, domaintest.Command(t, h, start, later(h, i))) // refused ones change nothing
	}
	var out []stored
	for _, f := range h.Facts {
		e := f.Event
		if s, ok := e.(run.Started); ok {
			s.RunID = id
			e = s
		}
		typ, data := wire.EncodeRun(e)
		out = append(out, stored{domain.StreamID("run-" + id), typ, data})
	}
	return out
}

// later is the instant of the i-th command: time never goes back.
func later(h *domaintest.History, i int) time.Time {
	if at := domaintest.At(i * 3000); at.After(h.State.LastAt) {
		return at
	}
	return h.State.LastAt
}

// randomStreams are the events of several streams, each in its order: runs, names, workflows,
// endpoints, and what no version of ours would write.
func randomStreams(t *rapid.T) [][]stored {
	var out [][]stored
	for i := range rapid.IntRange(1, 4).Draw(t, "runs") {
		events := randomRun(t, fmt.Sprintf("r%d", i))
		if rapid.IntRange(0, 4).Draw(t, "damage") == 0 {
			at := rapid.IntRange(0, len(events)-1).Draw(t, "damaged")
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				events[at].data = []byte(`{"cut":`)
			case 1:
				events[at].typ = "run.unknown.v1"
			default:
				events = append(events[:at:at], events[min(at+1, len(events)-1):]...)
			}
		}
		out = append(out, events)
		typ, data := wire.EncodeNameBound(name.Bound{FlowName: "f", RunName: "n", ExecutionID: fmt.Sprintf("r%d", i)})
		out = append(out, []stored{{name.Stream("f", "n"), typ, data}})
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "workflows") {
		id := fmt.Sprintf("w%d", i)
		events := []workflow.StoredEvent{workflow.Created{ID: id, Content: content}}
		for range rapid.IntRange(0, 3).Draw(t, "versions") {
			events = append(events, workflow.Updated{ID: id, Content: renamed})
		}
		if rapid.Bool().Draw(t, "deleted") {
			events = append(events, workflow.Deleted{ID: id})
		}
		var list []stored
		for _, e := range events {
			typ, data := wire.EncodeWorkflow(e)
			list = append(list, stored{workflow.Stream(id), typ, data})
		}
		out = append(out, list)
	}
	typ, data := wire.EncodeEndpointCreated(endpoint.Created{ID: "s-00000000", Slug: "s"})
	return append(out, []stored{{endpoint.Stream("s-00000000"), typ, data}}, []stored{{"odd", "odd", []byte("\xff")}})
}

// interleave writes the streams into one log, in any order that keeps each stream's.
func interleave(t *rapid.T, w *writer, streams [][]stored) {
	for {
		var left []int
		for i := range streams {
			if len(streams[i]) > 0 {
				left = append(left, i)
			}
		}
		if len(left) == 0 {
			return
		}
		i := rapid.SampledFrom(left).Draw(t, "stream")
		n := rapid.IntRange(1, len(streams[i])).Draw(t, "events")
		w.append(streams[i][:n]...)
		streams[i] = streams[i][n:]
	}
}

func newRunner(w *writer, views projections.Generations, o projections.Options) *projections.Runner {
	return projections.NewRunner(views, logFeed{w.log}, clocktest.New(time.Time{}, 1), o)
}

// catchUp steps a runner until it has the whole log.
func catchUp(t testing.TB, r *projections.Runner) {
	t.Helper()
	for range 10_000 {
		caughtUp, err := r.Once(context.Background())
		require.NoError(t, err)
		if caughtUp {
			return
		}
	}
	t.Fatal("never catches up")
}

func current(t testing.TB, views projections.Generations) projections.Store {
	t.Helper()
	store, err := views.Current(context.Background())
	require.NoError(t, err)
	return store
}

// Rows are a function of the log: however it is cut into batches, whenever the process starts anew,
// projected once or twice, live or rebuilt.
func TestProject_RowsDependOnTheLogAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWriter(t)
		interleave(rt, w, randomStreams(rt))
		once := memory.NewViews()
		catchUp(t, newRunner(w, once, projections.Options{BatchEvents: 1000}))
		want := snapshot(t, current(t, once))

		cut := memory.NewViews()
		r := newRunner(w, cut, projections.Options{BatchEvents: rapid.IntRange(1, 9).Draw(rt, "batch")})
		for caughtUp := false; !caughtUp; {
			var err error
			caughtUp, err = r.Once(context.Background())
			require.NoError(rt, err)
			if rapid.IntRange(0, 4).Draw(rt, "restart") == 0 && !caughtUp {
				r = newRunner(w, cut, projections.Options{BatchEvents: rapid.IntRange(1, 9).Draw(rt, "batch")})
			}
		}
		require.Equal(rt, want, snapshot(t, current(t, cut)))

		verified, err := r.Verify(context.Background(), nil)
		require.NoError(rt, err)
		require.True(rt, verified.Compared)
		require.Zero(rt, verified.Differences)
		rebuilt, err := r.Rebuild(context.Background(), func(p projections.Progress) { require.Nil(t, p.Difference) })
		require.NoError(rt, err)
		require.True(rt, rebuilt.Compared)
		require.Equal(rt, want, snapshot(t, current(t, cut)))
		require.EqualValues(rt, len(w.events()), rebuilt.Position)
	})
}

// Every run that the decider makes fits its rows: nothing is parked, and the rows say what the state
// says.
func TestProject_WhatTheDeciderMakesFits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := domaintest.NewHistory()
		start := domaintest.StartOf(rt, domaintest.Definition(rt, 6, true))
		_, err := h.Do(rt, start)
		require.NoError(rt, err)
		for i := range rapid.IntRange(0, 40).Draw(rt, "commands") {
			_, _ = h.Do(rt, domaintest.Command(rt, h, start, later(h, i)))
		}
		w := newWriter(t)
		for _, f := range h.Facts {
			typ, data := wire.EncodeRun(f.Event)
			w.append(stored{"run-r1", typ, data})
		}
		folded := projections.Fold(projections.Known{}, w.events())
		require.Empty(rt, folded.Changes.Parked)
		row := folded.Changes.Executions[0]
		status := h.State.Phase.String()
		if h.State.Paused && !h.State.Phase.Ended() {
			status = "paused"
		}
		require.Equal(rt, status, string(row.Status))
		require.Equal(rt, h.State.Revision, row.LastOffset)
		if definition := h.Facts[0].Event.(run.Started).Definition; len(definition.Holes) == 0 || definition.Holes[0].At != "" {
			require.Equal(rt, h.State.Tasks(), row.Tasks.Total)
		} // else it is in a blob, and tasks are counted as they begin
		byTask := map[string]string{}
		for _, task := range folded.Changes.Tasks {
			byTask[task.Task] = string(task.Status)
		}
		attempts := 0
		for i := range h.State.Tasks() {
			task := h.State.Task(i)
			attempts += int(task.Attempt)
			want := map[run.TaskPhase]string{
				run.TaskRunning: "running", run.TaskTimed: "waiting", run.TaskAwaiting: "waiting", run.TaskBackoff: "retrying", run.TaskCompletedPhase: "completed",
				run.TaskFailedPhase: "failed", run.TaskSkippedPhase: "skipped",
			}[task.Phase]
			if h.State.Phase.Ended() && (want == "running" || want == "waiting" || want == "retrying") {
				want = "cancelled"
			}
			require.Equal(rt, want, byTask[h.State.Graph.Nodes[i].Name])
		}
		require.Equal(rt, attempts, row.Tasks.Attempts)
		pending := []string{}
		for _, a := range folded.Changes.Approvals {
			if a.Status == view.ApprovalPending {
				pending = append(pending, a.Task)
			}
		}
		require.ElementsMatch(rt, h.State.Approvals(), pending)
	})
}
