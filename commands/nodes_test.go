package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/clock"
	"quipu/infra/faulty"
	"quipu/infra/memory"
)

// town is several nodes over one log.
type town struct {
	*world
	t       *testing.T
	members *memory.Members
	limits  commands.Limits
	types   []node.Type

	mu    sync.Mutex
	nodes []*townNode
	count int
	ran   map[string]map[string]int // attempts by the key their effects have and by who ran them
}

type townNode struct {
	*commands.Executor
	name string
	stop func()
}

func newTown(t *testing.T, limits commands.Limits, types ...node.Type) *town {
	return &town{world: newWorld(), t: t, members: memory.NewMembers(), limits: limits, types: types, ran: map[string]map[string]int{}}
}

// open starts a further node.
func (w *town) open() *townNode {
	w.t.Helper()
	w.mu.Lock()
	w.count++
	name := fmt.Sprintf("node-%d", w.count)
	w.mu.Unlock()
	w.members.Join(name)
	e, stop := w.startNode(w.t, name, w.members, w.limits, w.types...)
	n := &townNode{Executor: e, name: name, stop: stop}
	w.mu.Lock()
	w.nodes = append(w.nodes, n)
	w.mu.Unlock()
	return n
}

// end takes a node out, and says which one is left to ask.
func (w *town) end(i int, gently bool) {
	w.mu.Lock()
	n := w.nodes[i]
	w.nodes = append(w.nodes[:i:i], w.nodes[i+1:]...)
	w.mu.Unlock()
	if gently {
		w.members.Drain(n.name)
		ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
		require.NoError(w.t, n.Executor.Drain(ctx))
		cancel()
	}
	n.stop()
	w.members.Leave(n.name)
}

// rejoin brings a node back that still runs.
func (w *town) rejoin(name string) {
	if slices.ContainsFunc(w.nodes, func(n *townNode) bool { return n.name == name }) {
		w.members.Join(name)
	}
}

func (w *town) any(i int) *townNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[i%len(w.nodes)]
}

// over waits until every run in the log has ended.
func (w *town) over(runs int) {
	w.t.Helper()
	var open string
	require.Eventually(w.t, func() bool {
		open = ""
		streams, err := w.log.StreamsByLast(w.t.Context(), commands.RunStreamPrefix, func(typ string) bool { return !wire.EndsRun(typ) })
		require.NoError(w.t, err)
		if len(streams) > 0 {
			open = string(streams[0])
			return false
		}
		all, err := w.log.StreamsByLast(w.t.Context(), commands.RunStreamPrefix, func(string) bool { return true })
		require.NoError(w.t, err)
		return len(all) >= runs
	}, 60*time.Second, 5*time.Millisecond)
	require.Empty(w.t, open)
}

// Runs begun at every node end once each, whichever nodes come, drain and are lost meanwhile, over a log
// that fails; what runs is begun anew only when its node is gone.
func TestNodes_ComeAndGo(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			comeAndGo(t, seed)
		})
	}
}

func comeAndGo(t *testing.T, seed uint64) {
	var w *town
	work := effectFunc("work", func(ctx context.Context, c node.Call) (node.Reply, error) {
		wait := time.NewTimer(time.Duration(len(c.Key)%7) * time.Millisecond)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.ran[c.Key] == nil {
			w.ran[c.Key] = map[string]int{}
		}
		w.ran[c.Key][fmt.Sprint(c.Attempt)]++
		return node.Reply{Output: json.RawMessage(`1`)}, ctx.Err()
	})
	types := append(nodetypes.All(nodetypes.Deps{HTTP: nobody{}, Now: clock.System{}.Now}), work)
	w = newTown(t, commands.Limits{ActiveRunsMax: 40, SleepAfter: 20 * time.Millisecond, AppendRetryMax: 20 * time.Millisecond}, types...)
	if seed%2 == 1 {
		w.through = func(l commands.Log) commands.Log {
			return faulty.NewLog(l, faulty.Options{Seed: seed, Rates: faulty.Rates{Refused: 3, Lost: 3, Unanswered: 3, Repeated: 3, Unread: 3}})
		}
	}
	for range 3 {
		w.open()
	}
	random := rand.New(rand.NewPCG(seed, 1))
	const runs = 240
	begun, lapsed := 0, ""
	var commandsWG sync.WaitGroup
	for i := range runs {
		n := w.any(random.IntN(8))
		q := request(fmt.Sprint("r", i), shiftWork(i))
		if i%3 == 0 {
			q.ID = fmt.Sprintf("%08x-0000-7000-8000-%012d", seed, i) // of a key: whoever owns it
		}
		out, err := n.StartRun(t.Context(), q)
		if err != nil {
			require.Contains(t, []domain.Kind{domain.KindUnavailable, domain.KindIndeterminate}, domain.KindOf(err), "%v", err)
			continue
		}
		begun++
		if i%5 == 0 {
			// A message by way of any node, which may come before it is waited for.
			commandsWG.Go(func() { _, _ = w.any(i+1).Signal(t.Context(), ask(out.RunID), "go", []byte(`1`)) })
		}
		switch n := random.IntN(40); {
		case n == 0:
			w.end(random.IntN(len(w.nodes)), false)
			w.open()
		case n == 1:
			w.end(random.IntN(len(w.nodes)), true)
			w.open()
		case n == 2 && len(w.nodes) < 5:
			w.open()
		case n == 3:
			// It lives, and the others do not know: what it began they begin anew, and one result counts.
			if lapsed == "" {
				lapsed = w.any(random.IntN(8)).name
				w.members.Leave(lapsed)
			}
		case n < 6:
			w.rejoin(lapsed)
			lapsed = ""
		}
	}
	commandsWG.Wait()
	w.rejoin(lapsed)
	w.over(begun)
	all, err := w.log.ReadAll(t.Context(), 0, 100_000)
	require.NoError(t, err)
	for i := range all {
		if id, ok := strings.CutPrefix(string(all[i].Stream), commands.RunStreamPrefix); ok && all[i].Revision == 0 {
			w.checkStream(t, id)
		}
	}
	for key, attempts := range w.ran {
		for attempt, n := range attempts {
			require.Equal(t, 1, n, "%s attempt %s", key, attempt)
		}
	}
	for _, n := range w.nodes {
		eventually(t, n.Executor, commands.Counts{})
	}
}

// shiftWork is steps with effects, and a timer now and then.
func shiftWork(i int) workflow.Definition {
	d := chainOf(3, "work")
	if i%5 == 0 {
		d.Nodes[1].Type, d.Nodes[1].Timer = "timer", true
		d.Nodes[1].Params = domain.Raw([]byte(`{"config":{"duration_seconds":0.06},"before":{"depends":"t0"}}`))
	}
	return d
}

// Each run is worked on by its owner alone, at once, wherever its start and its commands came in.
func TestNodes_AnyTakesAnyCommand(t *testing.T) {
	var mu sync.Mutex
	by := map[string]string{}
	w := newTown(t, commands.Limits{}, nodetypes.All(nodetypes.Deps{HTTP: nobody{}, Now: clock.System{}.Now})...)
	for range 3 {
		w.open()
	}
	nodes, _ := w.members.Live()
	for i := range 30 {
		id := fmt.Sprintf("00000000-0000-7000-8000-%012d", i)
		q := request(fmt.Sprint("r", i), workflow.Definition{Nodes: []workflow.Node{{
			Name: "ask", Type: "approval", Params: domain.Raw([]byte(`{"config":{"description":"?"}}`)), Waits: workflow.WaitsApproval, Retry: workflow.Retry{Attempts: 1},
		}}})
		q.ID = id
		_, err := w.any(i).StartRun(t.Context(), q)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			types := w.world.types(t, id)
			return types[len(types)-1] == "approval_requested"
		}, time.Minute, time.Millisecond)
		for _, e := range w.events(t, id) {
			if e, ok := e.(run.TaskStarted); ok {
				mu.Lock()
				by[id] = e.Node
				mu.Unlock()
			}
		}
		require.Equal(t, commands.Owner(nodes.Owners, id), by[id])
		_, err = w.any(i+1).DecideApproval(t.Context(), ask(id), "", run.Approved, "me", "")
		require.NoError(t, err)
		s, err := w.any(i+2).Await(t.Context(), id, 10*time.Second)
		require.NoError(t, err)
		require.Equal(t, run.PhaseCompleted, s.Phase)
	}
	out, err := w.any(0).StartRun(t.Context(), request("own", workflow.Definition{Nodes: []workflow.Node{{
		Name: "ask", Type: "approval", Params: domain.Raw([]byte(`{"config":{"description":"?"}}`)), Waits: workflow.WaitsApproval, Retry: workflow.Retry{Attempts: 1},
	}}}))
	require.NoError(t, err)
	require.Equal(t, w.any(0).name, commands.Owner(nodes.Owners, out.RunID), "a node begins runs of its own")
	_, err = w.any(2).Cancel(t.Context(), out.RunID, "", wire.Actor{})
	require.NoError(t, err)
	w.over(31)
	for _, n := range w.nodes {
		eventually(t, n.Executor, commands.Counts{})
	}
}

// The same request under one key at several nodes at one moment is one command.
func TestNodes_KeyedCommandIsOne(t *testing.T) {
	w := newTown(t, commands.Limits{}, nodetypes.All(nodetypes.Deps{HTTP: nobody{}, Now: clock.System{}.Now})...)
	for range 3 {
		w.open()
	}
	for i := range 20 {
		d := workflow.Definition{}
		for n := range 3 {
			d.Nodes = append(d.Nodes, workflow.Node{
				Name: fmt.Sprint("ask", n), Type: "event", Params: domain.Raw([]byte(`{"config":{"operation":"subscribe","channel":"c"}}`)), Waits: workflow.WaitsEvent, Retry: workflow.Retry{Attempts: 1},
			})
		}
		out, err := w.any(i).StartRun(t.Context(), request(fmt.Sprint("r", i), d))
		require.NoError(t, err)
		var wg sync.WaitGroup
		var done atomic.Int32
		for n := range 9 {
			wg.Go(func() {
				_, err := w.any(n).Signal(t.Context(), keyed(out.RunID, strings.Repeat("ab", 32), "body"), "c", []byte(`1`))
				if err == nil {
					done.Add(1)
				} else {
					t.Log(err)
				}
			})
		}
		wg.Wait()
		require.Positive(t, done.Load())
		n := 0
		for _, e := range w.events(t, out.RunID) {
			if _, ok := e.(run.SignalReceived); ok {
				n++
			}
		}
		require.Equal(t, 1, n)
	}
}

// A node that drains begins nothing that it would leave to the others to find once it is gone.
func TestNodes_DrainingLeavesNothingBegun(t *testing.T) {
	work := effectFunc("work", func(ctx context.Context, c node.Call) (node.Reply, error) {
		wait := time.NewTimer(2 * time.Millisecond)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		return node.Reply{Output: json.RawMessage(`1`)}, ctx.Err()
	})
	w := newTown(t, commands.Limits{}, work)
	first, _ := w.open(), w.open()
	const runs = 60
	for i := range runs {
		_, err := first.StartRun(t.Context(), request(fmt.Sprint("r", i), chainOf(20, "work")))
		require.NoError(t, err)
	}
	w.members.Drain(first.name)
	require.NoError(t, first.Drain(t.Context()))
	all, err := w.log.ReadAll(t.Context(), 0, 100_000)
	require.NoError(t, err)
	open := map[string]bool{}
	for i := range all {
		if !strings.HasPrefix(string(all[i].Stream), commands.RunStreamPrefix) {
			continue
		}
		e, err := wire.DecodeRun(all[i].Type, all[i].Data)
		require.NoError(t, err)
		switch e := e.(type) {
		case run.TaskStarted:
			if e.Node == first.name {
				open[e.TaskID] = true
			}
		case run.TaskCompleted:
			delete(open, e.TaskID)
		}
	}
	require.Empty(t, open)
	w.over(runs)
}

// Payloads with secrets that come to one run at several nodes at one moment, while it seals what its tasks
// bring, are all taken: none of them puts the run aside.
func TestNodes_SecretsFromEverywhere(t *testing.T) {
	secret := effectFunc("secret", func(_ context.Context, c node.Call) (node.Reply, error) {
		return node.Reply{Output: json.RawMessage(fmt.Sprintf(`{"api_key":"sk-%s-0123456789abcdef"}`, strings.ReplaceAll(c.Task, "t", "task")))}, nil
	})
	w, _ := hall(t, secret)
	aside := make(chan error, 100)
	w.quarantined = func(err error) { aside <- err }
	for i := range 8 {
		d := chainOf(12, "secret")
		d.Nodes = append(d.Nodes, hears("never").Nodes...)
		out, err := w.any(i).StartRun(t.Context(), request(fmt.Sprint("r", i), d))
		require.NoError(t, err)
		var wg sync.WaitGroup
		for n := range 12 {
			wg.Go(func() {
				_, err := w.any(n).Signal(t.Context(), ask(out.RunID), "s", fmt.Appendf(nil, `{"api_key":"sk-signal%d-0123456789abcdef"}`, n))
				if err != nil {
					assert.Contains(t, []domain.Kind{domain.KindConflict, domain.KindUnavailable}, domain.KindOf(err), "%v", err)
				}
			})
		}
		wg.Wait()
		select {
		case err := <-aside:
			require.NoError(t, err)
		default:
		}
		_, err = w.any(i).Signal(t.Context(), ask(out.RunID), "never", []byte(`1`))
		require.NoError(t, err)
	}
	w.over(8)
	all, err := w.log.StreamsByLast(t.Context(), commands.RunStreamPrefix, func(typ string) bool { return typ == wire.RunCompleted })
	require.NoError(t, err)
	require.Len(t, all, 8)
	require.Empty(t, aside)
}

// hall is three nodes with channels.
func hall(t *testing.T, types ...node.Type) (*town, []*commands.Channels) {
	w := newTown(t, commands.Limits{SleepAfter: time.Millisecond}, append(nodetypes.All(nodetypes.Deps{HTTP: nobody{}, Now: clock.System{}.Now}), types...)...)
	var channels []*commands.Channels
	for range 3 {
		c := commands.NewChannels(commands.ChannelDeps{
			Log: w.log, Blobs: w.blobs, Secrets: commands.Secrets{Vault: w.vault, Blobs: w.blobs}, Clock: w.clock, IDs: clock.System{}, Shared: true,
		})
		w.awaits = c.Awaits
		n := w.open()
		channels = append(channels, c)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = c.Run(ctx, n) })
		t.Cleanup(func() { cancel(); running.Wait() })
	}
	return w, channels
}

func hears(channel string) workflow.Definition {
	return workflow.Definition{Nodes: []workflow.Node{{
		Name: "hear", Type: "event", Params: domain.Raw(fmt.Appendf(nil, `{"config":{"operation":"subscribe","channel":%q}}`, channel)),
		Waits: workflow.WaitsEvent, Retry: workflow.Retry{Attempts: 1},
	}}}
}

// Nothing is left of those who waited when their waits end by way of other nodes, or their runs move.
func TestNodes_WhoWaitsIsForgotten(t *testing.T) {
	w, channels := hall(t)
	var ids []string
	waiting := func() (n int) {
		for _, c := range channels {
			by, byRun := c.Waiting()
			n += by
			if by != byRun {
				return -1
			}
		}
		return n
	}
	for i := range 24 {
		out, err := w.any(i).StartRun(t.Context(), request(fmt.Sprint("r", i), hears(fmt.Sprint("c", i))))
		require.NoError(t, err)
		ids = append(ids, out.RunID)
	}
	require.Eventually(t, func() bool { return waiting() == len(ids) }, time.Minute, time.Millisecond)
	for i, id := range ids {
		switch i % 3 {
		case 0:
			_, err := w.any(i/3).Signal(t.Context(), ask(id), fmt.Sprint("c", i), []byte(`1`))
			require.NoError(t, err)
		case 1:
			_, err := w.any(i/3).Cancel(t.Context(), id, "", wire.Actor{})
			require.NoError(t, err)
		}
	}
	require.Eventually(t, func() bool { return waiting() == len(ids)/3 }, time.Minute, time.Millisecond)
	w.members.Drain(w.nodes[0].name)
	require.Eventually(t, func() bool {
		by, _ := channels[0].Waiting()
		return by == 0 && waiting() == len(ids)/3
	}, time.Minute, time.Millisecond)
}

// A message reaches the run that waits for it, whichever nodes it was published at and the run is on.
func TestNodes_MessagesReachEveryNode(t *testing.T) {
	w, channels := hall(t)
	for i := range 12 {
		name := fmt.Sprint("c", i)
		out, err := w.any(i).StartRun(t.Context(), request(fmt.Sprint("r", i), hears(name)))
		require.NoError(t, err)
		_, err = channels[(i+1+i/3)%3].Publish(t.Context(), commands.PublishRequest{Channel: name, Payload: []byte(`7`)})
		require.NoError(t, err)
		s, err := w.any(i+2).Await(t.Context(), out.RunID, 10*time.Second)
		require.NoError(t, err)
		require.Equal(t, run.PhaseCompleted, s.Phase)
	}
}
