package agnt5_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	fastws "github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/readapi/agnt5"
)

func TestS1_1_2_3_5_PublishedHandshake(t *testing.T) {
	w := newWorld(t)
	require.Regexp(t, `^coffee-shop-[0-9a-f]{8}$`, w.endpoint.ID)
	w.dial("").ping() // dial checks the echo of the one subprotocol
	// Programs may send the key as a header; nothing is echoed then.
	conn, resp, err := fastws.DefaultDialer.Dial(w.url(""), http.Header{"X-Api-Key": {w.endpoint.Key}})
	require.NoError(t, err)
	require.Empty(t, resp.Header.Get("Sec-WebSocket-Protocol"))
	require.NoError(t, conn.Close())
	// Of several offers the key's is echoed, whatever its place.
	dialer := fastws.Dialer{Subprotocols: []string{"other", "x-api-key." + w.endpoint.Key}}
	conn, _, err = dialer.Dial(w.url(""), nil)
	require.NoError(t, err)
	require.Equal(t, "x-api-key."+w.endpoint.Key, conn.Subprotocol())
	require.NoError(t, conn.Close())
}

func TestS1_6_KeysAreTokens(t *testing.T) {
	w := newWorld(t)
	require.Regexp(t, "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", w.endpoint.Key)
	w.dial("").ping()
}

func TestS1_4_7_8_D13_HandshakeRefusals(t *testing.T) {
	w := newWorld(t)
	base := "ws://" + w.addr + "/ws"
	require.Equal(t, "ENDPOINT_MISSING", w.refused(base, w.endpoint.Key, 400))
	require.Equal(t, "ENDPOINT_MISSING", w.refused(base+"?x-wf-endpoint=", w.endpoint.Key, 400))
	require.Equal(t, "ENDPOINT_UNKNOWN", w.refused(base+"?x-wf-endpoint=tea-shop-00000000", w.endpoint.Key, 404))
	require.Equal(t, "KEY_MISSING", w.refused(w.url(""), "", 401))
	require.Equal(t, "KEY_UNKNOWN", w.refused(w.url(""), w.endpoint.Key+"x", 401))
	other, err := w.endpoints.Create(t.Context(), "tea-shop", commands.By{})
	require.NoError(t, err)
	require.Equal(t, "KEY_UNKNOWN", w.refused(w.url(""), other.Key, 401), "each endpoint has its own key")
	for _, query := range []string{"&types=nope", "&from=1", "&connection_id=%00", "&execution_id=a&from=-1", "&execution_id=a&from=x", "&execution_id=a&after=x", "&execution_id=a&from=1&after=1"} {
		require.Equal(t, "INVALID_REQUEST", w.refused(w.url(query), w.endpoint.Key, 400), query)
	}
	require.Equal(t, "LOG_CHANGED", w.refused(w.url("&log=other"), w.endpoint.Key, 409))
	resp, err := http.Get("http://" + w.addr + "/ws?x-wf-endpoint=" + w.endpoint.ID)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 401, resp.StatusCode)
}

func TestS1_26_D13_FiftyConnectionsPerEndpoint(t *testing.T) {
	w := newWorld(t)
	var clients []*client
	for range agnt5.ConnectionsMax {
		clients = append(clients, w.dial(""))
	}
	require.Equal(t, 50, agnt5.ConnectionsMax)
	// A handshake has its place before its socket is at work.
	require.Equal(t, "SOCKETS_EXHAUSTED", w.refused(w.url(""), w.endpoint.Key, 429))
	// Another endpoint has places of its own.
	first := w.endpoint
	var err error
	w.endpoint, err = w.endpoints.Create(t.Context(), "tea-shop", commands.By{})
	require.NoError(t, err)
	w.dial("").ping()
	w.endpoint = first
	// A place that is free again is given away.
	require.NoError(t, clients[0].conn.WriteControl(fastws.CloseMessage, fastws.FormatCloseMessage(1000, ""), time.Now().Add(time.Second)))
	require.Equal(t, 1000, clients[0].closed())
	require.Eventually(t, func() bool { return w.sockets.Open() == agnt5.ConnectionsMax }, time.Minute, time.Millisecond) // with the one of the tea shop
	w.dial("").ping()
}

func TestS1_11_12_17_AnExecutionForEachMessage(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	c.send(published)
	id := w.next()
	require.Equal(t, []string{"execution_started exec_r1 0<-1", "workflow_start exec_r1 0<-1"}, c.briefs(2))
	w.rest(id)
	require.Equal(t, []string{
		"task_start exec_r1 1<0", "task_end exec_r1 2<1", "workflow_end exec_r1 3<2", "execution_completed exec_r1 3<2",
	}, c.briefs(4))
	c.send(`{"name":"again"}`)
	require.Equal(t, "r2", w.next())
	require.Equal(t, []string{"execution_started exec_r2 0<-1", "workflow_start exec_r2 0<-1"}, c.briefs(2))
	require.Equal(t, "search-candidates", w.started[0].Name)
	require.Equal(t, w.endpoint.ID, w.started[0].Endpoint.ID)
	require.Contains(t, string(w.started[0].Parameters), `"organization_id"`)
	w.rest("r2")
	c.briefs(4)
	c.ping()
}

func TestS1_9_10_D12_ConnectionID(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	c.send(published)
	require.Equal(t, "ws_c2GDFfT7bywQZW4He6CNFw", c.next().Data.Details["connection_id"])
	c.next()
	c.send(`{"name":"a"}`)
	made := c.next().Data.Details["connection_id"]
	require.Regexp(t, `^ws_[A-Za-z0-9_-]{22}$`, made)
	c.next()
	c.send(`{"name":"a"}`)
	require.Equal(t, made, c.next().Data.Details["connection_id"], "one socket, one id")
	other := w.dial("&connection_id=ws_mine")
	require.Equal(t, "resume_accepted", other.next().Type)
	other.send(`{"name":"a"}`)
	require.Equal(t, "ws_mine", other.next().Data.Details["connection_id"])
}

func TestD13_MessagesThatAreNotFollowed(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	c.send(`nonsense`)
	code, _ := c.refusal()
	require.Equal(t, "INVALID_MESSAGE", code)
	c.send(`{"parameters":{},"connection_id":"ws_1"}`)
	code, details := c.refusal()
	require.Equal(t, "INVALID_MESSAGE", code)
	require.Equal(t, "ws_1", details["connection_id"])
	require.Equal(t, []any{map[string]any{"field": "/name", "message": "is missing; write the name of a workflow"}}, details["errors"])
	c.send(`{"type":"shutdown"}`)
	code, _ = c.refusal()
	require.Equal(t, "UNKNOWN_TYPE", code)
	w.refuse = domain.E(domain.KindNotFound, "start", "", "names no workflow of this endpoint").WithField("/name").WithCode("WORKFLOW_UNKNOWN")
	c.send(`{"name":"nope","metadata":{"idempotency_key":"k1"}}`)
	code, details = c.refusal()
	require.Equal(t, "WORKFLOW_UNKNOWN", code)
	require.Equal(t, "k1", details["idempotency_key"])
	w.refuse = domain.E(domain.KindInternal, "start", "", "S3CRET")
	c.send(`{"name":"nope"}`)
	code, details = c.refusal()
	require.Equal(t, "INTERNAL", code)
	require.NotContains(t, fmt.Sprint(details), "S3CRET")
	c.ping() // it stays open
}

func TestS1_24_D13_MessageSize(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	fill := func(n int) string {
		const head, tail = `{"name":"a","parameters":{"x":"`, `"}}`
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	c.send(fill(65_536))
	require.Equal(t, "execution_started", c.next().Type)
	c.next()
	c.send(fill(65_537))
	require.Equal(t, fastws.CloseMessageTooBig, c.closed())
}

func TestS1_25_D13_RateLimit(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	for range 100 {
		c.send(`{"type":"ping"}`)
	}
	for range 100 {
		require.Equal(t, "pong", c.next().Type)
	}
	c.send(`{"name":"a"}`)
	code, details := c.refusal()
	require.Equal(t, "RATE_LIMITED", code)
	require.EqualValues(t, 1, details["dropped"])
	require.Empty(t, w.started, "what is over the rate is dropped")
	w.clock.Advance(time.Second)
	c.ping() // it stays open
}

// Whoever sends at twice the rate is told so, and closed when it goes on for ten seconds; whoever stops
// for a second begins anew.
func TestS1_25_D13_RateLimitThatGoesOn(t *testing.T) {
	w := newWorld(t)
	patient, c := w.dial(""), w.dial("")
	for range 2*agnt5.DroppedMax/500 + 1 {
		for range 600 {
			patient.send(`{"type":"ping"}`)
		}
		for told := 0; told < 500; {
			if f := patient.next(); f.Type == "error" {
				told += int(f.Data.Details["dropped"].(float64))
			}
		}
		w.clock.Advance(1100 * time.Millisecond)
	}
	patient.ping()
	for range 100 + agnt5.DroppedMax + 1 {
		if c.conn.WriteMessage(fastws.TextMessage, []byte(`{"type":"ping"}`)) != nil {
			break
		}
	}
	require.Equal(t, fastws.ClosePolicyViolation, c.closed())
}

func TestS1_28_FragmentedMessages(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	out, err := c.conn.NextWriter(fastws.TextMessage)
	require.NoError(t, err)
	for i := range published {
		_, err = out.Write([]byte{published[i]})
		require.NoError(t, err)
		if i%50 == 0 { // control frames may stand between fragments
			require.NoError(t, c.conn.WriteControl(fastws.PingMessage, []byte("x"), time.Now().Add(time.Second)))
		}
	}
	require.NoError(t, out.Close())
	require.Equal(t, "execution_started", c.next().Type)
}

func TestS1_28_BinaryAndInvalidTextAreRefused(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	require.NoError(t, c.conn.WriteMessage(fastws.BinaryMessage, []byte(`{"name":"a"}`)))
	require.Equal(t, fastws.CloseUnsupportedData, c.closed())
	c = w.dial("")
	require.NoError(t, c.conn.WriteMessage(fastws.TextMessage, []byte("{\"name\":\"\xff\"}")))
	require.Equal(t, fastws.CloseInvalidFramePayloadData, c.closed())
	require.Empty(t, w.started)
}

// A client that has nothing to ask for stays connected as long as it answers pings.
func TestS1_28_Heartbeats(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	heard := make(chan struct{}, 1)
	c.conn.SetPingHandler(func(string) error {
		// Our own ping comes after our pong: its answer says that both were read.
		return errors.Join(
			c.conn.WriteControl(fastws.PongMessage, nil, time.Now().Add(time.Second)),
			c.conn.WriteControl(fastws.PingMessage, nil, time.Now().Add(time.Second)))
	})
	c.conn.SetPongHandler(func(string) error {
		heard <- struct{}{}
		return nil
	})
	done := make(chan int, 1)
	go func() { done <- c.closed() }()
	heartbeats := 0
	for range 60 { // half an hour
		w.clock.Advance(30 * time.Second)
		select {
		case <-heard:
			heartbeats++
		case <-time.After(100 * time.Millisecond):
			// The clock moved before the socket had set its next timer; that is now one step away.
		}
	}
	require.GreaterOrEqual(t, heartbeats, 30)
	require.NoError(t, c.conn.WriteControl(fastws.CloseMessage, fastws.FormatCloseMessage(1000, ""), time.Now().Add(time.Second)))
	require.Equal(t, 1000, <-done)
}

func TestD14_Cancel(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	c.send(published)
	c.briefs(2)
	c.send(`{"type":"cancel","execution_id":"exec_r1","reason":"not needed"}`)
	f := c.next()
	require.Equal(t, "execution_cancelled exec_r1 1<0", f.brief())
	require.Equal(t, "not needed", f.Data.Details["reason"])
	c.send(`{"type":"cancel","execution_id":"exec_r1"}`)
	code, details := c.refusal()
	require.Equal(t, "RUN_ENDED", code)
	require.Equal(t, "exec_r1", details["execution_id"])
	c.send(`{"type":"cancel","execution_id":"exec_nope"}`)
	code, _ = c.refusal()
	require.Equal(t, "EXECUTION_UNKNOWN", code)

	// Another socket of the endpoint may cancel too, and is shown the end.
	c.send(published)
	c.briefs(2)
	other := w.dial("")
	other.send(`{"type":"cancel","execution_id":"exec_r2"}`)
	require.Equal(t, "execution_cancelled exec_r2 1<0", other.next().brief())
	require.Equal(t, "execution_cancelled exec_r2 1<0", c.next().brief())
}

// Executions of other endpoints, and of other doors, are as if they were not.
func TestD15_ExecutionsOfOthersAreUnknown(t *testing.T) {
	w := newWorld(t)
	w.dial("").send(`{"name":"a","connection_id":"ws_1"}`)
	id := w.next()
	w.append("lao", wire.Actor{Kind: wire.ActorAnonymous, Via: "run-dag"}, run.Started{RunID: "lao", Source: "lao", Definition: raw(`{}`), Input: raw(`{}`)})
	require.NotNil(t, w.endpoint)
	var err error
	w.endpoint, err = w.endpoints.Create(t.Context(), "tea-shop", commands.By{})
	require.NoError(t, err)
	c := w.dial("")
	for _, message := range []string{
		`{"type":"cancel","execution_id":"` + id + `"}`, `{"type":"resume","execution_id":"` + id + `"}`,
		`{"type":"cancel","execution_id":"lao"}`, `{"type":"resume","execution_id":"lao","connection_id":"ws_1"}`,
		`{"type":"resume","execution_id":"a b"}`,
	} {
		c.send(message)
		code, _ := c.refusal()
		require.Equal(t, "EXECUTION_UNKNOWN", code, message)
	}
	c.send(`{"type":"resume","connection_id":"ws_1"}`)
	f := c.next()
	require.Equal(t, "resume_accepted", f.Type)
	require.Empty(t, f.Data.Details["executions"])
}

func TestD12_Resume(t *testing.T) {
	w := newWorld(t)
	first := w.dial("")
	for range 2 {
		first.send(`{"name":"a","connection_id":"ws_1"}`)
		w.next()
	}
	first.send(`{"name":"b","connection_id":"ws_2"}`)
	w.next()
	first.briefs(6)
	require.NoError(t, first.conn.Close())
	w.rest("r1")
	w.event("r2", run.TaskStarted{Task: "a", TaskID: "t", Node: "n", Function: "noop", Input: raw(`{}`)})

	c := w.dial("")
	c.send(`{"type":"resume","connection_id":"ws_1"}`)
	f := c.next()
	require.Equal(t, "resume_accepted", f.Type)
	require.Equal(t, map[string]any{"connection_id": "ws_1", "executions": []any{"exec_r2"}}, f.Data.Details)
	require.Equal(t, []string{"execution_started exec_r2 0<-1", "workflow_start exec_r2 0<-1", "task_start exec_r2 1<0"}, c.briefs(3))
	w.event("r2", run.TaskCompleted{Task: "a", TaskID: "t", Attempt: 1, StartedAt: at(0), Output: raw(`1`)})
	require.Equal(t, []string{"task_end exec_r2 2<1"}, c.briefs(1))

	// By the query, and from an offset.
	c = w.dial("&connection_id=ws_1&from=2")
	require.Equal(t, []string{"resume_accepted", "task_end exec_r2 2<1"}, c.briefs(2))
	// One that has ended, from within its last event.
	c.send(`{"type":"resume","execution_id":"exec_r1","after":"3:1"}`)
	require.Equal(t, []string{"resume_accepted", "execution_completed exec_r1 3<2"}, c.briefs(2))
	// All of it was seen: there is nothing to follow.
	c.send(`{"type":"resume","execution_id":"exec_r1","after":3}`)
	f = c.next()
	require.Equal(t, "resume_accepted", f.Type)
	require.Empty(t, f.Data.Details["executions"])
	// A cursor beyond the head: nothing is sent, and the execution still leaves at its end.
	beyond := w.dial("")
	beyond.send(`{"type":"resume","execution_id":"exec_r3","from":1000}`)
	require.Equal(t, "resume_accepted", beyond.next().Type)
	w.rest("r3")
	beyond.ping()
	beyond.send(`{"type":"resume","execution_id":"exec_r3","from":0}`)
	require.Equal(t, []string{"resume_accepted", "execution_started exec_r3 0<-1"}, beyond.briefs(2))
	c.send(`{"type":"resume","execution_id":"exec_r2","connection_id":"ws_2"}`)
	code, _ := c.refusal()
	require.Equal(t, "EXECUTION_UNKNOWN", code, "the execution is of another connection_id")
	c.ping()
	// What is followed already is not shown twice, unless an offset is named.
	c.send(`{"type":"resume","execution_id":"exec_r2"}`)
	require.Equal(t, []string{"resume_accepted"}, c.briefs(1))
	c.ping()
	c.send(`{"type":"resume","execution_id":"exec_r2","after":0}`)
	require.Equal(t, []string{"resume_accepted", "task_start exec_r2 1<0", "task_end exec_r2 2<1"}, c.briefs(3))
	c.ping()
}

func TestS1_29_D12_ResendWithAKey(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	const message = `{"name":"a","metadata":{"idempotency_key":"k"}}`
	c.send(message)
	c.briefs(2)
	c.send(message)
	require.Eventually(t, func() bool { return w.calls.Load() == 2 }, time.Minute, time.Millisecond)
	w.rest("r1")
	require.Equal(t, []string{"task_start exec_r1 1<0", "task_end exec_r1 2<1", "workflow_end exec_r1 3<2", "execution_completed exec_r1 3<2"}, c.briefs(4), "followed once")
	// On another socket, also after its end, the same execution is shown whole.
	other := w.dial("")
	other.send(message)
	require.Equal(t, "execution_started exec_r1 0<-1", other.next().brief())
	require.Equal(t, "execution_completed exec_r1 3<2", other.briefs(5)[4])
	c.ping()
	require.Equal(t, 1, w.ids)
}

func TestD4_TypesFilter(t *testing.T) {
	w := newWorld(t)
	c := w.dial("&types=execution_started,task_end,execution_completed")
	c.send(published)
	w.rest(w.next())
	require.Equal(t, []string{"execution_started exec_r1 0<-1", "task_end exec_r1 2<0", "execution_completed exec_r1 3<2"}, c.briefs(3))
	c.ping()
}

// Beyond the executions that one socket may follow a start is refused; places come back at their ends.
func TestD13_Overloaded(t *testing.T) {
	w := newWorld(t, func(o *agnt5.Options) { o.ExecutionsMax = 2 })
	c := w.dial("")
	for range 2 {
		c.send(`{"name":"a","connection_id":"ws_1"}`)
		w.next()
		c.briefs(2)
	}
	c.send(`{"name":"a","connection_id":"ws_1"}`)
	code, details := c.refusal()
	require.Equal(t, "OVERLOADED", code)
	require.Equal(t, "ws_1", details["connection_id"])
	w.rest("r1")
	c.briefs(4)
	w.refuse = domain.E(domain.KindExhausted, "start", "", "full").WithCode("OVERLOADED")
	for range 5 { // a start that fails keeps no place
		c.send(`{"name":"a"}`)
		code, _ = c.refusal()
		require.Equal(t, "OVERLOADED", code)
	}
	w.refuse = nil
	c.send(`{"name":"a","connection_id":"ws_1"}`)
	require.Equal(t, "execution_started", c.next().Type)
	c.next()
	// A socket that cannot follow all says so.
	w.dial("").send(`{"name":"a","connection_id":"ws_1"}`)
	w.next()
	w.next()
	other := w.dial("&connection_id=ws_1")
	f := other.next()
	require.Len(t, f.Data.Details["executions"], 2)
	code, _ = other.refusal()
	require.Equal(t, "OVERLOADED", code)
}

// A client that asks and leaves at once has asked: the execution begins.
func TestD12_ClosedAtOnce(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	w.hold = hold
	c := w.dial("")
	c.send(published)
	require.NoError(t, c.conn.WriteControl(fastws.CloseMessage, nil, time.Now().Add(time.Second)))
	require.Equal(t, fastws.CloseNoStatusReceived, c.closed())
	require.Eventually(t, func() bool { return w.sockets.Open() == 0 && w.calls.Load() == 1 }, time.Minute, time.Millisecond)
	close(hold)
	require.Equal(t, "r1", w.next())
}

// Starts that take long stand in line; while they do the client is slowed down and nothing is lost.
func TestS1_28_MessagesUnderWayAreBounded(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	w.hold = hold
	c := w.dial("")
	const messages = agnt5.OperationsMax + 30
	for range messages {
		c.send(`{"name":"a"}`)
	}
	require.Eventually(t, func() bool { return w.calls.Load() == agnt5.OperationsMax }, time.Minute, time.Millisecond)
	c.send(`{"type":"ping"}`)
	require.EqualValues(t, agnt5.OperationsMax, w.calls.Load())
	close(hold)
	begun := 0
	for begun < messages {
		if f := c.next(); f.Type == "execution_started" {
			begun++
		}
	}
	require.EqualValues(t, messages, w.calls.Load())
}

// Many executions at once, on several sockets: each socket gets exactly its own, each in order, without
// gap or duplicate.
func TestD12_ManyExecutionsOnManySockets(t *testing.T) {
	w := newWorld(t)
	const sockets, each = 5, 40
	clients := make([]*client, sockets)
	for i := range clients {
		clients[i] = w.dial("")
		for range each {
			clients[i].send(fmt.Sprintf(`{"name":"s%d"}`, i))
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range sockets * each {
			w.rest(w.next())
		}
	}()
	for i, c := range clients {
		last := map[string]int64{}
		for ended := 0; ended < each; {
			f := c.next()
			if f.Type == "execution_started" {
				require.Equal(t, fmt.Sprintf("s%d", i), f.Data.Details["workflow_name"])
				last[f.Data.ExecutionID] = -1
			}
			if f.Data.Part < 2 {
				require.Equal(t, last[f.Data.ExecutionID], *f.Data.Prev)
				require.Equal(t, last[f.Data.ExecutionID]+1, *f.Data.Offset)
				last[f.Data.ExecutionID] = *f.Data.Offset
			}
			if f.Type == "execution_completed" {
				ended++
			}
		}
		require.Len(t, last, each)
		c.ping()
	}
	<-done
}

func TestS1_28_ShutdownClosesWith1012(t *testing.T) {
	w := newWorld(t)
	c := w.dial("")
	done := make(chan error, 1)
	go func() { done <- w.sockets.Shutdown(t.Context()) }()
	code := make(chan int, 1)
	go func() { code <- c.closed() }()
	require.Eventually(t, func() bool {
		w.clock.Advance(time.Second)
		return len(done) == 1
	}, time.Minute, time.Millisecond)
	require.NoError(t, <-done)
	require.Equal(t, fastws.CloseServiceRestart, <-code)
}

// A panic in a message's work says nothing to the client.
func TestS1_28_PanicsSayNothing(t *testing.T) {
	panicked := make(chan any, 1)
	w := newWorld(t, func(o *agnt5.Options) { o.Panicked = func(v any, _ []byte) { panicked <- v } })
	w.refuse = panicking{}
	c := w.dial("")
	c.send(published)
	require.Equal(t, fastws.CloseInternalServerErr, c.closed())
	require.Equal(t, "S3CRET", <-panicked)
}

type panicking struct{}

func (panicking) Error() string { panic("S3CRET") }
func (panicking) Unwrap() error { panic("S3CRET") }
