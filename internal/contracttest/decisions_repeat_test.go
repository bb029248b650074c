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
