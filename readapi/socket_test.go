package readapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fastws "github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/run"
)

// D27, S0-30, S0-31: a ping is answered with JSON that carries none of the six types; whatever else
// a client sends does no harm.
func TestD27_PingAndOtherMessages(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/flow/run")
	c.send(`{"type":"ping"}`)
	require.Equal(t, frame{"type": "pong", "event_type": "pong", "timestamp": float64(epoch.Unix())}, c.next())
	for _, harmless := range []string{`{"type":"hello"}`, `{"type":1}`, `{}`, `{"a":[1,2]}`} {
		c.send(harmless)
	}
	require.NoError(t, c.conn.WriteMessage(fastws.BinaryMessage, []byte(`{"type":"ping"}`)))
	c.ping()
	for _, bad := range []string{`hello`, `{`, ``, `[1]`, `"ping"`, "\xff\xfe"} {
		c.send(bad)
		f := c.next()
		require.Equal(t, "error", f.kind(), bad)
		require.NotContains(t, f, "offset")
	}
	require.NoError(t, c.conn.WriteControl(fastws.PingMessage, []byte("abc"), time.Now().Add(5*time.Second)))
	pong := make(chan string, 1)
	c.conn.SetPongHandler(func(s string) error { pong <- s; return nil })
	c.ping()
	require.Equal(t, "abc", <-pong)
}

func TestSocket_MessageSize(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/flow/run")
	c.send(`{"a":"` + strings.Repeat("x", 64<<10-8) + `"}`) // exactly at the bound
	c.ping()
	c.send(strings.Repeat("x", 64<<10+1))
	code, _ := c.closed()
	require.Equal(t, 1009, code)
}

// Messages beyond the rate are dropped; if it goes on, the socket is closed.
func TestSocket_InboundRate(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/flow/run")
	for range 100 {
		c.send(`{}`)
	}
	c.send(`{"type":"ping"}`) // dropped: time stands still
	for range 1000 {
		if c.conn.WriteMessage(fastws.TextMessage, []byte(`{}`)) != nil {
			break
		}
	}
	code, _ := c.closed()
	require.Equal(t, 1008, code)

	c = w.dial("/ws/flow/run")
	for range 5 {
		for range 99 {
			c.send(`{}`)
		}
		c.ping()
		w.clock.Advance(time.Second)
	}
}

// A client that sends nothing at all for 75 s is closed with 1013; pongs count, so does any frame.
func TestSocket_SilentClientIsClosed(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.started("r1")
	c := w.dial("/ws/flow/run")
	require.Equal(t, wholeRun[:1], c.briefs(1))
	c.conn.SetPingHandler(func(string) error { return nil }) // plays dead
	type end struct {
		code   int
		reason string
		at     time.Time
	}
	ended := make(chan end, 1)
	go func() {
		code, reason := c.closed()
		ended <- end{code, reason, w.clock.Now()}
	}()
	for {
		select {
		case e := <-ended:
			require.Equal(t, 1013, e.code)
			require.Contains(t, e.reason, "execution_id=r1&after=0")
			require.GreaterOrEqual(t, e.at.Sub(epoch), 75*time.Second)
			return
		case <-time.After(time.Millisecond):
			w.clock.Advance(5 * time.Second)
		}
	}
}

// The server pings every 30 s, and a client that is heard stays for ever.
func TestSocket_IsPingedAndStaysOpen(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/flow/run")
	pings := make(chan struct{}, 100)
	answer := c.conn.PingHandler()
	c.conn.SetPingHandler(func(s string) error { pings <- struct{}{}; return answer(s) })
	frames := make(chan string, 100)
	go func() {
		defer close(frames)
		for {
			_, b, err := c.conn.ReadMessage()
			if err != nil {
				return
			}
			frames <- string(b)
		}
	}()
	awaitPong := func() {
		c.send(`{"type":"ping"}`)
		for f := range frames {
			if strings.Contains(f, "pong") {
				return
			}
		}
		require.FailNow(t, "closed")
	}
	awaitPong() // the handshake's end is not yet the socket's beginning
	for range 6 {
		w.clock.Advance(30 * time.Second)
		awaitPong() // the socket has looked at the clock
		select {
		case <-pings:
		case <-time.After(60 * time.Second):
			require.FailNow(t, "no ping")
		}
	}
	require.NoError(t, c.conn.Close())
	for range frames {
	}
}

// With nothing to follow for 10 min the socket is closed, not before; a run that goes on is
// followed for ever.
func TestSocket_IdleAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.whole("r1")
	w.bind("busy", "run", "r2")
	w.started("r2")
	idle, busy := w.dial("/ws/flow/run"), w.dial("/ws/busy/run")
	idle.briefs(4)
	busy.briefs(1)
	for range 20 {
		for _, c := range []*client{idle, busy} {
			c.send(`{"type":"ping"}`)
			for c.next().kind() != "pong" {
			}
		}
		w.clock.Advance(30 * time.Second)
	}
	_ = idle.conn.WriteMessage(fastws.TextMessage, []byte(`{}`)) // looks at the clock; may be closed already
	code, _ := idle.closed()
	require.Equal(t, 1000, code)
	busy.send(`{"type":"ping"}`)
	for busy.next().kind() != "pong" {
	}
}

// S0-33: the client closes without a code; the close is answered in kind.
func TestS0_33_ClientCloses(t *testing.T) {
	closed := make(chan int, 1)
	w := newWorld(t, func(_ *depsT, o *optionsT) { o.Hooks.Closed = func(_ string, code int) { closed <- code } })
	c := w.dial("/ws/flow/run")
	require.NoError(t, c.conn.WriteControl(fastws.CloseMessage, nil, time.Now().Add(5*time.Second)))
	code, _ := c.closed()
	require.Equal(t, 1005, code)
	require.Equal(t, 1005, <-closed)
}

// S0-36: the published sample client, in a browser with cookies, would complete again and again.
// After its own close without a code it is shown nothing once; a reload and others see everything.
func TestS0_36_LoopBreaker(t *testing.T) {
	closed := make(chan int, 10)
	w := newWorld(t, func(_ *depsT, o *optionsT) { o.Hooks.Closed = func(_ string, code int) { closed <- code } })
	w.bind("flow", "run", "r1")
	w.whole("r1")
	conn, resp, err := fastws.DefaultDialer.Dial(w.url("/ws/flow/run"), nil)
	require.NoError(t, err)
	set := resp.Cookies()
	require.Len(t, set, 1)
	require.True(t, set[0].HttpOnly)
	require.Equal(t, "/ws", set[0].Path)
	header := http.Header{"Cookie": {set[0].Name + "=" + set[0].Value}}
	end := func(c *client, payload []byte) {
		require.NoError(t, c.conn.WriteControl(fastws.CloseMessage, payload, time.Now().Add(5*time.Second)))
		c.closed()
		<-closed
	}
	first := &client{t: t, conn: conn}
	first.briefs(4)
	end(first, nil)
	w.clock.Advance(2 * time.Second) // S0-35: the first reconnect comes after 2 s

	again := w.dialWith("/ws/flow/run", header)
	k := again.next()
	require.Equal(t, "keepalive", k.kind())
	again.ping()
	tab := w.dialWith("/ws/flow/run", header) // a second tab: the token is used up
	require.Equal(t, wholeRun, tab.briefs(4))
	end(tab, fastws.FormatCloseMessage(1001, "")) // a reload
	w.clock.Advance(2 * time.Second)
	require.Equal(t, wholeRun, w.dialWith("/ws/flow/run", header).briefs(4))
	require.Equal(t, wholeRun, w.dial("/ws/flow/run").briefs(4)) // no cookie
	// The socket that was shown nothing follows the next run.
	w.bind("flow", "run", "r2")
	w.whole("r2")
	require.Equal(t, wholeRun, again.briefs(4))
}

// Trap 3: shutting down closes every socket with 1012, waits for the handlers, and refuses upgrades.
func TestShutdown_ClosesAllWith1012(t *testing.T) {
	w := newWorld(t, func(_ *depsT, o *optionsT) { o.SocketOptions.Random = func() float64 { return 0.5 } })
	var clients []*client
	for i := range 20 {
		clients = append(clients, w.dial(fmt.Sprintf("/ws/flow/run%d", i)))
		clients[i].ping()
	}
	require.Equal(t, 20, w.live.Open())
	w.clock.awaitTimers(t, 20)
	done := make(chan error, 1)
	go func() { done <- w.live.Shutdown(context.Background()) }()
	w.clock.awaitTimers(t, 40)
	body := w.refused("/ws/flow/run", nil, http.StatusServiceUnavailable)
	require.Equal(t, "RESTARTING", body["error"].(map[string]any)["code"])
	w.clock.Advance(time.Second)
	for _, c := range clients {
		code, _ := c.closed()
		require.Equal(t, 1012, code)
	}
	require.NoError(t, <-done)
	require.Equal(t, 0, w.live.Open())
}

// Trap 2: a client that neither reads nor answers cannot hold up the shutdown. Even then it finds out
// that the server restarts.
func TestShutdown_CutsOffWhoDoesNotAnswer(t *testing.T) {
	w := newWorld(t)
	c := w.dial("/ws/flow/run")
	c.ping()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, w.live.Shutdown(ctx), domain.ErrDeadline)
	require.Equal(t, 0, w.live.Open())
	code, _ := c.closed()
	require.Equal(t, 1012, code)
}

// The last moment at which a socket is closed leaves as much time again for the client's answer.
func TestShutdown_SpreadFitsTheBudget(t *testing.T) {
	w := newWorld(t, func(_ *depsT, o *optionsT) {
		o.SocketOptions.Random, o.ShutdownSpread = func() float64 { return 1 }, time.Hour
	})
	c := w.dial("/ws/flow/run")
	c.ping()
	w.clock.awaitTimers(t, 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.live.Shutdown(ctx) }()
	w.clock.awaitTimers(t, 2)
	w.clock.Advance(30 * time.Second) // half of the minute
	code, _ := c.closed()
	require.Equal(t, 1012, code)
	require.NoError(t, <-done)
}

// Trap 1: connections are pooled. While sockets come and go, none may see another's frames.
func TestSocket_ChurnNeverLeaksFrames(t *testing.T) {
	w := newWorld(t)
	const names = 8
	for i := range names {
		id := fmt.Sprint("r", i)
		w.bind("flow", id, id)
		w.started(id)
	}
	stop := make(chan struct{})
	var writer, clients sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			id := fmt.Sprint("r", n%names)
			w.event(id, run.TaskSkipped{Task: "t", Reason: strings.Repeat("x", 200)})
			if n%64 == 0 {
				w.clock.Advance(time.Millisecond)
			}
		}
	})
	var seen atomic.Int64
	for g := range names {
		clients.Go(func() {
			id := fmt.Sprint("r", g)
			for n := range 25 {
				conn, _, err := fastws.DefaultDialer.Dial(w.url("/ws/flow/"+id), nil)
				if err != nil {
					t.Error(err)
					return
				}
				for next := range 1 + n%7 {
					var f frame
					_ = conn.SetReadDeadline(time.Now().Add(60 * time.Second))
					if err := conn.ReadJSON(&f); err != nil {
						t.Error(err)
						break
					}
					if f["execution_id"] != id || f["offset"] != float64(next) {
						t.Errorf("%s got offset %v of %v", id, f["offset"], f["execution_id"])
					}
					seen.Add(1)
				}
				_ = conn.Close() // without a word, in the middle of a stream
			}
		})
	}
	clients.Wait()
	close(stop)
	writer.Wait()
	require.Positive(t, seen.Load())
}

// Trap 6: a panic says nothing to the client, and ends its socket only.
func TestSocket_PanicSaysNothing(t *testing.T) {
	panics := make(chan any, 1)
	w := newWorld(t, func(d *depsT, o *optionsT) {
		inner := d.Readers
		d.Readers = func(s domain.StreamID, from domain.Revision, notify func()) readerT {
			if s == "run-bad" {
				panic("secret internal detail")
			}
			return inner(s, from, notify)
		}
		o.Hooks.Panicked = func(v any, _ []byte) { panics <- v }
	})
	w.bind("flow", "good", "good")
	w.whole("good")
	w.bind("flow", "bad", "bad")
	w.started("bad")
	c := w.dial("/ws/flow/bad")
	code, reason := c.closed()
	require.Equal(t, 1011, code)
	require.Empty(t, reason)
	require.Equal(t, "secret internal detail", <-panics)
	require.Equal(t, wholeRun, w.dial("/ws/flow/good").briefs(4))
}

// A reader that takes nothing is closed after 30 s of credit; the log and others do not wait.
func TestSocket_SlowReaderIsClosed(t *testing.T) {
	closed := make(chan int, 10)
	w := newWorld(t, func(_ *depsT, o *optionsT) {
		o.WriteStall = 10 * time.Millisecond
		o.CloseGrace = 10 * time.Millisecond
		o.Hooks.Closed = func(_ string, code int) { closed <- code }
	})
	w.bind("flow", "run", "r1")
	w.started("r1")
	slow := w.dial("/ws/flow/run")
	require.Equal(t, wholeRun[:1], slow.briefs(1))
	// More than the kernel buffers on both sides hold.
	big := domain.Raw([]byte(`"` + strings.Repeat("x", 50<<10) + `"`))
	for i := range 400 {
		w.event("r1", run.TaskStarted{Task: "t", TaskID: fmt.Sprint(i), Node: "n", Function: "f", Input: big})
	}
	deadline := time.After(60 * time.Second)
	for {
		w.clock.Advance(5 * time.Second) // never as much as 75 s in a row: other rules stay out of it
		select {
		case code := <-closed:
			require.Equal(t, 1013, code)
			fast := w.dial("/ws/flow/run?from=400")
			require.Equal(t, "task_started 400<399", fast.briefs(1)[0])
			return
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			require.FailNow(t, "the slow reader was not closed")
		}
	}
}

// S0-7 and promise 2, whatever the moment of connecting: every client sees every event once.
func TestSocket_ConnectAtAnyMoment(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.started("r1")
	const events, clients = 300, 24
	var wg sync.WaitGroup
	begin := make([]chan struct{}, clients)
	for i := range clients {
		begin[i] = make(chan struct{})
		wg.Go(func() {
			<-begin[i]
			from := i * 11 % 200
			conn, _, err := fastws.DefaultDialer.Dial(w.url(fmt.Sprintf("/ws/flow/run?from=%d", from)), nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			for next := from; next <= events; next++ {
				var f frame
				_ = conn.SetReadDeadline(time.Now().Add(60 * time.Second))
				if err := conn.ReadJSON(&f); err != nil {
					t.Error(err)
					return
				}
				if f["offset"] != float64(next) || f["prev"] != float64(next-1) {
					t.Errorf("client %d: got %v<%v, want %d", i, f["offset"], f["prev"], next)
					return
				}
			}
		})
	}
	for n := range events {
		if n%(events/clients) == 0 && n/(events/clients) < clients {
			close(begin[n/(events/clients)])
		}
		w.event("r1", run.TaskSkipped{Task: "t", Reason: "r"})
	}
	wg.Wait()
}
