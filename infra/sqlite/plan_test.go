package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/projections/view"
	"quipu/projections/viewstest"
)

// Every documented filter alone is answered by walking an index in order: without scanning a table
// and without sorting.
func TestQueries_WalkIndexes(t *testing.T) {
	v, err := Open(t.TempDir(), viewstest.NewLog(), Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, v.Close()) }()
	s, err := v.Current(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), viewstest.BenchRuns("log", 0, 100)))
	at := time.UnixMilli(1_800_000_000_010)

	for name, q := range map[string]view.ExecutionQuery{
		"newest":                         {},
		"executions_workflow":            {WorkflowID: "lao-0000000000000001"},
		"executions_source":              {Source: "lao"},
		"executions_flow":                {FlowName: "Flow 1"},
		"executions_run":                 {RunName: "ticket/7"},
		"executions_connection":          {ConnectionID: "ws_1"},
		"executions_retry_of":            {RetryOf: "0190a0b0-0000-7000-8000-000000000007"},
		"statuses_open":                  {Status: view.Completed},
		"started":                        {StartedFrom: at, StartedTo: at.Add(time.Second)},
		"statuses_open, running":         {Status: view.Running, FlowName: "Flow 1"},
		"statuses_open, paused":          {Status: view.Paused},
		"executions_connection, running": {ConnectionID: "ws_1", Status: view.Running},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, v.read(t.Context(), func(r *reading) error {
				branches, w, err := r.executionBranches(t.Context(), q)
				require.NoError(t, err)
				walks(t, r, name, branches, w)
				return nil
			}))
		})
	}
	for name, q := range map[string]view.ApprovalQuery{
		"newest":                    {},
		"approvals_status":          {Status: view.ApprovalPending},
		"approvals_execution":       {ExecutionID: "0190a0b0-0000-7000-8000-000000000007", Status: view.ApprovalPending},
		"approvals_workflow":        {WorkflowID: "lao-0000000000000001"},
		"approvals_workflow_status": {WorkflowID: "lao-0000000000000001", Status: view.ApprovalPending},
	} {
		t.Run("approvals "+name, func(t *testing.T) {
			require.NoError(t, v.read(t.Context(), func(r *reading) error {
				branches, err := r.approvalBranches(t.Context(), q)
				require.NoError(t, err)
				require.NotEmpty(t, branches)
				walks(t, r, name, branches, everything)
				return nil
			}))
		})
	}
	for name, q := range map[string]view.EventQuery{
		"newest":             {},
		"events_workflow":    {WorkflowID: "lao-0000000000000001"},
		"events_node":        {Node: "send"},
		"events_type":        {Types: []string{"run.started.v1"}},
		"events_type, many":  {Types: []string{"run.started.v1", "run.completed.v1", "run.task_started.v1"}},
		"events_execution":   {ExecutionID: "0190a0b0-0000-7000-8000-000000000007"},
		"at":                 {From: at, To: at.Add(time.Second)},
		"after":              {After: 100, Before: 200},
		"events_node, types": {Node: "send", Types: []string{"run.started.v1", "run.task_started.v1"}},
	} {
		t.Run("events "+name, func(t *testing.T) {
			require.NoError(t, v.read(t.Context(), func(r *reading) error {
				branches, w, err := r.eventBranches(t.Context(), q)
				require.NoError(t, err)
				walks(t, r, name, branches, w)
				return nil
			}))
		})
	}
}

// walks requires that the plan uses the index that name begins with, or the order of the table.
func walks(t *testing.T, r *reading, name string, branches []branch, w window) {
	for _, ascending := range []bool{true, false} {
		p := plan(t, r, branches, w, ascending)
		for _, line := range p {
			require.False(t, strings.HasPrefix(line, "SCAN"), p)
			require.NotContains(t, line, "TEMP B-TREE", p)
		}
		if index, _, _ := strings.Cut(name, ","); strings.Contains(index, "_") {
			require.True(t, slices.ContainsFunc(p, func(line string) bool { return strings.Contains(line, "INDEX "+index) }), p)
		}
	}
}

func plan(t *testing.T, r *reading, branches []branch, w window, ascending bool) []string {
	var texts []string
	var args []any
	for i := range branches {
		text, a := branches[i].sql(branches[i].columns, w)
		texts, args = append(texts, text), append(args, a...)
	}
	query := "EXPLAIN QUERY PLAN " + strings.Join(texts, " UNION ALL ") + " ORDER BY 1 " + order(view.Page{Ascending: ascending}) + " LIMIT 10"
	lines, err := gather(context.WithoutCancel(t.Context()), r, query, func(_ context.Context, rows *sql.Rows) (line string, err error) {
		var id, parent, none int64
		err = rows.Scan(&id, &parent, &none, &line)
		return line, err
	}, args...)
	require.NoError(t, err)
	require.NotEmpty(t, lines)
	return lines
}

// A span of time becomes a narrow range of positions, however many events there are.
func TestTimes_NarrowTheRange(t *testing.T) {
	v, err := Open(t.TempDir(), viewstest.NewLog(), Options{SpanPositions: 12})
	require.NoError(t, err)
	defer func() { require.NoError(t, v.Close()) }()
	s, err := v.Current(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), viewstest.BenchRuns("log", 0, 2000)))
	require.NoError(t, v.read(t.Context(), func(r *reading) error {
		from := time.UnixMilli(1_800_000_000_000 + 1000)
		w, err := r.times(t.Context(), spanEvents, everything, from, from.Add(time.Millisecond))
		require.NoError(t, err)
		require.LessOrEqual(t, w.high-w.low, int64(200*viewstest.RunEvents), "runs last 110 ms, one begins each")
		require.True(t, w.low <= 1000*viewstest.RunEvents && 1000*viewstest.RunEvents <= w.high)
		w, err = r.times(t.Context(), spanEvents, everything, time.UnixMilli(1_900_000_000_000), time.Time{})
		require.NoError(t, err)
		require.True(t, w.empty())
		return nil
	}))
}
