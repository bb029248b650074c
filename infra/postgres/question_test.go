package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/postgres/pgtest"
	"quipu/projections"
	"quipu/projections/view"
)

// fill makes n events in executions of twelve, five tasks each, as runs of five tasks leave them, and
// returns the newest position.
func fill(tb testing.TB, s projections.Store, n int) domain.Position {
	tb.Helper()
	const perRun, batchRuns = 12, 500
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	types := []string{"run.started.v1", "run.task_started.v1", "run.task_completed.v1", "run.completed.v1"}
	data := []byte(`{"task":"fetch","output":{"json":` + strings.Repeat(`{"a":1},`, 30) + `null}}`)
	meta := []byte(`{"at":"2026-01-02T03:04:05.000Z","actor":{"kind":"system"},"command_id":"0190a0b0","prev":"` + strings.Repeat("a", 64) + `"}`)
	var p domain.Position
	for run := 0; int(p) < n; {
		c := projections.Changes{Log: "log", After: p, Versions: map[string]int{"events": 1}}
		for range batchRuns {
			first := p + 1
			e := view.Execution{
				Position: first, ID: fmt.Sprintf("0190a0b0-0000-7000-8000-%012x", run), WorkflowID: fmt.Sprintf("lao-%d", run%997),
				Source: []string{"lao", "agnt5", "api"}[run%3], FlowName: fmt.Sprintf("flow-%d", run%991), RunName: fmt.Sprintf("run-%d", run),
				Status: view.Completed, StartedAt: at.Add(time.Duration(first) * time.Millisecond), Input: domain.Value{JSON: []byte(`{"q":1}`)},
				LastOffset: perRun - 1, LastPosition: first + perRun - 1, ConnectionID: fmt.Sprintf("ws-%d", run%1009),
			}
			if run%10 == 0 {
				e.RetryOf = fmt.Sprintf("r-%d", run%997)
			}
			if run%1000 == 7 {
				e.Status = view.Running
			} else {
				e.EndedAt = e.StartedAt.Add(time.Second)
			}
			for k := range perRun {
				p++
				typ, node := types[1+k%2], fmt.Sprintf("task-%d", k/2)
				if k == 0 {
					typ, node = types[0], ""
				} else if k == perRun-1 {
					typ, node = types[3], ""
				}
				if run%5000 == 11 && k == 3 {
					typ = "run.task_failed.v1"
				}
				c.Events = append(c.Events, view.Event{
					Recorded: domain.Recorded{
						Stream: domain.StreamID("run-" + e.ID), Revision: domain.Revision(k), Position: p,
						ID: domain.EventID{byte(p), byte(p >> 8), byte(p >> 16), byte(p >> 24), 1}, Type: typ, Metadata: meta, Data: data,
					},
					At: at.Add(time.Duration(p) * time.Millisecond), Execution: first, ExecutionID: e.ID, WorkflowID: e.WorkflowID, Node: node,
				})
			}
			for k := range 5 {
				c.Tasks = append(c.Tasks, view.Task{
					Execution: first, Task: fmt.Sprintf("task-%d", k), TaskID: e.ID, Function: "noop", Status: view.Completed, Attempts: 1,
					StartedAt: e.StartedAt, EndedAt: e.StartedAt, StartedOffset: domain.Revision(2*k + 1), EndedOffset: domain.Revision(2*k + 2),
				})
			}
			end := view.StatusInterval{Execution: first, Status: view.Running, From: first}
			if e.Status == view.Completed {
				end.To = p
				c.Statuses = append(c.Statuses, view.StatusInterval{Execution: first, Status: view.Completed, From: p})
			}
			c.Statuses = append(c.Statuses, end)
			a := view.Approval{
				Position: first + 2, Execution: first, ExecutionID: e.ID, WorkflowID: e.WorkflowID, Task: "task-1", TaskID: e.ID,
				RequestedAt: e.StartedAt, Status: view.ApprovalApproved, EndedAt: e.StartedAt,
			}
			if run%1000 == 7 {
				a.Status, a.EndedAt, a.EndedOffset = view.ApprovalPending, time.Time{}, domain.NoStream
			}
			c.Approvals = append(c.Approvals, a)
			c.Executions = append(c.Executions, e)
			run++
		}
		c.To = p
		require.NoError(tb, s.Commit(tb.Context(), c))
	}
	return p
}

// plan is a node of EXPLAIN (FORMAT JSON).
type plan struct {
	NodeType string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Removed  float64 `json:"Rows Removed by Filter"`
	Cond     string  `json:"Index Cond"`
	Filter   string
	Plans    []plan `json:"Plans"`
}

func (p *plan) String() string {
	var b strings.Builder
	p.visit(func(n *plan) {
		fmt.Fprintf(&b, "%s %s %s: %v rows, %v removed, %v loops, %s, %s\n", n.NodeType, n.Relation, n.Index, n.Rows, n.Removed, n.Loops, n.Cond, n.Filter)
	})
	return b.String()
}

// visit calls f for each node that ran.
func (p *plan) visit(f func(*plan)) {
	if p.Loops > 0 {
		f(p)
	}
	for i := range p.Plans {
		p.Plans[i].visit(f)
	}
}

// explain runs a question and tells how.
func explain(t *testing.T, v *Views, schema string, build func(*question), page view.Page) plan {
	t.Helper()
	conn, err := v.readers.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	q := question{schema: schema, page: page}
	build(&q)
	var b batch
	var text string
	v.inSnapshot(&b, func(b *batch) {
		b.add("EXPLAIN (ANALYZE, FORMAT JSON) "+q.rowsSQL(), q.args, func(r *record) { text = r.text() })
	})
	require.NoError(t, b.run(t.Context(), conn.Conn().PgConn()))
	var out []struct{ Plan plan }
	require.NoError(t, json.Unmarshal([]byte(text), &out))
	return out[0].Plan
}

// Each documented filter alone is answered from an index, and looks at little more than it returns,
// wherever the page lies.
func TestQuestions_EachFilterHasItsIndex(t *testing.T) {
	const volume = 200_000
	url := pgtest.URL(t)
	v, err := Open(t.Context(), url, Options{PartitionWidth: 60_000})
	require.NoError(t, err)
	defer v.Close() //nolint:errcheck // the end of the test
	st, err := v.Current(t.Context())
	require.NoError(t, err)
	head := fill(t, st, volume)
	schema := st.(*store).schema
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // the end of the test
	var partitions int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".partitions").Scan(&partitions))
	require.Equal(t, 4, partitions)
	at := func(p domain.Position) time.Time {
		return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(p) * time.Millisecond)
	}
	questions := map[string]func(*question){}
	for name, f := range map[string]view.EventQuery{
		"all": {}, "workflow": {WorkflowID: "lao-13"}, "execution": {ExecutionID: "0190a0b0-0000-7000-8000-000000000011"},
		"node": {Node: "task-3"}, "common type": {Types: []string{"run.task_started.v1"}},
		"rare type": {Types: []string{"run.task_failed.v1"}}, "types": {Types: []string{"run.task_failed.v1", "run.started.v1", "nothing"}},
		"nobody's workflow": {WorkflowID: "nobody"}, "no such type": {Types: []string{"nothing"}},
		"from": {From: at(head - 1000)}, "to": {To: at(5000)}, "range": {From: at(60_000), To: at(61_000)}, "wide range": {From: at(60_000), To: at(140_000)}, "future": {From: at(head + 10)},
		"after": {After: head - 100}, "before": {Before: 1000},
	} {
		questions["events "+name] = func(q *question) { q.events(&f) }
	}
	for name, f := range map[string]view.ExecutionQuery{
		"all": {}, "workflow": {WorkflowID: "lao-13"}, "source": {Source: "api"}, "flow": {FlowName: "flow-7"}, "run": {RunName: "run-77"},
		"connection": {ConnectionID: "ws-7"}, "connection running": {ConnectionID: "ws-7", Status: view.Running}, "retries": {RetryOf: "r-77"}, "paused": {Status: view.Paused},
		"running": {Status: view.Running}, "completed": {Status: view.Completed}, "failed": {Status: view.Failed},
		"as of": {AsOf: head / 2}, "running as of": {Status: view.Running, AsOf: head - 2000}, "completed as of": {Status: view.Completed, AsOf: head / 2},
		"from": {StartedFrom: at(head - 1000)}, "to": {StartedTo: at(5000)}, "range": {StartedFrom: at(60_000), StartedTo: at(61_000)}, "wide range": {StartedFrom: at(60_000), StartedTo: at(140_000)},
	} {
		questions["executions "+name] = func(q *question) { q.executions(&f) }
	}
	for name, f := range map[string]view.ApprovalQuery{
		"all": {}, "pending": {Status: view.ApprovalPending}, "approved": {Status: view.ApprovalApproved}, "workflow": {WorkflowID: "lao-13"},
		"workflow pending": {WorkflowID: "lao-13", Status: view.ApprovalPending}, "execution": {ExecutionID: "0190a0b0-0000-7000-8000-000000000011"},
	} {
		questions["approvals "+name] = func(q *question) { q.approvals(&f) }
	}
	t.Run("before the server knows the tables", func(t *testing.T) { walksIndexes(t, v, schema, questions, head) })
	_, err = conn.Exec(t.Context(), "VACUUM ANALYZE") // as the server does by itself after a while
	require.NoError(t, err)
	t.Run("after", func(t *testing.T) { walksIndexes(t, v, schema, questions, head) })
}

func walksIndexes(t *testing.T, v *Views, schema string, questions map[string]func(*question), head domain.Position) {
	for name, build := range questions {
		for _, page := range []view.Page{{Limit: 50}, {Limit: 50, Ascending: true}, {Limit: 50, Key: head / 2}} {
			root := explain(t, v, schema, build, page)
			root.visit(func(p *plan) {
				big := strings.HasPrefix(p.Relation, "events") || p.Relation == "executions" || p.Relation == "statuses" || p.Relation == "tasks" || p.Relation == "approvals"
				assert.False(t, big && strings.Contains(p.NodeType, "Seq Scan"), "%s, %+v:\n%s", name, page, root.String())
				seen := (p.Rows + p.Removed) * p.Loops
				assert.LessOrEqual(t, seen, 3000.0, "%s, %+v: a %s looks at too many rows:\n%s", name, page, p.NodeType, root.String())
			})
		}
	}
}
