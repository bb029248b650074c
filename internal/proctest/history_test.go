package proctest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// listed are the ids of a page.
func listed(t *testing.T, c *Client, path string) []string {
	t.Helper()
	reply := c.Must(t, http.MethodGet, path, nil)
	require.Equal(t, 200, reply.Status, "%s: %s", path, reply.Body)
	var body struct {
		Data struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
			Fresh bool `json:"fresh"`
		} `json:"data"`
		Status string `json:"status"`
	}
	require.NoError(t, json.Unmarshal(reply.Body, &body))
	require.Equal(t, "success", body.Status)
	require.True(t, body.Data.Fresh, path)
	ids := make([]string, len(body.Data.Items))
	for i, item := range body.Data.Items {
		ids[i] = item.ID
	}
	return ids
}

// D21, D22: what the binary acknowledged is in its history at once, and after it was killed.
func TestHistory_HoldsWhatWasAcknowledged(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	var want []string
	for _, run := range []string{"r1", "r2", "r3"} {
		started := s.Client().Run(t, dag("f", run, nil, noop("a", 1), noop("b", depends("a"))))
		want = append([]string{started.TaskID}, want...)
		require.Equal(t, want, listed(t, s.Client(), "/api/executions"))
		one := s.Client().Must(t, http.MethodGet, "/api/executions/"+started.TaskID, nil)
		require.Equal(t, 200, one.Status, string(one.Body))
		require.Contains(t, string(one.Body), `"run_name":"`+run+`"`)
	}
	s.Kill()
	s = Start(t, Options{Data: data})
	require.Equal(t, want, listed(t, s.Client(), "/api/executions"))
	require.NotEmpty(t, listed(t, s.Client(), "/api/events?execution_id="+want[0]))
	require.Equal(t, want[:1], listed(t, s.Client(), "/api/executions?run_name=r3&source=lao"))
}

// What no client sends in good faith: the history routes answer in the shape of errors and go on.
func TestHistory_BadRequests(t *testing.T) {
	s := Start(t, Options{})
	c := s.Client()
	for path, field := range map[string]string{
		"/api/executions?limit=1e3":                           "query/limit",
		"/api/executions?flow_name=%00":                       "query/flow_name",
		"/api/executions?status=%27%20OR%201%3D1--":           "query/status",
		"/api/events?from=99999999999999999999":               "query/from",
		"/api/events?cursor=AAAA":                             "query/cursor",
		"/api/executions?workflow_id=a&workflow_id=b":         "query/workflow_id",
		"/api/workflows?page_size=-1":                         "query/page_size",
		"/api/endpoints?offset=100001":                        "query/offset",
		"/api/events?after=" + url.QueryEscape("1; select 1"): "query/after",
	} {
		checkProblem(t, field, c.Must(t, http.MethodGet, path, nil), 422, map[bool]string{true: "INVALID_CURSOR", false: "INVALID_QUERY"}[field == "query/cursor"], field)
	}
	checkProblem(t, "unknown", c.Must(t, http.MethodGet, "/api/executions/nope", nil), 404, "EXECUTION_UNKNOWN", "path/id")
	long := strings.Repeat("a", 10_000)
	require.Contains(t, raw(t, s, "GET /api/executions?flow_name="+long), "HTTP/1.1 431 ")
	for _, line := range []string{"GET /api/events?%zz", "GET /api/events?a=%", "GET /api/executions/%zz", "GET /api/executions/%ff", "DELETE /api/executions/x", "PUT /api/events"} {
		answer := raw(t, s, line)
		require.NotContains(t, answer, "HTTP/1.1 5", line)
	}
	require.Empty(t, listed(t, c, "/api/executions"))
}
