package contracttest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

// A request sent again under its key meets what the first one made: the id follows from key and route, as
// a UUIDv8, also after a restart. Another body under the key is refused.
func TestD20_RepeatsUnderAKey(t *testing.T) {
	t.Parallel()
	const uuid8 = `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
	data := proctest.DataFolder(t)
	s := proctest.Start(t, proctest.Options{Data: data})
	key := []string{"Idempotency-Key", "order 4711"}
	workflow := text(t, must(t, s, 201, http.MethodPost, "/api/workflows", encode(chain("w")), key...).data("id"))
	require.Regexp(t, uuid8, workflow)
	dag := encode(object{"flow_name": "f", "run_name": "r", "tasks": []any{noop("a", 1)}})
	run := func() (ids [3]string) {
		ids[0] = text(t, must(t, s, 201, http.MethodPost, "/api/workflows", encode(chain("w")), key...).data("id"))
		ids[1] = text(t, must(t, s, 202, http.MethodPost, "/api/workflows/"+workflow+"/execute", `{"input_data":{"n":1}}`, key...).data("execution_id"))
		ids[2] = text(t, must(t, s, 200, http.MethodPost, "/run-dag", dag, key...).Body["task_id"])
		return ids
	}
	first := run()
	require.Equal(t, workflow, first[0])
	require.NotEqual(t, first[1], first[2], "the route is part of it")
	for _, id := range first[1:] {
		require.Regexp(t, uuid8, id)
		ended(t, s, id)
	}
	require.Equal(t, first, run())
	s.Stop()
	s = proctest.Start(t, proctest.Options{Data: data})
	require.Equal(t, first, run())
	require.Len(t, items(t, s, "/api/executions"), 2)
	require.Len(t, items(t, s, "/api/workflows"), 1)
	refused(t, s, 422, "", http.MethodPost, "/api/workflows/"+workflow+"/execute", `{"input_data":{"n":2}}`, key...)
	other := text(t, must(t, s, 202, http.MethodPost, "/api/workflows/"+workflow+"/execute", `{"input_data":{"n":1}}`, "Idempotency-Key", "another").data("execution_id"))
	require.NotEqual(t, first[1], other)
	require.Regexp(t, `-7[0-9a-f]{3}-`, execute(t, s, workflow, object{}), "a UUIDv7 without a key")
}

// An update can name the version that it was made from; of two from the same one the second is refused.
func TestS2_9_D17_UpdatesNameTheirVersion(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	path := "/api/workflows/" + store(t, s, chain("w"))
	tag := must(t, s, 200, http.MethodGet, path, "").Header.Get("ETag")
	require.NotEmpty(t, tag)
	must(t, s, 200, http.MethodPut, path, encode(chain("mine")), "If-Match", tag)
	refused(t, s, 412, "", http.MethodPut, path, encode(chain("theirs")), "If-Match", tag)
	refused(t, s, 412, "", http.MethodDelete, path, "", "If-Match", tag)
	now := must(t, s, 200, http.MethodGet, path, "")
	require.Equal(t, "mine", now.data("name"))
	require.NotEqual(t, tag, now.Header.Get("ETag"))
	must(t, s, 200, http.MethodDelete, path, "", "If-Match", now.Header.Get("ETag"))
}

// An execution that a message started has the same events on AGNT5's socket and on the Orchestrator's: one
// or two frames for each event, by the names of the table in each dialect.
func TestD1_AnExecutionInTwoDialects(t *testing.T) {
	t.Parallel()
	s, stub := proctest.Start(t, proctest.Options{}), proctest.NewStub(t)
	p := makeEndpoint(t, s, "shop")
	for name, path := range map[string]string{"good": "/ok", "bad": "/fail"} {
		p.serve(t, s, name, node("ask", "agent", object{"system_instructions": "Answer."}), node("call", "api_call", object{"url": stub.URL + path, "method": "POST"}))
	}
	p.serve(t, s, "slow", node("wait", "timer", object{"duration_seconds": 600}))
	names := map[string][]string{
		"workflow.started": {"execution_started", "workflow_start"}, "workflow.completed": {"workflow_end", "execution_completed"},
		"workflow.failed": {"workflow_error", "execution_failed"}, "workflow.cancelled": {"execution_cancelled"},
		"node.started": {"task_start"}, "node.completed": {"task_end"}, "node.failed": {"task_error"},
		"llm.started": {"llm_start"}, "llm.completed": {"llm_end"}, "tool.started": {"tool_start"}, "tool.completed": {"tool_end"}, "tool.failed": {"tool_error"},
	}
	conn := p.dial(t, s, "")
	for _, name := range []string{"good", "bad", "slow"} {
		conn.send(object{"name": name})
		first := conn.next()
		execution := text(t, at(first, "data", "execution_id"))
		if name == "slow" {
			must(t, s, 202, http.MethodPost, "/api/executions/"+execution+"/cancel", "")
		}
		var got []object
		for _, f := range append([]object{first}, conn.until(executionEnds)...) {
			if at(f, "data", "offset") != nil { // a model's words are no events
				got = append(got, f)
			}
		}
		feed := dial(t, s, "/ws/workflows/"+execution+"?from=0").until(isType("workflow.completed", "workflow.failed", "workflow.cancelled"))
		for _, e := range feed {
			want, known := names[text(t, e["event_type"])]
			if !known {
				want = []string{text(t, e["event_type"])} // its canonical name in both
			}
			require.GreaterOrEqual(t, len(got), len(want), "%v", e)
			for i, name := range want {
				require.Equal(t, name, got[i]["type"])
				require.Equal(t, e["offset"], at(got[i], "data", "offset"))
				require.Equal(t, e["id"], at(got[i], "data", "event_id"))
				require.Equal(t, at(e, "data", "timestamp"), at(got[i], "data", "timestamp"))
			}
			got = got[len(want):]
		}
		require.Empty(t, got)
	}
}
