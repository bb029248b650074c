package contracttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

// One log: the same run on LAO's socket and on the Orchestrator's has the same events at the same offsets,
// each by the name of its dialect.
func TestD1_OneRunInTwoDialects(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	for run, path := range map[string]string{"good": "/agent", "bad": "/fail"} {
		id := runDAG(t, s, "f", run, object{"tasks": []any{
			noop("a", 1), call("b", stub.URL+path, object{"a": depends("a")}),
			task("c", "call_lyzr_agent", object{"user_message": "x", "b": depends("b")}),
		}})
		ended(t, s, id)
		frames := dial(t, s, "/ws/f/"+run+"?from=0&execution_id="+id).until(flowEnds)
		feed := dial(t, s, "/ws/workflows/"+id+"?from=0").until(isType("workflow.completed", "workflow.failed"))
		require.Len(t, feed, len(frames))
		names := map[string]string{
			"flow_started": "workflow.started", "flow_completed": "workflow.completed", "flow_error": "workflow.failed",
			"task_started": "node.started", "task_completed": "node.completed", "task_failed": "node.failed",
			"tool_started": "tool.started", "tool_completed": "tool.completed", "tool_failed": "tool.failed",
			"llm_started": "llm.started", "llm_completed": "llm.completed",
		}
		for i, f := range frames {
			require.Equal(t, names[text(t, f["event_type"])], feed[i]["event_type"], "%v", f)
			require.Equal(t, f["offset"], feed[i]["offset"])
			require.Equal(t, f["event_id"], feed[i]["id"])
			require.Equal(t, f["timestamp"], feed[i]["timestamp"])
			if f["task_name"] != "flow" {
				require.Equal(t, f["task_name"], at(feed[i], "data", "node_id"))
			}
		}
	}
}

// The Orchestrator's socket is a route of its own: no flow has its name, and case tells them apart.
func TestD2_TheReservedName(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	a := refused(t, s, 400, "", http.MethodPost, "/run-dag", encode(object{"flow_name": "workflows", "run_name": "r", "tasks": []any{noop("a", 1)}}))
	require.Contains(t, a.Body["message"], "flow_name")
	conn := dial(t, s, "/ws/Workflows/run%2F1%20%C3%B6")
	runDAG(t, s, "Workflows", "run/1 ö", object{"tasks": []any{noop("a", 1)}})
	require.Equal(t, "run/1 ö", conn.next()["run_name"], "parameters are decoded, and the path is LAO's")
}

// Without an offset a socket gets the newest run if it goes on or ended just now, else a keepalive and
// what comes next; from=0 gets the old one all the same. The handshake sets the cookie of the loop-breaker.
func TestD3_ConnectWithoutAnOffset(t *testing.T) {
	t.Parallel()
	data := proctest.DataFolder(t)
	s := proctest.Start(t, proctest.Options{Data: data})
	id := runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1)}})
	ended(t, s, id)
	whole := dial(t, s, "/ws/f/r").until(flowEnds)
	require.Equal(t, "flow_started", whole[0]["event_type"])
	s.Stop()

	s = proctest.Start(t, proctest.Options{Data: data, Args: []string{"--lao-replay-window", "0s"}})
	conn, resp, err := tryDial(t, s, "/ws/f/r")
	require.NoError(t, err)
	late := socket{Conn: conn, t: t}
	cookie := resp.Header.Get("Set-Cookie")
	require.Contains(t, cookie, "HttpOnly")
	require.Regexp(t, `(?i)path=/ws(;|$)`, cookie)
	keepalive := late.next()
	require.Equal(t, "keepalive", keepalive["event_type"])
	require.Equal(t, id, keepalive["execution_id"])
	for _, k := range []string{"status", "head", "log", "timestamp", "hint"} {
		require.Contains(t, keepalive, k)
	}
	require.NotContains(t, keepalive, "offset", "it is no event")
	require.Equal(t, whole, dial(t, s, "/ws/f/r?from=0").until(flowEnds))
	next := runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1)}})
	require.Equal(t, next, late.until(flowEnds)[0]["execution_id"])
}

// A cursor gives exactly the rest; prev says what came before; what is no cursor is refused first.
func TestD4_CursorsOverTheWire(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	id := runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1), noop("b", depends("a"))}})
	ended(t, s, id)
	whole := dial(t, s, "/ws/f/r?from=0").until(flowEnds)
	before := json.Number("-1")
	for i, f := range whole {
		require.Equal(t, json.Number(fmt.Sprint(i)), f["offset"], "no gap")
		require.Equal(t, before, f["prev"])
		require.Equal(t, id, f["execution_id"])
		require.NotEmpty(t, text(t, f["event_id"]))
		before = f["offset"].(json.Number)
	}
	for query, want := range map[string]int{"from=3": 3, "offset=3": 3, "after=3": 4, "after=3&execution_id=" + id: 4, "after=3&execution_id=exec_" + id: 4} {
		rest := dial(t, s, "/ws/f/r?"+query).until(flowEnds)
		require.Equal(t, whole[want:], rest, query)
		require.Equal(t, json.Number(fmt.Sprint(want-1)), rest[0]["prev"], query)
	}
	some := dial(t, s, "/ws/f/r?from=0&types=task_completed,flow_completed&node_id=").until(flowEnds)
	require.Len(t, some, 3)
	require.Equal(t, some[0]["offset"], some[1]["prev"], "the filter belongs to the cursor")
	require.Len(t, dial(t, s, "/ws/f/r?from=0&types=task_completed,flow_completed").until(flowEnds), 3)
	latest := dial(t, s, "/ws/f/r?from=latest")
	beyond := dial(t, s, "/ws/f/r?after=1000")
	log := text(t, whole[0]["log"])
	dial(t, s, "/ws/f/r?from=0&log="+log).until(flowEnds)
	body := refusedSocket(t, s, 409, "/ws/f/r?from=0&log=00000000-0000-4000-8000-000000000000")
	require.Equal(t, "LOG_CHANGED", at(body, "error", "code"))
	for _, bad := range []string{"from=x", "from=-1", "after=-2", "from=1&after=1", "types=nonsense", "after=99999999999999999999", "from=1.5"} {
		refusedSocket(t, s, 400, "/ws/f/r?"+bad)
	}
	second := runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1)}})
	for _, conn := range []socket{latest, beyond} {
		first := conn.until(flowEnds)
		f := where(first, func(f object) bool { return f["offset"] != nil })[0]
		require.Equal(t, second, f["execution_id"], "later runs of the name follow")
		require.Equal(t, json.Number("0"), f["offset"])
	}
}

// A socket may come first, of names with spaces and more; it waits and is bound.
func TestD5_SocketsBeforeTheirRun(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	early := []socket{dial(t, s, "/ws/Study%20Assistant/brave%20owl"), dial(t, s, "/ws/Study%20Assistant/brave%20owl?from=0"), dial(t, s, "/ws/Study%20Assistant/brave%20owl?from=latest")}
	id := runDAG(t, s, "Study Assistant", "brave owl", object{"tasks": []any{noop("a", 1)}})
	for _, conn := range early {
		all := where(conn.until(flowEnds), func(f object) bool { return f["offset"] != nil })
		require.Equal(t, "flow_started", all[0]["event_type"])
		require.Equal(t, id, all[0]["execution_id"])
	}
}

// The pair of names is the newest run's; while one goes on the name is taken; each keeps its own id.
func TestD6_NamesTwice(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	g := newGate(stub, "/gate")
	held := object{"tasks": []any{call("a", stub.URL+"/gate", nil)}}
	first := runDAG(t, s, "f", "r", held)
	g.await(t)
	body := encode(object{"flow_name": "f", "run_name": "r", "tasks": held["tasks"]})
	taken := refused(t, s, 409, "", http.MethodPost, "/run-dag", body)
	require.Contains(t, string(taken.Raw), first, "the answer says which run has the name")
	runDAG(t, s, "f", "r2", object{"tasks": []any{noop("a", 1)}})
	close(g.open)
	ended(t, s, first)
	second := runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1)}})
	require.NotEqual(t, first, second)
	ended(t, s, second)
	require.Equal(t, second, dial(t, s, "/ws/f/r").next()["execution_id"], "the newest")
	require.Equal(t, first, dial(t, s, "/ws/f/r?from=0&execution_id="+first).next()["execution_id"])
	require.Len(t, items(t, s, "/api/executions?flow_name=f&run_name=r"), 2)
	for name, status := range map[string]int{strings.Repeat("n", 512): 200, strings.Repeat("n", 513): 422, "": 422, "a\nb": 422, "a\u007fb": 422} {
		must(t, s, status, http.MethodPost, "/run-dag", encode(object{"flow_name": name, "run_name": "x", "tasks": []any{noop("a", 1)}}))
	}
}

// Both bodies of run-dag, with and without the slash; the bare answer; what is wrong named; task-status.
func TestD7_RunDAGAndTaskStatus(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	g := newGate(stub, "/gate")
	workflow := object{
		"flow_name": "f", "run_name": "bare", "default_inputs": object{"a": 1, "b": 2}, "edges": []any{},
		"flow_data": object{"node_positions": object{"x": object{"x": 1, "y": 2}}},
		"tasks":     []any{object{"name": "x", "tag": "t", "function": "bench_noop", "params": object{"value": object{"input": "a"}}}, noop("y", object{"input": "b"})},
	}
	a := must(t, s, 200, http.MethodPost, "/run-dag/", encode(workflow), "X-Api-Key", "any")
	require.Len(t, a.Body, 4)
	require.Equal(t, "processing", a.Body["status"])
	require.Equal(t, "f", a.Body["flow_name"])
	require.Equal(t, "bare", a.Body["run_name"])
	require.NotEmpty(t, a.Header.Get("Quipu-Position"))
	ended(t, s, text(t, a.Body["task_id"]))
	status := must(t, s, 200, http.MethodGet, "/task-status/"+text(t, a.Body["task_id"]), "")
	require.Equal(t, object{"status": "completed", "results": object{"x": json.Number("1"), "y": json.Number("2")}}, status.Body)

	delete(workflow, "run_name")
	a = must(t, s, 200, http.MethodPost, "/run-dag", encode(object{"workflow_data": workflow, "inputs": object{"b": "over"}}))
	require.NotEmpty(t, text(t, a.Body["run_name"]), "made where none is given")
	ended(t, s, text(t, a.Body["task_id"]))
	status = must(t, s, 200, http.MethodGet, "/task-status/"+text(t, a.Body["task_id"]), "")
	require.Equal(t, object{"x": json.Number("1"), "y": "over"}, status.Body["results"])

	id := runDAG(t, s, "f", "cancelled", object{"tasks": []any{call("a", stub.URL+"/gate", nil)}})
	g.await(t)
	require.Equal(t, object{"status": "processing"}, must(t, s, 200, http.MethodGet, "/task-status/"+id, "").Body)
	must(t, s, 202, http.MethodPost, "/api/executions/"+id+"/cancel", "")
	require.Equal(t, "failed", must(t, s, 200, http.MethodGet, "/task-status/"+id+"?wait=30s", "").Body["status"])
	refused(t, s, 404, "", http.MethodGet, "/task-status/nothing", "")

	for body, want := range map[string]struct {
		status int
		field  string
	}{
		`{"run_name":"r","tasks":[]}`:    {422, "flow_name"},
		`{"flow_name":7,"tasks":[]}`:     {422, "flow_name"},
		`{"flow_name":"f","tasks":{}}`:   {422, "tasks"},
		`{"flow_name":"f","tasks":[{}]}`: {422, "/tasks/0"},
		`{"flow_name":"f","tasks":[`:     {422, ""},
		`{"flow_name":"f","tasks":[]}`:   {400, "tasks"},
		`{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop","params":{"v":{"depends":"b"}}}]}`:        {400, "/tasks/0/params/v"},
		`{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop"}],"edges":[{"source":"a","target":"b"}]}`: {400, "/edges/0/target"},
	} {
		a := refused(t, s, want.status, "", http.MethodPost, "/run-dag", body)
		require.Contains(t, encode(a.Body["detail"]), want.field, body)
		require.Contains(t, text(t, a.Body["message"]), want.field, body)
	}
}

// Functions by their names and aliases; what an agent and a call are sent; keys, attempts and retries;
// what is not known is refused by name; braces are text.
func TestD8_Functions(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	config := object{"agent_id": "a1", "api_url": stub.URL + "/agent", "api_key": "sk-agent-7", "user_id": "u", "session_id": "s"}
	id := runDAG(t, s, "f", "r 1", object{"default_inputs": object{"q": "why {{ input.q }}?"}, "tasks": []any{
		noop("plain", "first"),
		task("asked", "agent", object{"config": config, "user_message": object{"value": "Say {{ 1 + 1 }}"}, "plain": depends("plain")}),
		task("called", "api_call", object{"config": object{"url": stub.URL + "/flaky", "method": "POST", "headers": object{"X-Team": "desk"}}, "asked": depends("asked"), "q": object{"input": "q"}}),
		task("read", "api_call", object{"config": object{"url": stub.URL + "/ok", "method": "GET"}, "called": depends("called")}),
	}})
	a := ended(t, s, id)
	require.Equal(t, "completed", a.data("status"), "%s", a.Raw)
	require.IsType(t, "", a.data("node_outputs", "asked"), "an agent's output is what it said")
	require.Contains(t, a.data("node_outputs", "called"), "serial", "a call's output is the body")
	calls := stub.Calls()
	require.Len(t, calls, 5)
	agent := decode(t, calls[0].Body)
	require.Equal(t, "Say {{ 1 + 1 }}\nplain: first", agent["message"])
	require.Equal(t, "a1", agent["agent_id"])
	require.Equal(t, "sk-agent-7", calls[0].Header.Get("X-Api-Key"))
	require.Equal(t, id+"/asked/0", calls[0].Key)
	for i, c := range calls[1:4] {
		require.Equal(t, id+"/called/0", c.Key)
		require.Equal(t, fmt.Sprint(i+1), c.Attempt)
		require.Equal(t, "desk", c.Header.Get("X-Team"))
		body := decode(t, c.Body)
		require.Equal(t, "why {{ input.q }}?", body["q"])
		require.Equal(t, a.data("node_outputs", "asked"), body["asked"])
		require.NotContains(t, body, "config")
	}
	require.Equal(t, "GET", calls[4].Method)
	require.Empty(t, calls[4].Body)

	failed := runDAG(t, s, "f", "r2", object{"tasks": []any{task("once", "api_call", object{"config": object{"url": stub.URL + "/fail", "method": "POST"}})}})
	require.Equal(t, "failed", ended(t, s, failed).data("status"))
	require.Len(t, stub.Calls(), 6, "400 is not tried again")
	unknown := refused(t, s, 400, "", http.MethodPost, "/run-dag", `{"flow_name":"f","tasks":[{"name":"a","function":"loopNode"}]}`)
	require.Contains(t, unknown.Body["message"], "loopNode")
}

// Order by depends; conditions gate; what is skipped is told, left out of outputs and null beside others;
// a cycle is named.
func TestD9_GatesSkipsAndCycles(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	conn := dial(t, s, "/ws/f/r")
	id := runDAG(t, s, "f", "r", object{
		"tasks": []any{
			noop("source", object{"route": "b", "n": 2}), noop("a", 1), noop("b", 2), noop("after_a", depends("a")),
			task("join", "bench_noop", object{"value": object{"input": "none"}, "from_a": depends("a"), "from_b": depends("b")}), noop("either", 3), noop("ordered", 4),
		},
		"default_inputs": object{"none": nil},
		"edges": []any{
			object{"source": "source", "target": "a", "condition": "route == 'a'"},
			object{"source": "source", "target": "b", "condition": "route == 'b'"},
			object{"source": "source", "target": "either", "condition": "output.n > 5"},
			object{"source": "source", "target": "either", "condition": "nodes.source.n == 2"},
			edge("either", "ordered"),
		},
	})
	all := conn.until(flowEnds)
	last := all[len(all)-1]
	require.Equal(t, "flow_completed", last["event_type"])
	skipped := map[any]bool{}
	for _, f := range where(all, isType("task_skipped")) {
		skipped[f["task_name"]] = true
	}
	require.Equal(t, map[any]bool{"a": true, "after_a": true}, skipped)
	for _, name := range []string{"a", "after_a"} {
		require.NotContains(t, last["output"], name)
		require.NotContains(t, must(t, s, 200, http.MethodGet, "/task-status/"+id, "").Body["results"], name)
	}
	join := one(t, all, named("task_started", "join"))["input"].(object)
	require.Contains(t, join, "from_a")
	require.Nil(t, join["from_a"])
	require.Equal(t, json.Number("2"), join["from_b"])
	require.Contains(t, last["output"], "ordered")

	failing := dial(t, s, "/ws/f/failing")
	runDAG(t, s, "f", "failing", object{"tasks": []any{noop("good", "so far"), call("bad", stub.URL+"/fail", object{"x": depends("good")})}})
	all = failing.until(flowEnds)
	require.Equal(t, object{}, one(t, all, isType("task_failed"))["partial_results"])
	require.Equal(t, object{"good": "so far"}, all[len(all)-1]["partial_results"])
	require.Equal(t, "bad", at(all[len(all)-1], "error", "task_name"))
	require.Equal(t, at(one(t, all, isType("task_failed")), "error", "code"), at(all[len(all)-1], "error", "code"))

	cycle := refused(t, s, 400, "", http.MethodPost, "/run-dag", encode(object{"flow_name": "f", "tasks": []any{noop("x", depends("z")), noop("y", depends("x")), noop("z", depends("y"))}}))
	require.Regexp(t, `x.*[xyz].*[xyz].*x|y.*[xyz].*[xyz].*y|z.*[xyz].*[xyz].*z`, cycle.Body["message"])
}

// Instants are the same in every form of an event, in UTC, with milliseconds.
func TestD26_OneInstantPerEvent(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	id := runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1)}})
	a := ended(t, s, id)
	frames := dial(t, s, "/ws/f/r?from=0").until(flowEnds)
	for i, e := range items(t, s, "/api/events?order=asc&execution_id="+id) {
		require.Equal(t, frames[i]["timestamp"], at(e, "timestamp"))
		require.Regexp(t, `^\d+\.\d{3}$`, frames[i]["timestamp"])
		iso := text(t, at(e, "data", "timestamp"))
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, iso)
		require.Contains(t, frames[i]["timestamp"].(json.Number).String(), iso[19:23])
	}
	require.Regexp(t, `\.\d{3}Z$`, a.data("started_at"))
}

// A ping has its pong; what else a client says changes nothing, and what is no object is told so.
func TestD27_PongAndOtherMessages(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	conn := dial(t, s, "/ws/f/r")
	for _, other := range []string{`{"type":"subscribe"}`, `{}`, `hello`, `[1]`, `"x"`, ``} {
		conn.send(other)
	}
	conn.send(`{"type":"ping"}`)
	all := conn.until(isType("pong"))
	for _, f := range all[:len(all)-1] {
		require.Contains(t, []any{"error", "keepalive"}, f["event_type"], "%v", f)
	}
	pong := all[len(all)-1]
	require.Equal(t, "pong", pong["event_type"])
	require.Equal(t, "pong", pong["type"])
	require.Greater(t, float(t, pong["timestamp"]), 1.7e9)
	require.Len(t, pong, 3)
	id := runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1)}})
	run := where(conn.until(flowEnds), documented)
	require.Len(t, run, 4)
	require.Equal(t, id, run[0]["execution_id"])
}
