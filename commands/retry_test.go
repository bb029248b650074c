package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// counter is a node type that counts its calls by task and fails where it is told to.
type counter struct {
	mu     sync.Mutex
	calls  []string
	params []string
	fails  map[string]bool
	output string
}

func (c *counter) typ() node.Type {
	return effectFunc("count", func(_ context.Context, call node.Call) (node.Reply, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.calls = append(c.calls, call.Task)
		c.params = append(c.params, string(call.Params))
		if c.fails[call.Task] {
			return node.Reply{}, node.Failf("HTTPError", "HTTP_400", false, "not today")
		}
		return node.Reply{Output: json.RawMessage(strings.ReplaceAll(c.output, "TASK", call.Task))}, nil
	})
}

func (c *counter) mend(task string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fails, task)
}

func (c *counter) called() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

func retry(id string, from ...string) commands.RetryRequest {
	return commands.RetryRequest{RunID: id, From: from, BodySHA256: "b", Actor: somebody.Actor}
}

// C.4: a retry goes on where the run failed; what completed is taken over whole, secrets and large
// values included, and nobody is called twice for it.
func TestC4_RetryGoesOnFromTheFailure(t *testing.T) {
	const secret = "sk-echoed-by-the-far-side-5"
	large := strings.Repeat("é", 100_000)
	w := newWorld()
	c := &counter{fails: map[string]bool{"c": true}, output: `{"of":"TASK","api_key":"` + secret + `","large":"` + large + `"}`}
	d := openDesk(t, w, commands.Limits{}, c.typ())
	g := graph([]string{
		nodeOf("a", "count", `{"name":"a"}`), nodeOf("b", "count", `{"name":"b","key":"{{ nodes.a.api_key }}"}`),
		nodeOf("if", "conditional", `{"condition_expression":"nodes.b.of == 'b'"}`), nodeOf("never", "count", `{"name":"never"}`),
		nodeOf("c", "count", `{"name":"c","key":"{{ nodes.b.api_key }}","large":"{{ nodes.a.large }}"}`), nodeOf("e", "end", `{}`),
	}, "in>a", "a>b", "b>if", "if>c:true", "if>never:false", "c>e", "never>e")
	id := d.run(t, g, `{"n":1e2,"password":"hunter2-hunter2"}`)
	failed := d.over(t, id, run.PhaseFailed)
	require.Equal(t, []string{"a", "b", "c"}, c.called())
	_, err := d.executor.RetryRun(t.Context(), retry(id, "nobody"))
	require.Equal(t, "NODE_UNKNOWN", codeOf(err))
	require.ErrorContains(t, err, "a, b, c, e, if, in, never")

	before := len(w.events(t, id))
	again, err := d.executor.RetryRun(t.Context(), retry(id))
	require.NoError(t, err)
	require.NotEqual(t, id, again.RunID)
	d.over(t, again.RunID, run.PhaseFailed)
	require.Equal(t, []string{"a", "b", "c", "c"}, c.called(), "it fails again, and can be retried again")
	c.mend("c")
	third, err := d.executor.RetryRun(t.Context(), retry(again.RunID))
	require.NoError(t, err)
	s := d.over(t, third.RunID, run.PhaseCompleted)
	require.Equal(t, []string{"a", "b", "c", "c", "c"}, c.called())
	require.Contains(t, c.params[4], secret, "the real value")
	require.Contains(t, c.params[4], large)
	require.Equal(t, c.params[2], c.params[4])
	for _, task := range []string{"in", "a", "b", "if"} {
		require.Equal(t, w.open(t, id, d.task(t, failed, task).Output), w.open(t, third.RunID, d.task(t, s, task).Output), task)
	}
	require.Equal(t, run.TaskSkippedPhase, d.task(t, s, "never").Phase)
	require.Equal(t, 4, d.count(t, third.RunID, "task_reused"))

	first, last := d.started(t, id), d.started(t, third.RunID)
	require.Equal(t, again.RunID, last.RetryOf)
	require.Equal(t, id, d.started(t, again.RunID).RetryOf)
	require.Empty(t, first.RetryOf)
	require.Equal(t, []any{first.WorkflowID, first.WorkflowVersion, first.Source, first.Endpoint}, []any{last.WorkflowID, last.WorkflowVersion, last.Source, last.Endpoint})
	require.Equal(t, w.open(t, id, first.Definition), w.open(t, third.RunID, last.Definition))
	require.Equal(t, w.open(t, id, first.Input), w.open(t, third.RunID, last.Input))
	require.Len(t, w.events(t, id), before, "nothing of the old one is changed")
	w.nowhere(t, secret)
	w.nowhere(t, "hunter2-hunter2")

	// A completed run is done again from where one says.
	_, err = d.executor.RetryRun(t.Context(), retry(third.RunID))
	require.ErrorIs(t, err, domain.ErrRefused)
	require.Equal(t, "NOTHING_TO_RETRY", codeOf(err))
	from, err := d.executor.RetryRun(t.Context(), retry(third.RunID, "b"))
	require.NoError(t, err)
	d.over(t, from.RunID, run.PhaseCompleted)
	require.Equal(t, []string{"a", "b", "c", "c", "c", "b", "c"}, c.called())
	require.Equal(t, 2, d.count(t, from.RunID, "task_reused"))
	_, err = d.executor.RetryRun(t.Context(), retry("none"))
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// What people decided stays decided; a run that was cancelled while it waited waits again.
func TestC4_RetryOfACancelledRun(t *testing.T) {
	c := &counter{output: `1`}
	d := openDesk(t, newWorld(), commands.Limits{}, c.typ())
	id := d.run(t, graph([]string{asked, nodeOf("a", "count", `{}`), nodeOf("again", "approval", `{"description":"sure?"}`), nodeOf("e", "end", `{}`)},
		"in>ask", "ask>a", "a>again", "again>e"), `{"sum":1}`)
	d.until(t, id, "approval_requested", 1)
	_, err := d.executor.RetryRun(t.Context(), retry(id))
	require.Equal(t, "RUN_NOT_ENDED", codeOf(err))
	decideIt(t, d, id, "", run.Approved)
	d.until(t, id, "approval_requested", 2)
	_, err = d.executor.Cancel(t.Context(), id, "", somebody.Actor)
	require.NoError(t, err)
	out, err := d.executor.RetryRun(t.Context(), retry(id))
	require.NoError(t, err)
	d.until(t, out.RunID, "approval_requested", 1)
	decideIt(t, d, out.RunID, "again", run.Approved)
	s := d.over(t, out.RunID, run.PhaseCompleted)
	require.Equal(t, []string{"a"}, c.called())
	require.Contains(t, d.output(t, s, "ask"), `"comment":"as agreed"`)
}

// The retry of a run of LAO's takes its name over, once that is free.
func TestC4_RetryTakesTheNameOver(t *testing.T) {
	w := newWorld()
	c := &counter{fails: map[string]bool{"t1": true}, output: `1`}
	d := openDesk(t, w, commands.Limits{}, c.typ(), pause())
	out, err := d.executor.StartRun(t.Context(), request("r", chainOf(3, "count")))
	require.NoError(t, err)
	d.over(t, out.RunID, run.PhaseFailed)
	holder, err := d.executor.StartRun(t.Context(), request("r", workflow.Definition{Nodes: []workflow.Node{{Name: "w", Type: "pause", Params: domain.Raw([]byte(`{"for":"1h"}`))}}}))
	require.NoError(t, err)
	_, err = d.executor.RetryRun(t.Context(), retry(out.RunID))
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "RUN_NAME_TAKEN", e.Code)
	require.Equal(t, holder.RunID, e.Details["execution_id"])
	_, err = d.executor.Cancel(t.Context(), holder.RunID, "", somebody.Actor)
	require.NoError(t, err)
	c.mend("t1")
	again, err := d.executor.RetryRun(t.Context(), retry(out.RunID))
	require.NoError(t, err)
	d.over(t, again.RunID, run.PhaseCompleted)
	require.Equal(t, []string{"t0", "t1", "t1", "t2"}, c.called())
	page, err := w.log.ReadStreamBackward(t.Context(), name.Stream("flow", "r"), 1<<62-1, 1)
	require.NoError(t, err)
	require.Contains(t, string(page[0].Data), again.RunID)
	require.Equal(t, "r", d.started(t, again.RunID).RunName)
}

// A process that ends while a retry begins takes over no less and calls nobody twice.
func TestC4_RetryOutlivesTheProcess(t *testing.T) {
	const tasks = 300
	w := newWorld()
	c := &counter{fails: map[string]bool{"last": true}, output: `"` + strings.Repeat("x", 4000) + `"`}
	d := openDesk(t, w, commands.Limits{}, c.typ())
	def := chainOf(1, "count")
	for i := range tasks {
		def.Nodes = append(def.Nodes, workflow.Node{Name: fmt.Sprint("w", i), Type: "count", Params: domain.Raw([]byte(`{"x":{"depends":"t0"}}`)), Retry: workflow.Retry{Attempts: 1}})
		def.Edges = append(def.Edges, workflow.Edge{Source: fmt.Sprint("w", i), Target: "last"})
	}
	def.Nodes = append(def.Nodes, workflow.Node{Name: "last", Type: "count", Params: domain.Raw([]byte(`{}`)), Retry: workflow.Retry{Attempts: 1}})
	out, err := d.executor.StartRun(t.Context(), request("r", def))
	require.NoError(t, err)
	d.over(t, out.RunID, run.PhaseFailed)
	require.Len(t, c.called(), tasks+2)
	c.mend("last")
	again, err := d.executor.RetryRun(t.Context(), retry(out.RunID))
	require.NoError(t, err)
	d.stop() // many appends are still to come
	d = openDesk(t, w, commands.Limits{}, c.typ())
	d.over(t, again.RunID, run.PhaseCompleted)
	calls := c.called()
	for _, extra := range calls[tasks+2:] {
		require.Equal(t, "last", extra)
	}
	require.LessOrEqual(t, len(calls), tasks+4, "an attempt that was cut off is made again")
	require.Equal(t, tasks+1, w.reused(t, again.RunID))
}

// reused counts what a retry took over.
func (w *world) reused(t *testing.T, runID string) (n int) {
	t.Helper()
	for _, e := range w.events(t, runID) {
		if _, ok := e.(run.TaskReused); ok {
			n++
		}
	}
	return n
}

// D20: of many equal retries under one key one run comes; another body is refused.
func TestD20_RetryOnce(t *testing.T) {
	w := newWorld()
	c := &counter{fails: map[string]bool{"t1": true}, output: `1`}
	d := openDesk(t, w, commands.Limits{}, c.typ())
	out, err := d.executor.StartRun(t.Context(), request("r", chainOf(2, "count")))
	require.NoError(t, err)
	d.over(t, out.RunID, run.PhaseFailed)
	c.mend("t1")
	q := retry(out.RunID)
	q.ID = "0192f0c1-7c1e-8000-8000-000000000001"
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			got, err := d.executor.RetryRun(t.Context(), q)
			require.NoError(t, err)
			require.Equal(t, q.ID, got.RunID)
			require.NotZero(t, got.Position)
		})
	}
	wg.Wait()
	d.over(t, q.ID, run.PhaseCompleted)
	d.stop()
	d = openDesk(t, w, commands.Limits{}, c.typ())
	again, err := d.executor.RetryRun(t.Context(), q)
	require.NoError(t, err)
	require.True(t, again.Repeated)
	require.Equal(t, []string{"t0", "t1", "t1"}, c.called())
	q.BodySHA256 = "other"
	_, err = d.executor.RetryRun(t.Context(), q)
	require.Equal(t, "IDEMPOTENCY_KEY_REUSED", codeOf(err))
}
