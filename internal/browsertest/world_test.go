package browsertest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

// world is a server, the world outside it, and a site for the pages.
type world struct {
	t      *testing.T
	site   *Site
	stub   *proctest.Stub
	server *proctest.Server
	addr   string
	args   []string
}

// newWorld starts a server that lets the site's pages in, on an address that it keeps over restarts.
func newWorld(t *testing.T, args ...string) *world {
	t.Helper()
	w := &world{t: t, site: NewSite(t), stub: proctest.NewStub(t), addr: freeAddr(t)}
	// The window is long: on a machine under load a page may take half a minute to open.
	w.args = append([]string{"--lao-replay-window", "5m", "--addr", w.addr, "--cors-origins", w.site.Origin + "," + w.site.Foreign}, args...)
	w.server = proctest.Start(t, proctest.Options{Args: w.args})
	w.server.Ready()
	return w
}

// ports are given out below those that systems choose for port 0 and for outgoing connections: the port
// must still be free when the server comes back to it.
var ports atomic.Int32

const portFirst, portSpan = 20_000, 10_000

func freeAddr(t *testing.T) string {
	t.Helper()
	for range portSpan {
		n := (int32(os.Getpid())*97 + ports.Add(1)) % portSpan // test binaries beside us begin elsewhere
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", portFirst+n))
		if err == nil {
			require.NoError(t, l.Close())
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// restart starts the server again over the same data, once it has ended.
func (w *world) restart() {
	w.t.Helper()
	<-w.server.Exited()
	w.server = proctest.Start(w.t, proctest.Options{Data: w.server.Data, Args: w.args})
	w.server.Ready()
}

// params are those of a client of a run.
func (w *world) params(client, flow, run string) Params {
	return Params{"client": client, "server": "ws://" + w.addr, "api": "http://" + w.addr, "flow": flow, "run": run}
}

// task is one of a DAG's.
type task = map[string]any

func dag(flow, run string, tasks ...task) map[string]any {
	return map[string]any{"flow_name": flow, "run_name": run, "tasks": tasks, "edges": []any{}, "default_inputs": map[string]any{}}
}

// ask is a task that posts to the stub; it waits for the tasks it depends on.
func (w *world) ask(name, path string, after ...string) task {
	params := map[string]any{"config": map[string]any{"url": w.stub.URL + path, "method": "POST"}}
	for _, a := range after {
		params["from_"+a] = map[string]any{"depends": a}
	}
	return task{"name": name, "function": "api_call", "params": params}
}

// run starts a run and returns its id.
func (w *world) run(body map[string]any) string {
	w.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(w.t, err)
	return w.server.Client().Run(w.t, raw).TaskID
}

// small is a run of two tasks that ends at once.
func (w *world) small(flow, run string) map[string]any {
	return dag(flow, run, w.ask("read", "/ok"), w.ask("answer", "/ok", "read"))
}

// smallRun is what a LAO socket shows of it.
var smallRun = []string{
	"flow_started", "task_started read", "tool_started read", "tool_completed read", "task_completed read",
	"task_started answer", "tool_started answer", "tool_completed answer", "task_completed answer", "flow_completed",
}

// gate is a route of the stub that answers only once it is opened.
type gate struct {
	entered chan string // the idempotency key of each request that came
	open    chan struct{}
}

func (w *world) gate(path string) *gate {
	g := &gate{entered: make(chan string, 64), open: make(chan struct{})}
	w.stub.Handle(path, func(rw http.ResponseWriter, r *http.Request, c *proctest.Call) {
		g.entered <- c.Key
		select {
		case <-g.open:
			_, _ = fmt.Fprint(rw, `{"passed":true}`)
		case <-r.Context().Done():
		}
	})
	return g
}

// await waits until a request has come, and returns its key.
func (g *gate) await(t *testing.T) string {
	t.Helper()
	select {
	case key := <-g.entered:
		return key
	case <-time.After(waitLimit):
		t.Fatal("nobody came to the gate")
		return ""
	}
}

// events are the frames that are events, as "type task".
func events(frames []Event) []string {
	out := []string{}
	for _, f := range frames {
		if f.Offset == nil {
			continue
		}
		one := f.EventType
		if f.TaskName != "" && f.TaskName != "flow" {
			one += " " + f.TaskName
		}
		out = append(out, one)
	}
	return out
}

// noExceptions: nothing in a client went wrong that it does not expect.
func noExceptions(t *testing.T, all ...*Reports) {
	t.Helper()
	for _, r := range all {
		require.Empty(t, r.Of("exception", 0))
	}
}

// completesOnce waits until a sample client has come back after its own close and was shown nothing,
// in one load of its page: its hook was called once and, while nothing new starts, never will be again.
func completesOnce(t *testing.T, r *Reports, load int) {
	t.Helper()
	first := r.Await(t, "complete", load, 1)[0].Socket
	require.Equal(t, smallRun, events(r.Frames(load, first)), "what led to the hook")
	last := first
	for ; ; last++ {
		closed, opened := r.at(t, "close", load, last), r.at(t, "open", load, last+1)
		if opened-closed < 4500 {
			break
		}
		// The browser stood still for so long that nobody can tell the class's return from a visit; it is
		// shown the run again, and comes back once more.
		t.Logf("the client came back only after %.0f ms", opened-closed)
	}
	r.AwaitThat(t, "the client is told something", func() bool { return len(r.Frames(load, last+1)) > 0 })
	back := r.Frames(load, last+1)
	require.Equal(t, "keepalive", back[0].EventType, "what the client is shown when it comes back")
	require.Equal(t, "completed", back[0].Status)
	require.Len(t, r.Of("complete", load), last-first+1)
	noExceptions(t, r)
}

// at is when a thing happened to one of the client's sockets, once it has.
func (r *Reports) at(t *testing.T, kind string, load, socket int) (ms float64) {
	t.Helper()
	r.AwaitThat(t, fmt.Sprintf("%s of socket %d", kind, socket), func() bool {
		for _, one := range r.Of(kind, load) {
			if one.Socket == socket {
				ms = one.AtMS
				return true
			}
		}
		return false
	})
	return ms
}

// hostOf is host:port of an origin.
func hostOf(t *testing.T, origin string) string {
	t.Helper()
	u, err := url.Parse(origin)
	require.NoError(t, err)
	return u.Host
}
