package deltas_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/eventbus"
	"quipu/infra/clock"
	"quipu/infra/memory"
	"quipu/infra/nats"
	"quipu/infra/nats/deltas"
	"quipu/infra/nats/natstest"
)

const patience = time.Minute

// node is a hub with its bus, as a process has them.
type node struct {
	hub  *eventbus.Hub
	bus  *deltas.Bus
	conn *natsgo.Conn

	mu      sync.Mutex
	told    int
	dropped map[string]int
}

func start(t *testing.T, url, name string) *node {
	t.Helper()
	conn, err := nats.Connect(nats.Options{URLs: url, Name: name, ReconnectMin: 10 * time.Millisecond, ReconnectMax: 50 * time.Millisecond})
	require.NoError(t, err)
	log := memory.NewLog()
	n := &node{conn: conn, dropped: map[string]int{}}
	n.hub = eventbus.New(log, func(context.Context, domain.Position, string) (eventbus.Source, error) {
		return nil, domain.E(domain.KindUnavailable, "", "", "not needed")
	}, clock.System{}, eventbus.Options{})
	n.bus = deltas.New(conn, deltas.Options{
		Prefix: "quipu", Node: name,
		Followed: func(runID string) bool { return n.hub.Followed(commands.RunStream(runID)) },
		Tell:     func(d deltas.Delta) { n.hub.PublishEphemeral(commands.RunStream(d.RunID), d) },
		Hooks: deltas.Hooks{
			Told: func() { n.mu.Lock(); n.told++; n.mu.Unlock() },
			Dropped: func(reason string, count int) {
				n.mu.Lock()
				n.dropped[reason] += count
				n.mu.Unlock()
			},
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.bus.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done); conn.Close() })
	return n
}

func (n *node) drops(reason string) int { n.mu.Lock(); defer n.mu.Unlock(); return n.dropped[reason] }

// reader follows a run on the node; what it hears is collected.
type reader struct {
	r     *eventbus.Reader
	heard []deltas.Delta
}

func (n *node) follow(t *testing.T, runID string) *reader {
	r := n.hub.Reader(commands.RunStream(runID), 0, func() {})
	t.Cleanup(r.Close)
	return &reader{r: r}
}

func (r *reader) texts() string {
	for _, v := range r.r.Ephemeral() {
		r.heard = append(r.heard, v.(deltas.Delta))
	}
	var all strings.Builder
	for _, d := range r.heard {
		all.WriteString(d.Text)
	}
	return all.String()
}

func delta(run string, seq int, text string) deltas.Delta {
	return deltas.Delta{
		Delta: commands.Delta{RunID: run, Task: "say", TaskID: "say/1", Attempt: 1, Seq: seq, Text: text},
		At:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, time.Millisecond, what)
}

// What is said on one node is heard by the readers of its run on another, in order, and by nobody else;
// the node itself hears no echo.
func TestBus_ReadersOnOtherNodesHear(t *testing.T) {
	s := natstest.Start(t)
	a, b := start(t, s.URL(), "a"), start(t, s.URL(), "b")
	here, there, other := a.follow(t, "run/1 é"), b.follow(t, "run/1 é"), b.follow(t, "other")
	// A subscription is in force once something came through it.
	seq := 0
	eventually(t, "the first", func() bool {
		a.bus.Publish(delta("run/1 é", seq, "."))
		seq++
		return there.texts() != ""
	})
	for i := range 100 {
		a.bus.Publish(delta("run/1 é", seq+i, string(rune('a'+i%26))))
	}
	eventually(t, "all", func() bool {
		return there.heard != nil && strings.HasSuffix(there.texts(), "stuv") && len(there.heard) >= 100
	})
	for i := 1; i < len(there.heard); i++ {
		require.Equal(t, there.heard[i-1].Seq+1, there.heard[i].Seq)
	}
	require.Equal(t, delta("run/1 é", there.heard[0].Seq, "."), there.heard[0])
	require.Empty(t, here.texts(), "no echo")
	require.Empty(t, other.texts())

	// A run that nobody follows here is told to nobody.
	b.mu.Lock()
	before := b.told
	b.mu.Unlock()
	a.bus.Publish(delta("nobody's", 0, "x"))
	a.bus.Publish(delta("run/1 é", 1000, "!"))
	eventually(t, "the last", func() bool { return strings.HasSuffix(there.texts(), "!") })
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Equal(t, before+1, b.told)
}

// While NATS is away deltas are dropped and counted, publishing stays quick, and what is said after its
// return is heard.
func TestBus_ServerAwayAndBack(t *testing.T) {
	s := natstest.Start(t)
	a, b := start(t, s.URL(), "a"), start(t, s.URL(), "b")
	there := b.follow(t, "r")
	eventually(t, "connected", func() bool { a.bus.Publish(delta("r", 0, "1")); return there.texts() != "" })
	s.Stop()
	eventually(t, "noticed", func() bool { return !a.conn.IsConnected() })
	began := time.Now()
	for i := range 10 * deltas.QueueMax {
		a.bus.Publish(delta("r", i, "lost"))
	}
	require.Less(t, time.Since(began), 5*time.Second)
	require.Equal(t, 10*deltas.QueueMax, a.drops(deltas.DroppedAway))
	s.Restart()
	eventually(t, "heard again", func() bool { a.bus.Publish(delta("r", 0, "2")); return strings.HasSuffix(there.texts(), "2") })
	require.NotContains(t, there.texts(), "lost")
}

// A queue that nobody empties is bounded.
func TestBus_QueueIsBounded(t *testing.T) {
	s := natstest.Start(t)
	conn, err := nats.Connect(nats.Options{URLs: s.URL()})
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	eventually(t, "connected", conn.IsConnected)
	dropped := 0
	bus := deltas.New(conn, deltas.Options{
		Prefix: "quipu", Node: "a", Followed: func(string) bool { return true }, Tell: func(deltas.Delta) {},
		Hooks: deltas.Hooks{Dropped: func(reason string, n int) { require.Equal(t, deltas.DroppedQueueFull, reason); dropped += n }},
	})
	for i := range deltas.QueueMax + 10 {
		bus.Publish(delta("r", i, "x"))
	}
	require.Equal(t, 10, dropped)
}

// What is no delta is counted and passed over.
func TestBus_BadMessages(t *testing.T) {
	s := natstest.Start(t)
	a, b := start(t, s.URL(), "a"), start(t, s.URL(), "b")
	there := b.follow(t, "r")
	eventually(t, "connected", func() bool { a.bus.Publish(delta("r", 0, "1")); return there.texts() != "" })
	before := there.texts()
	subject := deltas.Subject("quipu", "r")
	bad := []string{
		"", "nonsense", "[]", "null", `{}`, `{"run":"other","node":"x","text":"forged"}`, `{"run":"r","node":"x","seq":-1}`,
		`{"run":"r","node":"x","text":5}`, `{"run":"r","text":"` + strings.Repeat("x", deltas.MessageBytesMax) + `"}`,
	}
	for _, body := range bad {
		require.NoError(t, a.conn.Publish(subject, []byte(body)))
	}
	a.bus.Publish(delta("r", 1, strings.Repeat("y", deltas.MessageBytesMax)))
	a.bus.Publish(delta("r", 1, "2"))
	eventually(t, "the next", func() bool { return strings.HasSuffix(there.texts(), "2") })
	require.Equal(t, len(bad), b.drops(deltas.DroppedBad))
	require.Equal(t, 1, a.drops(deltas.DroppedTooLarge))
	require.Equal(t, "2", strings.TrimLeft(there.texts(), "1"), before)
}
