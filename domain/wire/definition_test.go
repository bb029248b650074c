package wire_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

func definition() workflow.Definition {
	return workflow.Definition{
		Nodes: []workflow.Node{
			{
				Name: "a\"/~", Type: "api_call", Tag: "first <b>", Params: domain.Value{
					JSON:  []byte(`{"config": {"api_key":null , "n":1e400}, "x\/y":{"value":null}}`),
					Holes: []domain.Hole{{At: "/config/api_key", Sealed: "s1", FP: "f1"}, {At: "/x~1y/value", Sealed: "s2", FP: "f2"}},
				},
				Calls: "tool", Retry: workflow.Retry{Attempts: 3, Initial: 500 * time.Millisecond, Factor: 1.5, Max: 24 * time.Hour, Jitter: 1.0 / 3},
				Timeout: 90*time.Second + 5*time.Millisecond,
			},
			{Name: "b", Type: "merge", Pure: true, Params: domain.Raw([]byte(`{"p":{"depends":"a"}}`))},
			{Name: "c", Type: "agent", Calls: "llm", Params: domain.Raw([]byte(`{}`)), Retry: workflow.DefaultRetry()},
		},
		Edges: []workflow.Edge{{Source: "a\"/~", Target: "b"}, {Source: "b", Target: "c", Condition: "route == 'x' && \"y\" < 1"}},
	}
}

func TestDefinition_RoundTripsWithHoles(t *testing.T) {
	v := wire.Definition(definition())
	require.Equal(t, []domain.Hole{
		{At: "/nodes/0/params/config/api_key", Sealed: "s1", FP: "f1"}, {At: "/nodes/0/params/x~1y/value", Sealed: "s2", FP: "f2"},
	}, v.Holes)
	golden(t, "definition.golden.json", v.JSON)
	back, err := wire.DecodeDefinition(v)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(definition(), back))

	templates := workflow.Definition{Nodes: []workflow.Node{{Name: "a", Type: "t", Templates: true, Params: domain.Raw([]byte(`{}`))}}}
	v = wire.Definition(templates)
	require.Equal(t, `{"nodes":[{"name":"a","type":"t","templates":true,"params":{}}],"edges":[]}`, string(v.JSON))
	back, err = wire.DecodeDefinition(v)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(templates, back, cmpopts.EquateEmpty()))

	empty, err := wire.DecodeDefinition(wire.Definition(workflow.Definition{}))
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(workflow.Definition{}, empty, cmpopts.EquateEmpty()))
}

// A definition of a newer version must not run with a part of it left out.
func TestDecodeDefinition_RefusesWhatItDoesNotKnow(t *testing.T) {
	for _, j := range []string{
		`{"nodes":[],"edges":[],"loops":[]}`, `{"nodes":[{"name":"a","type":"t","repeat":3,"params":{}}],"edges":[]}`,
		`{"nodes":[],"edges":[{"source":"a","target":"b","weight":1}]}`, `{"nodes":[],"edges":[]} x`, ``, `null`, `[]`,
		`{"nodes":[{"timeout":"soon"}]}`, `{"nodes":[{"retry":{"attempts":"3"}}]}`,
	} {
		_, err := wire.DecodeDefinition(domain.Raw([]byte(j)))
		require.ErrorIs(t, err, domain.ErrCorrupt, j)
	}
	v := wire.Definition(definition())
	for _, at := range []string{"/nodes/9/params/x", "/nodes/0/name", "/edges/0", "", "/nodes/-1/params", "/nodes/0/paramsx"} {
		_, err := wire.DecodeDefinition(domain.Value{JSON: v.JSON, Holes: []domain.Hole{{At: at, Sealed: "s1"}}})
		require.ErrorIs(t, err, domain.ErrCorrupt, at)
	}
}

// Ten thousand tasks with a secret each: looking every task up in the document took minutes.
func TestDecodeDefinition_IsLinear(t *testing.T) {
	var d workflow.Definition
	for i := range domain.TasksMax {
		d.Nodes = append(d.Nodes, workflow.Node{Name: fmt.Sprint("task", i), Type: "t", Params: domain.Value{
			JSON: []byte(`{"token":null}`), Holes: []domain.Hole{{At: "/token", Sealed: "s1", FP: "f"}},
		}})
	}
	began := time.Now()
	back, err := wire.DecodeDefinition(wire.Definition(d))
	require.NoError(t, err)
	require.Less(t, time.Since(began), 4*time.Second)
	require.Equal(t, d.Nodes[9999].Params, back.Nodes[9999].Params)
}
