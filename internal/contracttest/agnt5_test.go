package contracttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

// place is an endpoint and its key.
type place struct{ id, key string }

func makeEndpoint(t testing.TB, s *proctest.Server, slug string) place {
	t.Helper()
	a := must(t, s, 201, http.MethodPost, "/api/endpoints", encode(object{"slug": slug}))
	return place{id: text(t, a.data("endpoint")), key: text(t, a.data("api_key"))}
}

// dial connects as the published page says: the endpoint in the query, the key as the one subprotocol.
func (p place) dial(t testing.TB, s *proctest.Server, query string) socket {
	t.Helper()
	return dial(t, s, p.path(query), "x-api-key."+p.key)
}

func (p place) path(query string) string { return "/ws?x-wf-endpoint=" + p.id + query }

// serve stores a workflow at the endpoint.
func (p place) serve(t testing.TB, s *proctest.Server, name string, nodes ...object) {
	t.Helper()
	workflow := chain(name, nodes...)
	workflow["endpoint"] = p.id
	store(t, s, workflow)
}

var executionEnds = isType("execution_completed", "execution_failed", "execution_cancelled")

// The handshake as published: endpoint, key, and the subprotocol that comes back as it was offered.
func TestS1_1_2_3_5_6_Handshake(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	p := makeEndpoint(t, s, "coffee-shop")
	require.Regexp(t, `^coffee-shop-[0-9a-f]{8}$`, p.id)
	require.Regexp(t, "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", p.key, "a token of HTTP, or browsers cannot offer it")
	conn, resp, err := tryDial(t, s, p.path(""), "x-api-key."+p.key)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Equal(t, "x-api-key."+p.key, resp.Header.Get("Sec-WebSocket-Protocol"))
	require.Equal(t, "x-api-key."+p.key, conn.Subprotocol())
}

// Without a good endpoint and a good key there is no connection, but an answer that says why: to a browser
// an error, then 1006. The one too many of an endpoint is refused likewise.
func TestS1_4_7_8_26_D13_Refusals(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	p, other := makeEndpoint(t, s, "shop"), makeEndpoint(t, s, "other")
	key := "x-api-key." + p.key
	refusedSocket(t, s, 400, "/ws", key)
	refusedSocket(t, s, 400, "/ws?x-wf-endpoint=", key)
	refusedSocket(t, s, 404, "/ws?x-wf-endpoint=shop-00000000", key)
	for _, wrong := range []string{"x-api-key.wrong", "x-api-key.", key + "x", "x-api-key." + other.key, "chat"} {
		refusedSocket(t, s, 401, p.path(""), wrong)
	}
	refusedSocket(t, s, 401, p.path(""))
	for range 50 {
		conn := p.dial(t, s, "")
		conn.send(`{}`)
		require.Equal(t, "error", conn.next()["type"], "it is at work")
	}
	refusedSocket(t, s, 429, p.path(""), key)
	other.dial(t, s, "") // another endpoint's are counted for themselves
}

// Messages start executions of the workflow they name, several on one connection; connection_id is the
// client's, or made for it.
func TestS1_9_10_11_12_D12_Messages(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	p := makeEndpoint(t, s, "shop")
	p.serve(t, s, "search-candidates", node("wait", "timer", object{"duration_seconds": 0}))
	conn, bystander := p.dial(t, s, ""), p.dial(t, s, "")
	const id = "ws_c2GDFfT7bywQZW4He6CNFw"
	seen := map[any]bool{}
	for range 3 {
		conn.send(object{"name": "search-candidates", "parameters": object{"role": "engineer", "filters": object{}}, "metadata": object{}, "connection_id": id})
		all := conn.until(executionEnds)
		require.Equal(t, id, at(all[0], "data", "details", "connection_id"))
		execution := text(t, at(all[0], "data", "execution_id"))
		require.False(t, seen[execution])
		seen[execution] = true
		shown := show(t, s, execution)
		require.JSONEq(t, `{"role":"engineer","filters":{}}`, encode(shown.data("input_data")))
		require.Equal(t, "completed", shown.data("status"))
	}
	conn.send(object{"name": "search-candidates"})
	require.Regexp(t, `^ws_[A-Za-z0-9_-]{22}$`, at(conn.next(), "data", "details", "connection_id"), "made where the client gives none")
	conn.until(executionEnds)
	bystander.send(object{"name": "nothing"})
	require.Equal(t, "error", bystander.next()["type"], "events go to the connection that asked, and to no other")
}

// The envelope, and both levels of an execution around its tasks.
func TestS1_13_14_15_16_22_23_Frames(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	p := makeEndpoint(t, s, "shop")
	p.serve(t, s, "w", node("ask", "agent", object{"system_instructions": "Answer."}))
	conn := p.dial(t, s, "")
	conn.send(object{"name": "w", "parameters": object{"user_query": "q"}})
	var types []string
	for _, f := range conn.until(executionEnds) { // read with a check that each frame is one object
		require.Len(t, f, 2, "%v", f)
		require.IsType(t, "", f["type"])
		require.NotContains(t, f, "event_type")
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`, at(f, "data", "timestamp"))
		require.Regexp(t, `^exec_.+$`, at(f, "data", "execution_id"))
		require.IsType(t, object{}, at(f, "data", "details"))
		if !strings.HasPrefix(f["type"].(string), "llm_delta") {
			types = append(types, f["type"].(string))
		}
	}
	require.Equal(t, []string{"execution_started", "workflow_start", "task_start", "task_end", "task_start", "llm_start", "llm_end", "task_end", "task_start", "task_end", "workflow_end", "execution_completed"}, types)
}

// What is wrong after the handshake is told in a frame and costs nothing but itself; too large a message
// ends the connection with 1009, one of exactly 65,536 bytes does not.
func TestS1_24_D13_FaultsAndSizes(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	p := makeEndpoint(t, s, "shop")
	p.serve(t, s, "w")
	conn := p.dial(t, s, "")
	for _, bad := range []string{`{"name":`, `hello`, `[]`, `{}`, `{"name":7}`, `{"name":""}`, `{"name":"nothing"}`, `{"name":"w","parameters":[]}`, `{"type":"odd"}`} {
		conn.send(bad)
		f := conn.next()
		require.Equal(t, "error", f["type"], "%s: %v", bad, f)
		require.Equal(t, "", at(f, "data", "execution_id"))
		require.NotEmpty(t, text(t, at(f, "data", "details", "code")))
		require.NotEmpty(t, text(t, at(f, "data", "details", "message")))
		require.NotEmpty(t, text(t, at(f, "data", "timestamp")))
	}
	message := func(size int) string {
		head, tail := `{"name":"w","parameters":{"x":"`, `"}}`
		return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
	}
	conn.send(message(65_536))
	all := conn.until(executionEnds)
	require.Equal(t, "execution_completed", all[len(all)-1]["type"])
	conn.send(message(65_537))
	var closed *websocket.CloseError
	for closed == nil {
		_, _, err := conn.ReadMessage()
		if err != nil {
			require.ErrorAs(t, err, &closed)
		}
	}
	require.Equal(t, websocket.CloseMessageTooBig, closed.Code)
}

// More than 100 messages in a second are dropped with a word about it; who goes on is closed with 1008.
// What the server sends is not held back.
func TestS1_25_D13_Rate(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	p := makeEndpoint(t, s, "shop")
	conn := p.dial(t, s, "")
	const sent = 400
	for range sent {
		conn.send(`{}`)
	}
	served := len(conn.until(func(f object) bool { return at(f, "data", "details", "code") == "RATE_LIMITED" })) - 1
	require.GreaterOrEqual(t, served, 1)
	require.Less(t, served, sent, "what is over is dropped")
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(patience)))
	go func() {
		for conn.WriteMessage(websocket.TextMessage, []byte(`{}`)) == nil { // until it is closed
		}
	}()
	var err error
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	require.Equal(t, websocket.ClosePolicyViolation, closed.Code)
	p.dial(t, s, "") // the endpoint's other clients are served
}

// A message may come in fragments, with control frames between them; the server beats by itself; a socket
// that ends leaves nothing behind; connections are counted, and logged for who looks closely.
func TestS1_28_FragmentsAndHealth(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{Args: []string{"--log-level", "debug"}})
	p := makeEndpoint(t, s, "shop")
	p.serve(t, s, "w")
	conn := p.dial(t, s, "")
	pongs := make(chan string, 3) // of three pings: the handler must not block the reader
	conn.SetPongHandler(func(data string) error { pongs <- data; return nil })
	// The library sends a new fragment whenever its buffer is full: this message has several.
	w, err := conn.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	for _, piece := range []string{`{"name":"w","parameters":{"x":"`, strings.Repeat("x", 30_000), `"}}`} {
		_, err := w.Write([]byte(piece))
		require.NoError(t, err)
		require.NoError(t, conn.WriteControl(websocket.PingMessage, []byte("beat"), time.Now().Add(patience)))
	}
	require.NoError(t, w.Close())
	all := conn.until(executionEnds)
	require.True(t, isType("execution_completed")(all[len(all)-1]))
	require.Equal(t, "beat", <-pongs)
	sockets := func() string {
		r := s.Client().Must(t, http.MethodGet, "/metrics", nil)
		for line := range strings.Lines(string(r.Body)) {
			if strings.HasPrefix(line, "quipu_sockets") {
				return line
			}
		}
		return ""
	}
	require.NotEmpty(t, sockets(), "health of connections is a metric")
	require.NoError(t, conn.Close())
	for range 60 { // more than the endpoint's fifty, one after the other
		c := p.dial(t, s, "")
		require.NoError(t, c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience)))
		_, _, err := c.ReadMessage()
		require.True(t, websocket.IsCloseError(err, websocket.CloseNormalClosure), "%v", err)
	}
	refusedSocket(t, s, 401, p.path(""), "x-api-key.wrong")
	for _, line := range []string{`"msg":"socket opened","dialect":"agnt5"`, `"msg":"socket closed","dialect":"agnt5","code":1000`, `"msg":"socket refused","dialect":"agnt5","code":`} {
		proctest.Eventually(t, patience, line, func() bool { return strings.Contains(s.Output(), line) })
	}
	require.NotContains(t, s.Output(), p.key)
}

// A message sent again under its key, also on another connection, is the same execution; a client that
// comes back goes on from where it was.
func TestS1_29_D4_D12_ResendAndResume(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	g := newGate(stub, "/gate")
	p := makeEndpoint(t, s, "shop")
	p.serve(t, s, "w", node("call", "api_call", object{"url": stub.URL + "/gate", "method": "POST"}))
	message := object{"name": "w", "connection_id": "ws_mine", "metadata": object{"idempotency_key": "order-1"}}
	conn := p.dial(t, s, "")
	conn.send(message)
	before := conn.until(isType("tool_start"))
	g.await(t)
	execution := text(t, at(before[0], "data", "execution_id"))
	require.NoError(t, conn.Close())

	conn = p.dial(t, s, "")
	conn.send(message)
	require.Equal(t, execution, at(conn.until(isType("execution_started"))[0], "data", "execution_id"))
	require.Len(t, items(t, s, "/api/executions"), 1)
	resumed := p.dial(t, s, "")
	last := at(before[len(before)-1], "data", "offset")
	resumed.send(object{"type": "resume", "connection_id": "ws_mine", "execution_id": execution, "from": last})
	byQuery := p.dial(t, s, "&connection_id=ws_mine")
	close(g.open)
	events := func(all []object) (out []string) {
		for _, f := range all {
			if at(f, "data", "offset") != nil {
				out = append(out, fmt.Sprint(at(f, "data", "offset"), f["type"]))
			}
		}
		return out
	}
	rest := events(resumed.until(executionEnds))
	whole := events(byQuery.until(executionEnds))
	require.Equal(t, events(before), whole[:len(before)], "from the beginning where no offset is given")
	require.Equal(t, whole[len(before)-1:], rest)

	// The start makes two frames: a cursor may stand between them.
	require.Equal(t, []any{json.Number("0"), json.Number("1"), json.Number("2")}, []any{at(before[0], "data", "offset"), at(before[0], "data", "part"), at(before[0], "data", "parts")})
	behind := p.dial(t, s, "&connection_id=ws_mine&execution_id="+execution+"&after=0:1")
	require.Equal(t, whole[1:], events(behind.until(executionEnds)))
}

// An execution is cancelled by message; the first end wins, and REST sees the same.
func TestD14_CancelOnTheSocket(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	p := makeEndpoint(t, s, "shop")
	p.serve(t, s, "w", node("wait", "timer", object{"duration_seconds": 600}))
	conn := p.dial(t, s, "")
	for _, byREST := range []bool{false, true} {
		conn.send(object{"name": "w"})
		execution := text(t, at(conn.until(isType("timer_set"))[0], "data", "execution_id"))
		if byREST {
			must(t, s, 202, http.MethodPost, "/api/executions/"+execution+"/cancel", "")
		} else {
			conn.send(object{"type": "cancel", "execution_id": execution})
		}
		all := conn.until(executionEnds)
		require.Equal(t, "execution_cancelled", all[len(all)-1]["type"])
		require.Equal(t, "cancelled", show(t, s, execution).data("status"))
		refused(t, s, 409, "", http.MethodPost, "/api/executions/"+execution+"/cancel", "")
		conn.send(object{"type": "cancel", "execution_id": execution})
		require.Equal(t, "error", conn.next()["type"], "it has ended")
	}
}
