package agnt5_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/infra/memory"
	"quipu/readapi/agnt5"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// masks is a Payloads as small as can be: secrets as masks, blobs as links.
type masks struct{}

func (masks) Render(_ context.Context, _ string, v domain.Value, _ int) ([]byte, error) {
	return v.Fill(func(h domain.Hole) ([]byte, error) {
		if h.Blob != "" {
			return []byte(`{"href":"/blobs/` + h.Blob + `"}`), nil
		}
		return []byte(`"*** ` + h.FP + `"`), nil
	})
}

// failing is a Payloads that cannot be asked.
type failing struct{ kind domain.Kind }

func (f failing) Render(context.Context, string, domain.Value, int) ([]byte, error) {
	return nil, domain.E(f.kind, "load", "blob", "no")
}

func raw(s string) domain.Value { return domain.Raw([]byte(s)) }

func at(ms int) time.Time {
	return time.UnixMilli(1756806125043).UTC().Add(time.Duration(ms) * time.Millisecond)
}

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
		p, head = wire.Seal(stream, head, at(s.ms), wire.Cause{Actor: wire.Actor{Kind: wire.ActorKey, ID: "e", Via: "agnt5"}, CommandID: "c"}, typ, data)
		_, err := log.Append(context.Background(), stream, before, []domain.Pending{p})
		require.NoError(t, err)
	}
	out, err := log.ReadStream(context.Background(), stream, 0, 10_000)
	require.NoError(t, err)
	return out
}

func begun(id string) step {
	return step{0, run.Started{
		RunID: id, Source: "agnt5", FlowName: "search-candidates", WorkflowID: "w1", WorkflowVersion: 3, Endpoint: "coffee-shop",
		ConnectionID: "ws_c2GDFfT7bywQZW4He6CNFw", Metadata: raw(`{"idempotency_key":"k"}`),
		Definition: raw(`{}`), Input: domain.Value{JSON: []byte(`{"user_query":"é","api_key":null}`), Holes: []domain.Hole{{At: "/api_key", Sealed: "s1", FP: "k3f9"}}},
	}}
}

// stories by the name of their golden file.
var stories = map[string][]step{
	"completed": {
		begun("r1"),
		{1, run.TaskStarted{Task: "ask", TaskID: "t1", Node: "n", Function: "agent", Input: raw(`{"q":1}`), Deadline: at(9000)}},
		{1, run.CallStarted{Family: "llm", Task: "ask", TaskID: "t1", Attempt: 1, Function: "agent"}},
		{5, run.CallFailed{Family: "llm", Task: "ask", TaskID: "t1", Attempt: 1, Function: "agent", StartedAt: at(1), Error: run.ErrorInfo{Type: "T", Code: "HTTP_503", Message: "busy"}, Details: raw(`{"model":"m","status":503}`)}},
		{5, run.TaskRetryScheduled{Task: "ask", TaskID: "t1", Attempt: 1, Error: run.ErrorInfo{Type: "T", Code: "HTTP_503", Message: "busy"}, RetryAt: at(505)}},
		{506, run.TaskAttemptStarted{Task: "ask", TaskID: "t1", Attempt: 2, Node: "n", Reason: run.ReasonRetry}},
		{506, run.CallStarted{Family: "llm", Task: "ask", TaskID: "t1", Attempt: 2, Function: "agent"}},
		{806, run.CallCompleted{Family: "llm", Task: "ask", TaskID: "t1", Attempt: 2, Function: "agent", StartedAt: at(506), Details: raw(`{"model":"m","prompt_tokens":4,"latency_ms":299,"task_name":"not this"}`)}},
		{806, run.TaskCompleted{Task: "ask", TaskID: "t1", Attempt: 2, StartedAt: at(1), Output: raw(`"hello"`)}},
		{806, run.TaskStarted{Task: "post", TaskID: "t2", Node: "n", Function: "api_call", Input: raw(`{}`)}},
		{806, run.CallStarted{Family: "tool", Task: "post", TaskID: "t2", Attempt: 1, Function: "api_call"}},
		{900, run.CallCompleted{Family: "tool", Task: "post", TaskID: "t2", Attempt: 1, Function: "api_call", StartedAt: at(806), Details: raw(`["odd"]`)}},
		{900, run.TaskCompleted{Task: "post", TaskID: "t2", Attempt: 1, StartedAt: at(806), Output: raw(`{"status": 200}`)}},
		{900, run.TaskSkipped{Task: "archive", Reason: run.SkippedByGate}},
		{901, run.TaskStarted{Task: "wait", TaskID: "t3", Node: "n", Function: "timer", Input: raw(`{}`)}},
		{901, run.TimerSet{Task: "wait", TaskID: "t3", DueAt: at(1901)}},
		{1902, run.TaskCompleted{Task: "wait", TaskID: "t3", Attempt: 1, StartedAt: at(901), Output: raw(`null`)}},
		{1902, run.Completed{StartedAt: at(0), Results: raw(`{"ask":8,"post":12,"wait":16}`)}},
	},
	"failed": {
		begun("r2"),
		{1, run.TaskStarted{Task: "post", TaskID: "t1", Node: "n", Function: "api_call", Input: raw(`{}`)}},
		{1, run.CallStarted{Family: "tool", Task: "post", TaskID: "t1", Attempt: 1, Function: "api_call"}},
		{2, run.CallFailed{Family: "tool", Task: "post", TaskID: "t1", Attempt: 1, Function: "api_call", StartedAt: at(1), Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_404", Message: "none"}}},
		{2, run.TaskFailed{Task: "post", TaskID: "t1", Attempt: 1, StartedAt: at(1), Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_404", Message: "none", Details: raw(`{"status":404}`)}, Partial: raw(`{"rows":1}`)}},
		{2, run.Failed{StartedAt: at(0), Task: "post", Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_404", Message: "none"}, Results: raw(`{}`)}},
	},
	"waiting": {
		{0, run.Started{RunID: "r1", Source: "agnt5", FlowName: "w", RetryOf: "r0", Definition: raw(`{}`), Input: raw(`{}`)}},
		{1, run.TaskStarted{Task: "old", TaskID: "t0", Node: "n", Function: "agent", Input: raw(`{}`)}},
		{1, run.TaskReused{Task: "old", TaskID: "t0", Offset: 7}},
		{1, run.TaskCompleted{Task: "old", TaskID: "t0", Attempt: 1, StartedAt: at(1), Output: raw(`1`)}},
		{2, run.TaskStarted{Task: "ok", TaskID: "t1", Node: "n", Function: "approval", Input: raw(`{}`)}},
		{2, run.ApprovalRequested{Task: "ok", TaskID: "t1", Request: raw(`{"description":"pay?"}`), DueAt: at(9000)}},
		{3, run.Paused{Reason: "lunch"}},
		{4, run.Resumed{}},
		{5, run.ApprovalDecided{Task: "ok", TaskID: "t1", Action: run.Approved, Approver: "ann", Comment: "fine"}},
		{5, run.TaskCompleted{Task: "ok", TaskID: "t1", Attempt: 1, StartedAt: at(2), Output: raw(`{}`)}},
		{5, run.TaskStarted{Task: "hear", TaskID: "t2", Node: "n", Function: "event", Input: raw(`{}`)}},
		{5, run.EventAwaited{Task: "hear", TaskID: "t2", Channel: "orders"}},
		{6, run.SignalReceived{SignalID: "s1", Name: "orders", Payload: raw(`{"n": 1}`)}},
		{6, run.EventReceived{Task: "hear", TaskID: "t2", Channel: "orders", SignalID: "s1"}},
		{7, run.EventReceived{Task: "too", TaskID: "t3", Channel: "news", MessageID: "12"}},
	},
	"cancelled": {
		begun("r3"),
		{7, run.Cancelled{StartedAt: at(0), Reason: "not needed", Results: raw(`{}`)}},
	},
}

// frames renders a story as one socket gets it.
func frames(t testing.TB, options agnt5.FrameOptions, payloads agnt5.Payloads, steps []step) []string {
	t.Helper()
	log := memory.NewLog()
	options.LogID = "log-1"
	renderer := agnt5.NewRenderer(log, payloads, options)
	var out []string
	prev := domain.NoStream
	for _, e := range story(t, log, "r1", steps...) {
		f, err := renderer.Frame(context.Background(), "r1", &e)
		require.NoError(t, err)
		for i := range f.Parts {
			b := f.Parts[i].AppendTo(nil, prev)
			require.Len(t, b, f.Parts[i].Len(prev))
			require.True(t, json.Valid(b), string(b))
			out = append(out, string(b))
		}
		prev = e.Revision
	}
	return out
}

func TestD1_FramesGolden(t *testing.T) {
	for name, steps := range stories {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(frames(t, agnt5.FrameOptions{}, masks{}, steps), "\n") + "\n"
			path := filepath.Join("testdata", name+".jsonl")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o750))
				require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), got, "run with -update if this is meant")
		})
	}
}

// frame is what every client reads.
type frame struct {
	Type string `json:"type"`
	Data struct {
		Timestamp   string         `json:"timestamp"`
		Details     map[string]any `json:"details"`
		ExecutionID string         `json:"execution_id"`
		Offset      *int64         `json:"offset"`
		Prev        *int64         `json:"prev"`
		EventID     string         `json:"event_id"`
		Log         string         `json:"log"`
		Part, Parts int
	} `json:"data"`
}

func read(t testing.TB, text string) frame {
	t.Helper()
	var f frame
	require.NoError(t, json.Unmarshal([]byte(text), &f), text)
	return f
}

func TestS1_13_14_15_16_Envelope(t *testing.T) {
	for name, steps := range stories {
		for _, text := range frames(t, agnt5.FrameOptions{}, masks{}, steps) {
			var whole map[string]json.RawMessage
			require.NoError(t, json.Unmarshal([]byte(text), &whole))
			require.Len(t, whole, 2, "%s: type and data, nothing else", name)
			f := read(t, text)
			require.NotEmpty(t, f.Type)
			require.NotNil(t, f.Data.Details, "details is an object, if empty")
			require.Equal(t, "exec_r1", f.Data.ExecutionID)
			moment, err := time.Parse(time.RFC3339, f.Data.Timestamp)
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(f.Data.Timestamp, "Z"))
			require.False(t, moment.Before(at(0)))
		}
	}
}

// types lists what a story's frames are.
func types(t testing.TB, name string) (out []string) {
	for _, text := range frames(t, agnt5.FrameOptions{}, masks{}, stories[name]) {
		out = append(out, read(t, text).Type)
	}
	return out
}

func TestS1_17_ExecutionEvents(t *testing.T) {
	require.Equal(t, "execution_started", types(t, "completed")[0])
	require.Equal(t, "execution_completed", types(t, "completed")[len(types(t, "completed"))-1])
	require.Equal(t, "execution_failed", types(t, "failed")[len(types(t, "failed"))-1])
	require.Equal(t, []string{"execution_started", "workflow_start", "execution_cancelled"}, types(t, "cancelled"))
}

func TestS1_18_22_TheExecutionIsAroundTheWorkflow(t *testing.T) {
	for name, end := range map[string][]string{
		"completed": {"workflow_end", "execution_completed"}, "failed": {"workflow_error", "execution_failed"},
	} {
		got := types(t, name)
		require.Equal(t, []string{"execution_started", "workflow_start"}, got[:2])
		require.Equal(t, end, got[len(got)-2:])
	}
}

func TestS1_19_20_21_TaskLLMAndToolEvents(t *testing.T) {
	all := append(types(t, "completed"), types(t, "failed")...)
	for _, want := range []string{
		"task_start", "task_end", "task_error", "llm_start", "llm_end", "llm_error", "tool_start", "tool_end", "tool_error",
	} {
		require.Contains(t, all, want)
	}
	require.Equal(t, []string{"task_start", "llm_start", "llm_error", "task_retry_scheduled", "task_attempt_started", "llm_start", "llm_end", "task_end"},
		types(t, "completed")[2:10])
}

// documented are the 16 types of the page.
var documented = []string{
	"execution_started", "execution_completed", "execution_failed", "execution_cancelled", "workflow_start", "workflow_end", "workflow_error",
	"task_start", "task_end", "task_error", "llm_start", "llm_end", "llm_error", "tool_start", "tool_end", "tool_error",
}

func TestD1_Names(t *testing.T) {
	names := agnt5.Names()
	for _, d := range documented {
		require.Contains(t, names, d)
	}
	require.True(t, slices.IsSorted(names))
	require.NotContains(t, names, "abandoned")
	require.NotContains(t, names, "error", "an event must not look like a refusal")
	require.Nil(t, agnt5.NamesOf(wire.RunAbandoned))
	require.Equal(t, []string{"later"}, agnt5.NamesOf("run.later.v9"))
}

func TestD4_PartsShareOffsetAndPrev(t *testing.T) {
	texts := frames(t, agnt5.FrameOptions{}, masks{}, stories["completed"])
	first, second := read(t, texts[0]), read(t, texts[1])
	require.Equal(t, []int{1, 2, 2, 2}, []int{first.Data.Part, first.Data.Parts, second.Data.Part, second.Data.Parts})
	require.Equal(t, *first.Data.Offset, *second.Data.Offset)
	require.EqualValues(t, -1, *first.Data.Prev)
	require.EqualValues(t, -1, *second.Data.Prev)
	require.Equal(t, first.Data.EventID, second.Data.EventID)
	third := read(t, texts[2])
	require.EqualValues(t, 0, *third.Data.Prev)
	require.Zero(t, third.Data.Parts, "a whole event has no parts")
	require.Equal(t, "log-1", third.Data.Log)
}

func TestFrame_Secrets(t *testing.T) {
	f := read(t, frames(t, agnt5.FrameOptions{}, masks{}, stories["cancelled"])[0])
	require.Equal(t, map[string]any{"user_query": "é", "api_key": "*** k3f9"}, f.Data.Details["parameters"])
}

func TestFrame_LargeOutputsBecomeALink(t *testing.T) {
	texts := frames(t, agnt5.FrameOptions{FrameInlineBytesMax: 10}, masks{}, stories["completed"])
	require.Equal(t, map[string]any{"href": "/api/executions/r1", "tasks": 3.0}, read(t, texts[len(texts)-1]).Data.Details["output"])
}

func TestFrame_UnknownAndDamagedEvents(t *testing.T) {
	renderer := agnt5.NewRenderer(memory.NewLog(), masks{}, agnt5.FrameOptions{LogID: "log-1"})
	good := story(t, memory.NewLog(), "r1", begun("r1"))[0]
	for _, c := range []struct {
		name, typ, metadata, data, want string
	}{
		{"newer", "run.later.v9", string(good.Metadata), `{}`, "later"},
		{"damaged data", wire.RunTaskStarted, string(good.Metadata), `{"task":`, agnt5.Unreadable},
		{"damaged metadata", good.Type, `{`, string(good.Data), agnt5.Unreadable},
	} {
		e := good
		e.Type, e.Metadata, e.Data = c.typ, []byte(c.metadata), []byte(c.data)
		f, err := renderer.Frame(context.Background(), "r1", &e)
		require.NoError(t, err, c.name)
		require.Len(t, f.Parts, 1, c.name)
		require.Equal(t, c.want, f.Parts[0].Type, c.name)
		require.True(t, json.Valid(f.Parts[0].AppendTo(nil, 3)), c.name)
	}
	e := good
	e.Type = wire.RunAbandoned
	f, err := renderer.Frame(context.Background(), "r1", &e)
	require.NoError(t, err)
	require.Nil(t, f)
}

// What may pass is an error; what is lost for good is shown as such.
func TestFrame_PayloadsThatCannotBeRead(t *testing.T) {
	e := story(t, memory.NewLog(), "r1", begun("r1"))[0]
	_, err := agnt5.NewRenderer(memory.NewLog(), failing{domain.KindUnavailable}, agnt5.FrameOptions{}).Frame(context.Background(), "r1", &e)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	f, err := agnt5.NewRenderer(memory.NewLog(), failing{domain.KindCorrupt}, agnt5.FrameOptions{}).Frame(context.Background(), "r1", &e)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"unreadable": true}, read(t, string(f.Parts[0].AppendTo(nil, -1))).Data.Details["parameters"])
}
