package readapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// D4: what is wrong with a request is said before the handshake, naming the field.
func TestUpgrade_BadRequests(t *testing.T) {
	w := newWorld(t)
	for path, field := range map[string]string{
		"/ws/flow/run?from=x":                    "query/from",
		"/ws/flow/run?from=-1":                   "query/from",
		"/ws/flow/run?from=1:2":                  "query/from",
		"/ws/flow/run?from=99999999999999999999": "query/from",
		"/ws/flow/run?offset=1.5":                "query/offset",
		"/ws/flow/run?after=-2":                  "query/after",
		"/ws/flow/run?after=1:0":                 "query/after",
		"/ws/flow/run?after=latest":              "query/after",
		"/ws/flow/run?from=1&after=2":            "query/after",
		"/ws/flow/run?types=nonsense":            "query/types",
		"/ws/flow/run?types=workflow.started":    "query/types",
		"/ws/flow/run?execution_id=exec_":        "query/execution_id",
		"/ws/flow/run?execution_id=%00":          "query/execution_id",
		"/ws/%00/run":                            "path/flow_name",
		"/ws/flow/%ff":                           "path/run_name",
		"/ws/flow/" + strings.Repeat("x", 513):   "path/run_name",
		"/ws/workflows%20/run?from=x":            "query/from",
	} {
		body := w.refused(path, nil, http.StatusBadRequest)
		require.Equal(t, "error", body["status"], path)
		detail := body["detail"].([]any)[0].(map[string]any)
		require.Equal(t, field, detail["field"], path)
		require.NotEmpty(t, detail["msg"])
		at := strings.SplitN(field, "/", 2)
		require.Equal(t, []any{at[0], at[1]}, detail["loc"])
		require.IsType(t, "", body["message"])
	}
	// All faults at once.
	resp, err := http.Get("http://" + w.addr + "/ws/flow/run?from=x&types=y&execution_id=%00")
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&all))
	require.NoError(t, resp.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	require.Len(t, all["detail"], 3)
	body := w.refused("/ws/flow/run?after=3&log=log-2", nil, http.StatusConflict)
	require.Equal(t, "LOG_CHANGED", body["error"].(map[string]any)["code"])
}

func TestUpgrade_SocketsMax(t *testing.T) {
	w := newWorld(t, func(_ *depsT, o *optionsT) { o.SocketsMax, o.SocketsPerNameMax = 3, 2 })
	w.dial("/ws/flow/a").ping()
	w.dial("/ws/flow/a").ping()
	body := w.refused("/ws/flow/a", nil, http.StatusTooManyRequests)
	require.Equal(t, "SOCKETS_EXHAUSTED", body["error"].(map[string]any)["code"])
	w.dial("/ws/flow/b").ping()
	w.refused("/ws/flow/c", nil, http.StatusTooManyRequests)
}

// V4, V6, and the shape of Fiber's own errors.
func TestUpgrade_OtherRoutes(t *testing.T) {
	w := newWorld(t)
	for path, status := range map[string]int{
		"/ws/flow/run":      http.StatusUpgradeRequired,
		"/ws/flow/run/more": http.StatusNotFound,
		"/ws/workflows/x":   http.StatusOK,
		"/nowhere":          http.StatusNotFound,
	} {
		resp, err := http.Get("http://" + w.addr + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode, path)
		if status != http.StatusOK {
			require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// Trap 4: no compression is negotiated, so a message's bytes on the wire are its bytes.
func TestUpgrade_NoCompression(t *testing.T) {
	w := newWorld(t)
	c := w.dialWith("/ws/flow/run", http.Header{"Cookie": {"quipu_ws=" + strings.Repeat("x", 100)}})
	c.ping()
}
