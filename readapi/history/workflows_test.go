package history_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/clock"
)

const graph = `{"nodes":[{"id":"t","type":"trigger","position":{"x":1e400,"y":2},"data":{"label":"go","config":{"name":"go"}}},` +
	`{"id":"e","type":"end","data":{"config":{"name":"end"}}}],"edges":[{"id":"1","source":"t","target":"e","sourceHandle":"true","label":"x"}],"extra":[ 1 ]}`

// createWorkflow stores one and returns its id.
func (w *world) createWorkflow(name string) string {
	w.t.Helper()
	a := w.do(http.MethodPost, "/api/workflows", fmt.Sprintf(`{"name":%q,"definition":%s}`, name, graph))
	require.Equal(w.t, 201, a.status, string(a.raw))
	var created struct {
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	require.NoError(w.t, json.Unmarshal(lenient(a.raw), &created))
	return created.Data.ID
}

// execute runs a workflow to its end and returns the execution.
func (w *world) execute(id, input string) string {
	w.t.Helper()
	a := w.do(http.MethodPost, "/api/workflows/"+id+"/execute", `{"input_data":`+input+`}`)
	require.Equal(w.t, 202, a.status, string(a.raw))
	var started struct {
		Data struct {
			ID string `json:"execution_id"`
		} `json:"data"`
	}
	require.NoError(w.t, json.Unmarshal(a.raw, &started))
	w.ended(started.Data.ID)
	return started.Data.ID
}

// S2-6, S2-8, D25: what was stored is listed and shown as it was written.
func TestS2_6_8_WorkflowsListedAndShown(t *testing.T) {
	eachStore(t, testS2_6_8_WorkflowsListedAndShown)
}

func testS2_6_8_WorkflowsListedAndShown(t *testing.T, open openFunc) {
	w := open(t, nil)
	var ids []string
	for i := range 3 {
		ids = append([]string{w.createWorkflow(fmt.Sprint("w", i))}, ids...)
	}
	a := w.get("/api/workflows?session_id=abc")
	require.Equal(t, ids, a.list().ids(), "newest first")
	require.Contains(t, string(a.raw), `"definition":`+graph)
	for _, key := range []string{"id", "name", "description", "version", "endpoint", "created_at", "updated_at", "definition", "position"} {
		require.Contains(t, a.list().Items[0], key)
	}
	one := w.get("/api/workflows/" + ids[0])
	require.Contains(t, string(one.raw), `"definition":`+graph)
	require.Equal(t, "w2", one.ok()["name"])
	require.Equal(t, a.list().Items[0], one.ok())
	require.Equal(t, []string{ids[1]}, w.get("/api/workflows?name=w1").list().ids())
	require.Empty(t, w.get("/api/workflows?endpoint=other").list().Items)
}

// S2-9, S2-10, D23: versions stay, a deleted workflow is gone for reads and its events are not.
func TestD23_VersionsAndDeletion(t *testing.T) { eachStore(t, testD23_VersionsAndDeletion) }

func testD23_VersionsAndDeletion(t *testing.T, open openFunc) {
	w := open(t, nil)
	id := w.createWorkflow("first")
	run := w.execute(id, `{"a":1}`)
	require.Equal(t, 200, w.do(http.MethodPut, "/api/workflows/"+id, `{"name":"second"}`).status)
	require.Equal(t, "second", w.get("/api/workflows/" + id).ok()["name"])
	require.Equal(t, "first", w.get("/api/workflows/" + id + "?version=1").ok()["name"])
	p := w.get("/api/workflows/" + id + "?version=3").refused(404)
	require.Equal(t, []string{"query/version"}, p.fields())
	versions := w.get("/api/workflows/" + id + "/versions").list()
	require.Equal(t, []any{2.0, 1.0}, []any{versions.Items[0]["version"], versions.Items[1]["version"]})
	require.NotContains(t, versions.Items[0], "definition", "a list of versions is short")
	whole := w.get("/api/workflows/" + id + "/versions?include=definition").list()
	require.Equal(t, w.get("/api/workflows/" + id + "?version=1").ok()["definition"], whole.Items[1]["definition"])
	require.Equal(t, 1.0, w.get("/api/executions/" + run).ok()["workflow_version"])
	require.Equal(t, "default", w.get("/api/executions/" + run).ok()["endpoint"])
	require.Equal(t, "default", w.get("/api/executions?workflow_id=" + id).list().Items[0]["endpoint"])

	require.Equal(t, 200, w.do(http.MethodDelete, "/api/workflows/"+id, "").status)
	for _, path := range []string{"", "?version=1", "/versions"} {
		require.Equal(t, "WORKFLOW_UNKNOWN", w.get("/api/workflows/"+id+path).refused(404).Error.Code, path)
	}
	require.Empty(t, w.get("/api/workflows").list().Items)
	require.Equal(t, []string{run}, w.get("/api/executions?workflow_id="+id).list().ids())
	events := w.get("/api/workflows/" + id + "/events").list()
	require.Equal(t, "workflow.created", events.Items[0]["event_type"])
	require.Equal(t, "workflow.deleted", events.Items[len(events.Items)-1]["event_type"])
	require.Equal(t, run, w.get("/api/executions/" + run).ok()["id"])
}

// D20: the output of a workflow with an end node is that node's.
func TestD20_OutputOfEndNodes(t *testing.T) {
	w := newWorld(t, nil)
	run := w.execute(w.createWorkflow("w"), `{"a":1}`)
	e := w.get("/api/executions/" + run).ok()
	require.Equal(t, "completed", e["status"])
	require.Equal(t, e["node_outputs"].(map[string]any)["e"], e["output_data"])
	require.Equal(t, "api", e["source"])
}

func TestWorkflow_Unknown(t *testing.T) {
	w := newWorld(t, nil)
	for _, id := range []string{"nope", "%00", "exec_", "0190a0b0-0000-7000-8000-000000000001"} {
		for _, path := range []string{"", "/versions", "/events"} {
			p := w.get("/api/workflows/" + id + path).refused(404)
			require.Equal(t, "WORKFLOW_UNKNOWN", p.Error.Code)
			require.Equal(t, []string{"path/id"}, p.fields())
		}
	}
}

func TestEndpoints_EmptyList(t *testing.T) {
	w := newWorld(t, nil)
	require.Empty(t, w.get("/api/endpoints").list().Items)
}

// D15: an endpoint is known by its id the moment it is made, and by no way is its key.
func TestD15_EndpointsListedAndShown(t *testing.T) {
	w := newWorld(t, nil)
	e := commands.NewEndpoints(commands.EndpointDeps{Log: w.log, Clock: clock.System{}, IDs: clock.System{}, Secret: clock.System{}.Secret})
	made, err := e.Create(t.Context(), "coffee-shop", commands.By{})
	require.NoError(t, err)
	one := w.get("/api/endpoints/" + made.ID).ok()
	require.Equal(t, map[string]any{
		"endpoint": made.ID, "slug": "coffee-shop", "created_at": made.CreatedAt.Format(domain.TimeLayout), "position": made.Position.Cursor(w.log.ID()),
	}, one)
	require.Equal(t, []map[string]any{one}, w.get("/api/endpoints").list().Items)
	for _, id := range []string{"coffee-shop", "%00", "x", made.ID + "0"} {
		require.Equal(t, "ENDPOINT_UNKNOWN", w.get("/api/endpoints/"+id).refused(404).Error.Code, id)
	}
}
