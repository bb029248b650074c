package proctest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shown is an answer under /api.
func shown(t *testing.T, r Reply, status int) map[string]json.RawMessage {
	t.Helper()
	require.Equal(t, status, r.Status, "%s", r.Body)
	var envelope struct{ Data map[string]json.RawMessage }
	require.NoError(t, json.Unmarshal(r.Body, &envelope), "%s", r.Body)
	return envelope.Data
}

func textOf(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var s string
	require.NoError(t, json.Unmarshal(raw, &s), "%s", raw)
	return s
}

// laoApproval is a flow whose branches follow a decision.
func laoApproval(name string) []byte {
	return []byte(`{"flow_name":"refunds","run_name":"` + name + `","tasks":[
  {"name":"ask","function":"approval_block","params":{"owner_user_id":"u1","approvals":[{"user_id":"u2","user_email":"ops@example.org","approval_status":"pending"}]}},
  {"name":"pay","function":"bench_noop","params":{"value":1}},{"name":"tell","function":"bench_noop","params":{"value":2}}],
 "edges":[{"source":"ask","target":"pay","condition":"approve"},{"source":"ask","target":"tell","condition":"reject"}]}`)
}

// Part 2 A.3, C.3: an approval_block of run-dag waits through kill -9, shows on the socket, and goes on
// by the branch of the decision; what is published or paused just before a kill counts afterwards.
func TestKill_WaitsPausesAndMessages(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	c := s.Client()
	decided := map[string]string{}
	for _, action := range []string{"approve", "reject"} {
		decided[action] = c.Run(t, laoApproval(action)).TaskID
	}
	listening := shown(t, c.Must(t, http.MethodPost, "/api/workflows", []byte(`{"name":"hears","nodes":[{"id":"in","type":"trigger"},
		{"id":"hear","type":"event","config":{"operation":"subscribe","channel":"orders/paid"}},{"id":"out","type":"end"}],
		"edges":[{"source":"in","target":"hear"},{"source":"hear","target":"out"}]}`)), 201)
	var hears []string
	for range 3 {
		r := c.Must(t, http.MethodPost, "/api/workflows/"+textOf(t, listening["id"])+"/execute", nil)
		hears = append(hears, textOf(t, shown(t, r, 202)["execution_id"]))
	}
	paused := c.Run(t, []byte(`{"flow_name":"naps","run_name":"r","tasks":[{"name":"nap","function":"timer","params":{"config":{"duration":"2s"}}}]}`)).TaskID
	shown(t, c.Must(t, http.MethodPost, "/api/executions/"+paused+"/pause", []byte(`{"reason":"night"}`)), 202)
	s.Kill()

	s = Start(t, Options{Data: data})
	shown(t, s.Client().Must(t, http.MethodPost, "/api/channels/orders%2Fpaid/messages", []byte(`{"order":17}`)), 201)
	s.Kill()

	s = Start(t, Options{Data: data})
	c = s.Client()
	for _, id := range hears {
		status, body := c.End(t, id)
		require.Equal(t, "completed", status.Status, string(body))
		require.Contains(t, string(status.Results["hear"]), `"message":{"order":17}`)
		require.Len(t, instants(t, s, id, "event_received"), 1)
	}
	for action, id := range decided {
		socket := s.Open(t, "refunds", action, "from=0&execution_id="+id)
		r := c.Must(t, http.MethodPost, "/api/approvals/exec_"+id+"/"+action, []byte(`{"approver":"ops"}`))
		shown(t, r, 202)
		require.NotEmpty(t, r.Header.Get("Quipu-Position"))
		got := types(socket.ToEnd(t))
		branch := map[string]string{"approve": "pay", "reject": "tell"}[action]
		require.Subset(t, got, []string{"flow_started", "task_started ask", "approval_requested ask", "approval_decided ask", "task_completed ask", "task_completed " + branch, "flow_completed"})
		require.Equal(t, 1, strings.Count(strings.Join(got, "\n"), "approval_requested"), "asked once, however often the process ends")
		require.Equal(t, "flow_completed", got[len(got)-1])
		checkProblem(t, "decided twice", c.Must(t, http.MethodPost, "/api/approvals/"+id+"/"+action, nil), 409, "RUN_ENDED", "")
	}
	show := shown(t, c.Must(t, http.MethodGet, "/api/executions/"+paused, nil), 200)
	require.Equal(t, `"paused"`, string(show["status"]))
	require.Empty(t, instants(t, s, paused, "node.completed"), "its timer was due")
	shown(t, c.Must(t, http.MethodPost, "/api/executions/"+paused+"/resume", nil), 202)
	status, _ := c.End(t, paused)
	require.Equal(t, "completed", status.Status)
}

// Retries of a run of LAO's take its name over, sockets of that name follow, and nobody is called twice.
func TestC4_RetryShowsOnTheSocket(t *testing.T) {
	stub := NewStub(t)
	var mu sync.Mutex
	broken := true
	stub.Handle("/sometimes", func(w http.ResponseWriter, _ *http.Request, _ *Call) {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprint(w, `{"ok":true}`)
	})
	s := Start(t, Options{Args: []string{"--outbound-allow", "127.0.0.1/32"}})
	c := s.Client()
	socket := s.Open(t, "f", "r", "")
	id := c.Run(t, dag("f", "r", nil, call("first", stub.URL+"/ok", nil), call("second", stub.URL+"/sometimes", map[string]any{"x": depends("first")}))).TaskID
	require.Equal(t, "flow_error", last(socket.ToEnd(t)).EventType)
	mu.Lock()
	broken = false
	mu.Unlock()
	r := c.Must(t, http.MethodPost, "/api/executions/"+id+"/retry", nil, "Idempotency-Key", "again-1")
	again := textOf(t, shown(t, r, 202)["execution_id"])
	require.Equal(t, "/api/executions/"+again, r.Header.Get("Location"))
	frames := socket.ToEnd(t)
	require.Equal(t, "flow_completed", last(frames).EventType)
	require.Equal(t, again, last(frames).ExecutionID)
	require.Contains(t, types(frames), "task_reused first")
	require.Len(t, stub.Calls(), 3, "the first is not called again")
	repeated := c.Must(t, http.MethodPost, "/api/executions/"+id+"/retry", nil, "Idempotency-Key", "again-1")
	require.Equal(t, r.Body, repeated.Body)
	list := shown(t, c.Must(t, http.MethodGet, "/api/executions?retry_of="+id, nil), 200)
	require.Contains(t, string(list["items"]), again)
	require.Equal(t, "1", string(list["count"]))
}

func last(frames []Frame) Frame { return frames[len(frames)-1] }

// Secrets in signals and messages are in no file of the data folder and in no frame; the call gets them.
func TestC4_SecretsInSignalsStayHidden(t *testing.T) {
	const secret = "sk-live-told-by-signal-4242"
	stub := NewStub(t)
	s := Start(t, Options{Args: []string{"--outbound-allow", "127.0.0.1/32"}})
	c := s.Client()
	w := shown(t, c.Must(t, http.MethodPost, "/api/workflows", []byte(`{"name":"calls","nodes":[{"id":"in","type":"trigger"},
		{"id":"hear","type":"event","config":{"operation":"subscribe","channel":"key"}},
		{"id":"call","type":"api_call","config":{"url":"`+stub.URL+`/ok","method":"POST","headers":{"x-api-key":"{{ nodes.hear.message.api_key }}"}}},{"id":"out","type":"end"}],
		"edges":[{"source":"in","target":"hear"},{"source":"hear","target":"call"},{"source":"call","target":"out"}]}`)), 201)
	for _, by := range []string{"/api/channels/key/messages", ""} {
		id := textOf(t, shown(t, c.Must(t, http.MethodPost, "/api/workflows/"+textOf(t, w["id"])+"/execute", nil), 202)["execution_id"])
		if by == "" {
			by = "/api/executions/" + id + "/signals/key"
		}
		r := c.Must(t, http.MethodPost, by, []byte(`{"api_key":"`+secret+`"}`))
		require.Less(t, r.Status, 300, "%s", r.Body)
		status, body := c.End(t, id)
		require.Equal(t, "completed", status.Status, string(body))
		events := c.Must(t, http.MethodGet, "/api/workflows/"+id+"/events", nil)
		require.NotContains(t, string(body)+string(events.Body), secret)
		require.Contains(t, string(events.Body), "***")
	}
	calls := stub.Calls()
	require.Len(t, calls, 2)
	for _, call := range calls {
		require.Equal(t, secret, call.Header.Get("X-Api-Key"))
	}
	s.Stop()
	nowhereIn(t, s.Data, secret)
}

func nowhereIn(t *testing.T, folder, secret string) {
	t.Helper()
	files := 0
	require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		require.NotContains(t, string(b), secret, path)
		return err
	}))
	require.NotZero(t, files)
}

// D20: every POST of the document but those below /admin declares Idempotency-Key, and twice under one
// key is once.
func TestD20_EveryPostOnce(t *testing.T) {
	s := Start(t, Options{})
	c := s.Client()
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct{ Name, In string }
		}
	}
	require.NoError(t, c.Must(t, http.MethodGet, "/openapi.json", nil).JSON(&document))
	workflow := textOf(t, shown(t, c.Must(t, http.MethodPost, "/api/workflows", []byte(`{"name":"asks","nodes":[{"id":"in","type":"trigger"},
		{"id":"ask","type":"approval","config":{"description":"?"}},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"ask"},{"source":"ask","target":"out"}]}`)), 201)["id"])
	waiting := func() string {
		return textOf(t, shown(t, c.Must(t, http.MethodPost, "/api/workflows/"+workflow+"/execute", nil), 202)["execution_id"])
	}
	cancelled := func() string {
		id := waiting()
		shown(t, c.Must(t, http.MethodPost, "/api/executions/"+id+"/cancel", nil), 202)
		return id
	}
	requests := map[string]struct{ path, body, other string }{
		"runDAG":           {"/run-dag", `{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop"}]}`, `{"flow_name":"g","tasks":[{"name":"a","function":"bench_noop"}]}`},
		"createWorkflow":   {"/api/workflows", `{"name":"w","nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}]}`, `{"name":"x","nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}]}`},
		"executeWorkflow":  {"/api/workflows/" + workflow + "/execute", `{"input_data":{"n":1}}`, `{"input_data":{"n":2}}`},
		"createEndpoint":   {"/api/endpoints", `{"slug":"shop"}`, `{"slug":"shop" }`},
		"cancelExecution":  {"/api/executions/" + waiting() + "/cancel", ``, ``},
		"pauseExecution":   {"/api/executions/" + waiting() + "/pause", `{"reason":"a"}`, `{"reason":"b"}`},
		"resumeExecution":  {"", `{"reason":"a"}`, `{"reason":"b"}`},
		"retryExecution":   {"/api/executions/" + cancelled() + "/retry", `{}`, `{"from":["in"]}`},
		"signalExecution":  {"/api/executions/" + waiting() + "/signals/go", `{"n":1}`, `{"n":2}`},
		"approveExecution": {"/api/approvals/" + waiting() + "/approve", `{"comment":"a"}`, `{"comment":"b"}`},
		"rejectExecution":  {"/api/approvals/" + waiting() + "/reject", `{"comment":"a"}`, `{"comment":"b"}`},
		"publishMessage":   {"/api/channels/c/messages", `{"n":1}`, `{"n":2}`},
	}
	resumed := requests["resumeExecution"]
	id := waiting()
	shown(t, c.Must(t, http.MethodPost, "/api/executions/"+id+"/pause", nil), 202)
	resumed.path = "/api/executions/" + id + "/resume"
	requests["resumeExecution"] = resumed

	walked := 0
	for path, of := range document.Paths {
		operation, ok := of["post"]
		if !ok || strings.HasPrefix(path, "/admin/") {
			continue
		}
		walked++
		declared := false
		for _, p := range operation.Parameters {
			declared = declared || p.In == "header" && p.Name == "Idempotency-Key"
		}
		require.True(t, declared, "%s does not declare the header", path)
		request, known := requests[operation.OperationID]
		require.True(t, known, "%s %s: say here how it is asked for", operation.OperationID, path)
		once := c.Must(t, http.MethodPost, request.path, []byte(request.body), "Idempotency-Key", "walk-1")
		require.Less(t, once.Status, 300, "%s: %s", path, once.Body)
		twice := c.Must(t, http.MethodPost, request.path, []byte(request.body), "Idempotency-Key", "walk-1")
		require.Equal(t, once.Status, twice.Status, "%s: %s", path, twice.Body)
		require.Equal(t, once.Header.Get("Quipu-Position"), twice.Header.Get("Quipu-Position"), path)
		require.Equal(t, once.Header.Get("Location"), twice.Header.Get("Location"), path)
		if operation.OperationID != "createEndpoint" { // whose key is shown once
			require.Equal(t, string(once.Body), string(twice.Body), path)
		}
		if request.other != "" {
			reused := c.Must(t, http.MethodPost, request.path, []byte(request.other), "Idempotency-Key", "walk-1")
			checkProblem(t, path, reused, 422, "IDEMPOTENCY_KEY_REUSED", "header/Idempotency-Key")
		}
		checkProblem(t, path, c.Must(t, http.MethodPost, request.path, []byte(request.body), "Idempotency-Key", strings.Repeat("x", 256)), 400, "INVALID_KEY", "header/Idempotency-Key")
	}
	require.Len(t, requests, walked)
}

// Fifty at once are one, and so are those of two servers in turn.
func TestD20_ManyAtOnceAreOne(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	body := []byte(`{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop"}]}`)
	var mu sync.Mutex
	var bodies [][]byte
	ask := func() {
		r := s.Client().Must(t, http.MethodPost, "/run-dag/", body, "Idempotency-Key", "monday")
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, 200, r.Status, "%s", r.Body)
		bodies = append(bodies, r.Body)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(ask)
	}
	wg.Wait()
	s.Kill()
	s = Start(t, Options{Data: data})
	ask()
	for _, b := range bodies {
		require.True(t, bytes.Equal(bodies[0], b), "%s", b)
	}
	list := shown(t, s.Client().Must(t, http.MethodGet, "/api/executions?flow_name=f", nil), 200)
	require.Equal(t, "1", string(list["count"]))
}

// C.4: who has a version is told so, and no more.
func TestC4_IfNoneMatch(t *testing.T) {
	c := Start(t, Options{}).Client()
	made := c.Must(t, http.MethodPost, "/api/workflows", []byte(`{"name":"w","nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}]}`))
	path := made.Header.Get("Location")
	require.Equal(t, `"1"`, made.Header.Get("Etag"))
	for tag, want := range map[string]int{`"1"`: 304, `W/"1"`: 304, `*`: 304, `"0", "1"`: 304, `"2"`: 200, `1`: 200, `"`: 200, ``: 200} {
		r := c.Must(t, http.MethodGet, path, nil, "If-None-Match", tag)
		require.Equal(t, want, r.Status, "%q %s", tag, r.Body)
		require.Equal(t, `"1"`, r.Header.Get("Etag"))
		require.Equal(t, want == 304, len(r.Body) == 0)
	}
	require.Equal(t, 200, c.Must(t, http.MethodGet, path, nil, "If-Modified-Since", time.Now().UTC().Format(http.TimeFormat)).Status)
	require.Equal(t, `"2"`, c.Must(t, http.MethodPut, path, []byte(`{"name":"x"}`), "If-Match", `"1"`).Header.Get("Etag"))
	require.Equal(t, 200, c.Must(t, http.MethodGet, path, nil, "If-None-Match", `"1"`).Status)
	old := c.Must(t, http.MethodGet, path+"?version=1", nil)
	require.Equal(t, `"1"`, old.Header.Get("Etag"))
}
