package contracttest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

// The six types of the published page.
var documented = isType("flow_started", "task_started", "task_completed", "flow_completed", "task_failed", "flow_error")

var flowEnds = isType("flow_completed", "flow_error")

// runDAG starts a run that must be accepted and returns its id.
func runDAG(t testing.TB, s *proctest.Server, flow, run string, more object) string {
	t.Helper()
	body := object{"flow_name": flow, "run_name": run, "tasks": []any{}, "default_inputs": object{}, "edges": []any{}}
	maps.Copy(body, more)
	a := must(t, s, 200, http.MethodPost, "/run-dag/", encode(body))
	return text(t, a.Body["task_id"])
}

func task(name, function string, params object) object {
	return object{"name": name, "function": function, "params": params}
}

func noop(name string, value any) object { return task(name, "bench_noop", object{"value": value}) }

func depends(on string) object { return object{"depends": on} }

func call(name, url string, params object) object {
	p := object{"config": object{"url": url, "method": "POST", "retry": object{"attempts": 1}}}
	maps.Copy(p, params)
	return task(name, "api_call", p)
}

// desk is a pipeline of three tasks, each after the one before: an agent with a secret, a call with
// parameters beside its config, and a task without a config. Answers of the stub take a while.
func desk(stub *proctest.Stub) object {
	slow := func(path, reply string) {
		stub.Handle(path, func(w http.ResponseWriter, r *http.Request, _ *proctest.Call) {
			proctest.Pause(r.Context(), 40*time.Millisecond)
			_, _ = fmt.Fprint(w, reply)
		})
	}
	slow("/listens", `{"response":"The package is late."}`)
	slow("/cases", `{"case":17,"state":"open"}`)
	return object{
		"default_inputs": object{"question": "Where is my package?"},
		"tasks": []any{
			task("listen", "call_lyzr_agent", object{
				"config":       object{"agent_id": "agent-1", "api_key": "sk-listen-0815", "api_url": stub.URL + "/listens", "user_id": "u"},
				"user_message": object{"input": "question"}, "assets": []any{},
			}),
			task("open_case", "api_call", object{
				"config":  object{"url": stub.URL + "/cases", "method": "POST", "headers": object{"X-Team": "desk"}},
				"summary": depends("listen"), "labels": []any{"late", []any{1, nil}}, "extra": object{"deep": object{"er": true}},
			}),
			task("tell", "bench_noop", object{"value": depends("open_case"), "channel": "mail"}),
		},
	}
}

// observed are the frames of runs that several tests look at, each run made once.
var observed struct {
	sync.Mutex
	frames map[string][]object
}

func observe(t testing.TB, what string, run func() []object) []object {
	t.Helper()
	observed.Lock()
	defer observed.Unlock()
	if observed.frames[what] == nil {
		if observed.frames == nil {
			observed.frames = map[string][]object{}
		}
		observed.frames[what] = run()
	}
	return observed.frames[what]
}

// deskRun is all that a socket shows of the pipeline that completes.
func deskRun(t testing.TB) []object {
	t.Helper()
	return observe(t, "desk", func() []object {
		s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
		conn := dial(t, s, "/ws/Help_Desk/case_17")
		runDAG(t, s, "Help_Desk", "case_17", desk(stub))
		return conn.until(flowEnds)
	})
}

// brokenRun is all that a socket shows of a pipeline whose second task fails while a third waits for it.
func brokenRun(t testing.TB) []object {
	t.Helper()
	return observe(t, "broken", func() []object {
		s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
		conn := dial(t, s, "/ws/Nightly_Load/batch_3")
		runDAG(t, s, "Nightly_Load", "batch_3", object{"tasks": []any{
			noop("read", object{"rows": 3}), call("check", stub.URL+"/fail", object{"rows": depends("read")}), noop("store", depends("check")),
		}})
		return conn.until(flowEnds)
	})
}

// A client that connects a little late sees the run from its start all the same.
func TestS0_4_LateClientsSeeTheStart(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	g := newGate(stub, "/gate")
	runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1), call("b", stub.URL+"/gate", object{"a": depends("a")})}})
	g.await(t)
	conn := dial(t, s, "/ws/f/r")
	require.Equal(t, "flow_started", conn.next()["event_type"])
	close(g.open)
	all := conn.until(flowEnds)
	require.Equal(t, "flow_completed", all[len(all)-1]["event_type"])
}

// Each event arrives while the next task is still at work, not at the end.
func TestS0_28_EventsArriveAsTheyHappen(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	first, second := newGate(stub, "/first"), newGate(stub, "/second")
	conn := dial(t, s, "/ws/f/r")
	runDAG(t, s, "f", "r", object{"tasks": []any{call("a", stub.URL+"/first", nil), call("b", stub.URL+"/second", object{"a": depends("a")})}})
	first.await(t)
	conn.until(func(f object) bool { return f["event_type"] == "task_started" && f["task_name"] == "a" })
	close(first.open)
	second.await(t)
	conn.until(func(f object) bool { return f["event_type"] == "task_completed" && f["task_name"] == "a" })
	close(second.open)
	conn.until(flowEnds)
}

// Two tasks that need nothing of each other are at work at once; the frames keep each task's order.
func TestS0_29_TasksRunInParallel(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	g := newGate(stub, "/gate")
	conn := dial(t, s, "/ws/f/r")
	runDAG(t, s, "f", "r", object{"tasks": []any{call("a", stub.URL+"/gate/a", nil), call("b", stub.URL+"/gate/b", nil)}})
	g.await(t)
	g.await(t) // neither has been answered
	close(g.open)
	all := conn.until(flowEnds)
	require.Len(t, where(all, isType("task_completed")), 2)
	require.Less(t, slices.IndexFunc(all, func(f object) bool { return f["task_name"] == "b" && f["event_type"] == "task_started" }),
		slices.IndexFunc(all, isType("task_completed")))
}

// A ping is accepted at any time; what comes back is JSON, has no name of the six, and the run goes on.
func TestS0_30_31_PingsAreAnsweredWithoutDocumentedTypes(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	conn := dial(t, s, "/ws/f/r")
	for range 3 {
		conn.send(`{"type":"ping"}`)
	}
	for pongs := 0; pongs < 3; {
		f := conn.next()
		require.False(t, documented(f), "%v", f)
		if isType("pong")(f) {
			pongs++
		}
	}
	runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1)}})
	conn.send(`{"type":"ping"}`)
	all := conn.until(flowEnds)
	require.Equal(t, "flow_completed", all[len(all)-1]["event_type"])
}

// A client that knows the six types alone, and passes over all others, has a whole run: a retry, a skipped
// branch and the calls of tasks come under other names.
func TestS0_32_SixTypesAreAWholeRun(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	conn := dial(t, s, "/ws/f/r")
	flaky := call("flaky", stub.URL+"/flaky", nil)
	flaky["params"].(object)["config"].(object)["retry"] = object{"attempts": 5, "initial": "10ms"}
	runDAG(t, s, "f", "r", object{
		"tasks": []any{flaky, noop("left", 1), noop("right", 2), noop("last", depends("flaky"))},
		"edges": []any{object{"source": "flaky", "target": "left", "condition": "serial > 0"}, object{"source": "flaky", "target": "right", "condition": "serial < 0"}},
	})
	all := conn.until(flowEnds)
	require.NotEmpty(t, where(all, isType("task_retry_scheduled")), "extra types are there")
	require.NotEmpty(t, where(all, isType("task_skipped")))
	began, ended := map[any]bool{}, map[any]bool{}
	known := where(all, documented)
	require.Equal(t, "flow_started", known[0]["event_type"])
	require.Equal(t, "flow_completed", known[len(known)-1]["event_type"])
	for _, f := range known[1 : len(known)-1] {
		switch f["event_type"] {
		case "task_started":
			require.False(t, began[f["task_name"]], "%v began twice", f["task_name"])
			began[f["task_name"]] = true
		case "task_completed":
			require.True(t, began[f["task_name"]])
			ended[f["task_name"]] = true
		default:
			t.Errorf("%v in a run that completes", f)
		}
	}
	require.Equal(t, map[any]bool{"flaky": true, "left": true, "last": true}, ended)
}

// A client closes after flow_completed without a code: the server ends that socket in order and serves on.
func TestS0_33_ClientsCloseWithoutACode(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	conn := dial(t, s, "/ws/f/r")
	runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1)}})
	conn.until(flowEnds)
	require.NoError(t, conn.WriteControl(websocket.CloseMessage, nil, time.Now().Add(patience)))
	_, _, err := conn.ReadMessage()
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	require.Contains(t, []int{websocket.CloseNoStatusReceived, websocket.CloseNormalClosure}, closed.Code)
	again := dial(t, s, "/ws/f/r2")
	runDAG(t, s, "f", "r2", object{"tasks": []any{noop("a", 1)}})
	again.until(flowEnds)
}

// After a failure the client does not close; nor does the server, and the next run comes on the same socket.
func TestS0_34_SocketsStayOpenAfterAFailure(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	conn := dial(t, s, "/ws/f/r")
	for range 2 {
		runDAG(t, s, "f", "r", object{"tasks": []any{call("a", stub.URL+"/fail", nil)}})
		all := conn.until(flowEnds)
		require.Equal(t, "flow_error", all[len(all)-1]["event_type"])
	}
}

// A client whose connection was cut comes back to the same address without an offset and sees the run whole.
func TestS0_35_ReconnectWithoutAnOffset(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	g := newGate(stub, "/gate")
	conn := dial(t, s, "/ws/f/r")
	runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1), call("b", stub.URL+"/gate", object{"a": depends("a")})}})
	before := conn.until(func(f object) bool { return f["task_name"] == "b" })
	for range 3 {
		require.NoError(t, conn.NetConn().Close())
		conn = dial(t, s, "/ws/f/r")
		require.Equal(t, before, conn.until(func(f object) bool { return f["task_name"] == "b" }))
	}
	close(g.open)
	conn.until(flowEnds)
}

// Progress "n of m" is counted from what was sent and what arrives: each task ends once.
func TestS0_37_ProgressCanBeCounted(t *testing.T) {
	t.Parallel()
	var steps []string
	for _, f := range where(deskRun(t), isType("task_completed")) {
		steps = append(steps, fmt.Sprintf("%d of 3: %v", len(steps)+1, f["task_name"]))
	}
	require.Equal(t, []string{"1 of 3: listen", "2 of 3: open_case", "3 of 3: tell"}, steps)
}
