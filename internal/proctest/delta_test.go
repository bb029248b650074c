package proctest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"
)

// speaker is a model that streams. It waits for a sign before its first words and for another in their
// middle; if it betrays, it ends with the key it was called with, cut in two.
func speaker(stub *Stub, betrays bool) (goOn chan<- struct{}) {
	sign := make(chan struct{})
	stub.Handle("/v1", func(w http.ResponseWriter, r *http.Request, _ *Call) {
		w.Header().Set("Content-Type", "text/event-stream")
		say := func(text, finish string) {
			_, _ = fmt.Fprintf(w, "data: {\"model\":\"m-2026\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%s},\"finish_reason\":%s}]}\n\n", quoted(text), finish)
			w.(http.Flusher).Flush()
		}
		wait := func() {
			select {
			case <-sign:
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		}
		wait()
		say("Grüße, ", "null")
		say("Ihr Schlüssel ", "null")
		wait()
		key := "geheim"
		if betrays {
			key = r.Header.Get("Authorization")
		}
		say("ist "+key[:len(key)/2], "null")
		say(key[len(key)/2:]+" und bleibt es.", `"stop"`)
		_, _ = fmt.Fprint(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7}}\n\ndata: [DONE]\n\n")
	})
	return sign
}

// words is a socket of any dialect on which a model's words are put together.
type words struct {
	t     *testing.T
	conn  *websocket.Conn
	seq   float64
	said  string
	shown strings.Builder // every frame
}

// next reads a frame and gives its type; the words of a delta are noted.
func (w *words) next() (typ string, frame map[string]any) {
	w.t.Helper()
	_, b, err := w.conn.ReadMessage()
	require.NoError(w.t, err)
	w.shown.Write(b)
	require.NoError(w.t, json.Unmarshal(b, &frame))
	if typ, _ = frame["type"].(string); typ == "" {
		typ, _ = frame["event_type"].(string)
	}
	if typ == "llm_delta" {
		require.NotContains(w.t, string(b), `"offset"`)
		require.NotContains(w.t, string(b), `"prev"`)
		in := frame // the words stand in the frame, in data, or in its details, as the dialect's fields do
		for _, key := range []string{"data", "details"} {
			if below, ok := in[key].(map[string]any); ok {
				in = below
			}
		}
		require.Equal(w.t, w.seq, in["seq"], "no piece is missing or comes twice: %s", b)
		w.seq++
		w.said += in["delta"].(string)
	}
	return typ, frame
}

// until reads up to a frame of a type.
func (w *words) until(typ string) {
	w.t.Helper()
	for got := ""; got != typ; {
		got, _ = w.next()
	}
}

// What a model says is on every socket while it is being said, without its key, and once in the log.
func TestD4_WordsAreLiveOnEverySocket(t *testing.T) {
	const key = "sk-process-wide-key-1234"
	stub := NewStub(t)
	config := filepath.Join(t.TempDir(), "quipu.json")
	require.NoError(t, os.WriteFile(config, []byte(`{"llm_api_key":`+quoted(key)+`,"llm_base_url":"`+stub.URL+`/v1","llm_model":"m"}`), 0o600))
	s := Start(t, Options{Args: []string{"--config", config, "--log-level", "debug"}})
	at := makeShop(t, s)
	serves(t, s, at.Endpoint, "chat", `{"id":"ask","type":"agent","data":{"config":{"name":"barista"}}}`)
	open := func(path string) *words {
		conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+s.Addr()+path, nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(60*time.Second)))
		return &words{t: t, conn: conn}
	}
	var shown strings.Builder
	// follows has the model speak to two sockets that have seen its call begin. It gives what was said, and
	// the events of it.
	follows := func(id string, goOn chan<- struct{}, first *words, last string, second *words) (said, events string) {
		t.Helper()
		goOn <- struct{}{}
		for _, w := range []*words{first, second} {
			for w.said != "Grüße, Ihr Schlüssel " {
				w.next()
			}
		}
		goOn <- struct{}{} // only now: the words were there while the model was speaking
		first.until(last)
		second.until("workflow.completed")
		require.Equal(t, first.said, second.said)
		events = string(s.Client().Must(t, http.MethodGet, "/api/events?limit=100&execution_id="+id, nil).Body)
		require.NotContains(t, events, "llm_delta")
		for _, text := range []string{events, first.shown.String(), second.shown.String()} {
			shown.WriteString(text)
		}
		return first.said, events
	}

	goOn := speaker(stub, false)
	lao := open("/ws/talk/monday")
	started := s.Client().Run(t, dag("talk", "monday", nil, task{Name: "ask", Function: "agent", Params: map[string]any{
		"config": map[string]any{"agent_name": "barista"}, "message": "a flat white",
	}}))
	orchestrator := open("/api/events/ws/executions/" + started.TaskID + "?from=0")
	lao.until("llm_started")
	orchestrator.until("llm.started")
	said, events := follows(started.TaskID, goOn, lao, "flow_completed", orchestrator)
	require.Equal(t, "Grüße, Ihr Schlüssel ist geheim und bleibt es.", said)
	require.Equal(t, 1, strings.Count(events, said), "the log has the whole text once: %s", events)

	goOn = speaker(stub, true)
	agent := &words{t: t, conn: agentSocket(t, s, at, "")}
	sendAgent(t, agent.conn, `{"name":"chat","parameters":{"user_query":"a flat white"}}`)
	_, begun := agent.next()
	id := begun["data"].(map[string]any)["execution_id"].(string)
	orchestrator = open("/api/events/ws/executions/" + id + "?from=0")
	agent.until("llm_start")
	orchestrator.until("llm.started")
	said, _ = follows(strings.TrimPrefix(id, "exec_"), goOn, agent, "execution_completed", orchestrator)
	require.Regexp(t, `^Grüße, Ihr Schlüssel ist Bearer \*\*\*[0-9a-f]{8} und bleibt es\.$`, said)

	require.NotContains(t, shown.String()+s.Output(), key)
	require.NotContains(t, shown.String()+s.Output(), key[:len(key)/2])
}
