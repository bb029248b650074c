package contracttest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

// node is a node of a stored workflow.
func node(id, kind string, config object) object {
	n := object{"id": id, "type": kind, "data": object{"label": id, "config": object{"name": id}}}
	for k, v := range config {
		n["data"].(object)["config"].(object)[k] = v
	}
	return n
}

func edge(source, target string) object { return object{"source": source, "target": target} }

// chain is the body of a workflow: a trigger, the nodes one after the other, an end.
func chain(name string, nodes ...object) object {
	all := append(append([]object{node("begin", "trigger", nil)}, nodes...), node("finish", "end", nil))
	var edges []object
	for i := range len(all) - 1 {
		edges = append(edges, edge(all[i]["id"].(string), all[i+1]["id"].(string)))
	}
	return object{"name": name, "nodes": all, "edges": edges}
}

// store creates a workflow and returns its id.
func store(t testing.TB, s *proctest.Server, workflow object) string {
	t.Helper()
	return text(t, must(t, s, 201, http.MethodPost, "/api/workflows", encode(workflow)).data("id"))
}

// execute starts an execution and returns its id.
func execute(t testing.TB, s *proctest.Server, workflow string, input any) string {
	t.Helper()
	a := must(t, s, 202, http.MethodPost, "/api/workflows/"+workflow+"/execute", encode(object{"input_data": input}))
	return text(t, a.data("execution_id"))
}

func show(t testing.TB, s *proctest.Server, execution string) answer {
	t.Helper()
	return must(t, s, 200, http.MethodGet, "/api/executions/"+execution, "")
}

// ended waits until an execution has ended and returns it.
func ended(t testing.TB, s *proctest.Server, execution string) answer {
	t.Helper()
	var a answer
	proctest.Eventually(t, patience, "the end of "+execution, func() bool {
		a = show(t, s, execution)
		return a.data("completed_at") != nil
	})
	return a
}

// items are those of a list.
func items(t testing.TB, s *proctest.Server, path string) []any {
	t.Helper()
	return list(t, must(t, s, 200, http.MethodGet, path, "").data("items"))
}

// everyRead is one address of each GET route of the page, for a workflow and an execution that exist.
func everyRead(workflow, execution string) []string {
	return []string{
		"/api/workflows", "/api/workflows/" + workflow, "/api/executions", "/api/executions/" + execution, "/api/events",
		"/api/workflows/" + workflow + "/events", "/api/node-types", "/api/node-types/timer", "/api/node-types/timer/schema",
	}
}

// Bodies are JSON both ways, each answer one object of data and status, with and without Accept.
func TestS2_1_2_BodiesAndTheirEnvelope(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	json := []string{"Content-Type", "application/json", "Accept", "application/json"}
	created := must(t, s, 201, http.MethodPost, "/api/workflows", encode(chain("w")), json...)
	workflow := text(t, created.data("id"))
	started := must(t, s, 202, http.MethodPost, "/api/workflows/"+workflow+"/execute", `{"input_data":{}}`, json...)
	execution := text(t, started.data("execution_id"))
	ended(t, s, execution)
	all := []answer{created, started, must(t, s, 200, http.MethodPut, "/api/workflows/"+workflow, encode(chain("w2")), json...)}
	for _, path := range everyRead(workflow, execution) {
		all = append(all, must(t, s, 200, http.MethodGet, path, "", json...), must(t, s, 200, http.MethodGet, path, ""))
	}
	all = append(all, must(t, s, 200, http.MethodDelete, "/api/workflows/"+workflow, "", json...))
	for _, a := range all {
		require.Regexp(t, `^application/json\b`, a.Header.Get("Content-Type"), "%s", a.Raw)
		require.Equal(t, "success", a.Body["status"], "%s", a.Raw)
		require.IsType(t, object{}, a.Body["data"], "%s", a.Raw)
		require.Len(t, a.Body, 2, "%s", a.Raw)
	}
}

// Methods and codes as everywhere: what is unknown is 404, a method that an address has not is 405, a body
// that is no JSON 400.
func TestS2_3_MethodsAndCodes(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	for _, path := range []string{"/api/workflows/abc123", "/api/executions/abc123", "/api/workflows/abc123/events", "/api/node-types/abc123", "/api/node-types/abc123/schema", "/api/nothing"} {
		refused(t, s, 404, "", http.MethodGet, path, "")
	}
	refused(t, s, 404, "", http.MethodPost, "/api/workflows/abc123/execute", `{}`)
	refused(t, s, 404, "", http.MethodPost, "/api/executions/abc123/cancel", "")
	refused(t, s, 404, "", http.MethodPut, "/api/workflows/abc123", encode(chain("w")))
	refused(t, s, 404, "", http.MethodDelete, "/api/workflows/abc123", "")
	refused(t, s, 400, "", http.MethodPost, "/api/workflows", `{"name":`)
	for method, path := range map[string]string{http.MethodPatch: "/api/workflows", http.MethodPut: "/api/executions", http.MethodDelete: "/api/events"} {
		refused(t, s, 405, "", method, path, "", "Accept", "application/json")
	}
}

func TestS2_6_7_8_9_10_LifeOfAWorkflow(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	var ids []string
	for i := range 5 {
		ids = append(ids, store(t, s, chain(fmt.Sprint("w", i))))
	}
	// Listed in pages.
	var seen []any
	for path, pages := "/api/workflows?limit=2", 0; path != ""; pages++ {
		require.Less(t, pages, 3)
		a := must(t, s, 200, http.MethodGet, path, "")
		for _, item := range list(t, a.data("items")) {
			seen = append(seen, at(item, "id"))
		}
		if path = ""; a.data("next_cursor") != nil {
			path = "/api/workflows?limit=2&cursor=" + text(t, a.data("next_cursor"))
		}
	}
	require.ElementsMatch(t, ids, seen)
	// Shown as it was sent.
	shown := must(t, s, 200, http.MethodGet, "/api/workflows/"+ids[0], "")
	require.Equal(t, "w0", shown.data("name"))
	want := chain("w0")
	require.JSONEq(t, encode(object{"nodes": want["nodes"], "edges": want["edges"]}), encode(shown.data("definition")))
	for _, k := range []string{"created_at", "updated_at"} {
		require.Regexp(t, `^\d{4}-\d\d-\d\dT.*Z$`, shown.data(k))
	}
	// Updated.
	must(t, s, 200, http.MethodPut, "/api/workflows/"+ids[0], encode(chain("renamed", node("pause", "timer", object{"duration_seconds": 0}))))
	shown = must(t, s, 200, http.MethodGet, "/api/workflows/"+ids[0], "")
	require.Equal(t, "renamed", shown.data("name"))
	require.Len(t, shown.data("definition", "nodes"), 3)
	// Deleted: then unknown and in no list.
	must(t, s, 200, http.MethodDelete, "/api/workflows/"+ids[0], "")
	refused(t, s, 404, "", http.MethodGet, "/api/workflows/"+ids[0], "")
	for _, item := range items(t, s, "/api/workflows") {
		require.NotEqual(t, ids[0], at(item, "id"))
	}
}

// Any keys are input; the execution shows them, what its nodes gave, and where it stands.
func TestS2_11_13_ExecuteAndShow(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	workflow := store(t, s, chain("w", node("pause", "timer", object{"duration_seconds": 0})))
	for _, input := range []object{{}, {"user_query": "Which?", "data_source": "crm"}, {"a b": []any{1.0, nil, object{"ö": "\u0001"}}, "": true}} {
		id := execute(t, s, workflow, input)
		a := ended(t, s, id)
		require.Equal(t, "completed", a.data("status"), "%s", a.Raw)
		require.Equal(t, workflow, a.data("workflow_id"))
		require.JSONEq(t, encode(input), encode(a.data("input_data")))
		require.Contains(t, a.data("node_outputs"), "pause")
		require.NotNil(t, a.data("output_data"))
		for _, k := range []string{"started_at", "completed_at"} {
			require.NotNil(t, a.data(k))
		}
	}
	must(t, s, 202, http.MethodPost, "/api/workflows/"+workflow+"/execute", "") // input_data is optional
}

func TestS2_12_FiltersOfExecutions(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	one, two := store(t, s, chain("one")), store(t, s, chain("two", node("wait", "timer", object{"duration_seconds": 600})))
	first, second := execute(t, s, one, object{}), execute(t, s, two, object{})
	ended(t, s, first)
	for query, want := range map[string][]string{
		"": {second, first}, "?workflow_id=" + one: {first}, "?status=running": {second}, "?status=completed": {first}, "?status=failed": {},
		"?workflow_id=" + two + "&status=completed": {}, "?order=asc": {first, second}, "?started_before=2020-01-01T00:00:00Z": {},
	} {
		got := []string{}
		for _, item := range items(t, s, "/api/executions"+query) {
			got = append(got, text(t, at(item, "id")))
		}
		require.Equal(t, want, got, query)
	}
}

// Executing answers while the work is still to be done; whoever asks sees it go on, and can cancel it.
func TestS2_14_21_ExecutionsAreAsynchronous(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	g := newGate(stub, "/gate")
	workflow := store(t, s, chain("w", node("call", "api_call", object{"url": stub.URL + "/gate", "method": "POST"})))
	done, cancelled := execute(t, s, workflow, object{"user_query": "q"}), execute(t, s, workflow, object{})
	g.await(t)
	g.await(t)
	for _, id := range []string{done, cancelled} {
		a := show(t, s, id)
		require.Equal(t, "running", a.data("status"))
		require.Equal(t, "call", a.data("current_node"))
		require.Nil(t, a.data("completed_at"))
	}
	must(t, s, 202, http.MethodPost, "/api/executions/"+cancelled+"/cancel", "")
	require.Equal(t, "cancelled", ended(t, s, cancelled).data("status"))
	close(g.open)
	require.Equal(t, "completed", ended(t, s, done).data("status"))
	refused(t, s, 409, "", http.MethodPost, "/api/executions/"+done+"/cancel", "")
}

// The log in pages, of everything, of a workflow, of an execution: workflows' own events, executions,
// nodes and changes of state.
func TestS2_15_16_22_Events(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	good, bad := store(t, s, chain("good")), store(t, s, chain("bad", node("call", "api_call", object{"url": stub.URL + "/fail", "method": "POST"})))
	first, second := execute(t, s, good, object{}), execute(t, s, bad, object{})
	ended(t, s, first)
	ended(t, s, second)
	var all []any
	for path := "/api/events?limit=5"; path != ""; {
		a := must(t, s, 200, http.MethodGet, path, "")
		page := list(t, a.data("items"))
		require.LessOrEqual(t, len(page), 5)
		all = append(all, page...)
		if path = ""; a.data("next_cursor") != nil {
			path = "/api/events?limit=5&cursor=" + text(t, a.data("next_cursor"))
		}
	}
	count := map[string]int{}
	for _, e := range all {
		count[text(t, at(e, "event_type"))]++
		require.Greater(t, float(t, at(e, "timestamp")), 1.7e9)
		require.IsType(t, object{}, at(e, "data"))
	}
	for event, times := range map[string]int{
		"workflow.created": 2, "workflow.started": 2, "workflow.completed": 1, "workflow.failed": 1,
		"node.started": 4, "node.completed": 3, "node.failed": 1, "tool.failed": 1,
	} {
		require.Equal(t, times, count[event], "%s of %v", event, count)
	}
	ofExecution := items(t, s, "/api/workflows/"+second+"/events")
	ofWorkflow := items(t, s, "/api/workflows/"+bad+"/events")
	require.Greater(t, len(ofWorkflow), len(ofExecution), "the workflow's own events too")
	for _, e := range ofExecution {
		require.Equal(t, second, at(e, "data", "execution_id"))
		require.Equal(t, bad, at(e, "data", "workflow_id"))
	}
	require.Equal(t, "workflow.started", at(ofExecution, 0, "event_type"), "oldest first")
	require.Equal(t, "workflow.failed", at(ofExecution, len(ofExecution)-1, "event_type"))
}

// A workflow's events come live, of each of its executions and of no other's.
func TestS2_17_LiveEvents(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	mine, other := store(t, s, chain("mine")), store(t, s, chain("other"))
	conn := dial(t, s, "/ws/workflows/"+mine)
	for range 2 {
		ended(t, s, execute(t, s, other, object{}))
		id := execute(t, s, mine, object{})
		for _, f := range conn.until(isType("workflow.completed")) {
			require.Equal(t, mine, at(f, "data", "workflow_id"))
			require.Equal(t, id, at(f, "data", "execution_id"))
		}
	}
}

// Types come with their categories, each with a schema that is a JSON Schema, and what it takes and gives.
func TestS2_18_19_20_NodeTypes(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	all := must(t, s, 200, http.MethodGet, "/api/node-types", "")
	categories := map[any]bool{}
	for _, item := range list(t, all.data("items")) {
		kind := text(t, at(item, "type"))
		categories[at(item, "category")] = true
		shown := must(t, s, 200, http.MethodGet, "/api/node-types/"+kind, "")
		for _, k := range []string{"name", "description", "category"} {
			require.NotEmpty(t, text(t, shown.data(k)), "%s of %s", k, kind)
			require.Equal(t, at(item, k), shown.data(k))
		}
		for _, k := range []string{"schema", "input_schema", "output_schema"} {
			require.IsType(t, object{}, shown.data(k), "%s of %s", k, kind)
		}
		schema := must(t, s, 200, http.MethodGet, "/api/node-types/"+kind+"/schema", "")
		require.Equal(t, shown.data("schema"), schema.Body["data"], "%s", schema.Raw)
		if kind != "approval_block" { // has no config
			require.Equal(t, "object", schema.data("type"), kind)
		}
	}
	require.Contains(t, all.Body["data"], "categories")
	for _, c := range []string{"AI Agents", "Logic", "Integration", "Human-in-Loop"} {
		require.True(t, categories[c], "%s of %v", c, categories)
		require.Contains(t, encode(all.data("categories")), c)
	}
	refused(t, s, 404, "", http.MethodGet, "/api/node-types/nothing", "")
}

// What the page leaves open is written down: parameters, objects, errors, and the page of the sockets.
func TestS2_23_TheDocumentFillsThePage(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	document := must(t, s, 200, http.MethodGet, "/openapi.json", "").Body
	for path, want := range map[string]string{
		"/api/workflows":             "limit cursor offset page page_size order",
		"/api/executions":            "limit cursor workflow_id status source flow_name run_name started_after started_before order",
		"/api/events":                "limit cursor workflow_id execution_id event_type node_id from to after before order",
		"/api/workflows/{id}/events": "limit cursor execution_id event_type node_id from to after before order",
	} {
		names := map[any]bool{}
		for _, p := range list(t, at(document, "paths", path, "get", "parameters")) {
			names[at(p, "name")] = true
		}
		for _, name := range strings.Fields(want) {
			require.True(t, names[name], "%s of %s", name, path)
		}
		for _, code := range []string{"200", "422"} {
			require.NotEmpty(t, at(document, "paths", path, "get", "responses", code, "content", "application/json"), "%s of %s", code, path)
		}
	}
	r := s.Client().Must(t, http.MethodGet, "/docs/sockets", nil)
	require.Equal(t, 200, r.Status)
	require.Contains(t, string(r.Body), "/ws/workflows/{id}")
}
