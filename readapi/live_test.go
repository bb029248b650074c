package readapi_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/eventbus"
)

var wholeRun = []string{"flow_started 0<-1", "task_started 1<0", "task_completed 2<1", "flow_completed 3<2"}

// S0-4: a client that connects after the run began sees it from flow_started on, then live.
func TestS0_4_HistoryThenLive(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.started("r1")
	w.taskStarted("r1", "a")
	c := w.dial("/ws/flow/run")
	require.Equal(t, wholeRun[:2], c.briefs(2))
	r := w.taskCompleted("r1", "a")
	require.Equal(t, wholeRun[2:3], c.briefs(1))
	w.completed("r1", map[string]domain.Revision{"a": r})
	f := c.next()
	require.Equal(t, wholeRun[3], f.brief())
	require.Equal(t, "flow", f["task_name"])
	require.Equal(t, map[string]any{"a": map[string]any{"y": "a"}}, f["output"])
	require.Equal(t, "r1", f["execution_id"])
	require.Equal(t, "log-1", f["log"])
	c.ping()
}

// D5, A.6: Studio connects before it posts, with names that hold spaces.
func TestD5_SocketBeforeTheRun(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/Rapid%20Workflow/a%2Fb")
	c.ping()
	w.bind("Rapid Workflow", "a/b", "r1")
	c.ping()
	w.whole("r1")
	require.Equal(t, wholeRun, c.briefs(4))
}

// D3: the newest run is shown while it ended less than the window ago, and not after.
func TestD3_ReplayWindow(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.whole("r1")
	w.clock.Advance(29 * time.Second)
	require.Equal(t, wholeRun, w.dial("/ws/flow/run").briefs(4))
	w.clock.Advance(time.Second)

	c := w.dial("/ws/flow/run")
	k := c.next()
	require.Equal(t, "keepalive", k.kind())
	require.NotContains(t, k, "offset")
	require.Equal(t, "r1", k["execution_id"])
	require.Equal(t, "completed", k["status"])
	require.Equal(t, 3.0, k["head"])
	require.Equal(t, "log-1", k["log"])
	require.Contains(t, k["hint"], "from=0")
	require.Equal(t, float64(epoch.Add(30*time.Second).Unix()), k["timestamp"])
	c.ping()
	// The next run of the name is shown on the same socket; the old one on request.
	w.bind("flow", "run", "r2")
	w.whole("r2")
	require.Equal(t, wholeRun, c.briefs(4))
	require.Equal(t, wholeRun, w.dial("/ws/flow/run?from=0&execution_id=r1").briefs(4))
}

// Later runs of the name follow on the same socket, each from its first event.
func TestD3_LaterRunsFollow(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/flow/run")
	for i := range 3 {
		id := fmt.Sprint("r", i)
		w.bind("flow", "run", id)
		w.whole(id)
		for _, want := range wholeRun {
			f := c.next()
			require.Equal(t, want, f.brief())
			require.Equal(t, id, f["execution_id"])
		}
	}
	w.whole("other")
	c.ping()
}

func TestD4_Cursors(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.whole("r1")
	w.bind("flow", "run", "r2")
	w.started("r2")
	w.taskStarted("r2", "a")
	for query, want := range map[string][]string{
		"":                                     {"flow_started 0<-1", "task_started 1<0"},
		"from=0":                               {"flow_started 0<-1", "task_started 1<0"},
		"offset=1":                             {"task_started 1<0"},
		"from=2":                               nil,
		"after=-1":                             {"flow_started 0<-1", "task_started 1<0"},
		"after=0":                              {"task_started 1<0"},
		"after=0:1":                            {"task_started 1<0"},
		"after=1&log=log-1":                    nil,
		"from=latest":                          nil,
		"execution_id=exec_r2":                 {"flow_started 0<-1", "task_started 1<0"},
		"execution_id=r1":                      append(append([]string{}, wholeRun...), "flow_started 0<-1", "task_started 1<0"),
		"execution_id=r1&after=2":              {"flow_completed 3<2", "flow_started 0<-1", "task_started 1<0"},
		"types=task_started":                   {"task_started 1<-1"},
		"types=flow_started,flow_error":        {"flow_started 0<-1"},
		"node_id=a":                            {"task_started 1<-1"},
		"node_id=b":                            nil,
		"types=task_started&from=1":            {"task_started 1<0"},
		"execution_id=r1&node_id=a":            {"task_started 1<-1", "task_completed 2<1", "task_started 1<-1"},
		"execution_id=r1&types=flow_completed": {"flow_completed 3<-1"},
	} {
		t.Run(query, func(t *testing.T) {
			c := w.dial("/ws/flow/run?" + query)
			require.Equal(t, want, c.briefs(len(want)))
			c.ping()
		})
	}
}

// A cursor at the end of a finished run: told so at once, then the next run.
func TestD4_CursorAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.whole("r1")
	for _, query := range []string{"after=3", "from=99", "from=latest", "execution_id=r1&after=3"} {
		c := w.dial("/ws/flow/run?" + query)
		k := c.next()
		require.Equal(t, "keepalive", k.kind())
		require.Equal(t, "completed", k["status"])
		c.ping()
	}
	c := w.dial("/ws/flow/run?after=3")
	require.Equal(t, "keepalive", c.next().kind())
	w.bind("flow", "run", "r2")
	w.whole("r2")
	require.Equal(t, wholeRun, c.briefs(4))
}

// A cursor beyond the head waits, does not show what lies before it, and still moves on to the next run.
func TestD4_CursorBeyondTheHead(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.started("r1")
	c := w.dial("/ws/flow/run?from=2")
	c.ping()
	w.taskStarted("r1", "a")
	r := w.taskCompleted("r1", "a")
	require.Equal(t, []string{"task_completed 2<1"}, c.briefs(1))
	beyond := w.dial("/ws/flow/run?from=50")
	beyond.ping()
	w.completed("r1", map[string]domain.Revision{"a": r})
	require.Equal(t, wholeRun[3:], c.briefs(1))
	w.bind("flow", "run", "r2")
	w.whole("r2")
	require.Equal(t, wholeRun, c.briefs(4))
	require.Equal(t, wholeRun, beyond.briefs(4))
}

// An execution that the name does not hold yet is waited for; other runs of the name are not it.
func TestD4_ExecutionWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.whole("r1")
	c := w.dial("/ws/flow/run?execution_id=r3&from=1")
	c.ping()
	w.bind("flow", "run", "r2")
	w.whole("r2")
	w.bind("flow", "run", "r3")
	c.ping()
	w.whole("r3")
	require.Equal(t, wholeRun[1:], c.briefs(3))
	w.bind("flow", "run", "r4")
	w.whole("r4")
	require.Equal(t, wholeRun, c.briefs(4))
}

// Abandoned runs are shown nowhere: before, while and after a socket is bound to one.
func TestD6_AbandonedRunsAreNotShown(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.whole("r1")
	w.bind("flow", "run", "r2")
	waiting := w.dial("/ws/flow/run") // bound to r2, which has no event
	waiting.ping()
	w.event("r2", run.Abandoned{RunID: "r2"})
	require.Equal(t, wholeRun, waiting.briefs(4)) // back to r1, which ended just now
	require.Equal(t, wholeRun, w.dial("/ws/flow/run").briefs(4))
	asked := w.dial("/ws/flow/run?execution_id=r2")
	asked.ping()

	w.bind("flow", "run", "r3")
	w.event("r3", run.Abandoned{RunID: "r3"})
	w.bind("flow", "run", "r4")
	w.whole("r4")
	require.Equal(t, wholeRun, waiting.briefs(4))
	require.Equal(t, wholeRun, asked.briefs(4))
	waiting.ping()
}

// A name with more bindings than one page, all but the oldest abandoned.
func TestD6_ManyAbandonedBindings(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r")
	w.whole("r")
	for i := range 70 {
		id := fmt.Sprint("gone", i)
		w.bind("flow", "run", id)
		w.event(id, run.Abandoned{RunID: id})
	}
	require.Equal(t, wholeRun, w.dial("/ws/flow/run").briefs(4))
}

// Every 25 s a keepalive says how far the run is, so that silence can be told from death.
func TestKeepalive_Every25s(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/flow/run")
	c.ping()
	w.clock.Advance(24 * time.Second)
	c.ping()
	w.clock.Advance(time.Second)
	k := c.pingAnd("keepalive")
	require.Equal(t, "waiting", k["status"])
	require.Equal(t, -1.0, k["head"])
	require.Equal(t, "", k["execution_id"])

	w.bind("flow", "run", "r1")
	w.started("r1")
	require.Equal(t, wholeRun[:1], c.briefs(1))
	w.clock.Advance(25 * time.Second)
	k = c.pingAnd("keepalive")
	require.Equal(t, "running", k["status"])
	require.Equal(t, 0.0, k["head"])
	require.Equal(t, "r1", k["execution_id"])
}

// The timer alone wakes an idle socket, without any message.
func TestKeepalive_ByTimerAlone(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/flow/run")
	w.clock.awaitTimers(t, 1)
	got := make(chan frame, 1)
	go func() { got <- c.next() }()
	for {
		select {
		case k := <-got:
			require.Equal(t, "keepalive", k.kind())
			return
		case <-time.After(time.Millisecond):
			w.clock.Advance(time.Second)
		}
	}
}

// If the hub is silently dead, the keepalive's look at the log still finds events.
func TestKeepalive_PollsAsAFloor(t *testing.T) {
	w := newWorld(t, func(d *depsT, _ *optionsT) {
		// A hub that is never run hears nothing.
		deaf := eventbus.New(d.Log.(eventbus.Log), func(context.Context, domain.Position, string) (eventbus.Source, error) { return nil, nil }, d.Clock, eventbus.Options{})
		d.Readers = func(s domain.StreamID, from domain.Revision, notify func()) readerT {
			return deaf.Reader(s, from, notify)
		}
	})
	w.bind("flow", "run", "r1")
	w.started("r1")
	c := w.dial("/ws/flow/run")
	require.Equal(t, wholeRun[:1], c.briefs(1))
	c.ping()
	w.taskStarted("r1", "a")
	w.clock.Advance(25 * time.Second)
	c.send(`{"type":"ping"}`) // looks at the clock, as the timer may have
	var kinds []string
	for range 3 {
		kinds = append(kinds, c.next().kind())
	}
	require.ElementsMatch(t, []string{"pong", "keepalive", "task_started"}, kinds)
}

// A log that fails is tried again; the client sees a delay, not a gap.
func TestLive_LogFailureIsRetried(t *testing.T) {
	flaky := &flakyLog{}
	failed := make(chan error, 10)
	w := newWorld(t, func(d *depsT, o *optionsT) {
		flaky.Log = d.Log
		d.Log = flaky
		o.Hooks.Failed = func(err error) { failed <- err }
	})
	w.bind("flow", "run", "r1")
	w.whole("r1")
	flaky.down.Store(true)
	c := w.dial("/ws/flow/run")
	require.ErrorIs(t, <-failed, domain.ErrUnavailable)
	c.ping()
	flaky.down.Store(false)
	w.clock.Advance(time.Second)
	c.send(`{"type":"ping"}`) // looks at the clock
	got := slices.DeleteFunc(c.briefs(5), func(s string) bool { return strings.HasPrefix(s, "pong") })
	require.Equal(t, wholeRun, got)
}

// Damage in the name stream is a failure, not a crash; names of one stream do not mix.
func TestLive_NamesDoNotMix(t *testing.T) {
	require.NotEqual(t, name.Stream("a", "bc"), name.Stream("ab", "c"))
	w := newWorld(t)
	w.bind("ab", "c", "r1")
	w.whole("r1")
	c := w.dial("/ws/a/bc")
	c.ping()
}
