package feeds_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fastws "github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/eventbus"
	"quipu/infra/clock/clocktest"
	"quipu/infra/memory"
	"quipu/readapi"
	"quipu/readapi/feeds"
	"quipu/readapi/orchestrator"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine for the process to cache the date.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its pool cleaner looks at the stop signal every 10 s only.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a log, a hub and a server of feeds on 127.0.0.1.
type world struct {
	t       testing.TB
	log     *flakyLog
	hub     *eventbus.Hub
	clock   *clocktest.Virtual
	sockets *readapi.Sockets
	addr    string
	failed  chan error
	closed  chan int

	mu    sync.Mutex // of what is written
	heads map[domain.StreamID]wire.Head
	owner map[domain.StreamID]string
	all   []written
}

// written is an event as a client has to see it.
type written struct {
	workflow, execution, position string
}

// flakyLog fails while it is down.
type flakyLog struct {
	*memory.Log
	down atomic.Bool
}

var errDown = domain.E(domain.KindUnavailable, "read", "log", "down")

func (l *flakyLog) ReadAll(ctx context.Context, after domain.Position, n int) ([]domain.Recorded, error) {
	if l.down.Load() {
		return nil, errDown
	}
	return l.Log.ReadAll(ctx, after, n)
}

func (l *flakyLog) ReadStream(ctx context.Context, s domain.StreamID, from domain.Revision, n int) ([]domain.Recorded, error) {
	if l.down.Load() {
		return nil, errDown
	}
	return l.Log.ReadStream(ctx, s, from, n)
}

type plainPayloads struct{}

func (plainPayloads) Render(_ context.Context, _ string, v domain.Value, _ int) ([]byte, error) {
	return v.Fill(func(h domain.Hole) ([]byte, error) { return []byte(`"***` + h.FP + `"`), nil })
}

func newWorld(t testing.TB, opts ...func(*readapi.SocketOptions, *feeds.Options)) *world {
	w := &world{
		t: t, log: &flakyLog{Log: memory.NewLog(memory.WithID("log-1"))}, clock: clocktest.New(epoch, 1),
		failed: make(chan error, 100), closed: make(chan int, 1000),
		heads: map[domain.StreamID]wire.Head{}, owner: map[domain.StreamID]string{},
	}
	open := func(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
		sub, err := w.log.Subscribe(ctx, after, prefix)
		if err != nil {
			return nil, err
		}
		return subscription{func(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
			b, err := sub.Next(ctx)
			return b.Events, b.Position, b.CaughtUp, err
		}, sub.Close}, nil
	}
	connected := make(chan struct{}, 10)
	w.hub = eventbus.New(w.log, open, w.clock, eventbus.Options{Hooks: eventbus.Hooks{Connected: func(domain.Position) { connected <- struct{}{} }}})
	socketOptions := readapi.SocketOptions{
		Random: func() float64 { return 0 },
		Hooks: readapi.Hooks{
			Failed:   func(err error) { w.failed <- err },
			Closed:   func(_ string, code int) { w.closed <- code },
			Panicked: func(v any, stack []byte) { t.Errorf("panic: %v\n%s", v, stack) },
		},
	}
	options := feeds.Options{}
	for _, o := range opts {
		o(&socketOptions, &options)
	}
	w.sockets = readapi.NewSockets(w.clock, socketOptions)
	readers := func(s domain.StreamID, from domain.Revision, notify func()) readapi.Reader {
		return w.hub.Reader(s, from, notify)
	}
	served := feeds.New(feeds.Deps{
		Sockets: w.sockets, Log: w.log, Readers: readers, Payloads: plainPayloads{},
		Feeds: func(id string, after domain.Position, notify func()) feeds.Feed { return w.hub.Feed(id, after, notify) },
		NodeTypes: func(_ context.Context, executionID, node string) string {
			return "type of " + node
		},
	}, options)

	ctx, cancel := context.WithCancel(context.Background())
	hubDone := make(chan error, 1)
	go func() { hubDone <- w.hub.Run(ctx) }()
	<-connected

	app := fiber.New(fiber.Config{DisableStartupMessage: true, CaseSensitive: true, ErrorHandler: readapi.ErrorHandler})
	served.Register(app)
	readapi.NewLive(readapi.Deps{Sockets: w.sockets, Log: w.log, Readers: readers, Clock: w.clock, Payloads: plainPayloads{}}, readapi.Options{}).Register(app)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.addr = listener.Addr().String()
	done := make(chan error, 1)
	go func() { done <- app.Listener(listener) }()
	t.Cleanup(func() {
		w.shutdown()
		require.NoError(t, app.ShutdownWithTimeout(60*time.Second))
		require.NoError(t, <-done)
		cancel()
		require.NoError(t, <-hubDone)
	})
	return w
}

// shutdown ends the sockets; time passes meanwhile.
func (w *world) shutdown() {
	stop, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.sockets.Shutdown(stop) }()
	for {
		select {
		case err := <-done:
			require.NoError(w.t, err)
			return
		case <-time.After(time.Millisecond):
			w.clock.Advance(time.Second)
		}
	}
}

type subscription struct {
	next  func(context.Context) ([]domain.Recorded, domain.Position, bool, error)
	close func() error
}

func (s subscription) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	return s.next(ctx)
}
func (s subscription) Close() error { return s.close() }

// append writes one event and returns its position. Safe for concurrent use.
func (w *world) append(stream domain.StreamID, typ string, data []byte) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	head, ok := w.heads[stream]
	if !ok {
		head = wire.NewHead()
	}
	p, next := wire.Seal(stream, head, head.Instant(w.clock.Now()), wire.Cause{Actor: wire.Actor{Kind: "system"}, CommandID: "c"}, typ, data)
	_, err := w.log.Append(context.Background(), stream, head.Revision, []domain.Pending{p})
	require.NoError(w.t, err)
	w.heads[stream] = next
	position := domain.Position(len(w.all) + 1).Cursor("log-1")
	w.all = append(w.all, written{w.owner[stream], string(stream), position})
	return position
}

func (w *world) event(id string, e run.Event) string {
	typ, data := wire.EncodeRun(e)
	return w.append(domain.StreamID("run-"+id), typ, data)
}

func (w *world) started(id, workflowID string) string {
	w.mu.Lock()
	w.owner[domain.StreamID("run-"+id)] = workflowID
	w.mu.Unlock()
	return w.event(id, run.Started{RunID: id, Source: "api", WorkflowID: workflowID, Definition: domain.Raw([]byte(`{}`)), Input: domain.Raw([]byte(`{"q":1}`))})
}

func (w *world) task(id, task string) string {
	return w.event(id, run.TaskStarted{Task: task, TaskID: id + "/" + task, Node: "n", Function: "timer", Input: domain.Raw([]byte(`{}`))})
}

func (w *world) taskCompleted(id, task string) string {
	return w.event(id, run.TaskCompleted{Task: task, TaskID: id + "/" + task, Attempt: 1, StartedAt: w.clock.Now(), Output: domain.Raw([]byte(`{"y":1}`))})
}

func (w *world) skipped(id string) string {
	return w.event(id, run.TaskSkipped{Task: "t", Reason: "r"})
}

func (w *world) completed(id string) string {
	return w.event(id, run.Completed{StartedAt: w.clock.Now(), Results: domain.Raw([]byte(`{}`))})
}

// stored makes a workflow's stream, as POST /api/workflows does.
func (w *world) stored(id string) string {
	stream := domain.StreamID("workflow-" + id)
	w.mu.Lock()
	w.owner[stream] = id
	w.mu.Unlock()
	return w.append(stream, wire.WorkflowDeleted, []byte(`{"workflow_id":"`+id+`"}`))
}

// want is the positions of a workflow's events after a position.
func (w *world) want(workflowID, after string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, e := range w.all {
		if e.workflow == workflowID && e.position > after {
			out = append(out, e.position)
		}
	}
	return out
}

type frame map[string]any

func (f frame) data() map[string]any { d, _ := f["data"].(map[string]any); return d }

func (f frame) brief() string { return fmt.Sprintf("%v %v", f["event_type"], f.data()["execution_id"]) }

type client struct {
	t    testing.TB
	conn *fastws.Conn
}

func (w *world) dial(path string) *client {
	w.t.Helper()
	conn, resp, err := fastws.DefaultDialer.Dial("ws://"+w.addr+path, nil)
	require.NoError(w.t, err, "dial %s: %v", path, resp)
	w.t.Cleanup(func() { _ = conn.Close() })
	return &client{w.t, conn}
}

func (c *client) next() frame {
	c.t.Helper()
	f, err := c.read()
	require.NoError(c.t, err)
	return f
}

func (c *client) read() (frame, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return nil, err
	}
	kind, b, err := c.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	if kind != fastws.TextMessage {
		return nil, errors.New("not a text frame")
	}
	var f frame
	return f, json.Unmarshal(b, &f)
}

func (c *client) briefs(n int) []string {
	c.t.Helper()
	var out []string
	for range n {
		out = append(out, c.next().brief())
	}
	return out
}

func (c *client) closed() int {
	c.t.Helper()
	for {
		_, err := c.read()
		var e *fastws.CloseError
		if errors.As(err, &e) {
			return e.Code
		}
		require.NoError(c.t, err)
	}
}

// settled pings and waits for the pong: whatever there was to send has been sent before it.
func (c *client) settled() {
	c.t.Helper()
	pong := make(chan struct{}, 1)
	c.conn.SetPongHandler(func(string) error { pong <- struct{}{}; return errPong })
	require.NoError(c.t, c.conn.WriteControl(fastws.PingMessage, []byte("p"), time.Now().Add(5*time.Second)))
	_, err := c.read()
	require.ErrorIs(c.t, err, errPong, "a frame came that was not expected")
	<-pong
}

var errPong = errors.New("pong") // ends a read; the library keeps it for good, so the client is spent

// refused dials and expects a JSON answer with status instead of a handshake.
func (w *world) refused(path string, status int) map[string]any {
	w.t.Helper()
	_, resp, err := fastws.DefaultDialer.Dial("ws://"+w.addr+path, http.Header{})
	require.ErrorIs(w.t, err, fastws.ErrBadHandshake)
	require.Equal(w.t, status, resp.StatusCode, path)
	var body map[string]any
	b := make([]byte, 8192)
	n, _ := resp.Body.Read(b)
	require.NoError(w.t, json.Unmarshal(b[:n], &body), string(b[:n]))
	return body
}

var _ orchestrator.Payloads = plainPayloads{}
