package readapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fastws "github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/eventbus"
	"quipu/infra/memory"
	"quipu/readapi"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine for the process to cache the date.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its pool cleaner looks at the stop signal every 10 s only.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// virtualClock only moves when the test says so.
type virtualClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[int]*virtualTimer
	next   int
	armed  chan struct{} // closed and replaced whenever a timer is set
}

type virtualTimer struct {
	at time.Time
	f  func()
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newVirtualClock() *virtualClock {
	return &virtualClock{now: epoch, timers: map[int]*virtualTimer{}, armed: make(chan struct{})}
}

func (c *virtualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *virtualClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.next
	c.next++
	c.timers[id] = &virtualTimer{at: c.now.Add(d), f: f}
	close(c.armed)
	c.armed = make(chan struct{})
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.timers[id]
		delete(c.timers, id)
		return ok
	}
}

// Advance moves the time and runs what is due.
func (c *virtualClock) Advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for id, t := range c.timers {
		if !t.at.After(c.now) {
			due = append(due, t.f)
			delete(c.timers, id)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// awaitTimers waits until n timers beyond those due now are set: n sockets are at rest.
func (c *virtualClock) awaitTimers(t testing.TB, n int) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		c.mu.Lock()
		have, armed := len(c.timers), c.armed
		c.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-armed:
		case <-deadline:
			require.FailNow(t, "sockets did not come to rest", "%d timers, want %d", have, n)
		}
	}
}

// world is a log, a hub and a server with live sockets on 127.0.0.1.
type world struct {
	t     testing.TB
	log   *memory.Log
	hub   *eventbus.Hub
	clock *virtualClock
	live  *readapi.Sockets
	addr  string
	heads map[domain.StreamID]wire.Head
}

type worldOption func(*depsT, *optionsT)

type source struct {
	next  func(context.Context) ([]domain.Recorded, domain.Position, bool, error)
	close func() error
}

func (s source) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	return s.next(ctx)
}
func (s source) Close() error { return s.close() }

type plainPayloads struct{}

func (plainPayloads) Render(_ context.Context, _ string, v domain.Value, _ int) ([]byte, error) {
	return v.Fill(func(h domain.Hole) ([]byte, error) { return []byte(`"***` + h.FP + `"`), nil })
}

func newWorld(t testing.TB, opts ...worldOption) *world {
	log := memory.NewLog(memory.WithID("log-1"))
	clock := newVirtualClock()
	open := func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		sub, err := log.Subscribe(ctx, after, prefix)
		if err != nil {
			return nil, err
		}
		return source{func(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
			b, err := sub.Next(ctx)
			return b.Events, b.Position, b.CaughtUp, err
		}, sub.Close}, nil
	}
	connected := make(chan struct{}, 10)
	hub := eventbus.New(log, open, clock, eventbus.Options{Hooks: eventbus.Hooks{Connected: func(domain.Position) { connected <- struct{}{} }}})
	deps := readapi.Deps{
		Log: log, Clock: clock, Payloads: plainPayloads{},
		Readers: func(s domain.StreamID, from domain.Revision, notify func()) readapi.Reader {
			return hub.Reader(s, from, notify)
		},
	}
	options := optionsT{Options: readapi.Options{Random: func() float64 { return 0 }}, SocketOptions: readapi.SocketOptions{
		Hooks: readapi.Hooks{
			Failed:   func(err error) { t.Log("log failed:", err) },
			Panicked: func(v any, stack []byte) { t.Errorf("panic: %v\n%s", v, stack) },
		},
	}}
	options.SocketOptions.Random = func() float64 { return 0 }
	for _, o := range opts {
		o(&deps, &options)
	}
	deps.Sockets = readapi.NewSockets(clock, options.SocketOptions)
	w := &world{t: t, log: log, hub: hub, clock: clock, live: deps.Sockets, heads: map[domain.StreamID]wire.Head{}}

	ctx, cancel := context.WithCancel(context.Background())
	hubDone := make(chan error, 1)
	go func() { hubDone <- hub.Run(ctx) }()
	<-connected

	app := fiber.New(fiber.Config{DisableStartupMessage: true, CaseSensitive: true, ErrorHandler: readapi.ErrorHandler})
	app.Get("/ws/workflows/:id", func(c *fiber.Ctx) error { return c.SendString("workflows") })
	readapi.NewLive(deps, options.Options).Register(app)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.addr = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	t.Cleanup(func() {
		stop, stopCancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer stopCancel()
		done := make(chan error, 1)
		go func() { done <- w.live.Shutdown(stop) }()
		for {
			select {
			case err := <-done:
				require.NoError(t, err)
			case <-time.After(time.Millisecond):
				clock.Advance(time.Second)
				continue
			}
			break
		}
		require.NoError(t, app.ShutdownWithTimeout(60*time.Second))
		require.NoError(t, <-served)
		cancel()
		require.NoError(t, <-hubDone)
	})
	return w
}

func (w *world) append(stream domain.StreamID, typ string, data []byte) domain.Recorded {
	w.t.Helper()
	head, ok := w.heads[stream]
	if !ok {
		head = wire.NewHead()
	}
	p, next := wire.Seal(stream, head, head.Instant(w.clock.Now()), wire.Cause{Actor: wire.Actor{Kind: "system"}, CommandID: "c"}, typ, data)
	_, err := w.log.Append(context.Background(), stream, head.Revision, []domain.Pending{p})
	require.NoError(w.t, err)
	w.heads[stream] = next
	return domain.Recorded{Stream: stream, Revision: next.Revision, ID: p.ID, Type: typ, Metadata: p.Metadata, Data: p.Data}
}

func (w *world) event(id string, e run.Event) domain.Recorded {
	w.t.Helper()
	typ, data := wire.EncodeRun(e)
	return w.append(domain.StreamID("run-"+id), typ, data)
}

// bind names a run, as run-dag does before the run's first event.
func (w *world) bind(flow, runName, id string) {
	w.t.Helper()
	typ, data := wire.EncodeNameBound(name.Bound{FlowName: flow, RunName: runName, ExecutionID: id})
	w.append(name.Stream(flow, runName), typ, data)
}

func (w *world) started(id string) {
	w.t.Helper()
	w.event(id, run.Started{RunID: id, Source: "lao", FlowName: "flow", RunName: "run", Definition: domain.Raw([]byte(`{}`)), Input: domain.Raw([]byte(`{}`))})
}

func (w *world) taskStarted(id, task string) {
	w.t.Helper()
	w.event(id, run.TaskStarted{Task: task, TaskID: id + "/" + task, Node: "n", Function: "noop", Input: domain.Raw([]byte(`{"x":1}`))})
}

func (w *world) taskCompleted(id, task string) domain.Revision {
	w.t.Helper()
	return w.event(id, run.TaskCompleted{Task: task, TaskID: id + "/" + task, Attempt: 1, StartedAt: w.clock.Now(), Output: domain.Raw([]byte(`{"y":"` + task + `"}`))}).Revision
}

// completed ends a run that had the tasks given.
func (w *world) completed(id string, results map[string]domain.Revision) {
	w.t.Helper()
	b, err := json.Marshal(results)
	require.NoError(w.t, err)
	w.event(id, run.Completed{StartedAt: w.clock.Now(), Results: domain.Raw(b)})
}

// whole runs a run of one task from start to end; it has 4 events.
func (w *world) whole(id string) {
	w.t.Helper()
	w.started(id)
	w.taskStarted(id, "a")
	r := w.taskCompleted(id, "a")
	w.completed(id, map[string]domain.Revision{"a": r})
}

type frame map[string]any

func (f frame) kind() string { s, _ := f["event_type"].(string); return s }

// brief is "event_type offset<prev".
func (f frame) brief() string { return fmt.Sprintf("%s %v<%v", f.kind(), f["offset"], f["prev"]) }

// client is one socket of a test.
type client struct {
	t    testing.TB
	conn *fastws.Conn
}

func (w *world) url(path string) string { return "ws://" + w.addr + path }

func (w *world) dial(path string) *client {
	w.t.Helper()
	return w.dialWith(path, nil)
}

func (w *world) dialWith(path string, header http.Header) *client {
	w.t.Helper()
	conn, resp, err := fastws.DefaultDialer.Dial(w.url(path), header)
	require.NoError(w.t, err, "dial %s: %v", path, resp)
	c := &client{t: w.t, conn: conn}
	w.t.Cleanup(func() { _ = conn.Close() })
	return c
}

// next reads one frame; every one must be a JSON object (S0-7).
func (c *client) next() frame {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(60*time.Second)))
	kind, b, err := c.conn.ReadMessage()
	require.NoError(c.t, err)
	require.Equal(c.t, fastws.TextMessage, kind)
	var f frame
	require.NoError(c.t, json.Unmarshal(b, &f), string(b))
	return f
}

// briefs reads n frames.
func (c *client) briefs(n int) []string {
	c.t.Helper()
	var out []string
	for range n {
		out = append(out, c.next().brief())
	}
	return out
}

// closed reads on until the connection is closed and returns the code and reason.
func (c *client) closed() (int, string) {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(60*time.Second)))
	for {
		_, _, err := c.conn.ReadMessage()
		if err == nil {
			continue
		}
		var e *fastws.CloseError
		require.ErrorAs(c.t, err, &e)
		return e.Code, e.Text
	}
}

func (c *client) send(text string) {
	c.t.Helper()
	require.NoError(c.t, c.conn.WriteMessage(fastws.TextMessage, []byte(text)))
}

// ping sends LAO's ping and expects the pong next: nothing else was waiting.
func (c *client) ping() {
	c.t.Helper()
	c.send(`{"type":"ping"}`)
	require.Equal(c.t, "pong", c.next().kind())
}

// pingAnd pings, so that the socket looks at the clock, and returns the one other frame that comes.
func (c *client) pingAnd(kind string) frame {
	c.t.Helper()
	c.send(`{"type":"ping"}`)
	a, b := c.next(), c.next()
	if a.kind() == kind {
		a, b = b, a
	}
	require.Equal(c.t, "pong", a.kind())
	require.Equal(c.t, kind, b.kind())
	return b
}

// refused dials and expects a JSON answer with status instead of a handshake.
func (w *world) refused(path string, header http.Header, status int) map[string]any {
	w.t.Helper()
	_, resp, err := fastws.DefaultDialer.Dial(w.url(path), header)
	require.ErrorIs(w.t, err, fastws.ErrBadHandshake)
	require.Equal(w.t, status, resp.StatusCode, path)
	require.Equal(w.t, "application/json", resp.Header.Get("Content-Type"))
	var body map[string]any
	b := make([]byte, 4096)
	n, _ := resp.Body.Read(b)
	require.NoError(w.t, json.Unmarshal(b[:n], &body), string(b[:n]))
	if status == 429 || status == 503 {
		_, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		require.NoError(w.t, err)
	}
	return body
}

type (
	depsT   = readapi.Deps
	readerT = readapi.Reader
)

// optionsT are all options of a LAO socket in one.
type optionsT struct {
	readapi.SocketOptions
	readapi.Options
}

// flakyLog fails while it is down.
type flakyLog struct {
	readapi.Log
	down atomic.Bool
}

func (l *flakyLog) ReadStreamBackward(ctx context.Context, s domain.StreamID, from domain.Revision, n int) ([]domain.Recorded, error) {
	if l.down.Load() {
		return nil, domain.E(domain.KindUnavailable, "read", string(s), "down")
	}
	return l.Log.ReadStreamBackward(ctx, s, from, n)
}
