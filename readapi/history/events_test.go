package history_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

// S2-15, S2-22, D18, D19: the event log, its frames and each of its filters.
func TestS2_15_D19_Events(t *testing.T) { eachStore(t, testS2_15_D19_Events) }

func testS2_15_D19_Events(t *testing.T, open openFunc) {
	w := open(t, nil)
	id := w.dagWith("f", "r", map[string]any{"api_key": "sk-very-secret-value"}, noop("a"), of("bad", "b"))
	w.ended(id)
	other := w.dag("f", "r2", noop("a"))
	w.ended(other)
	all := w.get("/api/events?order=asc&limit=200").list()
	require.True(t, all.Fresh)
	types := func(p page) (out []string) {
		for _, e := range p.Items {
			out = append(out, e["event_type"].(string))
		}
		return out
	}
	require.Contains(t, types(all), "name.bound")
	of := w.get("/api/events?order=asc&execution_id=" + id).list()
	require.Equal(t, of.Items, w.get("/api/events?order=asc&execution_id=exec_"+id).list().Items)
	require.Equal(t, "workflow.started", types(of)[0])
	require.Equal(t, "workflow.failed", types(of)[len(of.Items)-1])
	for i, e := range of.Items {
		require.Equal(t, float64(i), e["offset"])
		require.Regexp(t, `^`+string(w.log.ID())+`-[0-9a-f]{16}$`, e["position"])
		require.IsType(t, 0.0, e["timestamp"])
		require.Regexp(t, `^[0-9a-f-]{36}$`, e["id"])
		data := e["data"].(map[string]any)
		require.Equal(t, id, data["execution_id"])
		require.Regexp(t, `^lao-`, data["workflow_id"])
		require.Contains(t, data, "result")
		require.Contains(t, data, "error")
		if node := data["node_id"]; node == "a" {
			require.Equal(t, "bench_noop", data["node_type"], "on every event about a node")
		}
		audit := e["audit"].(map[string]any)
		require.Regexp(t, `^[0-9a-f]{64}$`, audit["hash"])
		if i > 0 {
			require.Equal(t, of.Items[i-1]["audit"].(map[string]any)["hash"], audit["prev_hash"], "the chain can be checked")
		}
	}
	newest := w.get("/api/events?execution_id=" + id).list()
	slices.Reverse(newest.Items)
	require.Equal(t, of.Items, newest.Items, "newest first unless asked otherwise")

	get := func(pairs ...string) []string {
		t.Helper()
		return types(w.get("/api/events" + query(append(pairs, "order", "asc")...)).list())
	}
	require.Equal(t, []string{"node.failed"}, get("event_type", "node.failed"))
	require.Equal(t, []string{"workflow.started", "workflow.started"}, get("event_type", "workflow.started"))
	require.Equal(t, []string{"workflow.started", "workflow.failed"}, get("event_type", "workflow.started,workflow.failed", "execution_id", id))
	require.Equal(t, []string{"workflow.started", "workflow.failed"}, get("event_type", "workflow.started", "event_type", "run.failed.v1", "execution_id", id))
	require.Equal(t, []string{"node.failed"}, get("event_type", "task_failed"), "the canonical name")
	require.Empty(t, get("event_type", "run.paused.v7"), "a stored type of another version")
	require.Equal(t, []string{"node.started", "node.completed"}, get("node_id", "a", "execution_id", other))
	require.Len(t, get("workflow_id", of.Items[0]["data"].(map[string]any)["workflow_id"].(string)), len(all.Items)-2, "all but the names")
	middle := of.Items[2]["position"].(string)
	require.Equal(t, types(of)[3:], get("after", middle, "execution_id", id))
	require.Equal(t, types(of)[:2], get("before", middle, "execution_id", id))
	at := of.Items[0]["data"].(map[string]any)["timestamp"].(string)
	require.Len(t, get("from", at), len(all.Items)-len(get("to", at)))
	require.Empty(t, get("from", "2999-01-01T00:00:00Z"))
	require.Empty(t, get("to", "12.5"))
	require.Empty(t, get("node_id", "'; drop table events; --"))
	require.NotContains(t, string(w.get("/api/events?limit=200").raw), "sk-very-secret-value")
	require.NotContains(t, string(w.get("/api/events?limit=200").raw), "ciphertext")
}

// S2-16, D19: by workflow, by execution, narrowed; the story in order.
func TestS2_16_D19_WorkflowEvents(t *testing.T) { eachStore(t, testS2_16_D19_WorkflowEvents) }

func testS2_16_D19_WorkflowEvents(t *testing.T, open openFunc) {
	w := open(t, nil)
	wf := w.createWorkflow("w")
	first, second := w.execute(wf, `{}`), w.execute(wf, `{}`)
	all := w.get("/api/workflows/" + wf + "/events?limit=200").list()
	require.Equal(t, "workflow.created", all.Items[0]["event_type"])
	positions := make([]string, 0, len(all.Items))
	seen := map[any]bool{}
	for _, e := range all.Items {
		positions = append(positions, e["position"].(string))
		require.Equal(t, wf, e["data"].(map[string]any)["workflow_id"])
		seen[e["data"].(map[string]any)["execution_id"]] = true
	}
	require.True(t, slices.IsSorted(positions))
	require.Equal(t, map[any]bool{nil: true, first: true, second: true}, seen)
	narrowed := w.get("/api/workflows/" + wf + "/events?execution_id=" + second).list()
	byRun := w.get("/api/workflows/" + second + "/events").list()
	require.Equal(t, narrowed.Items, byRun.Items)
	require.Equal(t, byRun.Items, w.get("/api/workflows/exec_"+second+"/events").list().Items)
	require.NotEmpty(t, byRun.Items)
	// A run that brought its definition along has a workflow id without a stored workflow.
	lao := w.dag("f", "r", noop("a"))
	w.ended(lao)
	id := w.get("/api/executions/" + lao).ok()["workflow_id"].(string)
	require.Equal(t, w.get("/api/workflows/"+lao+"/events").list().Items, w.get("/api/workflows/"+id+"/events").list().Items)
	// Paging by cursor keeps to the path it was made on.
	p := w.get("/api/workflows/" + wf + "/events?limit=2").list()
	require.Equal(t, all.Items[2:4], w.get("/api/workflows/"+wf+"/events?limit=2&cursor="+*p.NextCursor).list().Items)
	require.Equal(t, "INVALID_CURSOR", w.get("/api/workflows/"+lao+"/events?limit=2&cursor="+*p.NextCursor).refused(422).Error.Code)
}

// D6: a name that never became a run is in the events and nowhere else.
func TestD6_AbandonedRunsAreNowhere(t *testing.T) {
	w := newWorld(t, nil)
	id := w.abandon("f", "r")
	require.Equal(t, "EXECUTION_UNKNOWN", w.get("/api/executions/"+id).refused(404).Error.Code)
	require.Empty(t, w.get("/api/executions").list().Items)
	events := w.get("/api/events").list()
	require.Equal(t, "abandoned", events.Items[0]["event_type"])
	require.Equal(t, "WORKFLOW_UNKNOWN", w.get("/api/workflows/"+id+"/events").refused(404).Error.Code)
}

// Cursors and positions of another log never skip in silence.
func TestD4_AnotherLog(t *testing.T) {
	w := newWorld(t, nil)
	for _, name := range []string{"after", "before", "at_least"} {
		p := w.get("/api/events" + query(name, domain.Position(3).Cursor("another"))).refused(409)
		require.Equal(t, "LOG_CHANGED", p.Error.Code)
		require.Equal(t, []string{"query/" + name}, p.fields())
		require.Equal(t, string(w.log.ID()), p.Error.Details["log"])
	}
	other := newWorld(t, nil)
	for range 2 {
		other.ended(other.dag("f", "r", noop("a")))
	}
	cursor := *other.get("/api/executions?limit=1").list().NextCursor
	require.Equal(t, "LOG_CHANGED", w.get("/api/executions?cursor="+cursor).refused(409).Error.Code)
}

// D18: a cursor belongs to its list, filters and order; anything else is told, not guessed.
func TestD18_CursorsOfOthers(t *testing.T) {
	w := newWorld(t, nil)
	for _, run := range []string{"1", "2", "3"} {
		w.ended(w.dag("f", run, noop("a")))
	}
	cursor := *w.get("/api/executions?limit=1&flow_name=f").list().NextCursor
	require.Equal(t, 200, w.get("/api/executions?limit=2&flow_name=f&cursor="+cursor).status, "the size of a page may change")
	tampered := []byte(cursor)
	tampered[10] ^= 1
	for _, path := range []string{
		"/api/executions?cursor=" + cursor, "/api/executions?flow_name=g&cursor=" + cursor, "/api/executions?flow_name=f&order=asc&cursor=" + cursor,
		"/api/events?cursor=" + cursor, "/api/workflows?cursor=" + cursor, "/api/endpoints?cursor=" + cursor,
		"/api/executions?flow_name=f&cursor=" + string(tampered), "/api/executions?flow_name=f&cursor=" + cursor[:len(cursor)-1],
		"/api/executions?flow_name=f&cursor=" + cursor + "A", "/api/executions?cursor=x", "/api/executions?cursor=" + strings.Repeat("A", 400),
		"/api/executions?cursor=%27%20or%201%3D1", "/api/executions?cursor=0",
	} {
		p := w.get(path).refused(422)
		require.Equal(t, "INVALID_CURSOR", p.Error.Code, path)
		require.Equal(t, []string{"query/cursor"}, p.fields())
	}
}
