package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/eventbus"
	"quipu/infra/clock"
	"quipu/infra/memory"
)

// world is an executor over memory adapters; a second one over the same stores is a restart.
type world struct {
	log   *memory.Log
	blobs *memory.Blobs
	vault *memory.Vault
	// between, if set, is called before the first event of a run is appended.
	between func()
	// through, if set, wraps the log that executors see.
	through func(commands.Log) commands.Log
	// quarantined, if set, is told of runs put aside.
	quarantined func(error)
	clock       commands.Clock // the system's unless set
	delta       func(commands.Delta)
	awaits      func(runID, task, channel string, over bool)
	snapshots   commands.Snapshots
}

func newWorld() *world {
	return &world{log: memory.NewLog(), blobs: memory.NewBlobs(), vault: memory.NewVault(), clock: clock.System{}}
}

// start runs an executor until the test ends or stop is called.
func (w *world) start(t *testing.T, limits commands.Limits, types ...node.Type) (e *commands.Executor, stop func()) {
	t.Helper()
	return w.startNode(t, "", nil, limits, types...)
}

// startNode is start for one of several nodes.
func (w *world) startNode(t *testing.T, name string, members commands.Members, limits commands.Limits, types ...node.Type) (e *commands.Executor, stop func()) {
	t.Helper()
	registry, err := node.NewRegistry(types...)
	require.NoError(t, err)
	effects := eventbus.NewEffects(64, nil)
	var log commands.Log = w.log
	var tails commands.Tails = w.log
	if w.between != nil {
		log = interrupted{Log: w.log, before: w.between}
	}
	if w.through != nil {
		log, tails = w.through(log), nil // found by a scan, which meets the faults
	}
	e = commands.NewExecutor(commands.Deps{
		Node: name, Members: members, Snapshots: w.snapshots,
		Log: log, Tails: tails, Blobs: w.blobs, Secrets: commands.Secrets{Vault: w.vault, Blobs: w.blobs}, Effects: effects,
		Registry: registry, Compute: commands.Compute{Registry: registry, Blobs: w.blobs},
		Clock: w.clock, IDs: clock.System{},
		Hooks: commands.Hooks{Delta: w.delta, Awaits: w.awaits, Quarantined: func(_ domain.StreamID, err error) {
			if w.quarantined != nil {
				w.quarantined(err)
			}
		}},
	}, limits)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	select {
	case <-e.Ready():
	case err := <-ended:
		t.Fatalf("executor ended at start: %v", err)
	}
	var once bool
	stop = func() {
		if !once {
			once = true
			cancel()
			require.NoError(t, <-ended)
			effects.Wait()
		}
	}
	t.Cleanup(stop)
	return e, stop
}

// effectFunc is a node type whose attempts call f.
func effectFunc(name string, f func(context.Context, node.Call) (node.Reply, error)) node.Type {
	return node.Type{Name: name, Kind: node.Effect, Run: f}
}

func noop(name string) node.Type {
	return effectFunc(name, func(context.Context, node.Call) (node.Reply, error) {
		return node.Reply{Output: json.RawMessage(`{"ok":true}`)}, nil
	})
}

func chainOf(n int, typ string) workflow.Definition {
	var d workflow.Definition
	for i := range n {
		params := `{}`
		if i > 0 {
			params = fmt.Sprintf(`{"before":{"depends":"t%d"}}`, i-1)
		}
		d.Nodes = append(d.Nodes, workflow.Node{Name: fmt.Sprintf("t%d", i), Type: typ, Params: domain.Raw([]byte(params)), Retry: workflow.Retry{Attempts: 1}})
	}
	return d
}

func request(runName string, d workflow.Definition) commands.StartRequest {
	return commands.StartRequest{
		Source: "lao", FlowName: "flow", RunName: runName, Definition: d, Input: []byte(`{}`),
		Actor: wire.Actor{Kind: wire.ActorAnonymous, Via: "test"},
	}
}

func (w *world) types(t *testing.T, runID string) []string {
	t.Helper()
	page, err := w.log.ReadStream(t.Context(), commands.RunStream(runID), 0, 500)
	require.NoError(t, err)
	out := make([]string, len(page))
	for i, r := range page {
		out[i] = wire.CanonicalName(r.Type)
	}
	return out
}

func TestExecutor_FiveSteps(t *testing.T) {
	w := newWorld()
	e, _ := w.start(t, commands.Limits{}, noop("noop"))
	out, err := e.StartRun(t.Context(), request("r", chainOf(5, "noop")))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase)
	require.Equal(t, []string{
		"started", "task_started",
		"task_completed", "task_started", "task_completed", "task_started",
		"task_completed", "task_started", "task_completed", "task_started",
		"task_completed", "completed",
	}, w.types(t, out.RunID))
}

func TestExecutor_FailureEndsTheRun(t *testing.T) {
	w := newWorld()
	e, _ := w.start(t, commands.Limits{}, effectFunc("bad", func(context.Context, node.Call) (node.Reply, error) {
		return node.Reply{}, node.Failf("DataValidationError", "VALIDATION_FAILED", false, "1,247 records failed")
	}))
	out, err := e.StartRun(t.Context(), request("r", chainOf(2, "bad")))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseFailed, s.Phase)
	require.Equal(t, "VALIDATION_FAILED", s.Error.Code)
	require.Equal(t, []string{"started", "task_started", "task_failed", "failed"}, w.types(t, out.RunID))
}

func TestExecutor_RetriesThenPanicIsFinal(t *testing.T) {
	w := newWorld()
	e, _ := w.start(t, commands.Limits{}, effectFunc("flaky", func(_ context.Context, c node.Call) (node.Reply, error) {
		if c.Attempt == 1 {
			return node.Reply{}, node.Failf("HTTPError", "HTTP_503", true, "try later")
		}
		panic("secret internal detail")
	}))
	d := chainOf(1, "flaky")
	d.Nodes[0].Retry = workflow.Retry{Attempts: 3, Initial: time.Millisecond, Factor: 1, Max: time.Millisecond}
	out, err := e.StartRun(t.Context(), request("r", d))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, "PANIC", s.Error.Code)
	require.NotContains(t, s.Error.Message, "secret internal detail")
	require.Equal(t, []string{"started", "task_started", "task_retry_scheduled", "task_attempt_started", "task_failed", "failed"}, w.types(t, out.RunID))
}

func TestExecutor_NameTakenWhileUnfinishedThenFree(t *testing.T) {
	w := newWorld()
	release := make(chan struct{})
	e, _ := w.start(t, commands.Limits{}, effectFunc("hold", func(ctx context.Context, _ node.Call) (node.Reply, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return node.Reply{Output: json.RawMessage(`1`)}, ctx.Err()
	}))
	first, err := e.StartRun(t.Context(), request("same", chainOf(1, "hold")))
	require.NoError(t, err)
	_, err = e.StartRun(t.Context(), request("same", chainOf(1, "hold")))
	require.ErrorIs(t, err, domain.ErrRefused)
	require.ErrorContains(t, err, first.RunID)
	close(release)
	_, err = e.Await(t.Context(), first.RunID, 10*time.Second)
	require.NoError(t, err)
	_, err = e.StartRun(t.Context(), request("same", chainOf(1, "hold")))
	require.NoError(t, err)
}

func TestExecutor_CancelStopsRunningEffects(t *testing.T) {
	w := newWorld()
	stopped := make(chan struct{})
	e, _ := w.start(t, commands.Limits{}, effectFunc("hold", func(ctx context.Context, _ node.Call) (node.Reply, error) {
		<-ctx.Done()
		close(stopped)
		return node.Reply{}, ctx.Err()
	}))
	out, err := e.StartRun(t.Context(), request("r", chainOf(1, "hold")))
	require.NoError(t, err)
	_, err = e.Cancel(t.Context(), out.RunID, "by test", wire.Actor{Kind: wire.ActorAnonymous})
	require.NoError(t, err)
	<-stopped
	require.Equal(t, []string{"started", "task_started", "cancelled"}, w.types(t, out.RunID))
	_, err = e.Cancel(t.Context(), out.RunID, "again", wire.Actor{})
	require.ErrorIs(t, err, domain.ErrRefused)
}

func TestExecutor_RestartRunsStartedTasksAgainUnderTheSameKey(t *testing.T) {
	w := newWorld()
	keys := make(chan string, 10)
	began := make(chan struct{}, 1)
	_, stop := func() (*commands.Executor, func()) {
		e, stop := w.start(t, commands.Limits{}, effectFunc("work", func(ctx context.Context, c node.Call) (node.Reply, error) {
			keys <- c.Key
			began <- struct{}{}
			<-ctx.Done()
			return node.Reply{}, ctx.Err()
		}))
		_, err := e.StartRun(t.Context(), request("r", chainOf(2, "work")))
		require.NoError(t, err)
		return e, stop
	}()
	<-began
	stop()
	e2, _ := w.start(t, commands.Limits{}, effectFunc("work", func(_ context.Context, c node.Call) (node.Reply, error) {
		keys <- c.Key
		return node.Reply{Output: json.RawMessage(`1`)}, nil
	}))
	page, err := w.log.ReadAll(t.Context(), 0, 10)
	require.NoError(t, err)
	id := string(page[1].Stream)[len(commands.RunStreamPrefix):]
	s, err := e2.Await(t.Context(), id, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase)
	require.Equal(t, []string{"started", "task_started", "task_attempt_started", "task_completed", "task_started", "task_completed", "completed"}, w.types(t, id))
	require.Equal(t, <-keys, <-keys)
}

func TestExecutor_StartsBeyondTheLimitWait(t *testing.T) {
	w := newWorld()
	release := make(chan struct{})
	e, _ := w.start(t, commands.Limits{ActiveRunsMax: 2, PendingRunsMax: 3}, effectFunc("hold", func(ctx context.Context, _ node.Call) (node.Reply, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return node.Reply{Output: json.RawMessage(`1`)}, ctx.Err()
	}))
	var ids []string
	for i := range 5 {
		out, err := e.StartRun(t.Context(), request(fmt.Sprint("r", i), chainOf(1, "hold")))
		require.NoError(t, err)
		ids = append(ids, out.RunID)
	}
	_, err := e.StartRun(t.Context(), request("r5", chainOf(1, "hold")))
	require.ErrorIs(t, err, domain.ErrExhausted)
	require.Equal(t, []string{"started"}, w.types(t, ids[4]))
	close(release)
	for _, id := range ids {
		require.Eventually(t, func() bool {
			s, err := e.Await(t.Context(), id, 5*time.Second)
			return err == nil && s.Phase == run.PhaseCompleted
		}, time.Minute, time.Millisecond)
	}
	require.Eventually(t, func() bool { return e.Counts() == commands.Counts{} }, time.Minute, time.Millisecond)
}

func TestExecutor_SecretsFlowButNeverLand(t *testing.T) {
	const key = "sk-prod-planted-secret-0001"
	w := newWorld()
	seen := make(chan string, 3)
	e, _ := w.start(t, commands.Limits{}, effectFunc("call", func(_ context.Context, c node.Call) (node.Reply, error) {
		seen <- string(c.Params)
		if c.Task == "t1" {
			f := node.Failf("HTTPError", "HTTP_401", false, "bad key %s", key)
			f.Said = strings.Repeat("é", 95) + " " + key + " is not known here" // reaches over the bound
			return node.Reply{}, f
		}
		return node.Reply{Output: json.RawMessage(`{"echo":"Bearer ` + key + `"}`)}, nil
	}))
	d := chainOf(2, "call")
	d.Nodes[0].Params = domain.Raw([]byte(`{"config":{"api_key":"` + key + `"}}`))
	out, err := e.StartRun(t.Context(), request("r", d))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseFailed, s.Phase)
	require.Regexp(t, `^bad key \*\*\*[0-9a-f]{8}: é{95} \*\*\*[0-9a-f]{3}…$`, s.Error.Message)
	require.Contains(t, <-seen, key)
	require.Contains(t, <-seen, "Bearer "+key)
	all, err := w.log.ReadAll(t.Context(), 0, 100)
	require.NoError(t, err)
	for _, r := range all {
		require.NotContains(t, string(r.Data), key[:6], "revision %d %s", r.Revision, r.Type)
	}
}

func TestExecutor_WideFanOutSpansAppends(t *testing.T) {
	w := newWorld()
	e, _ := w.start(t, commands.Limits{}, noop("noop"))
	d := chainOf(1, "noop")
	for i := range 1500 {
		d.Nodes = append(d.Nodes, workflow.Node{Name: fmt.Sprint("w", i), Type: "noop", Params: domain.Raw([]byte(`{"x":{"depends":"t0"}}`)), Retry: workflow.Retry{Attempts: 1}})
	}
	d.Nodes = append(d.Nodes, workflow.Node{Name: "end", Type: "noop", Params: domain.Raw([]byte(`{"x":{"depends":"w1499"}}`))})
	for i := range 1500 {
		d.Edges = append(d.Edges, workflow.Edge{Source: fmt.Sprint("w", i), Target: "end"})
	}
	out, err := e.StartRun(t.Context(), request("r", d))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 60*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase)
}

func BenchmarkExecutor_FiveNoops(b *testing.B) {
	w := newWorld()
	registry, _ := node.NewRegistry(noop("bench_noop"))
	e := commands.NewExecutor(commands.Deps{
		Log: w.log, Blobs: w.blobs, Secrets: commands.Secrets{Vault: w.vault, Blobs: w.blobs}, Effects: eventbus.NewEffects(256, nil),
		Registry: registry, Compute: commands.Compute{Registry: registry, Blobs: w.blobs}, Clock: clock.System{}, IDs: clock.System{},
	}, commands.Limits{})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() { _ = e.Run(ctx) }()
	<-e.Ready()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			out, err := e.StartRun(ctx, request(clock.System{}.NewID(), chainOf(5, "bench_noop")))
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := e.Await(ctx, out.RunID, 10*time.Second); err != nil {
				b.Error(err)
			}
		}
	})
}

func TestExecutor_DrainLetsRunningEffectsEndAndBeRecorded(t *testing.T) {
	w := newWorld()
	began, release := make(chan struct{}), make(chan struct{})
	e, stop := w.start(t, commands.Limits{}, effectFunc("work", func(ctx context.Context, _ node.Call) (node.Reply, error) {
		began <- struct{}{}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return node.Reply{Output: json.RawMessage(`1`)}, ctx.Err()
	}))
	out, err := e.StartRun(t.Context(), request("r", chainOf(2, "work")))
	require.NoError(t, err)
	<-began
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, e.Drain(over)) // from here on no effect starts
	close(release)
	require.NoError(t, e.Drain(t.Context()))
	stop()
	// The second task's start is on record; it runs after the next start.
	require.Equal(t, []string{"started", "task_started", "task_completed", "task_started"}, w.types(t, out.RunID))
}

// A recovery that takes several appends must restart every task, not only those of the first.
func TestExecutor_RestartRecoversMoreTasksThanOneAppendHolds(t *testing.T) {
	const tasks = 900
	w := newWorld()
	began := make(chan struct{}, tasks)
	typ := func(f func(context.Context) error) node.Type {
		n := effectFunc("call", func(ctx context.Context, _ node.Call) (node.Reply, error) {
			return node.Reply{Output: json.RawMessage(`1`)}, f(ctx)
		})
		n.Calls = node.CallsTool
		return n
	}
	var d workflow.Definition
	for i := range tasks {
		d.Nodes = append(d.Nodes, workflow.Node{Name: fmt.Sprint("t", i), Type: "call", Calls: "tool", Params: domain.Raw([]byte(`{}`)), Retry: workflow.Retry{Attempts: 1}})
	}
	e, stop := w.start(t, commands.Limits{}, typ(func(ctx context.Context) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}))
	out, err := e.StartRun(t.Context(), request("r", d))
	require.NoError(t, err)
	<-began
	require.Eventually(t, func() bool {
		s, err := e.State(t.Context(), out.RunID)
		return err == nil && s.Active() == tasks
	}, time.Minute, time.Millisecond)
	stop()
	e, _ = w.start(t, commands.Limits{}, typ(func(context.Context) error { return nil }))
	s, err := e.Await(t.Context(), out.RunID, 30*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase)
}

func TestExecutor_NoneMayWait(t *testing.T) {
	w := newWorld()
	release := make(chan struct{})
	e, _ := w.start(t, commands.Limits{ActiveRunsMax: 1, PendingRunsMax: -1}, effectFunc("hold", func(ctx context.Context, _ node.Call) (node.Reply, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return node.Reply{Output: json.RawMessage(`1`)}, ctx.Err()
	}))
	_, err := e.StartRun(t.Context(), request("r1", chainOf(1, "hold")))
	require.NoError(t, err)
	_, err = e.StartRun(t.Context(), request("r2", chainOf(1, "hold")))
	require.ErrorIs(t, err, domain.ErrExhausted)
	close(release)
}
