package feeds_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	fastws "github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/readapi"
	"quipu/readapi/feeds"
)

// S2-17, D19: from now on, the events of every execution of the workflow and of no other, as they
// happen, each naming the one before.
func TestS2_17_WorkflowLive(t *testing.T) {
	w := newWorld(t)
	w.stored("w1")
	w.started("before", "w1")
	last := w.task("before", "a")
	c := w.dial("/ws/workflows/w1")
	w.started("other", "w2")
	at := w.taskCompleted("before", "a")
	f := c.next()
	require.Equal(t, "node.completed before", f.brief())
	require.Equal(t, at, f["position"])
	require.Equal(t, last, f["prev"])
	require.Equal(t, 2.0, f["offset"])
	require.Equal(t, float64(epoch.Unix()), f["timestamp"])
	require.NotEmpty(t, f["id"])
	data := f.data()
	require.Equal(t, "w1", data["workflow_id"])
	require.Equal(t, "a", data["node_id"])
	require.Equal(t, "type of a", data["node_type"])
	require.Equal(t, map[string]any{"y": 1.0}, data["result"])
	require.Nil(t, data["error"])
	require.Equal(t, "2026-03-01T12:00:00.000Z", data["timestamp"])

	w.started("r2", "w1")
	w.started("r3", "w1")
	w.completed("before")
	w.stored("w1") // a version of the workflow itself
	require.Equal(t, []string{"workflow.started r2", "workflow.started r3", "workflow.completed before", "workflow.deleted <nil>"}, c.briefs(4))
	c.settled()
}

// D19: an id that is no workflow is an execution; execution_id narrows; the aliases are the same.
func TestD19_WhatTheIDNames(t *testing.T) {
	w := newWorld(t)
	w.stored("w1")
	w.started("r1", "w1")
	w.started("r2", "w1")
	w.started("flow", "lao-0123456789abcdef")
	w.task("r1", "a")
	for path, want := range map[string][]string{
		"/ws/workflows/w1?from=0":                                     {"workflow.deleted <nil>", "workflow.started r1", "workflow.started r2", "node.started r1"},
		"/api/events/ws/workflows/w1?from=0":                          {"workflow.deleted <nil>", "workflow.started r1", "workflow.started r2", "node.started r1"},
		"/ws/workflows/w1?from=0&execution_id=r1":                     {"workflow.started r1", "node.started r1"},
		"/ws/workflows/w1?from=0&execution_id=exec_r2":                {"workflow.started r2"},
		"/ws/workflows/r1?from=0":                                     {"workflow.started r1", "node.started r1"},
		"/ws/workflows/exec_r1?from=0":                                {"workflow.started r1", "node.started r1"},
		"/ws/workflows/r1?from=0&execution_id=r1":                     {"workflow.started r1", "node.started r1"},
		"/ws/workflows/%72%31?from=0":                                 {"workflow.started r1", "node.started r1"},
		"/api/events/ws/workflows/r2?from=0":                          {"workflow.started r2"},
		"/api/events/ws/executions/exec_r2?from=0":                    {"workflow.started r2"},
		"/ws/workflows/lao-0123456789abcdef?from=0":                   {"workflow.started flow"},
		"/api/events/ws/workflows/lao-fedcba9876543210":               nil,
		"/ws/workflows/lao-0123456789abcdef?execution_id=flow&from=0": {"workflow.started flow"},
	} {
		c := w.dial(path)
		require.Equal(t, want, c.briefs(len(want)), path)
		c.settled()
	}
	// Both kinds go on live.
	one, all := w.dial("/ws/workflows/r2"), w.dial("/ws/workflows/w1")
	w.task("r1", "b")
	w.task("r2", "b")
	require.Equal(t, []string{"node.started r2"}, one.briefs(1))
	require.Equal(t, []string{"node.started r1", "node.started r2"}, all.briefs(2))
}

// D19: what names nothing is 404 before the handshake, with the field.
func TestD19_UnknownIDs(t *testing.T) {
	w := newWorld(t)
	w.stored("w1")
	w.started("r1", "w1")
	w.started("r2", "w2")
	w.event("gone", run.Abandoned{RunID: "gone"})
	for path, field := range map[string]string{
		"/ws/workflows/none":                         "path/id",
		"/ws/workflows/gone":                         "path/id", // D6: shown nowhere
		"/ws/workflows/exec_":                        "path/id",
		"/ws/workflows/%00":                          "path/id",
		"/ws/workflows/%ff":                          "path/id",
		"/ws/workflows/lao-0123":                     "path/id",
		"/ws/workflows/" + strings.Repeat("x", 2000): "path/id",
		"/api/events/ws/executions/w1":               "path/id",
		"/api/events/ws/executions/none":             "path/id",
		"/ws/workflows/w1?execution_id=none":         "query/execution_id",
		"/ws/workflows/w1?execution_id=r2":           "query/execution_id",
		"/ws/workflows/r1?execution_id=r2":           "query/execution_id",
	} {
		body := w.refused(path, http.StatusNotFound)
		require.Equal(t, field, body["detail"].([]any)[0].(map[string]any)["field"], path)
	}
}

// D4: bad values are 400 before the handshake, naming the field; a cursor of another log is 409.
func TestD4_BadPositions(t *testing.T) {
	w := newWorld(t)
	w.stored("w1")
	good := domain.Position(1).Cursor("log-1")
	for path, field := range map[string]string{
		"?from=x":                              "query/from",
		"?from=1":                              "query/from",
		"?from=-1":                             "query/from",
		"?after=latest":                        "query/after",
		"?after=log-1-zzzzzzzzzzzzzzzz":        "query/after",
		"?after=" + strings.Repeat("9", 1000):  "query/after",
		"?from=" + good + "&after=" + good:     "query/after",
		"?from=latest&after=" + good:           "query/after",
		"?types=nonsense":                      "query/types",
		"?types=workflow.started,flow_started": "query/types",
		"?node_id=" + strings.Repeat("n", 513): "query/node_id",
		"?execution_id=%00":                    "query/execution_id",
		"?execution_id=exec_":                  "query/execution_id",
	} {
		body := w.refused("/ws/workflows/w1"+path, http.StatusBadRequest)
		require.Equal(t, field, body["detail"].([]any)[0].(map[string]any)["field"], path)
	}
	require.Len(t, w.refused("/ws/workflows/w1?from=x&types=y&execution_id=%00", http.StatusBadRequest)["detail"], 3)
	for _, path := range []string{"?after=log-2-0000000000000001", "?from=log-2-0000000000000001", "?log=log-2", "?log=log-2&after=" + good} {
		body := w.refused("/ws/workflows/w1"+path, http.StatusConflict)
		require.Equal(t, "LOG_CHANGED", body["error"].(map[string]any)["code"])
		require.Equal(t, map[string]any{"log": "log-1"}, body["error"].(map[string]any)["details"])
	}
	resp, err := http.Get("http://" + w.addr + "/ws/workflows/w1")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()
}

// D4: positions are exclusive in after, inclusive in from; prev begins with the cursor and names what
// was sent before on this socket, filter included.
func TestD4_PositionCursors(t *testing.T) {
	w := newWorld(t)
	zero := domain.Position(0).Cursor("log-1")
	p1 := w.started("r1", "lao-0123456789abcdef")
	p2 := w.started("x", "w2")
	p3 := w.task("r1", "a")
	p4 := w.task("r1", "b")
	p5 := w.taskCompleted("r1", "a")
	beyond := domain.Position(99).Cursor("log-1")
	for query, want := range map[string][]string{
		"from=0":                     {zero + "<" + p1, p1 + "<" + p3, p3 + "<" + p4, p4 + "<" + p5},
		"after=0":                    {zero + "<" + p1, p1 + "<" + p3, p3 + "<" + p4, p4 + "<" + p5},
		"from=" + p1:                 {zero + "<" + p1, p1 + "<" + p3, p3 + "<" + p4, p4 + "<" + p5},
		"after=" + p1:                {p1 + "<" + p3, p3 + "<" + p4, p4 + "<" + p5},
		"after=" + p2:                {p2 + "<" + p3, p3 + "<" + p4, p4 + "<" + p5},
		"from=" + p5:                 {p4 + "<" + p5},
		"after=" + p5 + "&log=log-1": nil,
		"after=" + beyond:            nil,
		"from=latest":                nil,
		"":                           nil,
		"from=0&types=node.started":  {zero + "<" + p3, p3 + "<" + p4},
		"from=0&node_id=a":           {zero + "<" + p3, p3 + "<" + p5},
		"from=0&node_id=b":           {zero + "<" + p4},
		"from=0&types=task_completed,workflow.started": {zero + "<" + p1, p1 + "<" + p5},
		"from=0&types=node.started&node_id=a":          {zero + "<" + p3},
		"from=0&types=run.task_completed.v1":           {zero + "<" + p5},
		"from=0&types=workflow.failed":                 nil,
	} {
		for _, path := range []string{"/ws/workflows/lao-0123456789abcdef?", "/ws/workflows/r1?"} {
			c := w.dial(path + query)
			var got []string
			for range want {
				f := c.next()
				got = append(got, fmt.Sprintf("%v<%v", f["prev"], f["position"]))
			}
			require.Equal(t, want, got, path+query)
			c.settled()
		}
	}
}

// Promise 2 for feeds: clients that connect at random moments with random cursors, to workflows and to
// executions, while runs of several workflows begin, go on and end, see exactly their sequence, each
// frame naming the one before. Some stop reading for a while and fall far behind what is held.
func TestD19_RandomCursorsWhileRunsStart(t *testing.T) {
	const seed = 7
	w := newWorld(t)
	random := rand.New(rand.NewPCG(seed, seed))
	workflows := []string{"lao-0000000000000000", "lao-0000000000000001", "w2"}
	w.stored("w2")
	w.started("long", "w2")
	const clients, runs = 24, 900
	type plan struct {
		begin    chan struct{}
		path     string
		workflow string // or
		run      string
		after    uint64
		pause    bool
	}
	plans := make([]plan, clients)
	for i := range plans {
		p := &plans[i]
		p.begin = make(chan struct{})
		p.workflow = workflows[random.IntN(len(workflows))]
		p.path = "/ws/workflows/" + p.workflow
		if i%4 == 3 {
			p.workflow, p.run, p.path = "", "long", "/ws/workflows/long"
		}
		p.after = random.Uint64()
		p.pause = i%3 == 0
	}
	var wg sync.WaitGroup
	results := make([][]string, clients)
	cursors := make([]string, clients)
	resume := make(chan struct{})
	for i := range plans {
		p := &plans[i]
		wg.Go(func() {
			<-p.begin
			head, err := w.log.Head(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			cursors[i] = domain.Position(p.after % uint64(head+1)).Cursor("log-1")
			conn, _, err := fastws.DefaultDialer.Dial("ws://"+w.addr+p.path+"?after="+cursors[i], nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			c := &client{t, conn}
			if p.pause {
				<-resume
			}
			for prev := cursors[i]; ; {
				f, err := c.read()
				if err != nil {
					t.Error(i, err)
					return
				}
				if f["prev"] != prev {
					t.Errorf("client %d: prev is %v, want %v", i, f["prev"], prev)
					return
				}
				prev = f["position"].(string)
				results[i] = append(results[i], prev)
				if f.data()["node_id"] == "the end" {
					return
				}
			}
		})
	}
	for n := range runs {
		if n%(runs/clients) == 0 && n/(runs/clients) < clients {
			close(plans[n/(runs/clients)].begin)
		}
		id := fmt.Sprint("r", n)
		w.started(id, workflows[n%len(workflows)])
		w.skipped(id)
		w.skipped("long")
		if n > 20 {
			w.skipped(fmt.Sprint("r", n-20))
			w.completed(fmt.Sprint("r", n-20))
		}
	}
	close(resume)
	for i, id := range workflows {
		end := fmt.Sprint("end", i)
		w.started(end, id)
		w.event(end, run.TaskSkipped{Task: "the end", Reason: "r"})
	}
	w.event("long", run.TaskSkipped{Task: "the end", Reason: "r"}) // comes last in w2 too
	wg.Wait()
	for i, p := range plans {
		var want []string
		switch {
		case p.run != "":
			for _, e := range w.all {
				if e.execution == "run-"+p.run && e.position > cursors[i] {
					want = append(want, e.position)
				}
			}
		default:
			want = w.want(p.workflow, cursors[i])
			if p.workflow == "w2" {
				want = want[:len(want)-1] // it stops at the first end
			}
		}
		require.Equal(t, want, results[i], "seed %d, client %d of %s after %s", seed, i, p.path, cursors[i])
	}
}

// A client that stops reading is dropped from nothing: it goes on where it stopped, at its own pace,
// though far more was written than is held for it anywhere.
func TestFeeds_SlowReaderFallsBackToTheLog(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/workflows/lao-0123456789abcdef")
	fast := w.dial("/ws/workflows/lao-0123456789abcdef")
	w.started("r1", "lao-0123456789abcdef")
	big := domain.Raw([]byte(`"` + strings.Repeat("x", 40<<10) + `"`))
	const events = 600 // 24 MB: more than both kernels' buffers and all that is held
	for i := range events {
		w.event("r1", run.TaskStarted{Task: "t", TaskID: fmt.Sprint(i), Node: "n", Function: "f", Input: big})
		fast.next()
	}
	for i := range events + 1 {
		require.Equal(t, float64(i), c.next()["offset"])
	}
}

// A log that fails is tried again; the client sees a delay, not a gap.
func TestFeeds_LogFailureIsRetried(t *testing.T) {
	w := newWorld(t)
	w.started("r1", "lao-0123456789abcdef")
	w.task("r1", "a")
	w.dial("/ws/workflows/r1?from=0").briefs(2)
	c := w.dial("/ws/workflows/lao-0123456789abcdef?from=0")
	c.briefs(2)
	w.log.down.Store(true)
	w.refused("/ws/workflows/r1", http.StatusServiceUnavailable)
	behind := w.dial("/ws/workflows/lao-0123456789abcdef?from=0")
	require.ErrorIs(t, <-w.failed, domain.ErrUnavailable)
	w.task("r1", "b") // its workflow is known
	require.Equal(t, []string{"node.started r1"}, c.briefs(1))
	w.log.down.Store(false)
	got := make(chan []string, 1)
	go func() { got <- behind.briefs(3) }()
	for {
		select {
		case g := <-got:
			require.Equal(t, []string{"workflow.started r1", "node.started r1", "node.started r1"}, g)
			return
		case <-time.After(time.Millisecond):
			w.clock.Advance(100 * time.Millisecond)
		}
	}
}

// D19: nothing but events and protocol pings is sent, whatever the client says; the known client takes
// every text frame for an event.
func TestD19_ProtocolPingsOnly(t *testing.T) {
	w := newWorld(t)
	w.started("r1", "lao-0123456789abcdef")
	c := w.dial("/ws/workflows/lao-0123456789abcdef")
	pings := make(chan struct{}, 100)
	answer := c.conn.PingHandler()
	c.conn.SetPingHandler(func(s string) error { pings <- struct{}{}; return answer(s) })
	for _, text := range []string{`{"type":"ping"}`, `hello`, `{`, `[]`} {
		require.NoError(t, c.conn.WriteMessage(fastws.TextMessage, []byte(text)))
	}
	got := make(chan frame, 1)
	go func() { f, _ := c.read(); got <- f }()
	for n := 0; n < 4; { // two minutes
		select {
		case <-pings:
			n++
		case f := <-got:
			require.FailNow(t, "a frame came", "%v", f)
		case <-time.After(time.Millisecond):
			w.clock.Advance(5 * time.Second)
		}
	}
	w.task("r1", "a")
	require.Equal(t, "node.started r1", (<-got).brief())
}

// With nothing more to come a socket on one execution is closed after 10 min; one on a workflow stays.
func TestFeeds_IdleAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	w.started("r1", "lao-0123456789abcdef")
	w.completed("r1")
	w.started("r2", "lao-0123456789abcdef")
	over, replayed := w.dial("/ws/workflows/r1"), w.dial("/ws/workflows/r1?from=0")
	running, all := w.dial("/ws/workflows/r2"), w.dial("/ws/workflows/lao-0123456789abcdef")
	replayed.briefs(2)
	codes := make(chan int, 2)
	go func() { codes <- over.closed() }()
	go func() { codes <- replayed.closed() }()
	frames := make(chan frame, 2)
	for _, c := range []*client{running, all} {
		go func() { frames <- c.next() }() // answers pings
	}
	for n := 0; n < 2; {
		select {
		case code := <-codes:
			require.Equal(t, 1000, code)
			require.GreaterOrEqual(t, w.clock.Now().Sub(epoch), 10*time.Minute)
			n++
		case <-time.After(2 * time.Millisecond):
			w.clock.Advance(10 * time.Second)
		}
	}
	w.task("r2", "a")
	require.Equal(t, "node.started r2", (<-frames).brief())
	require.Equal(t, "node.started r2", (<-frames).brief())
}

// One registry: the bound per id counts, and a shutdown closes these sockets too, with 1012.
func TestFeeds_LimitsAndShutdown(t *testing.T) {
	w := newWorld(t, func(_ *readapi.SocketOptions, o *feeds.Options) { o.SocketsPerIDMax = 2 })
	w.stored("w1")
	a, b := w.dial("/ws/workflows/w1"), w.dial("/api/events/ws/workflows/w1")
	w.stored("w1")
	a.briefs(1)
	b.briefs(1)
	body := w.refused("/ws/workflows/w1", http.StatusTooManyRequests)
	require.Equal(t, "SOCKETS_EXHAUSTED", body["error"].(map[string]any)["code"])
	w.dial("/ws/workflows/lao-0123456789abcdef")
	done := make(chan int, 2)
	go func() { done <- a.closed() }()
	go func() { done <- b.closed() }()
	w.shutdown()
	require.Equal(t, 1012, <-done)
	require.Equal(t, 1012, <-done)
}

// A damaged or foreign event shows as unreadable and hides nothing after it.
func TestFeeds_DamagedEvents(t *testing.T) {
	w := newWorld(t)
	w.started("r1", "lao-0123456789abcdef")
	c := w.dial("/ws/workflows/lao-0123456789abcdef")
	for _, data := range []string{`{{`, ``, `{"task":`, `{"task":1}`, `"task"`, "\xff", `[{"task":"a"}]`} {
		w.append("run-r1", wire.RunTaskCompleted, []byte(data))
		require.Equal(t, "unreadable r1", c.next().brief(), data)
	}
	w.append("run-r1", "run.other.v9", []byte(`{"task":"a"}`))
	require.Equal(t, "other r1", c.next().brief())
	w.append("run-foreign", "OrderPlaced", []byte(`nonsense`))
	w.task("r1", "a")
	require.Equal(t, "node.started r1", c.next().brief())
}

// D4: a model's words come between the events, without a position, to those who follow its run live.
func TestD4_DeltasBetweenEvents(t *testing.T) {
	w := newWorld(t)
	w.started("r1", "lao-0123456789abcdef")
	all, one := w.dial("/ws/workflows/lao-0123456789abcdef"), w.dial("/ws/workflows/r1")
	filtered := w.dial("/ws/workflows/r1?types=node.completed,llm_delta&node_id=b")
	p := w.task("r1", "a")
	require.Equal(t, []string{"node.started r1"}, all.briefs(1))
	require.Equal(t, []string{"node.started r1"}, one.briefs(1))
	w.hub.PublishEphemeral("run-r1", readapi.Delta{Task: "a", TaskID: "t1", Attempt: 1, Seq: 0, Text: "Hel", At: w.clock.Now()})
	for _, c := range []*client{all, one} {
		require.Equal(t, frame{
			"event_type": "llm_delta", "timestamp": float64(epoch.Unix()),
			"data": map[string]any{
				"workflow_id": "lao-0123456789abcdef", "execution_id": "r1", "timestamp": "2026-03-01T12:00:00.000Z",
				"node_id": "a", "task_id": "t1", "attempt": 1.0, "seq": 0.0, "delta": "Hel",
			},
		}, c.next())
	}
	w.hub.PublishEphemeral("run-other", readapi.Delta{Task: "a"})
	w.hub.PublishEphemeral("run-r1", "something else")
	w.taskCompleted("r1", "a")
	for _, c := range []*client{all, one} {
		f := c.next()
		require.Equal(t, "node.completed r1", f.brief())
		require.Equal(t, p, f["prev"]) // a delta is none of the chain
	}
	w.taskCompleted("r1", "b")
	require.Equal(t, []string{"node.completed r1"}, filtered.briefs(1))
	w.hub.PublishEphemeral("run-r1", readapi.Delta{Task: "b", Text: "x"})
	require.Equal(t, []string{"llm_delta r1"}, filtered.briefs(1))
}
