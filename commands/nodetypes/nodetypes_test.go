package nodetypes_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// registry builds the types over deps; a nil client becomes one that refuses every call.
func registry(t testing.TB, d nodetypes.Deps) *node.Registry {
	t.Helper()
	if d.HTTP == nil {
		d.HTTP = noClient{}
	}
	r, err := node.NewRegistry(nodetypes.All(d)...)
	require.NoError(t, err)
	return r
}

type noClient struct{}

func (noClient) Do(*http.Request) (*http.Response, error) { panic("no call expected") }

func run(t testing.TB, r *node.Registry, function string, call node.Call) (node.Reply, error) {
	t.Helper()
	typ, ok := r.Get(function)
	require.True(t, ok, function)
	call.Function = function
	switch {
	case typ.Computed(call.Params):
		return typ.Compute(call)
	case typ.Kind == node.Timer:
		_, err := typ.Due(call, time.Unix(0, 0))
		return node.Reply{}, err
	case typ.Kind == node.Wait || typ.WaitFor != nil && typ.WaitFor(call.Params):
		_, err := typ.Await(call, time.Unix(0, 0))
		return node.Reply{}, err
	}
	return typ.Run(context.Background(), call)
}

func params(s string) node.Call { return node.Call{Params: json.RawMessage(s)} }

func TestBenchNoop_ReturnsItsValue(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	for in, want := range map[string]string{
		`{}`:                       `{}`,
		``:                         `{}`,
		`{"value":null}`:           `null`,
		`{"value":1e400}`:          `1e400`,
		`{"value":{"b":1,"a":[]}}`: `{"b":1,"a":[]}`,
		`{"other":1}`:              `{}`,
	} {
		reply, err := run(t, r, "bench_noop", params(in))
		require.NoError(t, err)
		require.Equal(t, want, string(reply.Output), in)
	}
}

func TestInputs_OutputIsItsParams(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	for _, name := range []string{"inputs", "default_inputs"} {
		reply, err := run(t, r, name, params(`{"b":2,"a":{"n":1.50}}`))
		require.NoError(t, err)
		require.Equal(t, `{"b":2,"a":{"n":1.50}}`, string(reply.Output))
		reply, err = run(t, r, name, params(``))
		require.NoError(t, err)
		require.Equal(t, `{}`, string(reply.Output))
	}
}

// The deterministic answers are in logs of demos and in others' tests: they may never change.
func TestAgent_DeterministicAnswerIsGolden(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	call := params(`{"config":{"agent_name":"Triage","agent_id":"a1"},"user_message":{"value":"Where is my order?"},"context":{"x":1}}`)
	call.Upstream = []node.Upstream{
		{Task: "fetch", Param: "context", Output: json.RawMessage(`{"x": 1}`)},
		{Task: "gone", Param: "other", Output: json.RawMessage(`null`), Skipped: true},
		{Task: "fetch", Param: "again", Output: json.RawMessage(`{"x": 1}`)},
		{Task: "say", Param: "said", Output: json.RawMessage(`"a \"quoted\" line"`)},
	}
	for _, name := range []string{"call_lyzr_agent", "agent"} {
		reply, err := run(t, r, name, call)
		require.NoError(t, err)
		require.Equal(t, `"Triage (deterministic f4c74e151479): Where is my order? …"`, string(reply.Output))
		require.Equal(t, "deterministic", reply.Details["model"])
	}
	reply, err := run(t, r, "agent", params(`{}`))
	require.NoError(t, err)
	require.Equal(t, `"agent (deterministic 2ee2617ce791): "`, string(reply.Output))
}

type refusing struct{}

func (refusing) Do(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }
