package proctest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// checkProblem: every refusal has D16's shape, says what is wrong and which field, and quotes no stack.
func checkProblem(t testing.TB, what string, r Reply, status int, code, field string) {
	t.Helper()
	var p Problem
	if r.Status != status || r.JSON(&p) != nil {
		t.Errorf("%s: %d %.600s, want %d", what, r.Status, r.Body, status)
		return
	}
	if p.Status != "error" || p.Message == "" || p.Error.Message == "" || p.Detail == nil || code != "" && p.Error.Code != code {
		t.Errorf("%s: an answer without message, detail or code %s: %.600s", what, code, r.Body)
	}
	if field != "" && !bytes.Contains(r.Body, []byte(`"field":`+quoted(field))) && !strings.HasPrefix(p.Message, field) {
		t.Errorf("%s: the answer does not name %s: %.600s", what, field, r.Body)
	}
	for _, bad := range []string{"goroutine", ".go:", "0x"} {
		if bytes.Contains(r.Body, []byte(bad)) {
			t.Errorf("%s: the answer shows insides: %.600s", what, r.Body)
		}
	}
}

// raw sends a request line that a proper client would not send and returns the answer.
func raw(t testing.TB, s *Server, line string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(60*time.Second)))
	_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", line)
	require.NoError(t, err)
	b, err := io.ReadAll(conn)
	require.NoError(t, err, "%q", line)
	return string(b)
}

func TestBad_RunDag(t *testing.T) {
	s := Start(t, Options{})
	c := s.Client()
	deep := strings.Repeat("[", 129) + strings.Repeat("]", 129)
	one := `{"name":"a","function":"bench_noop"}`
	for name, c2 := range map[string]struct {
		body        string
		status      int
		code, field string
	}{
		"empty":                {"", 422, "INVALID_JSON", "body"},
		"no JSON":              {`tasks=1`, 422, "INVALID_JSON", "body"},
		"cut off":              {`{"flow_name":"f","tasks":[`, 422, "INVALID_JSON", ""},
		"two values":           {`{} {}`, 422, "INVALID_JSON", "body"},
		"not UTF-8":            {"{\"flow_name\":\"\xff\",\"tasks\":[]}", 422, "INVALID_JSON", "/flow_name"},
		"lone surrogate":       {`{"flow_name":"\ud800","tasks":[` + one + `]}`, 422, "INVALID_BODY", "/flow_name"},
		"duplicate key":        {`{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop","params":{"x":{"k":1,"k":2}}}]}`, 422, "INVALID_JSON", "/tasks/0/params/x"},
		"duplicate, escaped":   {`{"flow_name":"f","tasks":[` + one + `],"\u0074asks":[]}`, 422, "INVALID_JSON", "body"},
		"too deep":             {`{"flow_name":"f","tasks":[` + one + `],"default_inputs":{"x":` + deep + `}}`, 422, "INVALID_JSON", ""},
		"deeper than a stack":  {strings.Repeat("[", 2_000_000), 422, "INVALID_JSON", ""},
		"NaN":                  {`{"flow_name":"f","tasks":[` + one + `],"default_inputs":{"x":NaN}}`, 422, "INVALID_JSON", "/default_inputs/x"},
		"array":                {`[]`, 422, "INVALID_BODY", "body"},
		"null":                 {`null`, 422, "INVALID_BODY", "body"},
		"no flow name":         {`{"tasks":[` + one + `]}`, 422, "INVALID_BODY", "/flow_name"},
		"no tasks":             {`{"flow_name":"f"}`, 422, "INVALID_BODY", "/tasks"},
		"no task in tasks":     {`{"flow_name":"f","tasks":[]}`, 400, "", "/tasks"},
		"flow name number":     {`{"flow_name":1,"tasks":[` + one + `]}`, 422, "INVALID_BODY", "/flow_name"},
		"run name number":      {`{"flow_name":"f","run_name":1,"tasks":[` + one + `]}`, 422, "INVALID_BODY", "/run_name"},
		"tasks object":         {`{"flow_name":"f","tasks":{}}`, 422, "INVALID_BODY", "/tasks"},
		"task text":            {`{"flow_name":"f","tasks":["a"]}`, 422, "INVALID_BODY", "/tasks/0"},
		"task without name":    {`{"flow_name":"f","tasks":[{"function":"bench_noop"}]}`, 422, "INVALID_BODY", "/tasks/0/name"},
		"task without func":    {`{"flow_name":"f","tasks":[{"name":"a"}]}`, 422, "INVALID_BODY", "/tasks/0/function"},
		"name of a task":       {`{"flow_name":"f","tasks":[{"name":{},"function":"bench_noop"}]}`, 422, "INVALID_BODY", "/tasks/0/name"},
		"empty task name":      {`{"flow_name":"f","tasks":[{"name":"","function":"bench_noop"}]}`, 400, "", "/tasks/0/name"},
		"params text":          {`{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop","params":"x"}]}`, 422, "INVALID_BODY", "/tasks/0/params"},
		"tag number":           {`{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop","tag":1}]}`, 422, "INVALID_BODY", "/tasks/0/tag"},
		"inputs array":         {`{"flow_name":"f","tasks":[` + one + `],"default_inputs":[1]}`, 422, "INVALID_BODY", "/default_inputs"},
		"wrapped inputs text":  {`{"workflow_data":{"flow_name":"f","tasks":[` + one + `]},"inputs":"x"}`, 422, "INVALID_BODY", "/inputs"},
		"wrapped text":         {`{"workflow_data":"x"}`, 422, "INVALID_BODY", "/workflow_data"},
		"wrapped field":        {`{"workflow_data":{"flow_name":"f","tasks":[{}]}}`, 422, "INVALID_BODY", "/workflow_data/tasks/0/name"},
		"edges object":         {`{"flow_name":"f","tasks":[` + one + `],"edges":{}}`, 422, "INVALID_BODY", "/edges"},
		"edge text":            {`{"flow_name":"f","tasks":[` + one + `],"edges":["a"]}`, 422, "INVALID_BODY", "/edges/0"},
		"edge target number":   {`{"flow_name":"f","tasks":[` + one + `],"edges":[{"source":"a","target":1}]}`, 422, "INVALID_BODY", "/edges/0/target"},
		"edge to nowhere":      {`{"flow_name":"f","tasks":[` + one + `],"edges":[{"source":"a","target":"b"}]}`, 400, "", "/edges/0/target"},
		"condition":            {`{"flow_name":"f","tasks":[` + one + `,{"name":"b","function":"bench_noop"}],"edges":[{"source":"a","target":"b","condition":"x =="}]}`, 400, "INVALID_WORKFLOW", "/edges/0/condition"},
		"unknown function":     {`{"flow_name":"f","tasks":[{"name":"a","function":"rm_rf"}]}`, 400, "INVALID_WORKFLOW", "/tasks/0/function"},
		"missing depends":      {`{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop","params":{"x":{"depends":"gone"}}}]}`, 400, "", "/tasks/0/params/x/depends"},
		"missing input":        {`{"flow_name":"f","tasks":[{"name":"a","function":"bench_noop","params":{"x":{"input":"gone"}}}]}`, 400, "", "/tasks/0/params/x/input"},
		"same name twice":      {`{"flow_name":"f","tasks":[` + one + `,` + one + `]}`, 400, "", "/tasks/1/name"},
		"api_call without url": {`{"flow_name":"f","tasks":[{"name":"a","function":"api_call","params":{"config":{}}}]}`, 422, "INVALID_BODY", "/tasks/0/params/config/url"},
		"api_call bad url":     {`{"flow_name":"f","tasks":[{"name":"a","function":"api_call","params":{"config":{"url":"ftp://x"}}}]}`, 422, "INVALID_BODY", "/tasks/0/params/config/url"},
		"bad retry":            {`{"flow_name":"f","tasks":[{"name":"a","function":"api_call","params":{"config":{"url":"http://127.0.0.1:1","retry":{"attempts":"many"}}}}]}`, 422, "INVALID_BODY", "/tasks/0/params/config/retry/attempts"},
		"bad timeout":          {`{"flow_name":"f","tasks":[{"name":"a","function":"api_call","params":{"config":{"url":"http://127.0.0.1:1","timeout":-1}}}]}`, 422, "INVALID_BODY", "/tasks/0/params/config/timeout"},
		"reserved flow":        {`{"flow_name":"workflows","tasks":[` + one + `]}`, 400, "RESERVED_NAME", "flow_name"},
		"control character":    {`{"flow_name":"a\u0000b","tasks":[` + one + `]}`, 422, "INVALID_NAME", "flow_name"},
		"run name newline":     {`{"flow_name":"f","run_name":"a\nb","tasks":[` + one + `]}`, 422, "INVALID_NAME", "run_name"},
		"name of 1 KB":         {`{"flow_name":"` + strings.Repeat("n", 1024) + `","tasks":[` + one + `]}`, 422, "INVALID_NAME", "flow_name"},
		"empty flow name":      {`{"flow_name":"","tasks":[` + one + `]}`, 422, "INVALID_NAME", "flow_name"},
	} {
		checkProblem(t, name, c.Must(t, http.MethodPost, "/run-dag/", []byte(c2.body)), c2.status, c2.code, c2.field)
	}
	// A cycle is named.
	r := c.Must(t, http.MethodPost, "/run-dag/", dag("f", "r", nil, noop("x", 1), noop("a", 1, "c"), noop("b", 1, "a"), noop("c", 1, "b")))
	checkProblem(t, "cycle", r, 400, "", "")
	var p Problem
	require.NoError(t, r.JSON(&p))
	require.Contains(t, p.Message, "a -> b -> c -> a")
	// Too large: the default limit is 4 MiB. The answer must arrive, whenever the client reads it: a
	// server that just closes the connection resets it under the client's hands.
	for _, size := range []int{5 << 20, 30 << 20} {
		huge := dag("f", "r", map[string]any{"x": strings.Repeat("x", size)}, noop("a", 1))
		for range 5 {
			checkProblem(t, "too large", c.Must(t, http.MethodPost, "/run-dag/", huge), 413, "REQUEST_ENTITY_TOO_LARGE", "")
		}
	}
	for _, line := range []string{"GET /nowhere", "PUT /run-dag/", "GET /task-status/", "GET /%zz", "GET /\x00", "\x16\x03\x01 /"} {
		require.Regexp(t, `^HTTP/1.1 4\d\d `, raw(t, s, line), "%q", line)
	}
	for id, want := range map[string]int{"gone": 404, "%00": 404, "..%2f..%2fetc": 404, strings.Repeat("x", 2000): 404, "%zz": 400, "a%2Fb": 404} {
		require.Contains(t, raw(t, s, "GET /task-status/"+id), fmt.Sprintf("HTTP/1.1 %d ", want), "%.40s", id)
	}
	checkProblem(t, "wait", c.Must(t, http.MethodGet, "/task-status/x?wait=1h", nil), 400, "INVALID_WAIT", "query/wait")
	checkProblem(t, "cancel", c.Must(t, http.MethodPost, "/api/executions/gone/cancel", nil), 404, "", "")
	// After all of that it works.
	started := c.Run(t, dag("f", "r", nil, noop("a", 1)))
	status, _ := c.End(t, started.TaskID)
	require.Equal(t, "completed", status.Status)
	events, _ := c.Metric(t.Context(), "quipu_runs_quarantined")
	require.Zero(t, events)
}

// Sockets refuse before the upgrade, with a status and a body; afterwards a close code is all there is.
func TestBad_Sockets(t *testing.T) {
	s := Start(t, Options{})
	for query, want := range map[string]struct {
		status      int
		code, field string
	}{
		"from=x":                            {400, "INVALID_REQUEST", "query/from"},
		"from=-1":                           {400, "INVALID_REQUEST", "query/from"},
		"from=1.5":                          {400, "INVALID_REQUEST", "query/from"},
		"from=9007199254740993":             {400, "INVALID_REQUEST", "query/from"},
		"offset=1e3":                        {400, "INVALID_REQUEST", "query/offset"},
		"after=-2":                          {400, "INVALID_REQUEST", "query/after"},
		"after=1:0":                         {400, "INVALID_REQUEST", "query/after"},
		"after=latest":                      {400, "INVALID_REQUEST", "query/after"},
		"from=1&after=1":                    {400, "INVALID_REQUEST", "query/after"},
		"types=task_begun":                  {400, "INVALID_REQUEST", "query/types"},
		"execution_id=a%2Fb%00":             {400, "INVALID_REQUEST", "query/execution_id"},
		"log=another":                       {409, "LOG_CHANGED", "query/log"},
		"from=%zz":                          {400, "INVALID_REQUEST", "query/from"},
		"from=" + strings.Repeat("1", 2000): {400, "INVALID_REQUEST", "query/from"},
	} {
		_, err := Dial(t.Context(), s.Addr(), "f", "r", query)
		var refused *Refused
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v", query, err)
			continue
		}
		checkProblem(t, query, refused.Reply, want.status, want.code, want.field)
	}
	for path, status := range map[string]int{
		"/ws/f/a%00b": 400, "/ws/f/a%ffb": 400, "/ws/f/" + strings.Repeat("n", 1024): 400, "/ws/f/%0a": 400, "/ws/f/r/more": 404, "/ws/f": 404, "/ws/f/%zz": 400,
	} {
		require.Contains(t, raw(t, s, "GET "+path), fmt.Sprintf("HTTP/1.1 %d ", status), "%.30s", path)
	}
	require.Contains(t, raw(t, s, "GET /ws/f/r"), "HTTP/1.1 426 ")
	// A client that talks nonsense on an open socket loses at most its own socket.
	talker, other := s.Open(t, "f", "r", ""), s.Open(t, "f", "r", "")
	for _, text := range []string{"", "no json", "[]", `{"type":1}`, strings.Repeat("[", 10_000), `{"type":"ping"}`} {
		_ = talker.Send(text)
	}
	s.Client().Run(t, dag("f", "r", nil, noop("a", 1)))
	require.Len(t, other.ToEnd(t), 4)
}

// Names that are odd but allowed reach their run by every way; each is a run of its own.
func TestBad_HostileNames(t *testing.T) {
	s := Start(t, Options{})
	c := s.Client()
	names := []string{
		"..", ".", "../../etc/hosts", "a/b", "a%2Fb", "%00", "%", "a b", "ünï 💥", "e\u0301", "\u00e9", "a?b#c", `"quoted" \back`, "<script>", "'; drop table", strings.Repeat("n", 512),
		"WORKFLOWS", "-", "~1~0", "\u202eright to left", "a+b", "$(reboot)", "\ufffd",
	}
	for i, run := range names {
		flow := names[(i*7+3)%len(names)]
		socket := s.Open(t, flow, run, "")
		task := names[(i*5+1)%len(names)]
		started := c.Run(t, dag(flow, run, map[string]any{task: run}, noop(task, map[string]any{"input": task}), noop("end", depends(task))))
		require.Equal(t, flow, started.FlowName)
		require.Equal(t, run, started.RunName)
		all := socket.ToEnd(t)
		require.Len(t, all, 6, "%q/%q", flow, run)
		for _, f := range all {
			require.Equal(t, []string{flow, run, started.TaskID}, []string{f.FlowName, f.RunName, f.ExecutionID})
		}
		status, _ := c.End(t, started.TaskID)
		require.Equal(t, quoted(run), plain(t, status.Results["end"]))
	}
	files, err := filepath.Glob(filepath.Join(s.Data, "*"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(files), 4, "names became files: %v", files) // blobs, keys, log, views
}

// plain is a JSON string written as quoted writes it.
func plain(t testing.TB, raw json.RawMessage) string {
	t.Helper()
	var text string
	require.NoError(t, json.Unmarshal(raw, &text))
	return quoted(text)
}

// Numbers and texts are the user's: what comes out is what went in, byte by byte.
func TestBad_ValuesStayAsWritten(t *testing.T) {
	stub := NewStub(t)
	stub.Handle("/mirror", func(w http.ResponseWriter, _ *http.Request, c *Call) { _, _ = w.Write(c.Body) })
	s := Start(t, Options{})
	for i, value := range []string{
		"9007199254740993", "-9007199254740993", "123456789012345678901234567890", "1e400", "-1E-400", "-0", "0.1", "1.0", "1E+2", "0.30000000000000004",
		`"\u00e9 \ud83d\ude00 \/ \b"`, `"\u0000"`, `"{{ 1 + 1 }} ${x} {{input.v}}"`, `{"b":1,"a":2,"":3}`, `[ 1 , 2 ]`, `{"$ref":"x","__proto__":{}}`, "null", "false", `""`, "[]", "{}",
	} {
		run := fmt.Sprint(i)
		socket := s.Open(t, "f", run, "")
		body := `{"flow_name":"f","run_name":"` + run + `","default_inputs":{"v":` + value + `},"tasks":[
			{"name":"in","function":"bench_noop","params":{"value":{"input":"v"}}},
			{"name":"literal","function":"bench_noop","params":{"value":` + value + `}},
			{"name":"call","function":"api_call","params":{"config":{"url":"` + stub.URL + `/mirror","method":"POST","body":{"depends":"in"}}}},
			{"name":"out","function":"bench_noop","params":{"value":{"depends":"in"}}}]}`
		started := s.Client().Run(t, []byte(body))
		for _, f := range socket.ToEnd(t) {
			if f.EventType == "task_completed" && f.TaskName != "call" {
				require.Equal(t, value, string(f.Output), f.TaskName)
			}
			if f.EventType == "task_started" && f.TaskName == "out" {
				require.Equal(t, `{"value":`+value+`}`, string(f.Input))
			}
		}
		status, raw := s.Client().End(t, started.TaskID)
		require.Equal(t, "completed", status.Status, string(raw))
		require.Contains(t, string(raw), `"out":`+value)
		require.Contains(t, string(raw), `"literal":`+value)
	}
}

// Whatever the far side does, the task fails with a clear code and the process keeps its size.
func TestBad_FarSides(t *testing.T) {
	stub := NewStub(t)
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	pour := func(w http.ResponseWriter, r *http.Request, total int) {
		for sent := 0; sent < total && r.Context().Err() == nil; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	stub.Handle("/huge", func(w http.ResponseWriter, r *http.Request, _ *Call) { pour(w, r, 100<<20) })
	stub.Handle("/endless", func(w http.ResponseWriter, r *http.Request, _ *Call) { pour(w, r, 1<<40) })
	stub.Handle("/declared", func(w http.ResponseWriter, r *http.Request, _ *Call) {
		w.Header().Set("Content-Length", fmt.Sprint(100<<20))
		pour(w, r, 100<<20)
	})
	stub.Handle("/bomb", func(w http.ResponseWriter, _ *http.Request, _ *Call) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for range 100 << 20 / len(chunk) {
			_, _ = z.Write(chunk)
		}
		_ = z.Close()
	})
	stub.Handle("/silent", func(_ http.ResponseWriter, r *http.Request, _ *Call) { <-r.Context().Done() })
	stub.Handle("/drip", func(w http.ResponseWriter, r *http.Request, _ *Call) {
		for Pause(r.Context(), 10*time.Millisecond) {
			_, _ = w.Write([]byte("."))
			_ = http.NewResponseController(w).Flush()
		}
	})
	stub.Handle("/cut", func(w http.ResponseWriter, _ *http.Request, _ *Call) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("{"))
	})
	stub.Handle("/hangup", func(http.ResponseWriter, *http.Request, *Call) { panic(http.ErrAbortHandler) })
	stub.Handle("/deep", func(w http.ResponseWriter, _ *http.Request, _ *Call) {
		_, _ = w.Write([]byte(strings.Repeat("[", 1000) + strings.Repeat("]", 1000)))
	})
	stub.Handle("/badjson", func(w http.ResponseWriter, _ *http.Request, _ *Call) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"a":1,"a":2,`))
	})
	s := Start(t, Options{Args: []string{"--reply-bytes-max", "1048576"}})
	c := s.Client()
	cases := map[string]string{
		"/huge": "REPLY_TOO_LARGE", "/endless": "REPLY_TOO_LARGE", "/declared": "REPLY_TOO_LARGE", "/bomb": "REPLY_TOO_LARGE",
		"/silent": "TIMEOUT", "/drip": "TIMEOUT", "/cut": "CONNECTION_LOST", "/hangup": "CONNECTION_LOST", "/gone": "HTTP_404",
		"/deep": "", "/badjson": "",
	}
	s.Ready()
	before := s.RSSPeak()
	for round := range 3 {
		started := map[string]Started{}
		for path, code := range cases {
			b := call("call", stub.URL+path, nil)
			config := b.Params["config"].(map[string]any)
			config["retry"], config["timeout"] = map[string]any{"attempts": 2, "initial": "10ms"}, "60s"
			if code == "TIMEOUT" {
				config["timeout"] = "1s"
			}
			started[path] = c.Run(t, dag("far", fmt.Sprintf("%s %d", path, round), nil, b, noop("after", depends("call"))))
		}
		for path, code := range cases {
			status, raw := c.End(t, started[path].TaskID)
			if code == "" { // no fault: what is no JSON is a text
				require.Equal(t, "completed", status.Status, "%s: %s", path, raw)
				continue
			}
			require.Equal(t, "failed", status.Status, "%s: %.300s", path, raw)
			require.Equal(t, code, status.Error.Code, "%s: %s", path, raw)
			require.NotEmpty(t, status.Error.Message)
		}
	}
	t.Logf("memory peak %d MiB before, %d MiB after", before>>20, s.RSSPeak()>>20)
	if !raceEnabled {
		require.Less(t, s.RSSPeak()-before, int64(96<<20), "the process grew with what it was sent")
	}
	// Nobody at all, and a place it must not go to.
	for url, code := range map[string]string{"http://127.0.0.1:1/": "CONNECT_FAILED", "http://169.254.169.254/latest/meta-data": "BLOCKED_DESTINATION"} {
		b := call("call", url, nil)
		b.Params["config"].(map[string]any)["retry"] = false
		status, raw := c.End(t, c.Run(t, dag("far", url, nil, b)).TaskID)
		require.Equal(t, code, status.Error.Code, string(raw))
	}
}

// Bodies made at random from parts that matter: always an answer below 500, never the end of the server.
func TestBad_RandomBodies(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(Seed(t)), 0))
	s := Start(t, Options{})
	c := s.Client()
	parts := []string{
		`"tasks"`, `"name"`, `"function"`, `"params"`, `"bench_noop"`, `"api_call"`, `"merge"`, `"conditional"`, `"depends"`, `"input"`, `"config"`, `"edges"`, `"source"`, `"target"`, `"condition"`,
		`"flow_name"`, `"f"`, `"a"`, `"b"`, `"retry"`, `"timeout"`, `"default_inputs"`, "{", "}", "[", "]", ":", ",", "1", "-1", "1e999", "null", "true", `""`, `"\ud800"`, "\xff", `"api_key"`, `"mapping"`, `"default"`, " ",
	}
	valid := string(dag("f", "", map[string]any{"k": 1}, noop("a", map[string]any{"input": "k"}), noop("b", depends("a")), task{Name: "m", Function: "merge", Params: map[string]any{"x": depends("a"), "y": depends("b")}}))
	for n := range 1500 {
		var body string
		if n%3 == 0 {
			for range 1 + r.IntN(40) {
				body += parts[r.IntN(len(parts))]
			}
		} else { // a valid one with some places changed
			body = valid
			for range 1 + r.IntN(3) {
				at := r.IntN(len(body))
				body = body[:at] + parts[r.IntN(len(parts))] + body[min(len(body), at+r.IntN(12)):]
			}
		}
		reply := c.Must(t, http.MethodPost, "/run-dag/", []byte(body))
		if reply.Status != 200 && reply.Status != 400 && reply.Status != 422 && reply.Status != 409 {
			t.Errorf("%d %.300s for %s", reply.Status, reply.Body, body)
		}
		if reply.Status != 200 {
			checkProblem(t, body, reply, reply.Status, "", "")
		}
	}
	Eventually(t, time.Minute, "every accepted run has ended", func() bool {
		active, ok := c.Metric(t.Context(), "quipu_runs_active")
		return ok && active == 0
	})
	quarantined, _ := c.Metric(t.Context(), "quipu_runs_quarantined")
	require.Zero(t, quarantined)
}
