package agnt5_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
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

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/eventbus"
	"quipu/infra/clock/clocktest"
	"quipu/infra/memory"
	"quipu/readapi"
	"quipu/readapi/agnt5"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine for the process to cache the date.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its pool cleaner looks at the stop signal every 10 s only.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// world is a log, a hub and a server with AGNT5 sockets on 127.0.0.1. Its executions are those that a
// test writes: begun by a message, they go on as the test says.
type world struct {
	t         testing.TB
	log       *memory.Log
	hub       *eventbus.Hub
	clock     *clocktest.Virtual
	endpoints *commands.Endpoints
	sockets   *readapi.Sockets
	agnt5     *agnt5.Sockets
	addr      string
	endpoint  commands.NewEndpoint

	mu      sync.Mutex
	heads   map[domain.StreamID]wire.Head
	started []agnt5.StartRequest
	ids     int
	byKey   map[string]string
	refuse  error         // what Start answers
	hold    chan struct{} // Start waits for it if it is not nil
	begun   chan string   // ids, as they begin
	calls   atomic.Int32  // of Start

	// wrap stands between the sockets and the feed's readers if it is not nil.
	wrap func(s domain.StreamID, r readapi.Reader, notify func()) readapi.Reader
}

type option func(*agnt5.Options)

func newWorld(t testing.TB, options ...option) *world {
	w := &world{
		t: t, log: memory.NewLog(memory.WithID("log-1")), clock: clocktest.New(at(0), 1),
		heads: map[domain.StreamID]wire.Head{}, byKey: map[string]string{}, begun: make(chan string, 10_000),
	}
	w.endpoints = commands.NewEndpoints(commands.EndpointDeps{Log: w.log, Clock: w.clock, IDs: w.clock, Secret: func(b []byte) {
		sum := sha256.Sum256([]byte(w.clock.NewID()))
		copy(b, sum[:])
	}})
	var err error
	w.endpoint, err = w.endpoints.Create(context.Background(), "coffee-shop", commands.By{})
	require.NoError(t, err)

	connected := make(chan struct{}, 10)
	hub := eventbus.New(w.log, w.subscribe, w.clock, eventbus.Options{Hooks: eventbus.Hooks{Connected: func(domain.Position) { connected <- struct{}{} }}})
	w.hub = hub
	ctx, cancel := context.WithCancel(context.Background())
	hubDone := make(chan error, 1)
	go func() { hubDone <- hub.Run(ctx) }()
	<-connected

	w.sockets = readapi.NewSockets(w.clock, readapi.SocketOptions{
		Random: func() float64 { return 0 },
		Hooks: readapi.Hooks{
			Failed:   func(err error) { t.Log("log failed:", err) },
			Panicked: func(v any, stack []byte) { t.Errorf("panic: %v\n%s", v, stack) },
		},
	})
	var opts agnt5.Options
	for _, o := range options {
		o(&opts)
	}
	w.agnt5 = agnt5.New(agnt5.Deps{
		Log: w.log, Clock: w.clock, Payloads: masks{}, Endpoints: w.endpoints, Executions: w,
		Readers: func(s domain.StreamID, from domain.Revision, notify func()) readapi.Reader {
			if w.wrap != nil {
				return w.wrap(s, hub.Reader(s, from, notify), notify)
			}
			return hub.Reader(s, from, notify)
		},
	}, opts)
	app := fiber.New(fiber.Config{DisableStartupMessage: true, CaseSensitive: true, ErrorHandler: readapi.ErrorHandler})
	w.agnt5.Register(app, w.sockets)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.addr = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	t.Cleanup(func() {
		stop, stopCancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer stopCancel()
		done := make(chan error, 1)
		go func() { done <- w.sockets.Shutdown(stop) }()
		for {
			select {
			case err := <-done:
				require.NoError(t, err)
			case <-time.After(time.Millisecond):
				w.clock.Advance(time.Second)
				continue
			}
			break
		}
		require.NoError(t, w.agnt5.Drain(stop))
		require.NoError(t, app.ShutdownWithTimeout(60*time.Second))
		require.NoError(t, <-served)
		cancel()
		require.NoError(t, <-hubDone)
	})
	return w
}

type source struct{ commands.Subscription }

func (s source) Next(ctx context.Context) ([]domain.Recorded, domain.Position, bool, error) {
	b, err := s.Subscription.Next(ctx)
	return b.Events, b.Position, b.CaughtUp, err
}

func (w *world) subscribe(ctx context.Context, after domain.Position, prefix string) (eventbus.Source, error) {
	sub, err := w.log.Subscribe(ctx, after, prefix)
	if err != nil {
		return nil, err
	}
	return source{sub}, nil
}

// Start implements agnt5.Executions.
func (w *world) Start(_ context.Context, q agnt5.StartRequest) (string, error) {
	w.calls.Add(1)
	w.mu.Lock()
	hold, refuse := w.hold, w.refuse
	w.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if refuse != nil {
		return "", refuse
	}
	w.mu.Lock()
	w.started = append(w.started, q)
	if id := w.byKey[q.IdempotencyKey]; q.IdempotencyKey != "" && id != "" {
		w.mu.Unlock()
		return id, nil
	}
	w.ids++
	id := fmt.Sprintf("r%d", w.ids)
	w.byKey[q.IdempotencyKey] = id
	w.mu.Unlock()
	started := run.Started{
		RunID: id, Source: "agnt5", FlowName: q.Name, Endpoint: q.Endpoint.Slug, ConnectionID: q.ConnectionID,
		Definition: raw(`{}`), Input: domain.Raw(q.Parameters),
	}
	if q.Metadata != nil {
		started.Metadata = domain.Raw(q.Metadata)
	}
	w.append(id, agnt5.Actor(q.Endpoint.ID), started)
	w.begun <- id
	return id, nil
}

// Cancel implements agnt5.Executions.
func (w *world) Cancel(_ context.Context, _ endpoint.Created, id, reason string) error {
	if w.ended(id) {
		return domain.E(domain.KindRefused, "cancel", id, "has ended").WithCode("RUN_ENDED")
	}
	w.event(id, run.Cancelled{StartedAt: at(0), Reason: reason, Results: raw(`{}`)})
	return nil
}

func (w *world) ended(id string) bool {
	page, err := w.log.ReadStreamBackward(context.Background(), domain.StreamID("run-"+id), 1<<60, 1)
	require.NoError(w.t, err)
	return wire.EndsRun(page[0].Type)
}

// Unfinished implements agnt5.Executions.
func (w *world) Unfinished(_ context.Context, _ endpoint.Created, connectionID string, max int) (ids []string, more bool, err error) {
	w.mu.Lock()
	requests := append([]agnt5.StartRequest(nil), w.started...)
	w.mu.Unlock()
	for i, q := range requests {
		if id := fmt.Sprintf("r%d", i+1); q.ConnectionID == connectionID && !w.ended(id) {
			ids = append(ids, id)
		}
	}
	if len(ids) > max {
		return ids[:max], true, nil
	}
	return ids, false, nil
}

func (w *world) append(id string, actor wire.Actor, e run.Event) domain.Revision {
	w.mu.Lock()
	defer w.mu.Unlock()
	stream := domain.StreamID("run-" + id)
	head, ok := w.heads[stream]
	if !ok {
		head = wire.NewHead()
	}
	typ, data := wire.EncodeRun(e)
	p, next := wire.Seal(stream, head, head.Instant(w.clock.Now()), wire.Cause{Actor: actor, CommandID: "c"}, typ, data)
	_, err := w.log.Append(context.Background(), stream, head.Revision, []domain.Pending{p})
	require.NoError(w.t, err)
	w.heads[stream] = next
	return next.Revision
}

func (w *world) event(id string, e run.Event) domain.Revision {
	return w.append(id, wire.Actor{Kind: wire.ActorSystem}, e)
}

// rest ends an execution with one task: 3 more events, 4 frames.
func (w *world) rest(id string) {
	w.event(id, run.TaskStarted{Task: "a", TaskID: id + "/a", Node: "n", Function: "noop", Input: raw(`{}`)})
	r := w.event(id, run.TaskCompleted{Task: "a", TaskID: id + "/a", Attempt: 1, StartedAt: at(0), Output: raw(`1`)})
	w.event(id, run.Completed{StartedAt: at(0), Results: raw(fmt.Sprintf(`{"a":%d}`, r))})
}

// next is the id of the next execution that begins.
func (w *world) next() string {
	w.t.Helper()
	select {
	case id := <-w.begun:
		return id
	case <-time.After(60 * time.Second):
		require.FailNow(w.t, "no execution began")
		return ""
	}
}

func (w *world) url(query string) string {
	return "ws://" + w.addr + "/ws?x-wf-endpoint=" + w.endpoint.ID + query
}

// client is one socket of a test.
type client struct {
	t    testing.TB
	conn *fastws.Conn
}

// dial connects as the published sample does: the key as the only subprotocol.
func (w *world) dial(query string) *client {
	w.t.Helper()
	protocol := "x-api-key." + w.endpoint.Key
	dialer := fastws.Dialer{Subprotocols: []string{protocol}}
	conn, resp, err := dialer.Dial(w.url(query), nil)
	require.NoError(w.t, err, "%v", resp)
	require.Equal(w.t, protocol, conn.Subprotocol())
	w.t.Cleanup(func() { _ = conn.Close() })
	return &client{t: w.t, conn: conn}
}

// refused dials and expects a JSON answer with status instead of a handshake.
func (w *world) refused(url, key string, status int) string {
	w.t.Helper()
	header := http.Header{}
	if key != "" {
		header.Set("x-api-key", key)
	}
	_, resp, err := fastws.DefaultDialer.Dial(url, header)
	require.ErrorIs(w.t, err, fastws.ErrBadHandshake)
	require.Equal(w.t, status, resp.StatusCode, url)
	require.Equal(w.t, "application/json", resp.Header.Get("Content-Type"))
	b := make([]byte, 4096)
	n, _ := resp.Body.Read(b)
	var body struct {
		Status string
		Error  struct{ Code string }
	}
	require.NoError(w.t, json.Unmarshal(b[:n], &body), string(b[:n]))
	require.Equal(w.t, "error", body.Status)
	return body.Error.Code
}

func (c *client) send(text string) {
	c.t.Helper()
	require.NoError(c.t, c.conn.WriteMessage(fastws.TextMessage, []byte(text)))
}

// next reads one frame: one JSON object (S1-23).
func (c *client) next() frame {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(60*time.Second)))
	kind, b, err := c.conn.ReadMessage()
	require.NoError(c.t, err)
	require.Equal(c.t, fastws.TextMessage, kind)
	return read(c.t, string(b))
}

// brief is "type execution offset<prev".
func (f frame) brief() string {
	if f.Data.Offset == nil {
		return f.Type
	}
	return fmt.Sprintf("%s %s %d<%d", f.Type, f.Data.ExecutionID, *f.Data.Offset, *f.Data.Prev)
}

func (c *client) briefs(n int) (out []string) {
	c.t.Helper()
	for range n {
		out = append(out, c.next().brief())
	}
	return out
}

// refusal reads an error frame and gives its code and the fields it names.
func (c *client) refusal() (code string, details map[string]any) {
	c.t.Helper()
	f := c.next()
	require.Equal(c.t, "error", f.Type)
	require.Empty(c.t, f.Data.ExecutionID)
	require.Nil(c.t, f.Data.Offset)
	require.NotEmpty(c.t, f.Data.Timestamp)
	require.NotEmpty(c.t, f.Data.Details["message"])
	return f.Data.Details["code"].(string), f.Data.Details
}

// closed reads on until the connection is closed and returns the code and reason.
func (c *client) closed() int {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(60*time.Second)))
	for {
		_, _, err := c.conn.ReadMessage()
		if err == nil {
			continue
		}
		var e *fastws.CloseError
		require.ErrorAs(c.t, err, &e)
		return e.Code
	}
}

// ping expects the pong next: nothing else was waiting.
func (c *client) ping() {
	c.t.Helper()
	c.send(`{"type":"ping"}`)
	require.Equal(c.t, "pong", c.next().Type)
}
