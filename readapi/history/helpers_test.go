package history_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands"
	"quipu/commands/intakehttp"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/eventbus"
	"quipu/infra/clock"
	"quipu/infra/memory"
	"quipu/infra/sqlite"
	"quipu/projections"
	"quipu/readapi"
	"quipu/readapi/history"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine for the process to cache the date.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its pool cleaner looks at the stop signal every 10 s only.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// payloads masks as the process does.
type payloads struct{ blobs commands.Blobs }

func (p payloads) Render(ctx context.Context, _ string, v domain.Value, inlineMax int) ([]byte, error) {
	return sealing.Mask(ctx, p.blobs, v, int64(inlineMax))
}

func (p payloads) Definition(ctx context.Context, v domain.Value, inlineMax int) ([]byte, error) {
	return sealing.Mask(ctx, p.blobs, v, int64(inlineMax))
}

type definitions struct{ *commands.Definitions }

func (d definitions) Get(ctx context.Context, id string, version int) (workflow.Stored, domain.Position, error) {
	w, err := d.Definitions.Get(ctx, id, version)
	return w.Stored, w.Position, err
}

// feed reads the log as the projection runner wants it.
type feed struct{ commands.Log }

func (f feed) Follow(ctx context.Context, after domain.Position) (projections.Source, error) {
	sub, err := f.Subscribe(ctx, after, "")
	if err != nil {
		return nil, err
	}
	return source{sub}, nil
}

type source struct{ commands.Subscription }

func (s source) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	b, err := s.Subscription.Next(ctx)
	return b.Events, b.Position, b.CaughtUp, err
}

// fresh takes the head of the log for what the node has seen: everything that was acknowledged.
type fresh struct {
	log    *memory.Log
	runner *projections.Runner
}

func (f fresh) Seen() domain.Position {
	head, _ := f.log.Head(context.Background()) //nolint:errcheck // 0 when it is closed
	return head
}

func (f fresh) Wait(ctx context.Context, p domain.Position) (domain.Position, error) {
	return f.runner.Wait(ctx, p)
}

// ports are what a test may exchange before the routes are made.
type ports struct {
	views     history.Views
	log       history.Log
	freshness history.Freshness
	options   history.Options
	// stopped keeps the projections from running.
	stopped bool
}

// store is a database of views.
type store interface {
	projections.Generations
	history.Views
}

// openFunc is newWorld over one database.
type openFunc func(testing.TB, func(*ports)) *world

// eachStore runs a test over the model in memory and over the database of the embedded profile.
func eachStore(t *testing.T, test func(*testing.T, openFunc)) {
	t.Run("memory", func(t *testing.T) { test(t, newWorld) })
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(t testing.TB, change func(*ports)) *world {
			return newWorldOn(t, change, func(log *memory.Log) store {
				views, err := sqlite.Open(t.TempDir(), log, sqlite.Options{})
				require.NoError(t, err)
				return views
			})
		})
	})
}

// world is the executor, the stored workflows, the projections and both halves of the API over memory
// adapters and a real listener.
type world struct {
	t        testing.TB
	log      *memory.Log
	blobs    *memory.Blobs
	executor *commands.Executor
	runner   *projections.Runner
	base     string
	hold     chan struct{} // nodes of type "hold" wait for it to be closed
	release  func()
}

func newWorld(t testing.TB, change func(*ports)) *world {
	return newWorldOn(t, change, func(*memory.Log) store { return memory.NewViews() })
}

func newWorldOn(t testing.TB, change func(*ports), open func(*memory.Log) store) *world {
	t.Helper()
	hold := make(chan struct{})
	var once atomic.Bool
	w := &world{t: t, log: memory.NewLog(), blobs: memory.NewBlobs(), hold: hold}
	views := open(w.log)
	t.Cleanup(func() { require.NoError(t, views.Close()) })
	w.release = func() {
		if once.CompareAndSwap(false, true) {
			close(hold)
		}
	}
	types := nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient, Now: clock.System{}.Now})
	types = append(types,
		node.Type{Name: "hold", Kind: node.Effect, Run: func(ctx context.Context, _ node.Call) (node.Reply, error) {
			select {
			case <-hold:
				return node.Reply{Output: json.RawMessage(`{"held":true}`)}, nil
			case <-ctx.Done():
				return node.Reply{}, ctx.Err()
			}
		}},
		node.Type{Name: "ask", Kind: node.Wait, Await: func(node.Call, time.Time) (node.Awaiting, error) {
			return node.Awaiting{Request: json.RawMessage(`{"description":"refund?"}`)}, nil
		}},
		node.Type{Name: "bad", Kind: node.Effect, Run: func(context.Context, node.Call) (node.Reply, error) {
			return node.Reply{}, node.Failf("DataValidationError", "VALIDATION_FAILED", false, "1,247 records failed")
		}},
		node.Type{Name: "big", Kind: node.Effect, Run: func(context.Context, node.Call) (node.Reply, error) {
			return node.Reply{Output: json.RawMessage(`"` + string(make80K()) + `"`)}, nil
		}},
		node.Type{Name: "raw", Kind: node.Effect, Run: func(context.Context, node.Call) (node.Reply, error) {
			return node.Reply{Output: json.RawMessage(hostileJSON)}, nil
		}})
	if !slices.ContainsFunc(types, func(t node.Type) bool { return t.Name == "event" }) {
		types = append(types, node.Type{Name: "event", Kind: node.Wait, Await: func(_ node.Call, at time.Time) (node.Awaiting, error) {
			return node.Awaiting{Channel: "orders", Due: at.Add(time.Hour)}, nil
		}})
	}
	registry, err := node.NewRegistry(types...)
	require.NoError(t, err)
	effects := eventbus.NewEffects(64, nil)
	secrets := commands.Secrets{Vault: memory.NewVault(), Blobs: w.blobs}
	w.executor = commands.NewExecutor(commands.Deps{
		Log: w.log, Blobs: w.blobs, Secrets: secrets, Effects: effects, Registry: registry,
		Compute: commands.Compute{Registry: registry, Blobs: w.blobs}, Clock: clock.System{}, IDs: clock.System{},
	}, commands.Limits{})
	stored := commands.NewDefinitions(commands.DefinitionDeps{
		Log: w.log, Blobs: w.blobs, Secrets: secrets, Clock: clock.System{}, IDs: clock.System{}, Registry: registry, Starter: w.executor,
	})
	w.runner = projections.NewRunner(views, feed{w.log}, clock.System{}, projections.Options{})
	p := ports{views: views, log: w.log, freshness: fresh{w.log, w.runner}}
	if change != nil {
		change(&p)
	}
	w.start(t, effects, !p.stopped)
	app := fiber.New(fiber.Config{DisableStartupMessage: true, CaseSensitive: true, ErrorHandler: readapi.ErrorHandler, IdleTimeout: time.Minute})
	mask := payloads{w.blobs}
	(&intakehttp.Routes{
		Runs: w.executor, Registry: registry, IDs: clock.System{}, LogID: w.log.ID(), Timeout: 10 * time.Second,
		Render: func(ctx context.Context, id string, v domain.Value) ([]byte, error) {
			return mask.Render(ctx, id, v, 1<<20)
		},
	}).Register(app)
	(&intakehttp.Workflows{Definitions: stored, Registry: registry, LogID: w.log.ID(), Timeout: 10 * time.Second}).Register(app)
	history.New(history.Deps{
		Views: p.views, Freshness: p.freshness, Log: p.log, Blobs: w.blobs, Definitions: definitions{stored}, Payloads: mask,
	}, p.options).Register(app)
	w.listen(t, app)
	return w
}

func make80K() []byte {
	b := make([]byte, 80<<10)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// hostileJSON must pass through every view and answer byte for byte.
const hostileJSON = `{"n":1e400, "nul":"\u0000","half":"\ud800",  "z":1,"a":9007199254740993}`

// start runs the executor and, unless a test wants them still, the projections.
func (w *world) start(t testing.TB, effects *eventbus.Effects, project bool) {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:usetesting // stops after the listener
	ended := make(chan error, 2)
	go func() { ended <- w.executor.Run(ctx) }()
	running := 1
	if project {
		running++
		go func() { ended <- w.runner.Run(ctx) }()
	}
	<-w.executor.Ready()
	t.Cleanup(func() {
		w.release()
		cancel()
		for range running {
			<-ended
		}
		effects.Wait()
	})
}

func (w *world) listen(t testing.TB, app *fiber.App) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- app.Listener(listener) }()
	w.base = "http://" + listener.Addr().String()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		require.NoError(t, app.Shutdown())
		require.NoError(t, <-ended)
	})
}

type task struct {
	Name     string         `json:"name"`
	Function string         `json:"function"`
	Params   map[string]any `json:"params"`
}

// dag starts a run by run-dag and returns its id.
func (w *world) dag(flow, run string, tasks ...task) string {
	w.t.Helper()
	return w.dagWith(flow, run, map[string]any{}, tasks...)
}

func (w *world) dagWith(flow, run string, inputs map[string]any, tasks ...task) string {
	w.t.Helper()
	b, err := json.Marshal(map[string]any{"flow_name": flow, "run_name": run, "default_inputs": inputs, "tasks": tasks, "edges": []any{}})
	require.NoError(w.t, err)
	a := w.do(http.MethodPost, "/run-dag", string(b))
	require.Equal(w.t, 200, a.status, string(a.raw))
	var started struct {
		TaskID string `json:"task_id"`
	}
	require.NoError(w.t, json.Unmarshal(a.raw, &started))
	return started.TaskID
}

// ended waits for a run's end.
func (w *world) ended(id string) {
	w.t.Helper()
	s, err := w.executor.Await(context.Background(), id, 20*time.Second)
	require.NoError(w.t, err)
	require.True(w.t, s.Phase.Ended(), s.Phase.String())
}

func noop(name string, depends ...string) task {
	t := task{Name: name, Function: "bench_noop", Params: map[string]any{}}
	for i, d := range depends {
		t.Params[fmt.Sprintf("p%d", i)] = map[string]any{"depends": d}
	}
	return t
}

func of(function, name string) task {
	return task{Name: name, Function: function, Params: map[string]any{"config": map[string]any{}}}
}

func query(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return "?" + v.Encode()
}

// abandon leaves a name bound to a run that never began, as a start cut short does.
func (w *world) abandon(flow, runName string) (id string) {
	w.t.Helper()
	id = clock.System{}.NewID()
	for _, e := range []struct {
		stream domain.StreamID
		encode func() (string, []byte)
	}{
		{name.Stream(flow, runName), func() (string, []byte) {
			return wire.EncodeNameBound(name.Bound{FlowName: flow, RunName: runName, ExecutionID: id})
		}},
		{commands.RunStream(id), func() (string, []byte) { return wire.EncodeRun(run.Abandoned{RunID: id}) }},
	} {
		typ, data := e.encode()
		p, _ := wire.Seal(e.stream, wire.NewHead(), clock.System{}.Now(), wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem}, CommandID: "c"}, typ, data)
		_, err := w.log.Append(context.Background(), e.stream, domain.NoStream, []domain.Pending{p})
		require.NoError(w.t, err)
	}
	return id
}
