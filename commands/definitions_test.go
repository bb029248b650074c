package commands_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/definition"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/clock"
)

var somebody = commands.By{Actor: wire.Actor{Kind: wire.ActorAnonymous, Via: "test"}}

// library is the definitions of a world with the real node types, and an executor that runs them.
type library struct {
	*commands.Definitions
	world    *world
	executor *commands.Executor
	registry *node.Registry
}

func newLibrary(t *testing.T, w *world) *library {
	t.Helper()
	types := nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient, Now: clock.System{}.Now})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	e, _ := w.start(t, commands.Limits{}, types...)
	registry, err := node.NewRegistry(types...)
	require.NoError(t, err)
	l := &library{world: w, executor: e, registry: registry}
	l.Definitions = l.other(w.log)
	return l
}

// other is the same on another node, or over another log.
func (l *library) other(log commands.Log) *commands.Definitions {
	return commands.NewDefinitions(commands.DefinitionDeps{
		Log: log, Blobs: l.world.blobs, Secrets: commands.Secrets{Vault: l.world.vault, Blobs: l.world.blobs},
		Clock: l.world.clock, IDs: clock.System{}, Registry: l.registry, Starter: l.executor,
	})
}

func (l *library) change(t *testing.T, name, graph string) commands.Change {
	t.Helper()
	g, faults := definition.Parse([]byte(graph), l.registry)
	require.Empty(t, faults)
	return commands.Change{Name: &name, Graph: g, GraphAt: "/definition"}
}

func (l *library) shown(t *testing.T, w commands.Workflow) string {
	t.Helper()
	b, err := l.Show(t.Context(), w)
	require.NoError(t, err)
	return string(b)
}

func (l *library) await(t *testing.T, id string) *run.State {
	t.Helper()
	s, err := l.executor.Await(t.Context(), id, 20*time.Second)
	require.NoError(t, err)
	require.True(t, s.Phase.Ended(), s.Phase.String())
	return s
}

// output gives what a task of a completed run answered, secrets masked.
func (l *library) output(t *testing.T, s *run.State, task string) string {
	t.Helper()
	require.Equal(t, run.PhaseCompleted, s.Phase, "%s: %s %s", s.FailedBy, s.Error.Code, s.Error.Message)
	i, ok := s.Graph.Index(task)
	require.True(t, ok, task)
	b, err := sealing.Mask(t.Context(), l.world.blobs, s.Task(i).Output, 1<<30)
	require.NoError(t, err)
	return string(b)
}

func (l *library) started(t *testing.T, runID string) run.Started {
	t.Helper()
	page, err := l.world.log.ReadStream(t.Context(), commands.RunStream(runID), 0, 1)
	require.NoError(t, err)
	e, err := wire.DecodeRun(page[0].Type, page[0].Data)
	require.NoError(t, err)
	return e.(run.Started)
}

// callGraph calls url between a trigger and an end.
func callGraph(url, more string) string {
	return `{"nodes": [
  {"id":"in","type":"trigger","position":{"x":1.50,"y":-0},"data":{"label":"Start","config":{"name":"in"}}},
  {"id":"call","type":"api_call","data":{"config":{"url":` + string(mustJSON(url)) + more + `}}},
  {"id":"out","type":"end"}],
 "edges":[{"id":"e1","source":"in","target":"call","targetHandle":null},{"id":"e2","source":"call","target":"out","label":"ok"}],
 "viewport":{"zoom":1e400}}`
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// farSide answers {"n": <count>} and remembers the requests.
type farSide struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string // method, Authorization, body
}

func newFarSide(t *testing.T) *farSide {
	f := &farSide{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.requests = append(f.requests, r.Method+" "+r.Header.Get("Authorization")+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"n":%d}`, len(f.requests))
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *farSide) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.requests...)
}

// The whole life: each run stays with the version it began with, whatever happens afterwards.
func TestDefinitions_RunsStayWithTheirVersion(t *testing.T) {
	far := newFarSide(t)
	l := newLibrary(t, newWorld())
	graph := callGraph(far.URL+"/one", `,"body":"one"`)
	w, err := l.Create(t.Context(), l.change(t, "Support flow", graph), somebody)
	require.NoError(t, err)
	require.Equal(t, 1, w.Version())
	require.Equal(t, "default", w.Endpoint)
	require.Equal(t, graph, l.shown(t, w), "the graph comes back byte for byte")
	got, err := l.Get(t.Context(), w.ID, 0)
	require.NoError(t, err)
	require.Equal(t, w, got)

	first, err := l.Execute(t.Context(), w.ID, commands.RunInput{Input: []byte(`{"q":1e2}`)}, somebody)
	require.NoError(t, err)
	require.Equal(t, 1, first.WorkflowVersion)
	require.Contains(t, l.output(t, l.await(t, first.RunID), "call"), `"body":{"n":1}`, "calls of this API answer in full")
	require.Contains(t, l.output(t, l.await(t, first.RunID), "in"), `{"q":1e2}`)

	change := l.change(t, "Support", callGraph(far.URL+"/two", `,"method":"PUT","body":"two"`))
	moved := "shop-e66b8d23"
	change.Endpoint = &moved
	w2, err := l.Update(t.Context(), w.ID, change, somebody)
	require.NoError(t, err)
	require.Equal(t, 2, w2.Version())
	require.Greater(t, w2.Position, w.Position)
	again, err := l.Update(t.Context(), w.ID, change, somebody)
	require.NoError(t, err)
	require.Equal(t, w2, again, "the same once more makes no version")

	second, err := l.Execute(t.Context(), w.ID, commands.RunInput{Input: []byte(`{}`)}, somebody)
	require.NoError(t, err)
	require.Equal(t, 2, second.WorkflowVersion)
	l.await(t, second.RunID)
	require.Equal(t, []string{"POST  one", "PUT  two"}, far.seen())

	for id, want := range map[string]struct {
		version        int
		flow, endpoint string
	}{first.RunID: {1, "Support flow", "default"}, second.RunID: {2, "Support", moved}} {
		s := l.started(t, id)
		require.Equal(t, "api", s.Source)
		require.Equal(t, w.ID, s.WorkflowID)
		require.Equal(t, want.version, s.WorkflowVersion)
		require.Equal(t, want.endpoint, s.Endpoint)
		require.Equal(t, want.flow, s.FlowName)
		require.Empty(t, s.RunName)
		d, err := wire.DecodeDefinition(s.Definition)
		require.NoError(t, err)
		for _, n := range d.Nodes {
			require.True(t, n.Templates, n.Name)
		}
		require.Equal(t, "Start", d.Nodes[0].Tag)
	}
	old, err := l.Get(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.Equal(t, graph, l.shown(t, old))
	require.Equal(t, "Support flow", old.Name)

	deleted, err := l.Delete(t.Context(), w.ID, nil, somebody)
	require.NoError(t, err)
	require.Equal(t, workflow.StoredDeleted, deleted.Phase)
	for what, err := range map[string]error{
		"execute": errOf(l.Execute(t.Context(), w.ID, commands.RunInput{Input: []byte(`{}`)}, somebody)),
		"get":     errOf(l.Get(t.Context(), w.ID, 0)), "get old": errOf(l.Get(t.Context(), w.ID, 1)),
		"update": errOf(l.Update(t.Context(), w.ID, change, somebody)), "delete": errOf(l.Delete(t.Context(), w.ID, nil, somebody)),
	} {
		require.ErrorIs(t, err, domain.ErrNotFound, what)
	}
	events, err := l.world.log.ReadStream(t.Context(), workflow.Stream(w.ID), 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 3, "history stays")
	require.Equal(t, 2, l.started(t, second.RunID).WorkflowVersion)
}

func errOf[T any](_ T, err error) error { return err }

func TestDefinitions_Unknown(t *testing.T) {
	l := newLibrary(t, newWorld())
	for _, id := range []string{"none", "", "\x00", strings.Repeat("x", 600), "lao-0011223344556677"} {
		for what, err := range map[string]error{
			"get": errOf(l.Get(t.Context(), id, 0)), "execute": errOf(l.Execute(t.Context(), id, commands.RunInput{Input: []byte(`{}`)}, somebody)),
			"update": errOf(l.Update(t.Context(), id, l.change(t, "n", `{"nodes":[]}`), somebody)), "delete": errOf(l.Delete(t.Context(), id, nil, somebody)),
		} {
			require.ErrorIs(t, err, domain.ErrNotFound, "%s %q", what, id)
		}
	}
	w, err := l.Create(t.Context(), l.change(t, "n", `{"nodes":[]}`), somebody)
	require.NoError(t, err)
	for _, version := range []int{-1, 2, 1 << 40} {
		_, err := l.Get(t.Context(), w.ID, version)
		require.ErrorIs(t, err, domain.ErrNotFound, version)
	}
	change := l.change(t, "m", `{"nodes":[]}`)
	change.Match = []int{2, 3}
	_, err = l.Update(t.Context(), w.ID, change, somebody)
	require.ErrorIs(t, err, domain.ErrPrecondition)
	_, err = l.Delete(t.Context(), w.ID, []int{}, somebody)
	require.ErrorIs(t, err, domain.ErrPrecondition)
	change.Match = []int{1}
	_, err = l.Update(t.Context(), w.ID, change, somebody)
	require.NoError(t, err)
}

// A graph too large for an event is a blob beside it, and comes back whole.
func TestDefinitions_LargeGraph(t *testing.T) {
	l := newLibrary(t, newWorld())
	graph := `{"nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}],"note":"` + strings.Repeat("é", 60_000) +
		`","settings":{"password":"hunter2-hunter2"}}`
	w, err := l.Create(t.Context(), l.change(t, "n", graph), somebody)
	require.NoError(t, err)
	require.NotEmpty(t, w.Graph.Holes[0].Blob)
	shown := l.shown(t, w)
	require.Equal(t, len(graph)-len("hunter2-hunter2")+len("***00000000"), len(shown))
	got, err := l.other(l.world.log).Get(t.Context(), w.ID, 0)
	require.NoError(t, err)
	require.Equal(t, shown, l.shown(t, got))
	out, err := l.Execute(t.Context(), w.ID, commands.RunInput{Input: []byte(`{}`)}, somebody)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, l.await(t, out.RunID).Phase)
}

// What one node has cached is never older than what another has written.
func TestDefinitions_CacheIsNeverStale(t *testing.T) {
	l := newLibrary(t, newWorld())
	here, there := l.other(l.world.log), l.other(l.world.log)
	w, err := here.Create(t.Context(), l.change(t, "v1", `{"nodes":[]}`), somebody)
	require.NoError(t, err)
	for i := 2; i < 12; i++ {
		writer, reader := here, there
		if i%2 == 0 {
			writer, reader = there, here
		}
		_, err := writer.Update(t.Context(), w.ID, l.change(t, fmt.Sprintf("v%d", i), `{"nodes":[]}`), somebody)
		require.NoError(t, err)
		got, err := reader.Get(t.Context(), w.ID, 0)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("v%d", i), got.Name)
		require.Equal(t, i, got.Version())
	}
	_, err = here.Delete(t.Context(), w.ID, nil, somebody)
	require.NoError(t, err)
	_, err = there.Get(t.Context(), w.ID, 0)
	require.ErrorIs(t, err, domain.ErrNotFound)
	for range 300 { // more than are cached
		_, err := here.Create(t.Context(), l.change(t, "n", `{"nodes":[]}`), somebody)
		require.NoError(t, err)
	}
	_, err = here.Get(t.Context(), w.ID, 0)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// Many writers at once: each write is one version, none is lost, none is made twice.
func TestDefinitions_ConcurrentUpdates(t *testing.T) {
	l := newLibrary(t, newWorld())
	w, err := l.Create(t.Context(), l.change(t, "n", `{"nodes":[]}`), somebody)
	require.NoError(t, err)
	const writers = 4
	var done sync.WaitGroup
	var written atomic.Int64
	for i := range writers {
		d := l.other(l.world.log)
		done.Go(func() {
			for j := range 5 {
				_, err := d.Update(context.Background(), w.ID, l.change(t, fmt.Sprintf("n-%d-%d", i, j), `{"nodes":[]}`), somebody)
				if err == nil {
					written.Add(1)
				} else if !errors.Is(err, domain.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	got, err := l.Get(t.Context(), w.ID, 0)
	require.NoError(t, err)
	require.Positive(t, written.Load())
	require.Equal(t, int(written.Load())+1, got.Version())
}

// Runs of one workflow share its translated definition: nothing of one may show in another.
func TestDefinitions_ConcurrentExecutes(t *testing.T) {
	l := newLibrary(t, newWorld())
	w, err := l.Create(t.Context(), l.change(t, "n", `{"nodes":[{"id":"in","type":"trigger"},
		{"id":"say","type":"transform","data":{"config":{"fields":{"n":"input.n"}}}},{"id":"ask","type":"agent","data":{"config":{"api_key":"sk-live-0123456789","agent_name":"{{ input.n }}"}}},
		{"id":"out","type":"end"}],"edges":[{"source":"in","target":"say"},{"source":"say","target":"ask"},{"source":"ask","target":"out"}]}`), somebody)
	require.NoError(t, err)
	const runs = 40
	ids := make([]string, runs)
	var done sync.WaitGroup
	for i := range runs {
		done.Go(func() {
			out, err := l.Execute(context.Background(), w.ID, commands.RunInput{Input: fmt.Appendf(nil, `{"n":"run-%d"}`, i)}, somebody)
			if err != nil {
				t.Error(err)
			}
			ids[i] = out.RunID
		})
	}
	done.Wait()
	for i, id := range ids {
		s := l.await(t, id)
		require.Equal(t, fmt.Sprintf(`{"n":"run-%d"}`, i), l.output(t, s, "say"))
		require.Contains(t, l.output(t, s, "ask"), fmt.Sprintf(`"output":"run-%d (`, i))
	}
}

// doubtful stores what it is given and then does not know whether it has.
type doubtful struct {
	commands.Log
	times atomic.Int64 // how often it still forgets
	fails atomic.Int64 // how often it stores nothing and does not know
}

func (d *doubtful) Append(ctx context.Context, s domain.StreamID, r domain.Revision, e []domain.Pending) (commands.Appended, error) {
	if d.fails.Add(-1) >= 0 {
		return commands.Appended{}, domain.E(domain.KindIndeterminate, "append", "", "the line went dead")
	}
	a, err := d.Log.Append(ctx, s, r, e)
	if d.times.Add(-1) >= 0 && err == nil {
		return commands.Appended{}, domain.E(domain.KindIndeterminate, "append", "", "the line went dead")
	}
	return a, err
}

func TestDefinitions_UnknownOutcomesLeadToOneVersion(t *testing.T) {
	l := newLibrary(t, newWorld())
	log := &doubtful{Log: l.world.log}
	d := l.other(log)
	log.times.Store(2)
	w, err := d.Create(t.Context(), l.change(t, "n", `{"nodes":[]}`), somebody)
	require.NoError(t, err)
	require.Equal(t, 1, w.Version())
	log.fails.Store(2)
	w, err = d.Update(t.Context(), w.ID, l.change(t, "m", `{"nodes":[]}`), somebody)
	require.NoError(t, err)
	require.Equal(t, 2, w.Version())
	log.fails.Store(1000)
	_, err = d.Update(t.Context(), w.ID, l.change(t, "o", `{"nodes":[]}`), somebody)
	require.ErrorIs(t, err, domain.ErrIndeterminate)
	log.fails.Store(0)
	got, err := d.Get(t.Context(), w.ID, 0)
	require.NoError(t, err)
	require.Equal(t, "m", got.Name)
}

// A graph that is not finished may be stored; running it tells all that is missing.
func TestDefinitions_ExecuteTellsWhatIsMissing(t *testing.T) {
	l := newLibrary(t, newWorld())
	w, err := l.Create(t.Context(), l.change(t, "n", `{"nodes":[{"id":"m","type":"merge"},{"id":"b","type":"bench_noop"}],"edges":[{"source":"b","target":"m"},{"source":"m","target":"b"},{"source":"m","target":"gone"}]}`), somebody)
	require.NoError(t, err)
	_, err = l.Execute(t.Context(), w.ID, commands.RunInput{Input: []byte(`{}`)}, somebody)
	require.ErrorIs(t, err, domain.ErrInvalid)
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "INVALID_WORKFLOW", e.Code)
	texts := e.Details["errors"].([]string)
	require.Len(t, texts, 4)
	require.Contains(t, strings.Join(texts, "\n"), "m -> b -> m")
}
