package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/eventbus"
	"quipu/eventbus/cloudevent"
	"quipu/eventbus/relay"
	"quipu/infra/clock"
	"quipu/infra/memory"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
		// Seen once, on a busy machine: a connection that the Kafka client left open. Why is not known yet.
		goleak.IgnoreAnyFunction("github.com/IBM/sarama.(*Broker).responseReceiver"))
}

const patience = time.Minute

func eventually(t *testing.T, cond func() bool, what string) {
	t.Helper()
	require.Eventually(t, cond, patience, 2*time.Millisecond, what)
}

// write appends events to runs, in turn: each to revision `to`-1.
func write(t testing.TB, log commands.Log, runs, from, to int) {
	t.Helper()
	heads := make([]wire.Head, runs)
	for rev := range to {
		for r := range runs {
			stream := domain.StreamID(fmt.Sprintf("run-%d", r))
			if rev == 0 {
				heads[r] = wire.NewHead()
			}
			at := heads[r].Revision
			var p domain.Pending
			p, heads[r] = wire.Seal(stream, heads[r], time.Unix(1_790_000_000, 0), wire.Cause{CommandID: "c", CorrelationID: "x"},
				"run.task_started.v1", fmt.Appendf(nil, `{"run":%d,"n":%d}`, r, rev))
			if rev < from {
				continue
			}
			_, err := log.Append(t.Context(), stream, at, []domain.Pending{p})
			require.NoError(t, err)
		}
	}
}

// open adapts a log.
func open(log commands.Log) eventbus.OpenFunc {
	return func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		sub, err := log.Subscribe(ctx, after, prefix)
		if err != nil {
			return nil, err
		}
		return source{sub}, nil
	}
}

type source struct{ commands.Subscription }

func (s source) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	b, err := s.Subscription.Next(ctx)
	return b.Events, b.Position, b.CaughtUp, err
}

// target is a Watermill publisher that keeps what it gets, in order.
type target struct {
	mu    sync.Mutex
	got   []*message.Message
	topic []string
	under map[string]bool // partition keys
	// fail decides on each call, before it is kept; after fails it when it was kept.
	fail, after func(n int) error
	calls       int
}

func (g *target) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		key := m.Metadata["partitionkey"]
		g.mu.Lock()
		g.calls++
		n, before, after := g.calls, g.fail, g.after
		if g.under == nil {
			g.under = map[string]bool{}
		}
		if g.under[key] {
			panic("two events of " + key + " at once")
		}
		g.under[key] = true
		g.mu.Unlock()
		var err error
		func() {
			defer func() { g.mu.Lock(); delete(g.under, key); g.mu.Unlock() }()
			if before != nil {
				err = before(n)
			}
		}()
		g.mu.Lock()
		if err == nil {
			g.got, g.topic = append(g.got, m), append(g.topic, topic)
			if after != nil {
				err = after(n)
			}
		}
		g.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}
func (g *target) Close() error { return nil }

func (g *target) bodies() [][]byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([][]byte, len(g.got))
	for i, m := range g.got {
		out[i] = m.Payload
	}
	return out
}

// check reads CloudEvents in the order of arrival and requires that, a repeat of an id being dropped, each
// run is whole and in order. It returns how many repeats there were.
func check(t testing.TB, bodies [][]byte, runs, each int) (repeats int) {
	t.Helper()
	seen, next := map[string]bool{}, map[string]int{}
	for _, b := range bodies {
		var e event.Event
		require.NoError(t, json.Unmarshal(b, &e))
		if seen[e.ID()] {
			repeats++
			continue
		}
		seen[e.ID()] = true
		require.Equal(t, fmt.Sprint(next[e.Subject()]), e.Extensions()["revision"], "%s is out of order", e.Subject())
		next[e.Subject()]++
	}
	require.Len(t, next, runs)
	for run, n := range next {
		require.Equal(t, each, n, run)
	}
	return repeats
}

// missing reports whether ids are still to come.
func distinct(bodies [][]byte) int {
	seen := map[string]bool{}
	for _, b := range bodies {
		var e struct{ ID string }
		_ = json.Unmarshal(b, &e)
		seen[e.ID] = true
	}
	return len(seen)
}

type world struct {
	log         *memory.Log
	checkpoints eventbus.Checkpoints
	options     relay.Options
	owns        func(string) (bool, <-chan struct{})
}

func newWorld() *world {
	log := memory.NewLog()
	return &world{log: log, checkpoints: memory.NewCheckpoints(log.ID()), options: relay.Options{
		Target: "test", SaveEvery: time.Millisecond, RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond,
	}}
}

// start runs a relay; the returned function stops it and waits.
func (w *world) start(t testing.TB, p message.Publisher) (stop func()) {
	t.Helper()
	r, err := relay.New(relay.Deps{
		Log: w.log.ID(), Open: open(w.log), Checkpoints: w.checkpoints, Clock: clock.System{}, Publisher: p, Owns: w.owns,
	}, w.options)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				require.NoError(t, err)
			case <-time.After(patience):
				require.FailNow(t, "the relay did not stop")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func TestRelay_SendsWhatIsOurs(t *testing.T) {
	w := newWorld()
	var g target
	write(t, w.log, 3, 0, 2)
	add := func(stream domain.StreamID, typ string, metadata string) {
		p, _ := wire.Seal(stream, wire.NewHead(), time.Unix(0, 0), wire.Cause{CommandID: "c", Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, typ, []byte(`{}`))
		if metadata != "" {
			p.Metadata = []byte(metadata)
		}
		_, err := w.log.Append(t.Context(), stream, domain.NoStream, []domain.Pending{p})
		require.NoError(t, err)
	}
	add("ext-run-1", "run.started.v1", "")  // another's stream
	add("run-other", "their.type.v1", "")   // another's event
	add("endpoint-1", "endpoint.x.v1", "")  // about a key
	add("run-damaged", "run.x.v1", "junk")  // cannot be shown
	add("workflow-1", "workflow.x.v1", "")  // ours
	add("name-1", "name.bound.v1", "")      // ours
	add("channel-1", "channel.said.v1", "") // ours
	var leftOut, reached []string
	var mu sync.Mutex
	w.options.Hooks.LeftOut = func(_ string, e *domain.Recorded, _ error) {
		mu.Lock()
		leftOut = append(leftOut, string(e.Stream))
		mu.Unlock()
	}
	w.options.Hooks.Reached = func(_ string, p domain.Position, _ int) {
		mu.Lock()
		reached = append(reached, fmt.Sprint(uint64(p)))
		mu.Unlock()
	}
	stop := w.start(t, &g)
	eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(reached, "13") }, "everything is considered")
	stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	topics := map[string]int{}
	for i, m := range g.got {
		topics[g.topic[i]]++
		require.Equal(t, cloudevent.ContentType, m.Metadata[relay.MetadataContentType])
		var e event.Event
		require.NoError(t, json.Unmarshal(m.Payload, &e))
		require.Equal(t, m.UUID, e.ID())
		require.Equal(t, e.Type(), m.Metadata[relay.MetadataType])
		require.Equal(t, e.Extensions()["partitionkey"], m.Metadata[relay.MetadataPartitionKey])
		if e.Subject() == "name-1" {
			require.Equal(t, e.Extensions()["traceparent"], m.Metadata[relay.MetadataTraceparent])
			require.Equal(t, "bound", relay.Name(m))
		}
	}
	require.Equal(t, map[string]int{"quipu-run": 6, "quipu-workflow": 1, "quipu-name": 1, "quipu-channel": 1}, topics)
	require.Equal(t, []string{"run-damaged"}, leftOut)
	at, err := w.checkpoints.Load(t.Context(), "relay:test")
	require.NoError(t, err)
	require.EqualValues(t, 13, at)
}

// A target that fails at random, before or after it has taken an event: nothing is missing or out of order.
func TestRelay_FailuresKeepTheOrder(t *testing.T) {
	w := newWorld()
	const runs, each = 20, 20
	write(t, w.log, runs, 0, each)
	g := target{
		fail: func(n int) error {
			if n%5 == 0 {
				return errors.New("refused")
			}
			if n%31 == 0 {
				panic("a fault of a library")
			}
			return nil
		},
	}
	g.after = func(n int) error {
		if n%7 == 0 {
			return errors.New("the answer was lost")
		}
		return nil
	}
	w.start(t, &g)
	eventually(t, func() bool { return distinct(g.bodies()) == runs*each }, "all arrives")
	require.NotZero(t, check(t, g.bodies(), runs, each))
}

// The target is away for a while: it is told once, all arrives later, and the checkpoint waits meanwhile.
func TestRelay_ATargetThatIsAway(t *testing.T) {
	w := newWorld()
	write(t, w.log, 5, 0, 5)
	var away sync.Map
	away.Store("away", true)
	g := target{fail: func(int) error {
		if v, _ := away.Load("away"); v == true {
			return domain.E(domain.KindUnavailable, "publish", "", "no servers")
		}
		return nil
	}}
	var mu sync.Mutex
	var words []string
	w.options.Hooks.Ailing = func(_ string, err error) { mu.Lock(); words = append(words, fmt.Sprint(err)); mu.Unlock() }
	w.start(t, &g)
	eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(words) > 10 }, "it is tried again and again")
	write(t, w.log, 5, 5, 8) // the write side goes on
	at, err := w.checkpoints.Load(t.Context(), "relay:test")
	require.NoError(t, err)
	require.Zero(t, at)
	away.Store("away", false)
	eventually(t, func() bool { return distinct(g.bodies()) == 40 }, "all arrives")
	require.Zero(t, check(t, g.bodies(), 5, 8))
	eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return words[len(words)-1] == "<nil>" && strings.Contains(words[0], "no servers")
	}, "it is well again")
}

// crashing loses every save after the first.
type crashing struct {
	eventbus.Checkpoints
	mu    sync.Mutex
	saves int
}

func (c *crashing) Save(ctx context.Context, name string, from, to domain.Position) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saves++; c.saves > 1 {
		return domain.E(domain.KindUnavailable, "save", "", "killed")
	}
	return c.Checkpoints.Save(ctx, name, from, to)
}

// Killed between publishing and saving the checkpoint: the next one repeats what was sent since, with the same ids,
// and misses nothing.
func TestRelay_KilledBeforeTheCheckpoint(t *testing.T) {
	w := newWorld()
	const runs, each = 4, 30
	kept := w.checkpoints
	var g target
	for round := range each / 10 {
		w.checkpoints = &crashing{Checkpoints: kept}
		write(t, w.log, runs, round*10, round*10+10)
		stop := w.start(t, &g)
		eventually(t, func() bool { return distinct(g.bodies()) == runs*(round*10+10) }, "sent")
		stop()
	}
	w.checkpoints = kept
	stop := w.start(t, &g)
	head, err := w.log.Head(t.Context())
	require.NoError(t, err)
	eventually(t, func() bool { at, err := kept.Load(t.Context(), "relay:test"); return err == nil && at == head }, "all is done")
	stop()
	check(t, g.bodies(), runs, each)
}

// ownership says who relays; tests move it.
type ownership struct {
	mu      sync.Mutex
	owners  map[int]bool
	changed chan struct{}
}

func (o *ownership) set(owners ...int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owners = map[int]bool{}
	for _, n := range owners {
		o.owners[n] = true
	}
	if o.changed != nil {
		close(o.changed)
	}
	o.changed = make(chan struct{})
}

func (o *ownership) of(node int) func(string) (bool, <-chan struct{}) {
	return func(id string) (bool, <-chan struct{}) {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.owners[node] && id == "relay:test", o.changed
	}
}

// The relay moves between nodes, and for moments two have it: repeats have the same ids, nothing is missing, and
// whoever drops repeats sees each run in order.
func TestRelay_MovesBetweenNodes(t *testing.T) {
	w := newWorld()
	const runs, rounds = 6, 12
	var o ownership
	o.set()
	g := sharedTarget{}
	for node := range 3 {
		w.owns = o.of(node)
		w.start(t, &g)
	}
	for round := range rounds {
		o.set(round%3, (round+round%2)%3) // every second time two of them
		write(t, w.log, runs, round*5, round*5+5)
		eventually(t, func() bool { return distinct(g.bodies()) >= runs*round*5 }, "goes on")
	}
	eventually(t, func() bool { return distinct(g.bodies()) == runs*rounds*5 }, "all arrives")
	check(t, g.bodies(), runs, rounds*5)
	o.set() // nobody's
	head, err := w.log.Head(t.Context())
	require.NoError(t, err)
	eventually(t, func() bool { at, err := w.checkpoints.Load(t.Context(), "relay:test"); return err == nil && at == head }, "the checkpoint is at the end")
}

// sharedTarget takes from several relays at once.
type sharedTarget struct{ target }

func (g *sharedTarget) Publish(_ string, messages ...*message.Message) error {
	g.mu.Lock()
	g.got = append(g.got, messages...)
	g.mu.Unlock()
	return nil
}

// ailing refuses to load or save while it is told to.
type ailing struct {
	eventbus.Checkpoints
	away atomic.Bool
}

func (a *ailing) Load(ctx context.Context, name string) (domain.Position, error) {
	if a.away.Load() {
		return 0, domain.E(domain.KindUnavailable, "load", name, "is away")
	}
	return a.Checkpoints.Load(ctx, name)
}

func (a *ailing) Save(ctx context.Context, name string, from, to domain.Position) error {
	if a.away.Load() {
		return domain.E(domain.KindUnavailable, "save", name, "is away")
	}
	return a.Checkpoints.Save(ctx, name, from, to)
}

// While the checkpoint cannot be saved or loaded the relay ails, however well events are sent; once it can, all
// is well although nothing more is recorded.
func TestRelay_IsWellAgainWithoutNewEvents(t *testing.T) {
	for _, atStart := range []bool{false, true} {
		w := newWorld()
		c := &ailing{Checkpoints: w.checkpoints}
		w.checkpoints = c
		write(t, w.log, 5, 0, 5)
		c.away.Store(atStart)
		var mu sync.Mutex
		var words []string
		w.options.Hooks.Ailing = func(_ string, err error) { mu.Lock(); words = append(words, fmt.Sprint(err)); mu.Unlock() }
		told := func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(words) }
		var g target
		stop := w.start(t, &g)
		if !atStart {
			eventually(t, func() bool { at, err := w.checkpoints.Load(t.Context(), "relay:test"); return err == nil && at == 25 }, "all is saved")
			c.away.Store(true)
			write(t, w.log, 5, 5, 10)
			eventually(t, func() bool { return distinct(g.bodies()) == 50 }, "events are sent all the same")
		}
		eventually(t, func() bool { return len(told()) > 3 }, "it is told and tried again")
		require.NotContains(t, told(), "<nil>", "it is not well while this lasts")
		c.away.Store(false)
		eventually(t, func() bool { words := told(); return words[len(words)-1] == "<nil>" }, "it is well again")
		stop()
		require.Equal(t, "<nil>", told()[len(told())-1])
	}
}

// A checkpoint of another log is told and never passed over; once it is gone, the relay begins by itself.
func TestRelay_AnotherLog(t *testing.T) {
	w := newWorld()
	write(t, w.log, 1, 0, 3)
	c := memory.NewCheckpoints("another log")
	require.NoError(t, c.Save(t.Context(), "relay:test", 0, 2))
	w.checkpoints = c.For(w.log.ID())
	var mu sync.Mutex
	var last error
	w.options.Hooks.Ailing = func(_ string, err error) { mu.Lock(); last = err; mu.Unlock() }
	var g target
	w.start(t, &g)
	eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return last != nil }, "told")
	mu.Lock()
	e, ok := errors.AsType[*domain.Error](last)
	mu.Unlock()
	require.True(t, ok)
	require.Equal(t, eventbus.CodeLogChanged, e.Code)
	require.Empty(t, g.bodies())
}

func TestNew_BadOptions(t *testing.T) {
	for _, o := range []relay.Options{{}, {Target: "A"}, {Target: "nats", TopicPrefix: "a.b"}, {Target: "nats", InFlight: -1}, {Target: "nats", RetryMin: time.Hour}} {
		_, err := relay.New(relay.Deps{}, o)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
}
