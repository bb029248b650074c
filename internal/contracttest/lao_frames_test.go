package contracttest

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// milliseconds is a number with three decimals and no exponent.
var milliseconds = regexp.MustCompile(`^\d+\.\d{3}$`)

func seconds(t testing.TB, f object, field string) float64 {
	t.Helper()
	n, ok := f[field].(json.Number)
	require.True(t, ok, "%s of %v", field, f)
	require.Regexp(t, milliseconds, n.String(), field)
	return float(t, n)
}

// hasKeys: a frame has these keys, task_id and those of a cursor, and no others.
func hasKeys(t testing.TB, f object, want string) {
	t.Helper()
	require.ElementsMatch(t, append(strings.Fields(want), "task_id"), keys(f), "%v", f)
	for _, k := range []string{"event_type", "flow_name", "run_name", "task_id"} {
		require.NotEmpty(t, text(t, f[k]), k)
	}
	require.Greater(t, seconds(t, f, "timestamp"), 1.7e9, "epoch seconds")
	require.Less(t, seconds(t, f, "timestamp"), 1e11, "seconds, not milliseconds")
}

func named(event, name string) func(object) bool {
	return func(f object) bool { return f["event_type"] == event && f["task_name"] == name }
}

// Every frame is one JSON object, flat, told apart by event_type; a run that completes and one that fails
// show the six types at their moments.
func TestS0_7_8_9_10_SixTypesOfFlatObjects(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, all := range [][]object{deskRun(t), brokenRun(t)} { // read with a check that each frame is one object
		for _, f := range all {
			require.NotContains(t, f, "data")
			require.NotContains(t, f, "type")
			seen[text(t, f["event_type"])]++
		}
	}
	for event, times := range map[string]int{
		"flow_started": 2, "task_started": 5, "task_completed": 4, "flow_completed": 1, "task_failed": 1, "flow_error": 1,
	} {
		require.Equal(t, times, seen[event], event)
	}
}

func TestS0_11_12_FieldsOfStarts(t *testing.T) {
	t.Parallel()
	all := deskRun(t)
	started := one(t, all, isType("flow_started"))
	hasKeys(t, started, "event_type flow_name run_name timestamp message")
	require.NotEmpty(t, text(t, started["message"]))
	require.Equal(t, "Help_Desk", started["flow_name"])
	require.Equal(t, "case_17", started["run_name"])
	for _, f := range where(all, isType("task_started")) {
		hasKeys(t, f, "event_type task_name flow_name run_name timestamp input")
		require.IsType(t, object{}, f["input"])
	}
}

// What a task is given is shown resolved: its config below config, the rest beside it, values as they are.
func TestS0_13_InputIsResolved(t *testing.T) {
	t.Parallel()
	all := deskRun(t)
	listen := one(t, all, named("task_started", "listen"))["input"]
	require.Equal(t, "agent-1", at(listen, "config", "agent_id"))
	require.Contains(t, at(listen, "config"), "api_key")
	require.Equal(t, "Where is my package?", at(listen, "user_message"))
	opened := one(t, all, named("task_started", "open_case"))["input"].(object)
	require.Equal(t, "POST", at(opened, "config", "method"))
	require.Equal(t, object{"X-Team": "desk"}, at(opened, "config", "headers"))
	require.Equal(t, "The package is late.", opened["summary"])
	require.Equal(t, []any{"late", []any{json.Number("1"), nil}}, opened["labels"])
	require.Equal(t, object{"deep": object{"er": true}}, opened["extra"])
	told := one(t, all, named("task_started", "tell"))["input"].(object)
	require.NotContains(t, told, "config")
	require.Equal(t, "mail", told["channel"])
}

// The end of a task: its fields, its id as at the start, its time as the difference of both instants.
func TestS0_14_15_16_TaskCompleted(t *testing.T) {
	t.Parallel()
	all := deskRun(t)
	ids := map[any]bool{}
	for _, f := range where(all, isType("task_completed")) {
		hasKeys(t, f, "event_type task_name flow_name run_name timestamp execution_time output")
		began := one(t, all, named("task_started", text(t, f["task_name"])))
		require.Equal(t, began["task_id"], f["task_id"])
		ids[f["task_id"]] = true
		require.InDelta(t, seconds(t, f, "timestamp")-seconds(t, began, "timestamp"), seconds(t, f, "execution_time"), 0.0011)
	}
	require.Len(t, ids, 3, "each task its own")
	require.Greater(t, seconds(t, one(t, all, named("task_completed", "listen")), "execution_time"), 0.03, "seconds, not milliseconds")
	require.Less(t, seconds(t, one(t, all, named("task_completed", "listen")), "execution_time"), 20.0)
}

func TestS0_17_18_19_FlowCompleted(t *testing.T) {
	t.Parallel()
	all := deskRun(t)
	f := all[len(all)-1]
	hasKeys(t, f, "event_type task_name flow_name run_name timestamp total_execution_time output")
	require.Equal(t, "flow", f["task_name"])
	require.InDelta(t, seconds(t, f, "timestamp")-seconds(t, all[0], "timestamp"), seconds(t, f, "total_execution_time"), 0.0011)
	require.Greater(t, seconds(t, f, "total_execution_time"), 0.06)
	for _, done := range where(all, isType("task_completed")) {
		require.Equal(t, done["output"], at(f, "output", text(t, done["task_name"])))
	}
	require.Equal(t, "The package is late.", at(f, "output", "listen"))
	require.Equal(t, "open", at(f, "output", "open_case", "state"))
}

func TestS0_20_21_TaskFailed(t *testing.T) {
	t.Parallel()
	all := brokenRun(t)
	f := one(t, all, isType("task_failed"))
	hasKeys(t, f, "event_type task_name flow_name run_name timestamp execution_time error partial_results")
	require.Equal(t, "check", f["task_name"])
	require.Equal(t, one(t, all, named("task_started", "check"))["task_id"], f["task_id"])
	require.Len(t, f["error"], 4)
	for _, k := range []string{"type", "message", "code"} {
		require.NotEmpty(t, text(t, at(f, "error", k)), k)
	}
	require.IsType(t, object{}, at(f, "error", "details"))
	seconds(t, f, "execution_time")
}

func TestS0_22_23_24_FlowError(t *testing.T) {
	t.Parallel()
	all := brokenRun(t)
	f := all[len(all)-1]
	hasKeys(t, f, "event_type flow_name run_name timestamp error partial_results")
	for k, v := range f["error"].(object) {
		require.NotContains(t, []string{"details", "extra"}, k, "what it says beside type, message and code is flat")
		require.NotNil(t, v)
	}
	for _, k := range []string{"type", "message", "code"} {
		require.NotEmpty(t, text(t, at(f, "error", k)), k)
	}
	require.IsType(t, object{}, one(t, all, isType("task_failed"))["partial_results"])
	require.Equal(t, object{"rows": json.Number("3")}, at(f, "partial_results", "read"))
	require.NotContains(t, f["partial_results"], "check")
}

// The ids of flow frames are ids of no task.
func TestS0_25_FlowFramesBelongToNoTask(t *testing.T) {
	t.Parallel()
	for _, all := range [][]object{deskRun(t), brokenRun(t)} {
		for _, f := range where(all, isType("task_started", "task_completed", "task_failed")) {
			require.NotEqual(t, all[0]["task_id"], f["task_id"])
			require.NotEqual(t, all[len(all)-1]["task_id"], f["task_id"])
		}
	}
}

// The start comes first, each task's start before its end, the end last; time never goes back.
func TestS0_26_OrderOfARun(t *testing.T) {
	t.Parallel()
	for _, all := range [][]object{deskRun(t), brokenRun(t)} {
		require.Equal(t, "flow_started", all[0]["event_type"])
		began, before := map[any]bool{}, 0.0
		for i, f := range all {
			now := seconds(t, f, "timestamp")
			require.GreaterOrEqual(t, now, before, "frame %d", i)
			before = now
			switch f["event_type"] {
			case "task_started":
				began[f["task_id"]] = true
			case "task_completed", "task_failed":
				require.True(t, began[f["task_id"]], "%v", f)
			}
			require.Equal(t, i == len(all)-1, flowEnds(f))
		}
	}
}

// A failed task is told, then the failed flow; no task starts in between and nothing completes.
func TestS0_27_FailureEndsTheFlow(t *testing.T) {
	t.Parallel()
	all := where(brokenRun(t), documented)
	require.Equal(t, "task_failed", all[len(all)-2]["event_type"])
	require.Equal(t, "flow_error", all[len(all)-1]["event_type"])
	require.Empty(t, where(all, named("task_started", "store")))
	require.Empty(t, where(all, isType("flow_completed")))
}
