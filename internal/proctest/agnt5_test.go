package proctest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"
)

// shop is an endpoint of a server under test, with its key.
type shop struct {
	Endpoint string `json:"endpoint"`
	APIKey   string `json:"api_key"`
}

func makeShop(t *testing.T, s *Server) shop {
	t.Helper()
	made := s.Client().Must(t, http.MethodPost, "/api/endpoints", []byte(`{"slug":"coffee-shop"}`))
	require.Equal(t, http.StatusCreated, made.Status, string(made.Body))
	var answer struct{ Data shop }
	require.NoError(t, json.Unmarshal(made.Body, &answer))
	return answer.Data
}

// serves stores a workflow at an endpoint: a trigger, nodes one after the other, an end.
func serves(t *testing.T, s *Server, endpoint, name string, nodes ...string) {
	t.Helper()
	all := append(append([]string{`{"id":"in","type":"trigger"}`}, nodes...), `{"id":"out","type":"end"}`)
	var edges []string
	var before string
	for _, n := range all {
		var node struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(n), &node))
		if before != "" {
			edges = append(edges, fmt.Sprintf(`{"source":%q,"target":%q}`, before, node.ID))
		}
		before = node.ID
	}
	body := fmt.Sprintf(`{"name":%q,"endpoint":%q,"nodes":[%s],"edges":[%s]}`, name, endpoint, strings.Join(all, ","), strings.Join(edges, ","))
	made := s.Client().Must(t, http.MethodPost, "/api/workflows", []byte(body))
	require.Equal(t, http.StatusCreated, made.Status, string(made.Body))
}

// agentFrame is a frame of an AGNT5 socket.
type agentFrame struct {
	Type string
	Data struct {
		Timestamp   string
		Details     map[string]any
		ExecutionID string `json:"execution_id"`
		Offset      *int64
		Prev        int64
		Part, Parts int
	}
}

// agentSocket connects as the published client does.
func agentSocket(t *testing.T, s *Server, at shop, query string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"x-api-key." + at.APIKey}}
	conn, _, err := dialer.DialContext(t.Context(), "ws://"+s.Addr()+"/ws?x-wf-endpoint="+at.Endpoint+query, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(60*time.Second)))
	return conn
}

func nextAgent(t *testing.T, conn *websocket.Conn) agentFrame {
	t.Helper()
	var f agentFrame
	require.NoError(t, conn.ReadJSON(&f))
	return f
}

// untilAgent reads up to a frame of one of the types.
func untilAgent(t *testing.T, conn *websocket.Conn, types ...string) (all []agentFrame) {
	t.Helper()
	for {
		f := nextAgent(t, conn)
		all = append(all, f)
		if slices.Contains(types, f.Type) {
			return all
		}
	}
}

func sendAgent(t *testing.T, conn *websocket.Conn, message string) {
	t.Helper()
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(message)))
}

// Every documented type, as the real server sends it.
func TestS1_17_18_19_20_21_D1_EveryDocumentedEvent(t *testing.T) {
	stub := NewStub(t)
	s := Start(t, Options{})
	at := makeShop(t, s)
	serves(t, s, "coffee-shop", "good", `{"id":"ask","type":"agent","data":{"config":{"name":"barista"}}}`,
		`{"id":"call","type":"api_call","data":{"config":{"url":"`+stub.URL+`/ok","method":"POST"}}}`)
	serves(t, s, at.Endpoint, "bad", `{"id":"call","type":"api_call","data":{"config":{"url":"`+stub.URL+`/fail","method":"POST"}}}`)
	serves(t, s, at.Endpoint, "bad-model", `{"id":"ask","type":"agent","data":{"config":{"name":"barista","base_url":"`+stub.URL+`/fail","model":"m"}}}`)
	serves(t, s, at.Endpoint, "slow", `{"id":"wait","type":"timer","data":{"config":{"duration_seconds":600}}}`)
	conn := agentSocket(t, s, at, "")
	seen := map[string]bool{}
	for _, c := range []struct{ name, last string }{
		{"good", "execution_completed"}, {"bad", "execution_failed"}, {"bad-model", "execution_failed"},
	} {
		sendAgent(t, conn, `{"name":"`+c.name+`","parameters":{"user_query":"a flat white"},"metadata":{},"connection_id":"ws_1"}`)
		frames := untilAgent(t, conn, c.last, "error")
		require.Equal(t, "execution_started", frames[0].Type, "%v", frames[0])
		require.Equal(t, "ws_1", frames[0].Data.Details["connection_id"])
		prev := int64(-1)
		for _, f := range frames {
			seen[f.Type] = true
			require.Equal(t, prev, f.Data.Prev)
			if f.Data.Part == f.Data.Parts {
				prev = *f.Data.Offset
			}
		}
	}
	sendAgent(t, conn, `{"name":"slow"}`)
	id := untilAgent(t, conn, "timer_set")[0].Data.ExecutionID
	sendAgent(t, conn, `{"type":"cancel","execution_id":"`+id+`"}`)
	untilAgent(t, conn, "execution_cancelled")
	seen["execution_cancelled"] = true
	for _, want := range strings.Fields(`execution_started execution_completed execution_failed execution_cancelled
		workflow_start workflow_end workflow_error task_start task_end task_error llm_start llm_end llm_error tool_start tool_end tool_error`) {
		require.True(t, seen[want], want)
	}
	// D21: they are in the one history, under their endpoint's key.
	reply := s.Client().Must(t, http.MethodGet, "/api/executions?source=agnt5", nil)
	require.Contains(t, string(reply.Body), strings.TrimPrefix(id, "exec_"))
}

// A workflow is known to its endpoint the moment its creation was answered, and gone when its deletion was.
func TestD15_WorkflowsAreKnownAtOnce(t *testing.T) {
	s := Start(t, Options{})
	at := makeShop(t, s)
	conn := agentSocket(t, s, at, "")
	sendAgent(t, conn, `{"name":"w0"}`)
	require.Equal(t, "WORKFLOW_UNKNOWN", nextAgent(t, conn).Data.Details["code"])
	for i := range 20 {
		name := fmt.Sprint("w", i)
		serves(t, s, at.Endpoint, name)
		sendAgent(t, conn, `{"name":"`+name+`"}`)
		frames := untilAgent(t, conn, "execution_completed", "error")
		require.Equal(t, "execution_completed", frames[len(frames)-1].Type, "%v", frames)
	}
	_, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+s.Addr()+"/ws?x-wf-endpoint="+at.Endpoint, http.Header{"X-Api-Key": {"wrong"}})
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}

// The server is killed while executions wait: a client that comes back goes on where it was, loses
// nothing and gets nothing twice; a message sent again under its key is the same execution.
func TestKill_D12_AgentsResume(t *testing.T) {
	data := DataFolder(t)
	s := Start(t, Options{Data: data})
	at := makeShop(t, s)
	serves(t, s, at.Endpoint, "waits", `{"id":"wait","type":"event","config":{"operation":"subscribe","channel":"go"}}`)
	conn := agentSocket(t, s, at, "")
	message := func(i int) string {
		return fmt.Sprintf(`{"name":"waits","connection_id":"ws_1","metadata":{"idempotency_key":"k%d"}}`, i)
	}
	const executions = 3
	got := map[string][]string{} // execution -> offset.part of each frame
	note := func(f agentFrame) {
		if f.Data.Offset != nil {
			got[f.Data.ExecutionID] = append(got[f.Data.ExecutionID], fmt.Sprintf("%d.%d %s", *f.Data.Offset, f.Data.Part, f.Type))
		}
	}
	for i := range executions {
		sendAgent(t, conn, message(i))
	}
	for waiting := 0; waiting < executions; {
		f := nextAgent(t, conn)
		note(f)
		if f.Type == "event_awaited" {
			waiting++
		}
	}
	s.Kill()

	s = Start(t, Options{Data: data})
	conn = agentSocket(t, s, at, "&connection_id=ws_1&from=1000000")
	accepted := nextAgent(t, conn)
	require.Equal(t, "resume_accepted", accepted.Type)
	require.Len(t, accepted.Data.Details["executions"], executions, "all of the connection's executions are found")
	for id, frames := range got {
		sendAgent(t, conn, fmt.Sprintf(`{"type":"resume","execution_id":%q,"after":%s}`, id, strings.SplitN(frames[len(frames)-1], ".", 2)[0]))
	}
	sendAgent(t, conn, message(0)) // it may not have arrived, as far as the client knows
	shown(t, s.Client().Must(t, http.MethodPost, "/api/channels/go/messages", []byte(`{}`)), 201)
	for ended := 0; ended < executions; {
		f := nextAgent(t, conn)
		note(f)
		if f.Type == "execution_completed" {
			ended++
		}
	}
	require.Len(t, got, executions, "no execution began twice")
	for id, frames := range got {
		sorted := slices.Compact(slices.Sorted(slices.Values(frames)))
		require.Len(t, sorted, len(frames), "%s: nothing twice: %v", id, frames)
		require.Len(t, frames, 12, "%s: nothing lost: %v", id, frames)
	}
}
