package history_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/readapi/history"
)

// as is a command's sender.
func as(id string) commands.Ask {
	return commands.Ask{RunID: id, Actor: wire.Actor{Kind: wire.ActorKey, ID: "k1", Via: "api"}}
}

// D20: what an execution waits for, and whether it is paused, now and at an earlier offset.
func TestD20_PausedAndWaiting(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, nil)
	listens := task{Name: "listen", Function: "event", Params: map[string]any{"config": map[string]any{
		"operation": "subscribe", "channel": "orders", "timeout_seconds": 3600,
	}}}
	later := task{Name: "later", Function: "timer", Params: map[string]any{"config": map[string]any{"duration_seconds": 3600}}}
	id := w.dag("f", "waits", of("ask", "sign"), listens, later)
	at := "/api/executions/" + id
	e := w.get(at).ok()
	require.Equal(t, "running", e["status"])
	require.Equal(t, false, e["is_paused"])
	require.Len(t, e["waiting_for"], 3)
	waits := map[any]map[string]any{}
	for _, wait := range e["waiting_for"].([]any) {
		waits[wait.(map[string]any)["node_id"]] = wait.(map[string]any)
	}
	sign, listen, timer := waits["sign"], waits["listen"], waits["later"]
	require.Equal(t, map[string]any{"node_id": "sign", "kind": "approval", "channel": nil, "due_at": nil}, sign)
	require.Equal(t, "orders", listen["channel"])
	require.Equal(t, "event", listen["kind"])
	require.NotNil(t, listen["due_at"])
	require.Equal(t, "timer", timer["kind"])
	require.NotNil(t, timer["due_at"])
	nodes := map[any]map[string]any{}
	for _, n := range e["nodes"].([]any) {
		nodes[n.(map[string]any)["name"]] = n.(map[string]any)
	}
	first := nodes["sign"]
	require.Equal(t, "waiting", first["status"])
	require.Equal(t, map[string]any{"kind": "approval", "channel": nil, "due_at": nil}, first["waiting_for"])

	_, err := w.executor.Pause(ctx, as(id), "lunch")
	require.NoError(t, err)
	e = w.get(at).ok()
	require.Equal(t, "paused", e["status"])
	require.Equal(t, true, e["is_paused"])
	require.Nil(t, e["completed_at"])
	require.Equal(t, 3.0, e["tasks"].(map[string]any)["running"])
	require.Equal(t, "running", w.get(at + "?at=0").ok()["status"])
	require.Empty(t, w.get(at + "?at=0").ok()["waiting_for"])
	require.JSONEq(t, `{"status":"processing"}`, string(w.do("GET", "/task-status/"+id, "").raw), "LAO knows no pause")

	_, err = w.executor.Resume(ctx, as(id), "")
	require.NoError(t, err)
	_, err = w.executor.DecideApproval(ctx, as(id), "", run.Approved, "ops", "fine")
	require.NoError(t, err)
	e = w.get(at).ok()
	require.Equal(t, "running", e["status"])
	require.Len(t, e["waiting_for"], 2)
	for _, item := range w.get(at + "/tasks").ok()["items"].([]any) {
		switch item := item.(map[string]any); item["name"] {
		case "sign":
			require.Equal(t, "completed", item["status"])
			require.Nil(t, item["waiting_for"])
		case "listen":
			require.Equal(t, "waiting", item["status"])
			require.Equal(t, "orders", item["waiting_for"].(map[string]any)["channel"])
		}
	}
	_, err = w.executor.Signal(ctx, as(id), "orders", []byte(`{"n":1}`))
	require.NoError(t, err)
	_, err = w.executor.Cancel(ctx, id, "", wire.Actor{Kind: wire.ActorSystem})
	require.NoError(t, err)
	w.ended(id)
	e = w.get(at).ok()
	require.Equal(t, "cancelled", e["status"])
	require.Empty(t, e["waiting_for"])
}

// D20: a retry says what it is a retry of, in its own object and in lists.
func TestD20_RetryOfAndConnection(t *testing.T) {
	eachStore(t, func(t *testing.T, open openFunc) {
		w := open(t, nil)
		failed := w.dag("f", "bad", of("bad", "validate"))
		w.ended(failed)
		out, err := w.executor.RetryRun(context.Background(), commands.RetryRequest{RunID: failed, Actor: wire.Actor{Kind: wire.ActorSystem}})
		require.NoError(t, err)
		retry := out.RunID
		w.ended(retry)
		require.Equal(t, failed, w.get("/api/executions/" + retry).ok()["retry_of"])
		require.Nil(t, w.get("/api/executions/" + failed).ok()["retry_of"])
		require.Equal(t, []string{retry}, w.get("/api/executions?retry_of=exec_"+failed).list().ids())
		require.Equal(t, []string{retry}, w.get("/api/executions?status=failed&retry_of="+failed).list().ids())
		require.Empty(t, w.get("/api/executions?retry_of="+retry).list().ids())
		require.Empty(t, w.get("/api/executions?connection_id=ws_1").list().ids())
	})
}

func TestD18_PausedExecutions(t *testing.T) {
	eachStore(t, func(t *testing.T, open openFunc) {
		w := open(t, nil)
		id := w.dag("f", "waits", of("ask", "sign"))
		other := w.dag("f", "other", of("ask", "sign"))
		require.Empty(t, w.get("/api/executions?status=paused").list().ids())
		_, err := w.executor.Pause(context.Background(), as(id), "")
		require.NoError(t, err)
		require.Equal(t, []string{id}, w.get("/api/executions?status=paused").list().ids())
		require.Equal(t, []string{other}, w.get("/api/executions?status=running").list().ids())
		_, err = w.executor.Resume(context.Background(), as(id), "")
		require.NoError(t, err)
		require.Empty(t, w.get("/api/executions?status=paused").list().ids())
		require.Equal(t, []string{other, id}, w.get("/api/executions?status=running").list().ids())
	})
}

// GET /api/approvals: what waits for somebody's decision, and how decisions ended.
func TestApprovals_List(t *testing.T) {
	eachStore(t, func(t *testing.T, open openFunc) {
		ctx := context.Background()
		w := open(t, nil)
		var runs []string
		for _, name := range []string{"a", "b", "c", "d"} {
			runs = append(runs, w.dag("f", name, of("ask", "sign")))
		}
		nodesOf := func(path string) []string {
			t.Helper()
			var out []string
			for _, item := range w.get(path).list().Items {
				out = append(out, item["execution_id"].(string))
			}
			return out
		}
		require.Equal(t, []string{runs[3], runs[2], runs[1], runs[0]}, nodesOf("/api/approvals"))
		pending := w.get("/api/approvals?order=asc").list().Items[0]
		require.NotEmpty(t, pending["task_id"])
		require.NotEmpty(t, pending["requested_at"])
		require.NotEmpty(t, pending["position"])
		require.Regexp(t, `^lao-`, pending["workflow_id"])
		for k, want := range map[string]any{
			"execution_id": runs[0], "node_id": "sign", "iteration": 0.0, "status": "pending", "due_at": nil, "approver": nil, "comment": nil,
			"decided_by": nil, "decided_at": nil, "ended_at": nil, "offset": 2.0, "request": map[string]any{"description": "refund?"},
		} {
			require.Equal(t, want, pending[k], k)
		}

		_, err := w.executor.DecideApproval(ctx, as(runs[0]), "sign", run.Approved, "ops@example.org", "fine")
		require.NoError(t, err)
		_, err = w.executor.DecideApproval(ctx, as(runs[1]), "", run.Rejected, "", "")
		require.NoError(t, err)
		_, err = w.executor.Cancel(ctx, runs[2], "", wire.Actor{Kind: wire.ActorSystem})
		require.NoError(t, err)
		for _, id := range runs[:3] {
			w.ended(id)
		}
		require.Equal(t, []string{runs[3]}, nodesOf("/api/approvals"))
		require.Equal(t, []string{runs[3]}, nodesOf("/api/approvals?status=pending"))
		require.Equal(t, []string{runs[0]}, nodesOf("/api/approvals?status=approved"))
		require.Equal(t, []string{runs[1]}, nodesOf("/api/approvals?status=rejected"))
		require.Equal(t, []string{runs[2]}, nodesOf("/api/approvals?status=cancelled"))
		require.Empty(t, nodesOf("/api/approvals?status=expired"))
		require.Equal(t, []string{runs[0]}, nodesOf("/api/approvals?status=all&execution_id=exec_"+runs[0]))
		require.Empty(t, nodesOf("/api/approvals?execution_id="+runs[0]), "it is decided")
		require.Len(t, nodesOf("/api/approvals?status=all&workflow_id="+pending["workflow_id"].(string)), 4)
		require.Equal(t, []string{runs[1]}, nodesOf("/api/approvals?status=rejected&workflow_id="+pending["workflow_id"].(string)))
		require.Empty(t, nodesOf("/api/approvals?status=all&workflow_id=none"))
		approved := w.get("/api/approvals?status=approved").list().Items[0]
		require.Equal(t, "ops@example.org", approved["approver"])
		require.Equal(t, "fine", approved["comment"])
		require.Equal(t, map[string]any{"kind": "key", "id": "k1"}, approved["decided_by"])
		require.NotNil(t, approved["decided_at"])
		require.Equal(t, approved["decided_at"], approved["ended_at"])
		cancelled := w.get("/api/approvals?status=cancelled").list().Items[0]
		require.Nil(t, cancelled["decided_by"])
		require.Nil(t, cancelled["decided_at"])
		require.NotNil(t, cancelled["ended_at"])

		// Pages by cursor, as every list.
		first := w.get("/api/approvals?status=all&limit=3&total=true").list()
		require.Len(t, first.Items, 3)
		require.Equal(t, 4, *first.Total)
		require.Equal(t, []string{runs[0]}, nodesOf("/api/approvals?status=all&limit=3&cursor="+*first.NextCursor))
		require.Equal(t, 422, w.do("GET", "/api/approvals?limit=3&cursor="+*first.NextCursor, "").status, "made with other filters")
		require.Equal(t, 422, w.do("GET", "/api/approvals?status=maybe", "").status)
	})
}

// D19: the type of a node stands with its events, so that a page reads no definitions; a skipped task
// has it from there.
func TestD19_NodeTypesStandWithTheEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, open openFunc) {
		counted := &countedLog{}
		w := open(t, func(p *ports) { counted.Log, p.log = p.log, counted })
		id := w.dag("f", "r", of("ask", "sign"), noop("after"))
		for _, item := range w.get("/api/events?execution_id=" + id).list().Items {
			data := item["data"].(map[string]any)
			switch data["node_id"] {
			case "sign":
				require.Equal(t, "ask", data["node_type"])
			case "after":
				require.Equal(t, "bench_noop", data["node_type"])
			default:
				require.Nil(t, data["node_type"])
			}
		}
		require.Zero(t, counted.reads.Load(), "no run was opened for it")
	})
}

// countedLog counts the reads of streams.
type countedLog struct {
	history.Log
	reads atomic.Int64
}

func (l *countedLog) ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, limit int) ([]domain.Recorded, error) {
	l.reads.Add(1)
	return l.Log.ReadStream(ctx, stream, from, limit)
}
