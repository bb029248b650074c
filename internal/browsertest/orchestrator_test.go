package browsertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// stored posts a workflow of three nodes, the second of which posts to the stub, and returns its id.
func (w *world) stored(name, endpoint, path string) string {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{
		"name": name, "endpoint": endpoint,
		"nodes": []any{
			map[string]any{"id": "in", "type": "trigger", "data": map[string]any{"config": map[string]any{"name": "in"}}},
			map[string]any{"id": "work", "type": "api_call", "data": map[string]any{"config": map[string]any{"name": "work", "url": w.stub.URL + path, "method": "POST"}}},
			map[string]any{"id": "out", "type": "end", "data": map[string]any{"config": map[string]any{"name": "out"}}},
		},
		"edges": []any{
			map[string]any{"id": "e1", "source": "in", "target": "work"},
			map[string]any{"id": "e2", "source": "work", "target": "out"},
		},
	})
	require.NoError(w.t, err)
	var made struct{ ID string }
	w.api(http.MethodPost, "/api/workflows", body, &made)
	return made.ID
}

// api calls a route that has to succeed and decodes the data of its answer.
func (w *world) api(method, path string, body []byte, into any) {
	w.t.Helper()
	r := w.server.Client().Must(w.t, method, path, body)
	require.Less(w.t, r.Status, 300, "%s %s: %s", method, path, r.Body)
	answer := struct {
		Data any `json:"data"`
	}{into}
	require.NoError(w.t, json.Unmarshal(r.Body, &answer))
}

// The Orchestrator's front end follows a workflow live: every frame has what it reads, and it closes at
// the end by itself.
func TestS2_17_FollowsAWorkflowToItsEnd(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"Chromium", "Node"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.stored("follow me", "default", "/ok")
			p := w.params("orchestrator", "", "")
			p["path"] = "/ws/workflows/" + id
			var r *Reports
			if where == "Node" {
				r = Node(t, p).Reports
			} else {
				r = NewContext(t).Open(t, p.Page(w.site.Origin)).Reports
			}
			r.Await(t, "open", 1, 1)
			var run struct {
				ExecutionID string `json:"execution_id"`
			}
			w.api(http.MethodPost, "/api/workflows/"+id+"/execute", []byte(`{"input_data":{"user_query":"why?"}}`), &run)
			closed := r.Await(t, "close", 1, 1)[0]
			require.Equal(t, 1005, closed.Code, "its own close")
			require.Empty(t, r.Of("warned", 1))
			var shown []string
			for _, one := range r.Of("shown", 1) {
				var value struct {
					Node *string
					Year int
				}
				require.NoError(t, json.Unmarshal(one.Value, &value))
				require.GreaterOrEqual(t, value.Year, 2026, "timestamp is epoch seconds")
				node := "-"
				if value.Node != nil {
					node = *value.Node
				}
				shown = append(shown, fmt.Sprint(one.Message, " ", node))
			}
			require.Equal(t, "workflow.started -", shown[0])
			require.Equal(t, "workflow.completed -", shown[len(shown)-1])
			for _, want := range []string{"node.started in", "node.completed in", "node.started work", "node.completed work", "node.started out", "node.completed out"} {
				require.Contains(t, shown, want)
			}
			require.Len(t, r.Of("frame", 1), len(shown), "nothing twice")
			noExceptions(t, r)
		})
	}
}
