package commands_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/definition"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/clock"
	"quipu/infra/faulty"
)

// desk is where runs are told things from outside: a library with channels, and more node types.
type desk struct {
	*library
	channels *commands.Channels
	stop     func() // executor and channels, as a crash would; what is stored stays
}

func openDesk(t *testing.T, w *world, limits commands.Limits, more ...node.Type) *desk {
	t.Helper()
	d := &desk{channels: w.openChannels()}
	types := append(nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient, Now: w.clock.Now, Channels: d.channels}), more...)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	w.awaits = d.channels.Awaits
	e, stop := w.start(t, limits, types...)
	registry, err := node.NewRegistry(types...)
	require.NoError(t, err)
	d.library = &library{world: w, executor: e, registry: registry}
	d.Definitions = d.other(w.log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = d.channels.Run(ctx, e)
	}()
	d.stop = func() {
		cancel()
		<-ended
		stop()
	}
	t.Cleanup(d.stop)
	return d
}

// openChannels is the channels of another process over the same stores.
func (w *world) openChannels() *commands.Channels {
	return commands.NewChannels(commands.ChannelDeps{
		Log: w.log, Blobs: w.blobs, Secrets: commands.Secrets{Vault: w.vault, Blobs: w.blobs}, Clock: w.clock, IDs: clock.System{},
	})
}

// run starts a run of a graph.
func (d *desk) run(t *testing.T, graph, input string) string {
	t.Helper()
	w, err := d.Create(t.Context(), d.change(t, "flow", graph), somebody)
	require.NoError(t, err)
	return d.execute(t, w.ID, input)
}

func (d *desk) execute(t *testing.T, workflow, input string) string {
	t.Helper()
	out, err := d.Execute(t.Context(), workflow, commands.RunInput{Input: []byte(input)}, somebody)
	require.NoError(t, err)
	return out.RunID
}

// graph is a trigger, nodes, and edges written as "a>b" or "a>b:handle"; with an end behind the last node
// if it has none.
func graph(nodes []string, edges ...string) string {
	if !strings.Contains(strings.Join(nodes, ""), `"type":"end"`) {
		_, rest, _ := strings.Cut(nodes[len(nodes)-1], `"id":"`)
		last, _, _ := strings.Cut(rest, `"`)
		nodes, edges = append(nodes, nodeOf("fin", "end", `{}`)), append(edges, last+">fin")
	}
	var b strings.Builder
	b.WriteString(`{"nodes":[{"id":"in","type":"trigger"}`)
	for _, n := range nodes {
		b.WriteString("," + n)
	}
	b.WriteString(`],"edges":[`)
	for i, e := range edges {
		pair, handle, _ := strings.Cut(e, ":")
		source, target, _ := strings.Cut(pair, ">")
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"source":"` + source + `","target":"` + target + `"`)
		if handle != "" {
			b.WriteString(`,"sourceHandle":"` + handle + `"`)
		}
		b.WriteByte('}')
	}
	return b.String() + `]}`
}

func nodeOf(id, typ, config string) string {
	return `{"id":"` + id + `","type":"` + typ + `","config":` + config + `}`
}

// until waits for the nth event of a type in a run.
func (d *desk) until(t *testing.T, runID, typ string, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return d.count(t, runID, typ) >= n }, time.Minute, time.Millisecond, "%s %d in %v", typ, n, runID)
}

func (d *desk) count(t *testing.T, runID, typ string) (n int) {
	t.Helper()
	for _, have := range d.world.types(t, runID) {
		if have == typ {
			n++
		}
	}
	return n
}

// over waits for the end of a run and returns its state.
func (d *desk) over(t *testing.T, runID string, want run.Phase) *run.State {
	t.Helper()
	ended(t, d.executor, runID, want)
	s, err := d.executor.State(t.Context(), runID)
	require.NoError(t, err)
	return s
}

func (d *desk) task(t *testing.T, s *run.State, name string) *run.Task {
	t.Helper()
	i, ok := s.Graph.Index(name)
	require.True(t, ok, name)
	return s.Task(i)
}

// events decodes a run's stream.
func (w *world) events(t *testing.T, runID string) []run.Event {
	t.Helper()
	page, err := w.log.ReadStream(t.Context(), commands.RunStream(runID), 0, 5000)
	require.NoError(t, err)
	out := make([]run.Event, len(page))
	for i, r := range page {
		out[i], err = wire.DecodeRun(r.Type, r.Data)
		require.NoError(t, err)
	}
	return out
}

// first is the first event of a type.
func first[E run.Event](t *testing.T, events []run.Event) E {
	t.Helper()
	for _, e := range events {
		if e, ok := e.(E); ok {
			return e
		}
	}
	var none E
	t.Fatalf("no %T among %d events", none, len(events))
	return none
}

// open gives a payload of a run in clear.
func (w *world) open(t *testing.T, runID string, v domain.Value) string {
	t.Helper()
	var known []run.Secret
	for _, e := range w.events(t, runID) {
		switch e := e.(type) {
		case run.Started:
			known = append(known, e.Secrets...)
		case run.TaskCompleted:
			known = append(known, e.Secrets...)
		case run.SignalReceived:
			known = append(known, e.Secrets...)
		}
	}
	session, err := commands.Secrets{Vault: w.vault, Blobs: w.blobs}.Session(t.Context(), commands.RunStream(runID), known)
	require.NoError(t, err)
	b, err := session.Open(t.Context(), v)
	require.NoError(t, err)
	return string(b)
}

// nowhere makes sure that a text is in no stored byte.
func (w *world) nowhere(t *testing.T, secret string) {
	t.Helper()
	for after := domain.Position(0); ; {
		page, err := w.log.ReadAll(t.Context(), after, 1000)
		require.NoError(t, err)
		if len(page) == 0 {
			return
		}
		for _, r := range page {
			require.NotContains(t, string(r.Data)+string(r.Metadata), secret, "%s %d %s", r.Stream, r.Revision, r.Type)
			after = r.Position
		}
	}
}

func ask(runID string) commands.Ask { return commands.Ask{RunID: runID, Actor: somebody.Actor} }

// keyed is a request under an idempotency key.
func keyed(runID, key, body string) commands.Ask {
	a := ask(runID)
	a.Key, a.Body = strings.Repeat(key, 64)[:64], strings.Repeat(body, 64)[:64]
	return a
}

func codeOf(err error) string {
	e, ok := err.(*domain.Error) //nolint:errorlint // as commands return them
	if !ok {
		return ""
	}
	return e.Code
}

// nobody is a network without anybody on it.
type nobody struct{}

func (nobody) Do(*http.Request) (*http.Response, error) {
	return nil, domain.E(domain.KindUnavailable, "", "", "nobody is there")
}

// definitionOf translates a graph as Execute does.
func definitionOf(t *testing.T, d *desk, graph string) workflow.Definition {
	t.Helper()
	g, faults := definition.Parse([]byte(graph), d.registry)
	require.Empty(t, faults)
	def, more := g.Definition()
	require.Empty(t, more)
	return def
}

func faultyLog(w *world) commands.Log {
	log := faulty.NewLog(w.log, faulty.Options{Seed: 7})
	log.SetRates(faulty.Rates{Refused: 5, Lost: 5, Unanswered: 5})
	return log
}
