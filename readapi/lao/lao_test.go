package lao_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/infra/memory"
	"quipu/readapi/lao"
	"quipu/readapi/object"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// masks is a Payloads as small as can be: secrets as masks, blobs as links.
type masks struct{}

func (masks) Render(_ context.Context, _ string, v domain.Value, _ int) ([]byte, error) {
	return v.Fill(func(h domain.Hole) ([]byte, error) {
		if h.Blob != "" {
			return []byte(`{"link":"/api/blobs/` + h.Blob + `"}`), nil
		}
		return []byte(`"*** ` + h.FP + `"`), nil
	})
}

func raw(s string) domain.Value { return domain.Raw([]byte(s)) }

// 2025-09-02T09:42:05.043Z, as in the published sample.
var start = time.UnixMilli(1756806125043).UTC()

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

type step struct {
	ms    int
	event run.Event
}

// story records events and returns them as the log has them.
func story(t testing.TB, log *memory.Log, id string, steps ...step) []domain.Recorded {
	t.Helper()
	stream := domain.StreamID("run-" + id)
	head := wire.NewHead()
	for _, s := range steps {
		typ, data := wire.EncodeRun(s.event)
		var p domain.Pending
		before := head.Revision
		p, head = wire.Seal(stream, head, at(s.ms), wire.Cause{Actor: wire.Actor{Kind: "system", ID: "", Via: "test"}, CommandID: "c"}, typ, data)
		_, err := log.Append(context.Background(), stream, before, []domain.Pending{p})
		require.NoError(t, err)
	}
	out, err := log.ReadStream(context.Background(), stream, 0, 10_000)
	require.NoError(t, err)
	return out
}

// support is the seed's first sample: three tasks one after the other, the second with a secret.
func support() []step {
	header := domain.Value{
		JSON:  []byte(`{"config":{"url":"https://crm/cases","method":"POST","headers":{"Authorization":null}},"case":{"priority":"High","tags":["a","b"],"score":9.2}}`),
		Holes: []domain.Hole{{At: "/config/headers/Authorization", Sealed: "s1", FP: "k3f9"}},
	}
	return []step{
		{0, run.Started{RunID: "r1", Source: "lao", FlowName: "Customer_Support_Pipeline", RunName: "ticket_78453", Definition: raw(`{}`), Input: raw(`{}`)}},
		{2191, run.TaskStarted{Task: "sentiment_analyzer", TaskID: "t1", Node: "n", Function: "agent", Input: raw(`{"config":{"agent_id":"v2"},"customer_message":"Your new \"update\" \u00e9 🚨"}`)}},
		{2191, run.CallStarted{Family: "llm", Task: "sentiment_analyzer", TaskID: "t1", Attempt: 1, Function: "agent"}},
		{7524, run.CallCompleted{Family: "llm", Task: "sentiment_analyzer", TaskID: "t1", Attempt: 1, Function: "agent", StartedAt: at(2191), Details: raw(`{"model":"m","tokens":42}`)}},
		{7524, run.TaskCompleted{Task: "sentiment_analyzer", TaskID: "t1", Attempt: 1, StartedAt: at(2191), Output: raw(`{"sentiment":"highly_negative","confidence":0.94}`)}},
		{7969, run.TaskStarted{Task: "update_salesforce", TaskID: "t2", Node: "n", Function: "api_call", Input: header}},
		{7969, run.CallStarted{Family: "tool", Task: "update_salesforce", TaskID: "t2", Attempt: 1, Function: "api_call"}},
		{8100, run.CallFailed{Family: "tool", Task: "update_salesforce", TaskID: "t2", Attempt: 1, Function: "api_call", StartedAt: at(7969), Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_503", Message: "busy"}}},
		{8100, run.TaskRetryScheduled{Task: "update_salesforce", TaskID: "t2", Attempt: 1, Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_503", Message: "busy"}, RetryAt: at(8600)}},
		{8601, run.TaskAttemptStarted{Task: "update_salesforce", TaskID: "t2", Attempt: 2, Node: "n", Reason: run.ReasonRetry, Deadline: at(68_601)}},
		{9746, run.TaskCompleted{Task: "update_salesforce", TaskID: "t2", Attempt: 2, StartedAt: at(7969), Output: raw(`{"case_id":"5003","sla":false}`)}},
		{9746, run.TaskSkipped{Task: "archive", Reason: run.SkippedByGate}},
		{13_413, run.Completed{StartedAt: at(0), Results: raw(`{"sentiment_analyzer":4,"update_salesforce":10}`)}},
	}
}

// data is the seed's second sample: a task fails, then the flow.
func data() []step {
	failure := run.ErrorInfo{
		Type: "DataValidationError", Code: "VALIDATION_FAILED", Message: "1,247 records failed validation checks",
		Details: raw(`{"failed_records":1247,"failure_rate":0.0277,"message":"inner"}`),
	}
	return []step{
		{0, run.Started{RunID: "r2", Source: "lao", FlowName: "Financial_Data_Pipeline", RunName: "daily", Definition: raw(`{}`), Input: raw(`{}`)}},
		{1, run.TaskStarted{Task: "load", TaskID: "t1", Node: "n", Function: "noop", Input: raw(`{}`)}},
		{2, run.TaskCompleted{Task: "load", TaskID: "t1", Attempt: 1, StartedAt: at(1), Output: raw(`"a plain reply"`)}},
		{1333, run.TaskStarted{Task: "validate", TaskID: "t2", Node: "n", Function: "noop", Input: raw(`{"source_file":"s3://x","record_count":45000}`)}},
		{45_666, run.TaskFailed{Task: "validate", TaskID: "t2", Attempt: 1, StartedAt: at(1333), Error: failure, Partial: raw(`{"valid_records":43753}`)}},
		{45_666, run.Failed{StartedAt: at(0), Task: "validate", Error: failure, Results: raw(`{"load":2}`)}},
	}
}

func cancelled() []step {
	return []step{
		{0, run.Started{RunID: "r3", Source: "lao", FlowName: "f", RunName: "n", Definition: raw(`{}`), Input: raw(`{}`)}},
		{5, run.Cancelled{StartedAt: at(0), Reason: "not needed", Results: raw(`{}`)}},
	}
}

// waiting is a run with a timer.
func waiting() []step {
	return []step{
		{0, run.Started{RunID: "r4", Source: "lao", FlowName: "f", RunName: "w", Definition: raw(`{}`), Input: raw(`{}`)}},
		{1, run.TaskStarted{Task: "wait", TaskID: "t1", Node: "n", Function: "timer", Input: raw(`{"config":{"duration_seconds":1.5}}`)}},
		{1, run.TimerSet{Task: "wait", TaskID: "t1", DueAt: at(1501)}},
		{1503, run.TaskCompleted{Task: "wait", TaskID: "t1", Attempt: 1, StartedAt: at(1), Output: raw(`{"waited_seconds":1.502,"completed_at":"2026-01-02T03:04:07.181Z"}`)}},
		{1503, run.Completed{StartedAt: at(0), Results: raw(`{"wait":3}`)}},
	}
}

// asking is the retry of a run that was paused and waited for a person, a signal and a channel.
func asking() []step {
	secret := domain.Value{JSON: []byte(`{"amount":120,"token":null}`), Holes: []domain.Hole{{At: "/token", Sealed: "s1", FP: "k3f9"}}}
	return []step{
		{0, run.Started{
			RunID: "r5", Source: "agnt5", FlowName: "f", RunName: "a", Definition: raw(`{}`), Input: raw(`{}`),
			ConnectionID: "ws_1", Metadata: raw(`{"k":1}`), RetryOf: "r0", Reused: raw(`{"load":{"offset":2,"output":1}}`),
		}},
		{1, run.TaskStarted{Task: "load", TaskID: "t1", Node: "n", Function: "noop", Input: raw(`{}`)}},
		{1, run.TaskReused{Task: "load", TaskID: "t1", Offset: 2}},
		{1, run.TaskCompleted{Task: "load", TaskID: "t1", Attempt: 1, StartedAt: at(1), Output: raw(`1`)}},
		{1, run.TaskStarted{Task: "ok", TaskID: "t2", Node: "n", Function: "approval", Input: raw(`{}`)}},
		{1, run.ApprovalRequested{Task: "ok", TaskID: "t2", Request: secret, DueAt: at(60_001)}},
		{2, run.Paused{Reason: "lunch"}},
		{3, run.Resumed{}},
		{4, run.ApprovalDecided{Task: "ok", TaskID: "t2", Action: run.Approved, Approver: "ops", Comment: "fine"}},
		{4, run.TaskCompleted{Task: "ok", TaskID: "t2", Attempt: 1, StartedAt: at(1), Output: raw(`{"action":"approved"}`)}},
		{4, run.TaskStarted{Task: "hear", TaskID: "t3", Node: "n", Function: "event", Input: raw(`{}`)}},
		{4, run.EventAwaited{Task: "hear", TaskID: "t3", Channel: "orders"}},
		{5, run.SignalReceived{SignalID: "s-1", Name: "orders", Payload: secret}},
		{5, run.EventReceived{Task: "hear", TaskID: "t3", Channel: "orders", SignalID: "s-1"}},
		{5, run.TaskCompleted{Task: "hear", TaskID: "t3", Attempt: 1, StartedAt: at(4), Output: secret}},
		{5, run.Completed{StartedAt: at(0), Results: raw(`{"load":3}`)}},
	}
}

func frames(t testing.TB, options lao.Options, r lao.Run, steps []step) []string {
	t.Helper()
	log := memory.NewLog()
	options.LogID = "log-1"
	renderer := lao.New(log, masks{}, options)
	var out []string
	prev := domain.NoStream
	for _, e := range story(t, log, r.ID, steps...) {
		f, err := renderer.Frame(context.Background(), r, &e)
		require.NoError(t, err)
		b := f.AppendTo(nil, prev)
		require.Len(t, b, f.Len(prev))
		require.True(t, json.Valid(b), string(b))
		prev = e.Revision
		out = append(out, string(b))
	}
	return out
}

var (
	runSupport = lao.Run{ID: "r1", FlowName: "Customer_Support_Pipeline", RunName: "ticket_78453"}
	runData    = lao.Run{ID: "r2", FlowName: "Financial_Data_Pipeline", RunName: "daily"}
	runCancel  = lao.Run{ID: "r3", FlowName: "f", RunName: "n"}
	runWait    = lao.Run{ID: "r4", FlowName: "f", RunName: "w"}
	runAsk     = lao.Run{ID: "r5", FlowName: "f", RunName: "a"}
)

// Clients parse these bytes: a change here is a change of the dialect.
func TestFrames_Golden(t *testing.T) {
	for name, c := range map[string]struct {
		run   lao.Run
		steps []step
	}{"support": {runSupport, support()}, "data": {runData, data()}, "cancelled": {runCancel, cancelled()}, "waiting": {runWait, waiting()}, "asking": {runAsk, asking()}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".jsonl")
			got := strings.Join(frames(t, lao.Options{}, c.run, c.steps), "\n") + "\n"
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), got)
		})
	}
}

// decoded gives the frames of a story as clients see them; raw keeps numbers as written.
func decoded(t testing.TB, r lao.Run, steps []step) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, s := range frames(t, lao.Options{}, r, steps) {
		dec := json.NewDecoder(strings.NewReader(s))
		dec.UseNumber()
		var f map[string]any
		require.NoError(t, dec.Decode(&f))
		out = append(out, f)
	}
	return out
}

func byType(t testing.TB, all []map[string]any, typ string) map[string]any {
	t.Helper()
	for _, f := range all {
		if f["event_type"] == typ {
			return f
		}
	}
	require.FailNow(t, "no frame", typ)
	return nil
}

func keys(f map[string]any) []string {
	var out []string
	for k := range f {
		switch k {
		case "offset", "execution_id", "event_id", "prev", "log": // ours, beside the documented ones
		default:
			out = append(out, k)
		}
	}
	return out
}

func TestS0_7_OneObjectPerFrame(t *testing.T) {
	for _, s := range frames(t, lao.Options{}, runSupport, support()) {
		require.True(t, strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}"))
		require.NotContains(t, s, "\n")
	}
}

func TestS0_8_SixDocumentedTypes(t *testing.T) {
	for _, n := range []string{"flow_started", "task_started", "task_completed", "flow_completed", "task_failed", "flow_error"} {
		require.Contains(t, lao.Names(), n)
	}
	require.NotContains(t, lao.Names(), "abandoned")
}

func TestS0_9_FlatWithEventType(t *testing.T) {
	for _, f := range append(decoded(t, runSupport, support()), decoded(t, runData, data())...) {
		require.IsType(t, "", f["event_type"])
		require.NotContains(t, f, "data")
		require.IsType(t, "", f["flow_name"])
		require.IsType(t, "", f["run_name"])
		require.Regexp(t, `^\d+\.\d{3}$`, f["timestamp"].(json.Number).String())
	}
}

func TestS0_10_11_FlowStarted(t *testing.T) {
	f := decoded(t, runSupport, support())[0]
	require.ElementsMatch(t, []string{"event_type", "task_id", "flow_name", "run_name", "timestamp", "message"}, keys(f))
	require.Equal(t, json.Number("1756806125.043"), f["timestamp"])
	require.NotEmpty(t, f["message"])
}

func TestS0_12_TaskStarted(t *testing.T) {
	f := byType(t, decoded(t, runSupport, support()), "task_started")
	require.ElementsMatch(t, []string{"event_type", "task_id", "task_name", "flow_name", "run_name", "timestamp", "input"}, keys(f))
}

func TestS0_13_InputIsTheResolvedObject(t *testing.T) {
	all := frames(t, lao.Options{}, runSupport, support())
	// As written: escapes and numbers are not touched; the secret is masked.
	require.Contains(t, all[1], `"input":{"config":{"agent_id":"v2"},"customer_message":"Your new \"update\" \u00e9 🚨"}`)
	require.Contains(t, all[5], `"headers":{"Authorization":"*** k3f9"}},"case":{"priority":"High","tags":["a","b"],"score":9.2}}`)
}

func TestS0_14_TaskCompleted(t *testing.T) {
	f := byType(t, decoded(t, runSupport, support()), "task_completed")
	require.ElementsMatch(t, []string{"event_type", "task_id", "task_name", "flow_name", "run_name", "timestamp", "execution_time", "output"}, keys(f))
}

func TestS0_15_TaskIDPairsEvents(t *testing.T) {
	ids := map[string]map[any]bool{}
	for _, f := range decoded(t, runSupport, support()) {
		if task, ok := f["task_name"].(string); ok && f["task_id"] != nil {
			if ids[task] == nil {
				ids[task] = map[any]bool{}
			}
			ids[task][f["task_id"]] = true
		}
	}
	for task, set := range ids {
		require.Len(t, set, 1, task)
	}
}

func TestS0_16_ExecutionTimeIsTheDifference(t *testing.T) {
	f := byType(t, decoded(t, runSupport, support()), "task_completed")
	require.Equal(t, json.Number("5.333"), f["execution_time"])
	require.Equal(t, json.Number("44.333"), byType(t, decoded(t, runData, data()), "task_failed")["execution_time"])
}

func TestS0_17_FlowCompleted(t *testing.T) {
	f := byType(t, decoded(t, runSupport, support()), "flow_completed")
	require.ElementsMatch(t, []string{"event_type", "task_id", "task_name", "flow_name", "run_name", "timestamp", "total_execution_time", "output"}, keys(f))
	require.Equal(t, "flow", f["task_name"])
}

func TestS0_18_TotalExecutionTimeIsTheDifference(t *testing.T) {
	require.Equal(t, json.Number("13.413"), byType(t, decoded(t, runSupport, support()), "flow_completed")["total_execution_time"])
}

func TestS0_19_OutputKeyedByTaskName(t *testing.T) {
	f := byType(t, decoded(t, runSupport, support()), "flow_completed")
	require.Equal(t, map[string]any{
		"sentiment_analyzer": map[string]any{"sentiment": "highly_negative", "confidence": json.Number("0.94")},
		"update_salesforce":  map[string]any{"case_id": "5003", "sla": false},
	}, f["output"])
}

func TestS0_20_TaskFailed(t *testing.T) {
	f := byType(t, decoded(t, runData, data()), "task_failed")
	require.ElementsMatch(t, []string{"event_type", "task_id", "task_name", "flow_name", "run_name", "timestamp", "execution_time", "error", "partial_results"}, keys(f))
}

func TestS0_21_TaskError(t *testing.T) {
	e := byType(t, decoded(t, runData, data()), "task_failed")["error"].(map[string]any)
	require.ElementsMatch(t, []string{"type", "message", "code", "details"}, keys(e))
	require.Equal(t, "DataValidationError", e["type"])
	require.Equal(t, "VALIDATION_FAILED", e["code"])
	require.IsType(t, map[string]any{}, e["details"])
	// details is an object also where the failure has none.
	e = byType(t, decoded(t, runSupport, support()), "tool_failed")["error"].(map[string]any)
	require.Equal(t, map[string]any{}, e["details"])
}

func TestS0_22_FlowError(t *testing.T) {
	f := byType(t, decoded(t, runData, data()), "flow_error")
	require.ElementsMatch(t, []string{"event_type", "task_id", "flow_name", "run_name", "timestamp", "error", "partial_results"}, keys(f))
}

func TestS0_23_FlowErrorExtrasAreFlat(t *testing.T) {
	e := byType(t, decoded(t, runData, data()), "flow_error")["error"].(map[string]any)
	require.Equal(t, map[string]any{
		"type": "DataValidationError", "code": "VALIDATION_FAILED", "message": "1,247 records failed validation checks",
		"task_name": "validate", "failed_records": json.Number("1247"), "failure_rate": json.Number("0.0277"),
	}, e)
}

func TestS0_24_PartialResultsAreObjects(t *testing.T) {
	all := decoded(t, runData, data())
	require.Equal(t, map[string]any{"valid_records": json.Number("43753")}, byType(t, all, "task_failed")["partial_results"])
	require.Equal(t, map[string]any{"load": "a plain reply"}, byType(t, all, "flow_error")["partial_results"])
	require.Equal(t, map[string]any{}, byType(t, decoded(t, runCancel, cancelled()), "flow_error")["partial_results"])
}

func TestS0_25_FlowFramesCarryTheRunsID(t *testing.T) {
	all := decoded(t, runSupport, support())
	require.Equal(t, "r1", byType(t, all, "flow_started")["task_id"])
	require.Equal(t, "r1", byType(t, all, "flow_completed")["task_id"])
}

func TestS0_26_TimestampsNeverGoBack(t *testing.T) {
	last := 0.0
	for _, f := range decoded(t, runSupport, support()) {
		n, err := f["timestamp"].(json.Number).Float64()
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, last)
		last = n
	}
}

func TestS0_27_FailureOrder(t *testing.T) {
	all := decoded(t, runData, data())
	require.Equal(t, "task_failed", all[len(all)-2]["event_type"])
	require.Equal(t, "flow_error", all[len(all)-1]["event_type"])
}

func TestS0_28_29_EveryEventIsItsOwnFrame(t *testing.T) {
	all := decoded(t, runSupport, support())
	require.Len(t, all, len(support()))
	for i, f := range all {
		require.Equal(t, json.Number(jsonInt(i)), f["offset"])
		require.Equal(t, json.Number(jsonInt(i-1)), f["prev"])
	}
}

func jsonInt(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestFrame_CancelledIsFlowErrorWithCode(t *testing.T) {
	e := byType(t, decoded(t, runCancel, cancelled()), "flow_error")["error"].(map[string]any)
	require.Equal(t, "CANCELLED", e["code"])
}

// Results that are too large together become one link, and the sweep stops where that is clear.
// D1: what has no name in LAO's own set is shown under its canonical one, with what it says.
func TestD1_WaitsPausesAndRetriesByTheirCanonicalNames(t *testing.T) {
	all := decoded(t, runAsk, asking())
	var names []string
	for _, f := range all {
		names = append(names, f["event_type"].(string))
	}
	for _, n := range []string{"task_reused", "approval_requested", "approval_decided", "event_awaited", "event_received", "signal_received", "paused", "resumed"} {
		require.Contains(t, names, n)
		require.Contains(t, lao.Names(), n)
	}
	require.Equal(t, "r0", all[0]["retry_of"])
	require.Equal(t, "ws_1", all[0]["connection_id"])
	requested := byType(t, all, "approval_requested")
	require.Equal(t, map[string]any{"amount": json.Number("120"), "token": "*** k3f9"}, requested["request"], "secrets are masked")
	require.Equal(t, json.Number("1756806185.044"), requested["due_at"])
	require.NotContains(t, byType(t, all, "event_awaited"), "due_at", "it waits for ever")
	require.Equal(t, "lunch", byType(t, all, "paused")["reason"])
}

func TestFrame_LargeResultsBecomeALink(t *testing.T) {
	steps := support()
	all := frames(t, lao.Options{FrameInlineBytesMax: 60}, runSupport, steps)
	require.Contains(t, all[len(all)-1], `"output":{"link":"/api/executions/r1","tasks":2}`)
}

// A newer version's event and a damaged one must not end a client's stream.
func TestFrame_UnknownAndDamagedEvents(t *testing.T) {
	renderer := lao.New(memory.NewLog(), masks{}, lao.Options{LogID: "l"})
	meta := []byte(`{"at":"2025-09-02T09:42:05.043Z","actor":{"kind":"system","id":"","via":""},"command_id":"c","$correlationId":"","data_sha256":""}`)
	f, err := renderer.Frame(context.Background(), runCancel, &domain.Recorded{Type: "run.paused.v7", Data: []byte(`{"a":1}`), Metadata: meta})
	require.NoError(t, err)
	require.Equal(t, "paused", f.Type)
	require.True(t, json.Valid(f.AppendTo(nil, 5)))
	f, err = renderer.Frame(context.Background(), runCancel, &domain.Recorded{Type: wire.RunCompleted, Data: []byte(`{{`), Metadata: meta})
	require.NoError(t, err)
	require.Equal(t, lao.Unreadable, f.Type)
	require.True(t, f.Ends)
	require.True(t, json.Valid(f.AppendTo(nil, 5)))
	require.True(t, bytes.Contains(f.AppendTo(nil, 5), []byte(`"type":"run.completed.v1"`)))
	f, err = renderer.Frame(context.Background(), runCancel, &domain.Recorded{Type: wire.RunAbandoned})
	require.NoError(t, err)
	require.Nil(t, f)
}

// A missing or wrong result must not hide that the run has ended, nor shorten its output silently.
func TestFrame_LostResultsBecomeALink(t *testing.T) {
	for _, results := range []string{`{"a":1}`, `{"a":700}`, `{"a":"x"}`} {
		log := memory.NewLog()
		steps := cancelled()
		steps[1].event = run.Completed{StartedAt: at(0), Results: raw(results)}
		recorded := story(t, log, "r3", steps...)
		f, err := lao.New(log, masks{}, lao.Options{}).Frame(context.Background(), runCancel, &recorded[1])
		require.NoError(t, err)
		require.Contains(t, string(f.AppendTo(nil, 0)), `"output":{"link":"/api/executions/r3"`, results)
	}
}

// A failure that may pass is an error, so that the frame is tried again.
func TestFrame_TransientFailureIsAnError(t *testing.T) {
	log := memory.NewLog()
	recorded := story(t, log, "r1", support()...)
	require.NoError(t, log.Close())
	_, err := lao.New(log, masks{}, lao.Options{}).Frame(context.Background(), runSupport, &recorded[len(recorded)-1])
	require.ErrorIs(t, err, domain.ErrUnavailable)
	broken := func(kind domain.Kind) lao.Payloads {
		return payloadsFunc(func(domain.Value, int) ([]byte, error) { return nil, domain.E(kind, "load", "blob", "no") })
	}
	_, err = lao.New(log, broken(domain.KindUnavailable), lao.Options{}).Frame(context.Background(), runSupport, &recorded[1])
	require.ErrorIs(t, err, domain.ErrUnavailable)
	f, err := lao.New(log, broken(domain.KindNotFound), lao.Options{}).Frame(context.Background(), runSupport, &recorded[1])
	require.NoError(t, err)
	require.Contains(t, string(f.AppendTo(nil, 0)), `"input":{"unreadable":true}`)
}

type payloadsFunc func(domain.Value, int) ([]byte, error)

func (f payloadsFunc) Render(_ context.Context, _ string, v domain.Value, n int) ([]byte, error) {
	return f(v, n)
}

func TestAppendSeconds(t *testing.T) {
	for ms, want := range map[int64]string{0: "0.000", 7: "0.007", 1756806125043: "1756806125.043", -1500: "-1.500", 4102444800000000: "4102444800000.000"} {
		require.Equal(t, want, string(object.AppendSeconds(nil, ms)))
	}
}
