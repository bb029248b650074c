package proctest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"
)

// gate is a route of the stub that answers once it is opened.
type gate struct {
	entered chan struct{} // one entry for each request that waits
	open    chan struct{}
}

func (s *Stub) gate(path string) *gate {
	g := &gate{entered: make(chan struct{}, 16), open: make(chan struct{})}
	s.Handle(path, func(w http.ResponseWriter, r *http.Request, c *Call) {
		g.entered <- struct{}{}
		select {
		case <-g.open:
			_, _ = fmt.Fprintf(w, `{"attempt":%q}`, c.Attempt)
		case <-r.Context().Done():
		}
	})
	return g
}

func (g *gate) await(t testing.TB) {
	t.Helper()
	select {
	case <-g.entered:
	case <-time.After(60 * time.Second):
		t.Fatal("nobody came to the gate")
	}
}

func raws(frames []Frame) []string {
	out := make([]string, len(frames))
	for i, f := range frames {
		out[i] = string(f.Raw)
	}
	return out
}

func types(frames []Frame) []string {
	out := make([]string, len(frames))
	for i, f := range frames {
		out[i] = f.EventType
		if f.TaskName != "" && f.TaskName != "flow" {
			out[i] += " " + f.TaskName
		}
	}
	return out
}

// What a new user tries first: whenever the socket is opened, it shows the whole run in order.
func TestFirst_SocketsBeforeDuringAndAfterSeeTheSame(t *testing.T) {
	stub := NewStub(t)
	g := stub.gate("/gate")
	s := Start(t, Options{})
	c := s.Client()
	before := s.Open(t, "Customer Support", "ticket/1", "")
	started := c.Run(t, dag("Customer Support", "ticket/1", map[string]any{"q": "why?"},
		noop("read", map[string]any{"input": "q"}), call("ask", stub.URL+"/gate", map[string]any{"q": depends("read")}), noop("answer", depends("ask"))))
	require.Equal(t, "processing", started.Status)
	g.await(t)
	during := s.Open(t, "Customer Support", "ticket/1", "")
	fromFive := s.Open(t, "Customer Support", "ticket/1", "from=5&execution_id="+started.TaskID)
	require.JSONEq(t, `{"status":"processing"}`, string(c.Must(t, http.MethodGet, "/task-status/"+started.TaskID, nil).Body))
	close(g.open)
	all := before.ToEnd(t)
	require.Equal(t, []string{
		"flow_started", "task_started read", "task_completed read",
		"task_started ask", "tool_started ask", "tool_completed ask", "task_completed ask",
		"task_started answer", "task_completed answer", "flow_completed",
	}, types(all))
	require.Equal(t, raws(all), raws(during.ToEnd(t)))
	after := s.Open(t, "Customer Support", "ticket/1", "")
	require.Equal(t, raws(all), raws(after.ToEnd(t)), "within the replay window")
	require.JSONEq(t, `{"read":"why?","ask":{"attempt":"1"},"answer":{"attempt":"1"}}`, string(all[len(all)-1].Output))

	// A cursor gives exactly the rest; all but the first frame's prev is the same bytes.
	rest := fromFive.ToEnd(t)
	require.Equal(t, raws(all[5:]), raws(rest))
	require.EqualValues(t, 4, rest[0].Prev)
	require.Equal(t, raws(all[6:]), raws(s.Open(t, "Customer Support", "ticket/1", "after=5").ToEnd(t)))

	// Not within the window of the next server: nothing old, then the next run of the name.
	s.Stop()
	s = Start(t, Options{Data: s.Data, Args: []string{"--lao-replay-window", "0s"}})
	late := s.Open(t, "Customer Support", "ticket/1", "")
	again := s.Client().Run(t, dag("Customer Support", "ticket/1", nil, noop("only", 1)))
	require.Equal(t, again.TaskID, late.ToEnd(t)[0].ExecutionID)
	require.Equal(t, raws(all), raws(s.Open(t, "Customer Support", "ticket/1", "from=0&execution_id="+started.TaskID).ToEnd(t)), "for ever with from=0")
}

// A failed pipeline says which task failed, then that the flow has, and then nothing more.
func TestFirst_FailureEndsWithFlowError(t *testing.T) {
	stub := NewStub(t)
	s := Start(t, Options{})
	socket := s.Open(t, "f", "r", "")
	body := dag("f", "r", nil, noop("good", "x"), call("bad", stub.URL+"/fail", map[string]any{"x": depends("good")}), noop("never", depends("bad")))
	first := s.Client().Run(t, body)
	all := socket.ToEnd(t)
	require.Equal(t, []string{"task_failed bad", "flow_error"}, types(all[len(all)-2:]))
	require.Equal(t, "HTTP_400", all[len(all)-1].Error.Code)
	status, _ := s.Client().End(t, first.TaskID)
	require.Equal(t, "failed", status.Status)
	require.Equal(t, "bad", status.Error.TaskName)
	// The next frame on the open socket is the next run's first: nothing came in between.
	second := s.Client().Run(t, body)
	next := socket.Next(t)
	require.Equal(t, "flow_started", next.EventType)
	require.Equal(t, second.TaskID, next.ExecutionID)
}

// SIGTERM lets what runs end and be recorded, tells sockets to come back, and leaves the rest to the
// next start.
func TestFirst_StopInOrderAndCarryOn(t *testing.T) {
	stub := NewStub(t)
	g := stub.gate("/gate")
	s := Start(t, Options{})
	socket := s.Open(t, "f", "r", "")
	started := s.Client().Run(t, dag("f", "r", nil, call("work", stub.URL+"/gate", nil), noop("after", depends("work"))))
	g.await(t)
	s.Signal(syscall.SIGTERM)
	require.Eventually(t, func() bool { return strings.Contains(s.Output(), "a second signal") }, time.Minute, 10*time.Millisecond,
		"whoever pressed Ctrl-C is told why it takes a while")
	var seen []Frame
	for f := range socket.Frames {
		if f.Offset != nil {
			seen = append(seen, f)
		}
	}
	require.Equal(t, 1012, socket.Code, "the socket: %v", socket.Err)
	close(g.open) // the effect outlives the sockets, within the budget
	require.Zero(t, s.ExitCode(20*time.Second), s.Output())

	s = Start(t, Options{Data: s.Data})
	last := seen[len(seen)-1]
	rest := s.Open(t, "f", "r", fmt.Sprintf("after=%d&execution_id=%s", *last.Offset, last.ExecutionID)).ToEnd(t)
	require.EqualValues(t, *last.Offset, rest[0].Prev)
	require.Contains(t, types(rest), "flow_completed")
	status, _ := s.Client().End(t, started.TaskID)
	require.JSONEq(t, `{"attempt":"1"}`, string(status.Results["after"]), "the call was not made again")
	require.Len(t, stub.Calls(), 1)
}

// However short the budget, each socket is told that the server restarts.
func TestFirst_ShortBudgetsCloseSocketsWith1012(t *testing.T) {
	for _, budget := range []string{"100ms", "1ms", "0s"} {
		s := Start(t, Options{Args: []string{"--drain-timeout", budget}})
		at := makeShop(t, s)
		var sockets []*Socket
		var agents []*websocket.Conn
		for range 20 {
			agent := agentSocket(t, s, at, "")
			sendAgent(t, agent, `{"type":"ping"}`)
			require.Equal(t, "pong", nextAgent(t, agent).Type)
			agents = append(agents, agent)
			socket := s.Open(t, "f", "r", "")
			require.NoError(t, socket.Send(`{"type":"ping"}`))
			require.Equal(t, "pong", (<-socket.Frames).EventType)
			sockets = append(sockets, socket)
		}
		s.Stop()
		for _, socket := range sockets {
			for range socket.Frames {
			}
			require.Equal(t, 1012, socket.Code, "budget %s: %v", budget, socket.Err)
		}
		for _, agent := range agents {
			_, _, err := agent.ReadMessage()
			require.True(t, websocket.IsCloseError(err, websocket.CloseServiceRestart), "budget %s: %v", budget, err)
		}
	}
}

// An effect that does not end within the budget is cut off and done again under the same key.
func TestFirst_StopCutsOffWhatOverstays(t *testing.T) {
	stub := NewStub(t)
	g := stub.gate("/gate")
	s := Start(t, Options{Args: []string{"--drain-timeout", "200ms"}})
	started := s.Client().Run(t, dag("f", "r", nil, call("work", stub.URL+"/gate", nil), noop("after", depends("work"))))
	g.await(t)
	s.Signal(syscall.SIGTERM)
	require.Zero(t, s.ExitCode(10*time.Second), s.Output())
	close(g.open)
	s = Start(t, Options{Data: s.Data})
	status, _ := s.Client().End(t, started.TaskID)
	require.JSONEq(t, `{"attempt":"2"}`, string(status.Results["after"]))
	calls := stub.Calls()
	require.Len(t, calls, 2)
	require.Equal(t, calls[0].Key, calls[1].Key)
	require.Equal(t, started.TaskID+"/work/0", calls[0].Key)
}

func TestFirst_HealthMetricsAndCommands(t *testing.T) {
	s := Start(t, Options{})
	c := s.Client()
	for path, want := range map[string]string{"/health/live": `"status":"ok"`, "/health/ready": `"log"`, "/metrics": "quipu_build_info"} {
		r := c.Must(t, http.MethodGet, path, nil)
		require.Equal(t, 200, r.Status, path)
		require.Contains(t, strings.ReplaceAll(string(r.Body), `": "`, `":"`), want, path)
	}
	code, out := Run(t, "version")
	require.Zero(t, code)
	require.Regexp(t, `^quipu \S+\n$`, out)

	// watch prints the frames of a run that starts later, and ends with it.
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	watch := exec.CommandContext(ctx, Binary(t), "watch", "my flow", "run 1", "--server", s.Addr())
	var lines bytes.Buffer
	watch.Stdout = &lines
	require.NoError(t, watch.Start())
	c.Run(t, dag("my flow", "run 1", nil, noop("a", 1), noop("b", depends("a"))))
	require.NoError(t, watch.Wait())
	printed := strings.Split(strings.TrimSpace(lines.String()), "\n")
	require.Equal(t, raws(s.Open(t, "my flow", "run 1", "from=0").ToEnd(t)), printed)
	for _, line := range printed {
		require.True(t, json.Valid([]byte(line)), line)
	}
	code, out = Run(t, "watch", "my flow", "run 1", "--server", "http://"+s.Addr()+"/", "--after", "1")
	require.Zero(t, code, out)
	require.Equal(t, raws(s.Open(t, "my flow", "run 1", "after=1").ToEnd(t)), strings.Split(strings.TrimSpace(out), "\n"))
	code, out = Run(t, "watch", "f", "r", "--server", "127.0.0.1:1")
	require.Equal(t, 1, code)
	require.Contains(t, out, "127.0.0.1:1")
	require.Contains(t, out, "set --server", "what to do about it")
	code, out = Run(t, "watch", "f", "r", "--addr", s.Addr(), "--from", "x") // the older name
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "query/from")
	require.NotContains(t, out, "{", "a sentence, not a body")
	code, out = Run(t, "log", "verify", "--data", s.Data+"/nowhere")
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "set --data")

	code, out = Run(t, "serve", "--addr", "nonsense", "--effects-max", "0")
	require.Equal(t, 2, code)
	require.Contains(t, out, "addr: ", "all faults at once")
	require.Contains(t, out, "--effects-max")
	code, _ = Run(t, "serve", "--no-such-flag")
	require.Equal(t, 2, code)

	s.Stop()
	code, out = Run(t, "log", "verify", "--data", s.Data)
	require.Zero(t, code, out)
	require.Contains(t, out, "0 problems")
}

// One folder, one process: a second server must not touch it, and say so.
func TestFirst_SecondServerOnTheFolderIsRefused(t *testing.T) {
	s := Start(t, Options{})
	s.Ready()
	code, out := Run(t, "serve", "--addr", "127.0.0.1:0", "--data", s.Data)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "in use by another process")
	require.Contains(t, out, "set --data")
	code, out = Run(t, "serve", "--addr", s.Addr(), "--data", DataFolder(t))
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "set --addr to a free address")
	s.Client().Run(t, dag("f", "r", nil, noop("a", 1)))
}

// A folder that cannot be written ends the start with a clear word and without a trace.
func TestFirst_ReadOnlyFolderIsRefused(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	s.Client().Run(t, dag("f", "r", nil, noop("a", 1)))
	s.Stop()
	fresh := DataFolder(t)
	for _, dir := range []string{data, fresh} {
		chmod(t, dir, 0o222, false)
		code, out := runUnprivileged(t, "serve", "--addr", "127.0.0.1:0", "--data", dir)
		require.Equal(t, 1, code, out)
		require.Regexp(t, `writable|permission denied`, out)
		require.Contains(t, out, dir)
		require.NotContains(t, out, "goroutine")
		chmod(t, dir, 0o222, true)
	}
	code, out := Run(t, "log", "verify", "--data", data)
	require.Zero(t, code, out)
	file := fresh + "/file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	code, out = Run(t, "serve", "--addr", "127.0.0.1:0", "--data", file+"/below")
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "--data")
}
