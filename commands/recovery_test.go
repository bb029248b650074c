package commands_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// A run that one way of looking does not find would never be carried on; one whose wait it does not
// see would take a place from those with work to do.
func TestExecutor_OpenRunsByTailsEqualTheScan(t *testing.T) {
	w := newWorld()
	release := make(chan struct{})
	e, stop := w.start(t, commands.Limits{}, noop("noop"), pause(), held(release), effectFunc("flaky", func(context.Context, node.Call) (node.Reply, error) {
		return node.Reply{}, node.Failf("HTTPError", "HTTP_503", true, "try later")
	}))
	start := func(name string, d workflow.Definition) string {
		t.Helper()
		out, err := e.StartRun(t.Context(), request(name, d))
		require.NoError(t, err)
		return out.RunID
	}
	var want []string
	waits := map[string]bool{}
	retried := chainOf(1, "flaky")
	retried.Nodes[0].Retry = workflow.Retry{Attempts: 2, Initial: time.Hour, Factor: 1, Max: time.Hour}
	beside := workflow.Definition{Nodes: []workflow.Node{
		{Name: "wait", Type: "pause", Params: domain.Raw([]byte(`{"for":"10m"}`))}, chainOf(1, "noop").Nodes[0],
	}}
	for i := range 4 {
		id := start(fmt.Sprint("ended", i), chainOf(2, "noop"))
		_, err := e.Await(t.Context(), id, 10*time.Second)
		require.NoError(t, err)
		for j, d := range []workflow.Definition{pausing("1h"), chainOf(1, "hold"), retried, beside} {
			id := start(fmt.Sprint("open", i, j), d)
			want = append(want, id)
			waits[id] = j != 1
		}
	}
	eventually(t, e, commands.Counts{Active: 4, Sleeping: 12})
	cancelled := want[len(want)-1]
	want = want[:len(want)-1]
	_, err := e.Cancel(t.Context(), cancelled, "", wire.Actor{})
	require.NoError(t, err)
	typ, data := wire.EncodeRun(run.Abandoned{RunID: "lost"})
	p, _ := wire.Seal(commands.RunStream("lost"), wire.NewHead(), w.clock.Now(), wire.Cause{}, typ, data)
	_, err = w.log.Append(t.Context(), commands.RunStream("lost"), domain.NoStream, []domain.Pending{p})
	require.NoError(t, err)
	typ, data = wire.EncodeNameBound(name.Bound{FlowName: "f", RunName: "r", ExecutionID: "never"})
	p, _ = wire.Seal(name.Stream("f", "r"), wire.NewHead(), w.clock.Now(), wire.Cause{}, typ, data)
	_, err = w.log.Append(t.Context(), name.Stream("f", "r"), domain.NoStream, []domain.Pending{p})
	require.NoError(t, err)
	stop()

	scanned, err := commands.OpenRuns(t.Context(), commands.Deps{Log: w.log, Clock: w.clock})
	require.NoError(t, err)
	tailed, err := commands.OpenRuns(t.Context(), commands.Deps{Log: w.log, Tails: w.log, Clock: w.clock})
	require.NoError(t, err)
	require.Equal(t, scanned, tailed)
	for i, r := range tailed {
		require.Equal(t, want[i], r.ID)
		require.Equal(t, waits[r.ID], r.Due > 0, "%s", w.types(t, r.ID))
	}
	require.Len(t, tailed, len(want))
}

// A start waits for a log that is not there yet, however it looks for runs.
func TestExecutor_OpenRunsWaitsForTheLog(t *testing.T) {
	w := newWorld()
	id := "waiting"
	typ, data := wire.EncodeRun(run.Started{RunID: id})
	p, _ := wire.Seal(commands.RunStream(id), wire.NewHead(), w.clock.Now(), wire.Cause{}, typ, data)
	_, err := w.log.Append(t.Context(), commands.RunStream(id), domain.NoStream, []domain.Pending{p})
	require.NoError(t, err)
	late := &lateTails{Tails: w.log, refuse: 3}
	found, err := commands.OpenRuns(t.Context(), commands.Deps{Log: w.log, Tails: late, Clock: w.clock})
	require.NoError(t, err)
	require.Equal(t, []commands.OpenRun{{ID: id}}, found)
	require.Zero(t, late.refuse)

	ctx, cancel := context.WithCancel(t.Context())
	late.refuse, late.refused = 1000, cancel
	_, err = commands.OpenRuns(ctx, commands.Deps{Log: w.log, Tails: late, Clock: w.clock})
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

type lateTails struct {
	commands.Tails
	refuse  int
	refused func()
}

func (l *lateTails) StreamsByLast(ctx context.Context, prefix string, keep func(string) bool) ([]domain.StreamID, error) {
	if l.refuse > 0 {
		l.refuse--
		if l.refused != nil {
			l.refused()
		}
		return nil, domain.E(domain.KindUnavailable, "list streams of", "log", "is not there yet")
	}
	return l.Tails.StreamsByLast(ctx, prefix, keep)
}
