package intakehttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/readapi"
)

// fakeRuns answers as told and remembers what it was asked.
type fakeRuns struct {
	started  commands.StartRequest
	startErr error

	awaited   string
	wait      time.Duration
	state     *run.State
	awaitErr  error
	cancelled string
	actor     wire.Actor
	cancelErr error
	deadline  bool // every call had one
}

const runA = "0197c1d2-0000-7000-8000-00000000000a"

func (f *fakeRuns) StartRun(ctx context.Context, q commands.StartRequest) (commands.Outcome, error) {
	_, f.deadline = ctx.Deadline()
	f.started = q
	if f.startErr != nil {
		return commands.Outcome{}, f.startErr
	}
	// As the executor does, before anything is stored.
	if err := name.Check(q.FlowName, q.RunName); err != nil {
		return commands.Outcome{}, err
	}
	if _, err := workflow.Compile(q.Definition, nil); err != nil {
		return commands.Outcome{}, err
	}
	return commands.Outcome{RunID: runA, Position: 0x2a}, nil
}

func (f *fakeRuns) Await(ctx context.Context, id string, d time.Duration) (*run.State, error) {
	_, f.deadline = ctx.Deadline()
	f.awaited, f.wait = id, d
	return f.state, f.awaitErr
}

func (f *fakeRuns) CancelRun(_ context.Context, ask commands.Ask, _ string) (commands.Outcome, error) {
	id := ask.RunID
	f.cancelled, f.actor = id, ask.Actor
	return commands.Outcome{RunID: id, Position: 7}, f.cancelErr
}

type oneID struct{}

func (oneID) NewID() string { return "0197c1d2-1111-7222-8333-444444444444" }

// answer is what a client sees.
type answer struct {
	status   int
	position string
	kind     string
	body     string
}

// message and fields read a problem (contract D16).
func (a answer) problem(t *testing.T) (code, message string, fields []string) {
	t.Helper()
	var p struct {
		Status  string
		Message string
		Error   struct{ Code, Message string }
		Detail  json.RawMessage
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &p), a.body)
	require.Equal(t, "error", p.Status)
	require.NotEmpty(t, p.Message)
	require.Equal(t, p.Message, p.Error.Message)
	var list []struct{ Field, Msg string }
	if json.Unmarshal(p.Detail, &list) != nil {
		return p.Error.Code, p.Message, nil // a plain sentence
	}
	for _, f := range list {
		require.NotEmpty(t, f.Msg)
		fields = append(fields, f.Field)
	}
	return p.Error.Code, p.Message, fields
}

func serve(t *testing.T, runs Runs, method, path, body string) answer {
	t.Helper()
	app := fiber.New(fiber.Config{CaseSensitive: true, ErrorHandler: readapi.ErrorHandler})
	routes := &Routes{
		Runs: runs, Registry: registry(t), IDs: oneID{}, LogID: "log-1", Timeout: 5 * time.Second,
		Render: func(_ context.Context, runID string, v domain.Value) ([]byte, error) {
			if runID != runA {
				return nil, errors.New("another run's payload")
			}
			return v.Fill(func(domain.Hole) ([]byte, error) { return []byte(`"***"`), nil })
		},
	}
	routes.Register(app)
	request := httptest.NewRequest(method, "/", strings.NewReader(body))
	request.RequestURI = path // as written, also where no proper client would send it
	resp, err := app.Test(request)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header.Get(HeaderPosition), resp.Header.Get("Content-Type"), string(b)}
}

func TestRunDAG_Answers(t *testing.T) {
	body := flow(`"run_name":"r \"1\"","tasks":[` + noopA + `]`)
	for _, path := range []string{"/run-dag", "/run-dag/"} {
		runs := &fakeRuns{}
		got := serve(t, runs, "POST", path, body)
		// Bare, no envelope, and in these words (contract Part 2 A.4).
		require.Equal(t, answer{
			200, "log-1-000000000000002a", "application/json",
			`{"status":"processing","task_id":"` + runA + `","flow_name":"f","run_name":"r \"1\""}`,
		}, got)
		require.Equal(t, wire.Actor{Kind: wire.ActorAnonymous, Via: "run-dag"}, runs.started.Actor)
		require.True(t, runs.deadline)
	}
	require.Equal(t, 405, serve(t, &fakeRuns{}, "GET", "/run-dag/", "").status)
	require.Equal(t, 404, serve(t, &fakeRuns{}, "POST", "/Run-Dag", body).status)
}

func TestRunDAG_RunNameIsGenerated(t *testing.T) {
	for _, given := range []string{``, `"run_name":null,`, `"run_name":"",`} {
		runs := &fakeRuns{}
		got := serve(t, runs, "POST", "/run-dag", flow(given+`"tasks":[`+noopA+`]`))
		require.Equal(t, 200, got.status, got.body)
		require.Equal(t, "run_0197c1d21111722283334444444444444"[:36], runs.started.RunName)
		require.Contains(t, got.body, `"run_name":"`+runs.started.RunName+`"`)
	}
}

func TestRunDAG_StudioBody(t *testing.T) {
	runs := &fakeRuns{}
	got := serve(t, runs, "POST", "/run-dag/", studioBody)
	require.Equal(t, 200, got.status, got.body)
	require.Equal(t, "Rapid Workflow", runs.started.FlowName)
	require.Equal(t, "swift-falcon", runs.started.RunName)
}

func TestRunDAG_Refusals(t *testing.T) {
	two := `"tasks":[{"name":"a","function":"bench_noop","params":{"x":{"depends":"b"}}},{"name":"b","function":"bench_noop","params":{"x":{"depends":"a"}}}]`
	for _, c := range []struct {
		body, code, message string
		status              int
		fields              []string
	}{
		{``, "INVALID_JSON", "body: is empty", 422, []string{"body"}},
		{`[]`, "INVALID_BODY", "body: must be an object", 422, []string{"body"}},
		{`{"tasks":[` + noopA + `]}`, "INVALID_BODY", "/flow_name: is missing", 422, []string{"/flow_name"}},
		{`{}`, "INVALID_BODY", "/flow_name: is missing; give the flow a name (and 1 more, see detail)", 422, []string{"/flow_name", "/tasks"}},
		{flow(`"tasks":[{"name":"a","function":"x"},{"name":"b","function":"y"}]`), "INVALID_WORKFLOW", `/tasks/0/function: "x" is no function`, 400, []string{"/tasks/0/function", "/tasks/1/function"}},
		{`{"flow_name":"workflows","tasks":[` + noopA + `]}`, "RESERVED_NAME", "flow_name: ", 400, []string{"flow_name"}},
		{`{"flow_name":"","tasks":[` + noopA + `]}`, "INVALID_NAME", "flow_name: is empty", 422, []string{"flow_name"}},
		{flow(`"run_name":"a\u0000","tasks":[` + noopA + `]`), "INVALID_NAME", "run_name: contains a control character", 422, []string{"run_name"}},
		{flow(two), "INVALID_GRAPH", "/tasks: depend on each other in a cycle: a -> b -> a", 400, []string{"/tasks"}},
		{flow(`"tasks":[]`), "INVALID_GRAPH", "/tasks: has no task", 400, []string{"/tasks"}},
		// In a wrapped body the place is where the client wrote it.
		{`{"workflow_data":` + flow(two) + `}`, "INVALID_GRAPH", "/workflow_data/tasks: depend on each other", 400, []string{"/workflow_data/tasks"}},
		{
			`{"workflow_data":` + flow(`"edges":[{"source":"a","target":"zz"}],"tasks":[`+noopA+`]`) + `}`, "INVALID_GRAPH", "/workflow_data/edges/0/target: ", 400,
			[]string{"/workflow_data/edges/0/target"},
		},
	} {
		got := serve(t, &fakeRuns{}, "POST", "/run-dag/", c.body)
		require.Equal(t, c.status, got.status, "%s\n%s", c.body, got.body)
		code, message, fields := got.problem(t)
		require.Equal(t, c.code, code, got.body)
		require.True(t, strings.HasPrefix(message, c.message), "%q, want %q…", message, c.message)
		require.Equal(t, c.fields, fields, got.body)
		require.Empty(t, got.position)
	}
	// What the executor refuses keeps its kind, code and details.
	taken := domain.E(domain.KindRefused, "start run", "", "is still running").WithField("run_name").WithCode("RUN_NAME_TAKEN").WithDetails(map[string]any{"execution_id": runA})
	got := serve(t, &fakeRuns{startErr: taken}, "POST", "/run-dag", flow(`"tasks":[`+noopA+`]`))
	require.Equal(t, 409, got.status)
	require.Contains(t, got.body, `"details":{"execution_id":"`+runA+`"}`)
	got = serve(t, &fakeRuns{startErr: domain.E(domain.KindExhausted, "", "", "try again later").WithCode("OVERLOADED")}, "POST", "/run-dag", flow(`"tasks":[`+noopA+`]`))
	require.Equal(t, 429, got.status)
}

// ended folds a run of two tasks to the end that how names.
func ended(t *testing.T, how string) *run.State {
	t.Helper()
	q := parse(t, flow(`"tasks":[{"name":"ask \"it\"","function":"bench_noop"},{"name":"then","function":"bench_noop","params":{"x":{"depends":"ask \"it\""}}}]`))
	graph, err := workflow.Compile(q.Definition, nil)
	require.NoError(t, err)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := run.New()
	do := func(c run.Command) {
		d, err := run.Decide(s, c, nil)
		require.NoError(t, err)
		s = d.Next
	}
	do(run.Start{At: at, RunID: runA, FlowName: "f", RunName: "r", Definition: wire.Definition(q.Definition), Graph: graph, Input: domain.Raw([]byte("{}")), Node: "n"})
	do(run.CompleteTask{At: at, Task: "ask \"it\"", Attempt: 1, Node: "n", Output: domain.Raw([]byte(`{"n":1e400}`))})
	switch how {
	case "completed":
		do(run.CompleteTask{At: at, Task: "then", Attempt: 1, Node: "n", Output: domain.Raw([]byte(`"text"`))})
	case "failed":
		do(run.FailTask{At: at, Task: "then", Attempt: 1, Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_404", Message: "no \"page\""}})
	case "cancelled":
		do(run.Cancel{At: at, Reason: "requested"})
	}
	return s
}

func TestTaskStatus_Shapes(t *testing.T) {
	for how, want := range map[string]string{
		"running":   `{"status":"processing"}`,
		"completed": `{"status":"completed","results":{"ask \"it\"":{"n":1e400},"then":"text"}}`,
		"failed":    `{"status":"failed","error":{"type":"HTTPError","code":"HTTP_404","message":"no \"page\"","task_name":"then"},"results":{"ask \"it\"":{"n":1e400}}}`,
		// LAO has no word for it (contract D7).
		"cancelled": `{"status":"failed","error":{"type":"RunCancelled","code":"CANCELLED","message":"the run was cancelled"},"results":{"ask \"it\"":{"n":1e400}}}`,
	} {
		runs := &fakeRuns{state: ended(t, how)}
		got := serve(t, runs, "GET", "/task-status/"+runA, "")
		require.Equal(t, answer{200, "", "application/json", want}, got, how)
		require.Equal(t, runA, runs.awaited)
		require.Zero(t, runs.wait)
		require.True(t, runs.deadline)
	}
}

func TestTaskStatus_IDs(t *testing.T) {
	s := ended(t, "running")
	for path, want := range map[string]string{
		runA: runA, "exec_" + runA: runA, "0197c1d2%2D0000%2d7000-8000-00000000000a": runA, runA + "/": runA, "a%20b": "a b", "exec%5F" + runA: runA,
	} {
		runs := &fakeRuns{state: s}
		require.Equal(t, 200, serve(t, runs, "GET", "/task-status/"+path, "").status, path)
		require.Equal(t, want, runs.awaited, path)
	}
	for path, status := range map[string]int{"": 404, "exec_": 404, "%zz": 400, "%": 400, "%00": 404, "%ff": 404, strings.Repeat("x", 600): 404, "a/b": 404} {
		runs := &fakeRuns{state: s}
		got := serve(t, runs, "GET", "/task-status/"+path, "")
		require.Equal(t, status, got.status, "%.40q: %s", path, got.body)
		require.Empty(t, runs.awaited, path)
	}
	code, message, fields := serve(t, &fakeRuns{awaitErr: domain.E(domain.KindNotFound, "read stream", "run-x", "no such stream")}, "GET", "/task-status/x", "").problem(t)
	require.Equal(t, "EXECUTION_UNKNOWN", code)
	require.Equal(t, "path/id: names no execution", message, "of the run, not of streams")
	require.Equal(t, []string{"path/id"}, fields)
	require.Equal(t, 500, serve(t, &fakeRuns{awaitErr: domain.E(domain.KindCorrupt, "", "", "x")}, "GET", "/task-status/x", "").status)
}

func TestTaskStatus_Wait(t *testing.T) {
	s := ended(t, "running")
	for text, want := range map[string]time.Duration{"": 0, "0s": 0, "10s": 10 * time.Second, "1m": time.Minute, "60s": time.Minute, "250ms": 250 * time.Millisecond} {
		runs := &fakeRuns{state: s}
		require.Equal(t, 200, serve(t, runs, "GET", "/task-status/a?wait="+text, "").status, text)
		require.Equal(t, want, runs.wait, text)
	}
	for _, text := range []string{"-1s", "60.001s", "10", "soon", "1h", "%00"} {
		got := serve(t, &fakeRuns{state: s}, "GET", "/task-status/a?wait="+text, "")
		require.Equal(t, 400, got.status, text)
		code, _, fields := got.problem(t)
		require.Equal(t, "INVALID_WAIT", code)
		require.Equal(t, []string{"query/wait"}, fields)
	}
}

func TestCancel(t *testing.T) {
	for _, path := range []string{runA, "exec_" + runA} {
		runs := &fakeRuns{}
		got := serve(t, runs, "POST", "/api/executions/"+path+"/cancel", "")
		require.Equal(t, answer{
			202, "log-1-0000000000000007", "application/json",
			`{"data":{"id":"` + runA + `","status":"cancelled","position":"log-1-0000000000000007"},"status":"success"}`,
		}, got, "the envelope of contract D16")
		require.Equal(t, runA, runs.cancelled)
		require.Equal(t, wire.Actor{Kind: wire.ActorAnonymous, Via: "api"}, runs.actor)
	}
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{domain.E(domain.KindRefused, "cancel run", runA, "the run has already ended as completed").WithCode("RUN_ENDED"), 409, "RUN_ENDED"},
		{domain.E(domain.KindNotFound, "read stream", "run-a", "no such stream"), 404, "EXECUTION_UNKNOWN"},
		{domain.E(domain.KindExhausted, "", "", "too many commands wait").WithCode("RUN_BUSY"), 429, "RUN_BUSY"},
		{domain.Wrap(domain.KindIndeterminate, "cancel run", runA, context.DeadlineExceeded), 503, "INDETERMINATE"},
	} {
		got := serve(t, &fakeRuns{cancelErr: c.err}, "POST", "/api/executions/"+runA+"/cancel", "")
		require.Equal(t, c.status, got.status)
		code, _, _ := got.problem(t)
		require.Equal(t, c.code, code)
		require.Empty(t, got.position)
	}
	require.Equal(t, 400, serve(t, &fakeRuns{}, "POST", "/api/executions/%zz/cancel", "").status)
	require.Equal(t, 405, serve(t, &fakeRuns{}, "GET", "/api/executions/a/cancel", "").status)
}
