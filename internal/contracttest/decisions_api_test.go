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

// Lists have their members, errors theirs, readable as FastAPI's too.
func TestD16_Envelope(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	for _, path := range []string{"/api/workflows", "/api/executions", "/api/events", "/api/endpoints", "/api/approvals"} {
		a := must(t, s, 200, http.MethodGet, path+"?limit=7&total=true", "")
		require.Equal(t, "success", a.Body["status"])
		require.Equal(t, json.Number("7"), a.data("limit"), path)
		require.Equal(t, json.Number(fmt.Sprint(len(list(t, a.data("items"))))), a.data("count"), path)
		require.Contains(t, a.Body["data"], "total", path)
		require.Contains(t, a.Body["data"], "next_cursor", path)
		require.Contains(t, must(t, s, 200, http.MethodGet, path+"?offset=0", "").Body["data"], "offset", path)
	}
	for path, status := range map[string]int{"/api/workflows/nothing": 404, "/api/executions?limit=x": 422, "/api/node-types/nothing": 404} {
		a := refused(t, s, status, "", http.MethodGet, path, "")
		require.Len(t, a.Body, 4)
		require.Regexp(t, `^[A-Z_]+$`, at(a.Body, "error", "code"))
		require.Contains(t, a.Body["error"], "details")
		for _, d := range list(t, a.Body["detail"]) {
			require.NotEmpty(t, list(t, at(d, "loc")))
			require.NotEmpty(t, text(t, at(d, "msg")))
		}
	}
}

// The code of each kind of answer; one entry for each field at fault; a graph that cannot run is stored and
// refused when it is to run.
func TestD17_StatusCodes(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	created := must(t, s, 201, http.MethodPost, "/api/workflows", encode(chain("w")))
	workflow := text(t, created.data("id"))
	require.Equal(t, "/api/workflows/"+workflow, created.Header.Get("Location"))
	started := must(t, s, 202, http.MethodPost, "/api/workflows/"+workflow+"/execute", `{"input_data":{}}`)
	execution := text(t, started.data("execution_id"))
	require.Equal(t, "/api/executions/"+execution, started.Header.Get("Location"))
	must(t, s, 200, http.MethodGet, created.Header.Get("Location"), "")
	must(t, s, 200, http.MethodGet, started.Header.Get("Location"), "")
	must(t, s, 200, http.MethodPut, "/api/workflows/"+workflow, encode(chain("w")))
	ended(t, s, execution)
	refused(t, s, 409, "", http.MethodPost, "/api/executions/"+execution+"/cancel", "")
	waiting := execute(t, s, store(t, s, chain("waits", node("wait", "timer", object{"duration_seconds": 600}))), object{})
	must(t, s, 202, http.MethodPost, "/api/executions/"+waiting+"/cancel", "")
	must(t, s, 200, http.MethodDelete, "/api/workflows/"+workflow, "")
	refused(t, s, 404, "", http.MethodGet, "/api/workflows/"+workflow, "")
	refused(t, s, 400, "", http.MethodPost, "/api/workflows", `{"name":"w"`)
	bad := refused(t, s, 422, "", http.MethodPost, "/api/workflows", `{"name":7,"nodes":{},"edges":"none"}`)
	fields := map[any]bool{}
	for _, d := range list(t, bad.Body["detail"]) {
		fields[at(d, "field")] = true
	}
	require.Equal(t, map[any]bool{"/name": true, "/nodes": true, "/edges": true}, fields)
	half := store(t, s, object{"name": "half", "nodes": []any{node("only", "timer", object{"duration_seconds": 0})}, "edges": []any{}})
	refusal := refused(t, s, 400, "", http.MethodPost, "/api/workflows/"+half+"/execute", `{}`)
	require.NotEmpty(t, list(t, at(refusal.Body, "error", "details", "errors")), "no trigger and no end")
}

// Pages by cursor stay right while rows arrive; aliases; filters; what is out of range is refused.
func TestD18_PagesAndFilters(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	workflow := store(t, s, chain("w"))
	var want []any
	for range 7 {
		want = append([]any{execute(t, s, workflow, object{})}, want...)
	}
	var got []any
	for path := "/api/executions?limit=3"; path != ""; {
		a := must(t, s, 200, http.MethodGet, path, "")
		for _, item := range list(t, a.data("items")) {
			got = append(got, at(item, "id"))
		}
		execute(t, s, workflow, object{}) // arrives between the pages
		if path = ""; a.data("next_cursor") != nil {
			path = "/api/executions?limit=3&cursor=" + text(t, a.data("next_cursor"))
		}
	}
	require.Equal(t, want, got)
	lao := runDAG(t, s, "the flow", "the run", object{"tasks": []any{noop("a", 1)}})
	ended(t, s, lao)
	for query, want := range map[string]int{
		"page=2&page_size=4": 4, "offset=10&limit=200": 1, "source=lao": 1, "source=api": 10, "source=agnt5": 0, "flow_name=the+flow": 1, "run_name=the+run": 1,
		"run_name=other": 0, "status=canceled": 0, "status=cancelled": 0, "started_after=2020-01-01T00:00:00Z": 11, "started_after=1577836800": 11, "": 11,
	} {
		require.Len(t, items(t, s, "/api/executions?"+query), want, query)
	}
	for query, want := range map[string]int{
		"event_type=workflow.started": 1, "event_type=node.started&event_type=node.completed": 2, "node_id=a": 2, "node_id=b": 0,
		"from=2020-01-01T00:00:00Z": 4, "to=1577836800": 0,
	} {
		require.Len(t, items(t, s, "/api/events?execution_id="+lao+"&"+query), want, query)
	}
	middle := text(t, at(items(t, s, "/api/events?order=asc&execution_id="+lao)[1], "position"))
	require.Len(t, items(t, s, "/api/events?execution_id="+lao+"&after="+middle), 2)
	require.Len(t, items(t, s, "/api/events?execution_id="+lao+"&before="+middle), 1)
	for _, bad := range []string{"limit=0", "limit=201", "limit=x", "cursor=nonsense", "status=odd", "source=x", "started_after=yesterday", "order=up"} {
		a := refused(t, s, 422, "", http.MethodGet, "/api/executions?"+bad, "")
		require.Contains(t, a.Body["message"], strings.Split(bad, "=")[0])
	}
}

// The socket takes a workflow or an execution, under three addresses; frames have their members; live
// from now on, or from a position.
func TestD19_FeedsOverTheWire(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	workflow := store(t, s, chain("w", node("wait", "timer", object{"duration_seconds": 0})))
	first := execute(t, s, workflow, object{})
	ended(t, s, first)
	live := dial(t, s, "/ws/workflows/"+workflow)
	second := execute(t, s, workflow, object{})
	all := live.until(isType("workflow.completed"))
	var before any
	for i, f := range all {
		require.Equal(t, second, at(f, "data", "execution_id"), "from now on")
		require.Equal(t, workflow, at(f, "data", "workflow_id"))
		for _, k := range []string{"node_id", "node_type", "result", "error", "timestamp"} {
			require.Contains(t, f["data"], k)
		}
		for _, k := range []string{"event_type", "timestamp", "offset", "position", "id"} {
			require.Contains(t, f, k)
		}
		require.Greater(t, float(t, f["timestamp"]), 1.7e9)
		require.Regexp(t, `Z$`, at(f, "data", "timestamp"))
		if i > 0 {
			require.Equal(t, before, f["prev"])
		}
		before = f["position"]
	}
	for _, path := range []string{"/ws/workflows/" + second, "/api/events/ws/workflows/" + workflow, "/api/events/ws/executions/" + second, "/ws/workflows/exec_" + second} {
		got := where(dial(t, s, path+"?from=0&execution_id="+second).until(isType("workflow.completed")), isType("workflow.started", "workflow.completed", "node.started", "node.completed"))
		require.Len(t, got, 8, path)
		require.Equal(t, all[0]["id"], got[0]["id"])
	}
	middle := text(t, all[2]["position"])
	require.Equal(t, all[3:], dial(t, s, "/ws/workflows/"+workflow+"?after="+middle).until(isType("workflow.completed")))
	require.Equal(t, all[2:], dial(t, s, "/ws/workflows/"+workflow+"?from="+middle).until(isType("workflow.completed")))
	for _, path := range []string{"/ws/workflows/nothing", "/api/events/ws/workflows/nothing", "/api/events/ws/executions/nothing"} {
		refusedSocket(t, s, 404, path)
	}
	for _, bad := range []string{"after=nonsense", "from=7"} {
		refusedSocket(t, s, 400, "/ws/workflows/"+workflow+"?"+bad)
	}
	// The same by REST.
	require.Equal(t, all[0]["id"], at(items(t, s, "/api/workflows/"+workflow+"/events?event_type=workflow.started&execution_id="+second), 0, "id"))
}

// The members of an execution; a run id is a UUIDv7 and known with exec_ before it; LAO's flows have an
// id of a workflow.
func TestD20_ExecutionObjectOverTheWire(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	id := runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1), call("b", stub.URL+"/fail", object{"a": depends("a")})}})
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7`, id)
	a := ended(t, s, id)
	for _, k := range strings.Fields(`id workflow_id status input_data output_data current_node error started_at completed_at
		source endpoint flow_name run_name node_outputs last_offset attempts`) {
		require.Contains(t, a.Body["data"], k)
	}
	require.Equal(t, "lao", a.data("source"))
	require.Equal(t, "f", a.data("flow_name"))
	require.Equal(t, "failed", a.data("status"))
	require.Regexp(t, `^lao-[0-9a-f]+$`, a.data("workflow_id"))
	require.NotEmpty(t, text(t, a.data("error", "code")))
	require.Equal(t, object{"a": json.Number("1")}, a.data("node_outputs"))
	require.Equal(t, a.Body, show(t, s, "exec_"+id).Body)
	frames := dial(t, s, "/ws/f/r?from=0").until(flowEnds)
	require.Equal(t, frames[len(frames)-1]["offset"], a.data("last_offset"))
	other := runDAG(t, s, "f", "r2", object{"tasks": []any{noop("a", 1)}})
	require.Equal(t, a.data("workflow_id"), show(t, s, other).data("workflow_id"), "one id for a flow")
}

// Runs of all three dialects are in one list, and each is shown by id.
func TestD21_OneHistoryOverTheWire(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	place := makeEndpoint(t, s, "shop")
	workflow := chain("coffee")
	workflow["endpoint"] = place.id
	want := map[string]string{
		runDAG(t, s, "f", "r", object{"tasks": []any{noop("a", 1)}}): "lao",
		execute(t, s, store(t, s, workflow), object{}):               "api",
	}
	conn := place.dial(t, s, "")
	conn.send(object{"name": "coffee"})
	want[strings.TrimPrefix(text(t, at(conn.next(), "data", "execution_id")), "exec_")] = "agnt5"
	got := map[string]string{}
	for _, item := range items(t, s, "/api/executions") {
		got[text(t, at(item, "id"))] = text(t, at(item, "source"))
	}
	require.Equal(t, want, got)
	for id, source := range want {
		require.Equal(t, source, show(t, s, id).data("source"))
	}
}

// Each command says the position it has written; a read that follows sees it, by id at once and lists too;
// what cannot be that new is not answered.
func TestD22_ReadYourWrites(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	for i := range 10 {
		created := must(t, s, 201, http.MethodPost, "/api/workflows", encode(chain(fmt.Sprint("w", i))))
		require.Equal(t, created.Header.Get("Quipu-Position"), created.data("position"))
		id := text(t, created.data("id"))
		must(t, s, 200, http.MethodGet, "/api/workflows/"+id, "")
		listed := must(t, s, 200, http.MethodGet, "/api/workflows?limit=1", "")
		require.Equal(t, id, listed.data("items", 0, "id"))
		require.NotEmpty(t, listed.data("view_position"))
		require.Equal(t, true, listed.data("fresh"))
		started := must(t, s, 202, http.MethodPost, "/api/workflows/"+id+"/execute", `{}`)
		execution := text(t, started.data("execution_id"))
		require.NotEmpty(t, started.Header.Get("Quipu-Position"))
		show(t, s, execution)
		at := "&at_least=" + started.Header.Get("Quipu-Position")
		require.Len(t, items(t, s, "/api/executions?workflow_id="+id+at), 1)
		require.NotEmpty(t, items(t, s, "/api/events?execution_id="+execution+at))
	}
	position := must(t, s, 200, http.MethodGet, "/api/workflows", "").data("view_position").(string)
	for _, path := range []string{"/api/workflows", "/api/executions", "/api/events"} { // nothing is called as new as what is not written yet
		refused(t, s, 422, "BEYOND_HEAD", http.MethodGet, path+"?at_least="+position[:len(position)-16]+"00000000ffffffff", "")
	}
}

// A deleted workflow is gone and cannot be executed; what it has run stays, and its events.
func TestD23_DeletedWorkflows(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	workflow := store(t, s, chain("w"))
	id := execute(t, s, workflow, object{})
	ended(t, s, id)
	must(t, s, 200, http.MethodDelete, "/api/workflows/"+workflow, "")
	refused(t, s, 404, "", http.MethodGet, "/api/workflows/"+workflow, "")
	refused(t, s, 404, "", http.MethodPut, "/api/workflows/"+workflow, encode(chain("w")))
	refused(t, s, 404, "", http.MethodDelete, "/api/workflows/"+workflow, "")
	refused(t, s, 404, "", http.MethodPost, "/api/workflows/"+workflow+"/execute", `{}`)
	require.Empty(t, items(t, s, "/api/workflows"))
	require.Equal(t, "completed", show(t, s, id).data("status"))
	require.Len(t, items(t, s, "/api/executions?workflow_id="+workflow), 1)
	require.Len(t, items(t, s, "/api/events?workflow_id="+workflow+"&event_type=workflow.deleted"), 1)
	require.NotEmpty(t, items(t, s, "/api/workflows/"+id+"/events"))
}

// The ten published types are there; config is checked against its schema, each fault with its pointer;
// conditions may be spelled as in Python; what is no expression is refused by its token.
func TestD24_TypesAndConditions(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	for _, kind := range strings.Fields("trigger agent api_call approval conditional merge event timer eval end") {
		a := must(t, s, 200, http.MethodGet, "/api/node-types/"+kind, "")
		for _, k := range []string{"category", "description", "schema", "input_schema", "output_schema"} {
			require.Contains(t, a.Body["data"], k, kind)
		}
	}
	refused(t, s, 404, "", http.MethodGet, "/api/node-types/teleport", "")
	bad := chain("w", node("call", "api_call", object{"method": 7}), node("wait", "timer", object{"duration_seconds": "soon"}), node("odd", "teleport", nil))
	a := ask(t, s, http.MethodPost, "/api/workflows", encode(bad))
	require.Contains(t, []int{400, 422}, a.Status, "%s", a.Raw)
	for _, field := range []string{"/nodes/1/data/config/url", "/nodes/1/data/config/method", "/nodes/2/data/config/duration_seconds", "/nodes/3/type"} {
		require.Contains(t, encode(a.Body["detail"]), field)
	}
	for expression, want := range map[string]string{
		"output.get('n') > 1 and not False": "yes", "len(input['tags']) == 3 or None": "no", "input['n'] == 2 and True": "yes", "nodes['begin'].n < 2": "no",
	} {
		workflow := object{
			"name": "w", "nodes": []any{
				node("begin", "trigger", nil), node("if", "conditional", object{"condition_expression": expression}),
				node("yes", "transform", object{"expression": "1"}), node("no", "transform", object{"expression": "2"}), node("finish", "end", nil),
			},
			"edges": []any{
				edge("begin", "if"),
				object{"source": "if", "target": "yes", "sourceHandle": "true"},
				object{"source": "if", "target": "no", "sourceHandle": "false"},
				edge("yes", "finish"), edge("no", "finish"),
			},
		}
		a := ended(t, s, execute(t, s, store(t, s, workflow), object{"n": 2, "tags": []any{"x"}}))
		require.Equal(t, "completed", a.data("status"), "%s: %s", expression, a.Raw)
		require.Contains(t, a.data("node_outputs"), want, expression)
		require.Len(t, a.data("node_outputs"), 4, expression)
	}
	for expression, token := range map[string]string{"output.n ===> 2": "=", "import os": "os", "lambda x: 1": "x"} {
		a := ask(t, s, http.MethodPost, "/api/workflows", encode(chain("w", node("if", "conditional", object{"condition_expression": expression}))))
		require.Contains(t, []int{400, 422}, a.Status, "%s: %s", expression, a.Raw)
		require.Contains(t, text(t, a.Body["message"]), token, expression)
		require.Contains(t, encode(a.Body["detail"]), "/nodes/1/data/config/condition_expression")
	}
}

// What a graph holds beside what the server reads comes back unchanged; a handle says which way.
func TestD25_UnknownMembersSurvive(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	body := `{"name":"w","nodes":[
		{"id":"in","type":"trigger","position":{"x":1.50,"y":-2e3},"selected":false,"data":{"label":"Ein","status":"idle","config":{"name":"in"},"colour":"#fff"}},
		{"id":"out","type":"end","data":{"label":"ö","config":{"name":"out"}},"width":150}],
		"edges":[{"id":"e1","source":"in","target":"out","sourceHandle":null,"targetHandle":"t","label":"go","animated":true,"style":{"stroke":"red"}}]}`
	sent := decode(t, []byte(body))
	created := must(t, s, 201, http.MethodPost, "/api/workflows", body)
	id := text(t, created.data("id"))
	for _, a := range []answer{created, must(t, s, 200, http.MethodGet, "/api/workflows/"+id, ""), must(t, s, 200, http.MethodPut, "/api/workflows/"+id, body), must(t, s, 200, http.MethodGet, "/api/workflows/"+id, "")} {
		require.Equal(t, sent["nodes"], a.data("definition", "nodes"))
		require.Equal(t, sent["edges"], a.data("definition", "edges"))
		require.Contains(t, string(a.Raw), `"x":1.50,"y":-2e3`, "numbers as written")
	}
}

// Products of the same names that are not ours have no addresses here.
func TestD28_NotOurs(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	for _, path := range []string{"/v3/workflows", "/v3/workflows/", "/v1/workflows/run", "/v1/workflows/jobs", "/v3/inference/chat/"} {
		refused(t, s, 404, "", http.MethodGet, path, "")
		refused(t, s, 404, "", http.MethodPost, path, `{}`)
	}
}
