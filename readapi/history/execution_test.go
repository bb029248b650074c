package history_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

// D20, S2-13: what an execution says about itself.
func TestD20_ExecutionObject(t *testing.T) {
	w := newWorld(t, nil)
	id := w.dagWith("Support", "ticket_1", map[string]any{"q": "hello", "api_key": "sk-very-secret-value"}, noop("a"), noop("b", "a"))
	w.ended(id)
	e := w.get("/api/executions/" + id).ok()
	for _, key := range []string{
		"id", "workflow_id", "workflow_version", "source", "endpoint", "flow_name", "run_name", "status", "input_data", "output_data",
		"current_node", "error", "started_at", "completed_at", "duration_ms", "node_outputs", "nodes", "last_offset", "tasks", "attempts", "position",
		"connection_id", "retry_of", "metadata", "is_paused", "waiting_for",
	} {
		require.Contains(t, e, key)
	}
	require.Equal(t, id, e["id"])
	require.Equal(t, "lao", e["source"])
	require.Regexp(t, `^lao-[0-9a-f]{16}$`, e["workflow_id"])
	require.Equal(t, "Support", e["flow_name"])
	require.Equal(t, "ticket_1", e["run_name"])
	require.Equal(t, "completed", e["status"])
	require.Nil(t, e["error"])
	require.Nil(t, e["current_node"])
	require.Equal(t, "hello", e["input_data"].(map[string]any)["q"])
	require.Regexp(t, `^\*\*\*[0-9a-f]{8}$`, e["input_data"].(map[string]any)["api_key"], "the secret is masked")
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, e["started_at"])
	require.GreaterOrEqual(t, e["duration_ms"], 0.0)
	require.Equal(t, map[string]any{"total": 2.0, "completed": 2.0, "failed": 0.0, "skipped": 0.0, "running": 0.0, "cancelled": 0.0}, e["tasks"])
	require.Equal(t, 2.0, e["attempts"])
	outputs := e["node_outputs"].(map[string]any)
	require.Len(t, outputs, 2)
	require.Equal(t, outputs, e["output_data"], "without end nodes: all outputs by task")
	nodes := e["nodes"].([]any)
	require.Len(t, nodes, 2)
	first := nodes[0].(map[string]any)
	require.Equal(t, "a", first["name"])
	require.Equal(t, "bench_noop", first["type"])
	require.Equal(t, "completed", first["status"])
	require.Equal(t, 1.0, first["attempts"])
	require.NotNil(t, first["ended_at"])
	// The id is known with the other dialect's prefix too.
	require.Equal(t, e, w.get("/api/executions/exec_"+id).ok())
}

func TestD20_FailedCancelledAndRunning(t *testing.T) {
	w := newWorld(t, nil)
	failed := w.dag("f", "bad", of("bad", "validate"), noop("after", "validate"))
	w.ended(failed)
	e := w.get("/api/executions/" + failed).ok()
	require.Equal(t, "failed", e["status"])
	require.Equal(t, map[string]any{"type": "DataValidationError", "code": "VALIDATION_FAILED", "message": "1,247 records failed", "task": "validate"}, e["error"])
	require.Nil(t, e["output_data"])
	nodes := e["nodes"].([]any)
	require.Equal(t, "failed", nodes[0].(map[string]any)["status"])
	require.Equal(t, "VALIDATION_FAILED", nodes[0].(map[string]any)["error"].(map[string]any)["code"])
	require.Equal(t, "pending", nodes[1].(map[string]any)["status"])

	held := w.dag("f", "held", of("hold", "wait"))
	e = w.get("/api/executions/" + held).ok()
	require.Equal(t, "running", e["status"])
	require.Equal(t, "wait", e["current_node"])
	require.Nil(t, e["completed_at"])
	require.Nil(t, e["duration_ms"])
	require.Nil(t, e["output_data"])
	require.Equal(t, 202, w.do(http.MethodPost, "/api/executions/"+held+"/cancel", "").status)
	e = w.get("/api/executions/" + held).ok()
	require.Equal(t, "cancelled", e["status"])
	require.Equal(t, "CANCELLED", e["error"].(map[string]any)["code"])
	require.Equal(t, 1.0, e["tasks"].(map[string]any)["cancelled"])
	require.Equal(t, "cancelled", e["nodes"].([]any)[0].(map[string]any)["status"])
}

// Users' JSON comes back as it was written, and what is large as a link.
func TestExecution_ValuesAsWrittenAndLinks(t *testing.T) {
	eachStore(t, testExecution_ValuesAsWrittenAndLinks)
}

func testExecution_ValuesAsWrittenAndLinks(t *testing.T, open openFunc) {
	w := open(t, nil)
	id := w.dag("f", "r", of("raw", "raw"), of("big", "big"))
	w.ended(id)
	a := w.get("/api/executions/" + id)
	require.Contains(t, string(a.raw), `"raw":`+hostileJSON)
	big := a.ok()["node_outputs"].(map[string]any)["big"]
	require.Len(t, big, 80<<10, "within what is shown in one answer")

	small := open(t, func(p *ports) { p.options.InlineBytesMax = 1000; p.options.ResultsBytesMax = 60 })
	id = small.dag("f", "r", of("raw", "raw"), of("big", "big"))
	small.ended(id)
	outputs := small.get("/api/executions/" + id).ok()["node_outputs"].(map[string]any)
	link := outputs["raw"].(map[string]any)
	require.Equal(t, float64(len(hostileJSON)), link["bytes"])
	require.Contains(t, string(small.get(link["href"].(string)).raw), `"result":`+hostileJSON, "the link leads to the whole")
	require.Contains(t, outputs["big"], "href")
}

// S2-13, D17: what is not known, and what is no id.
func TestExecution_Unknown(t *testing.T) {
	w := newWorld(t, nil)
	for _, id := range []string{
		"nope", "0190a0b0-0000-7000-8000-000000000001", "exec_", "%00", "%ff", "..%2f..", "'%20or%201=1", strings.Repeat("a", 600),
	} {
		for _, path := range []string{"/api/executions/" + id, "/api/executions/" + id + "/tasks"} {
			p := w.get(path).refused(404)
			require.Equal(t, "EXECUTION_UNKNOWN", p.Error.Code)
			require.Equal(t, []string{"path/id"}, p.fields())
		}
	}
}

// D22: a GET right after the POST is never a false 404, whatever state the views are in.
func TestD22_ByIDNeedsNoView(t *testing.T) {
	w := newWorld(t, func(p *ports) { p.stopped, p.views = true, downViews{} })
	id := w.dag("f", "r", noop("a"))
	require.Equal(t, id, w.get("/api/executions/" + id).ok()["id"])
	require.Equal(t, id, w.get("/api/executions/" + id + "/tasks").ok()["execution_id"])
	wf := w.createWorkflow("support")
	require.Equal(t, wf, w.get("/api/workflows/" + wf).ok()["id"])
	p := w.get("/api/executions").refused(503)
	require.Equal(t, "VIEWS_UNAVAILABLE", p.Error.Code)
}

// The state back then: after an offset, or at an instant.
func TestExecution_At(t *testing.T) {
	w := newWorld(t, nil)
	id := w.dag("f", "r", noop("a"), noop("b", "a"))
	w.ended(id)
	path := "/api/executions/" + id
	whole := w.get(path).ok()
	last := int(whole["last_offset"].(float64))
	require.Equal(t, 5, last) // started, a started, a completed + b started, b completed + completed
	seen := map[string]int{}
	for at := range last + 1 {
		e := w.get(fmt.Sprintf("%s?at=%d", path, at)).ok()
		require.Equal(t, float64(at), e["last_offset"])
		tasks := e["tasks"].(map[string]any)
		seen[e["status"].(string)]++
		require.Equal(t, 2.0, tasks["total"])
		if at < 2 {
			require.Empty(t, e["node_outputs"])
		}
		if at == 1 {
			require.Equal(t, "a", e["current_node"])
			require.Equal(t, 1.0, tasks["running"])
		}
	}
	require.Equal(t, map[string]int{"running": last, "completed": 1}, seen)
	require.Equal(t, whole, w.get(path+query("at", fmt.Sprint(last))).ok())
	// At its end's instant it is as it is now; before its start it was not.
	require.Equal(t, whole, w.get(path+query("at", whole["completed_at"].(string))).ok())
	require.Equal(t, whole, w.get(path+"?at=2999-01-01T00:00:00%2B02:00").ok())
	p := w.get(path + "?at=1999-01-01T00:00:00Z").refused(404)
	require.Equal(t, "NOT_BEGUN", p.Error.Code)
	for _, beyond := range []string{"6", "99999999999999999999999999", "9223372036854775807"} {
		p = w.get(path + "?at=" + beyond).refused(422)
		require.Equal(t, "BEYOND_HEAD", p.Error.Code)
		require.Equal(t, 5.0, p.Error.Details["last_offset"])
	}
	for _, bad := range []string{"-1", "x", "1.5", "2025-09-02", "1756806125.5", "0x1", "%00", "1%20or%201=1"} {
		p = w.get(path + "?at=" + bad).refused(422)
		require.Equal(t, []string{"query/at"}, p.fields(), bad)
	}
	require.Equal(t, []string{"query/at"}, w.get(path+"?at=1&at=2").refused(422).fields())
	tasks := w.get(path + "/tasks?at=1").ok()
	require.Equal(t, 1.0, tasks["count"])
}

func TestExecution_Tasks(t *testing.T) {
	w := newWorld(t, nil)
	id := w.dag("f", "r", noop("a"), of("bad", "b"))
	w.ended(id)
	data := w.get("/api/executions/" + id + "/tasks").ok()
	items := data["items"].([]any)
	require.Len(t, items, 2)
	require.Equal(t, "failed", data["execution_status"])
	for _, item := range items {
		task := item.(map[string]any)
		require.Regexp(t, `^[0-9a-f-]{36}$`, task["task_id"])
		require.Equal(t, 0.0, task["iteration"])
		require.Greater(t, task["ended_offset"], task["started_offset"])
		require.NotNil(t, task["duration_ms"])
	}
}

// A run too long for the time there is gets a clear answer, never a part of it.
func TestExecution_TimeRunsOut(t *testing.T) {
	w := newWorld(t, func(p *ports) {
		p.log = slowLog{p.log}
		p.options.FoldTimeout = 1
	})
	id := w.dag("f", "r", noop("a"))
	w.ended(id)
	p := w.get("/api/executions/" + id).refused(504)
	require.Equal(t, "READ_TIMEOUT", p.Error.Code)
}

// slowLog answers when the caller's time is over.
type slowLog struct {
	logPort
}

type logPort interface {
	ID() domain.LogID
	Head(ctx context.Context) (domain.Position, error)
	ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error)
}

func (l slowLog) ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	<-ctx.Done()
	return nil, domain.Wrap(domain.KindDeadline, "read", string(stream), ctx.Err())
}
