package commands_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/definition"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// flowOf reads a graph as /api/workflows does and runs it.
func flowOf(t *testing.T, graph string) *run.State {
	t.Helper()
	types := nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient})
	r, err := node.NewRegistry(types...)
	require.NoError(t, err)
	g, faults := definition.Parse([]byte(graph), r)
	require.Empty(t, faults)
	d, faults := g.Definition()
	require.Empty(t, faults)
	w := newWorld()
	e, _ := w.start(t, commands.Limits{}, types...)
	q := request("r", d)
	q.Input = []byte(`{"text":"I want a refund","score":0.4}`)
	out, err := e.StartRun(t.Context(), q)
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	return s
}

func ran(s *run.State) map[string]string {
	out := map[string]string{}
	for i := range s.Tasks() {
		if s.Task(i).Phase == run.TaskCompletedPhase {
			out[s.Graph.Nodes[i].Name] = string(s.Task(i).Output.JSON)
		}
	}
	return out
}

// D9: a router's edges are conditions over its output; sourceHandle names a route or a branch as well.
func TestExecutor_RoutersAndConditionalsGate(t *testing.T) {
	s := flowOf(t, `{"nodes":[
		{"id":"in","type":"trigger"},
		{"id":"router","type":"gpt_router","config":{"message":"{{ input.text }}","routes":[{"name":"billing","description":"refund"},{"name":"it's tech"}]}},
		{"id":"money","type":"transform","config":{"expression":"route"}},
		{"id":"tech","type":"transform","config":{"expression":"1"}},
		{"id":"handled","type":"transform","config":{"expression":"2"}},
		{"id":"ask","type":"gpt_conditional_block","config":{"condition":"refund?","message":"{{ input.text }}"}},
		{"id":"yes","type":"transform","config":{"expression":"3"}},
		{"id":"no","type":"transform","config":{"expression":"4"}},
		{"id":"end","type":"end"}],
	"edges":[{"source":"in","target":"router"},{"source":"router","target":"money","condition":"route == 'billing'"},
		{"source":"router","target":"tech","sourceHandle":"it's tech"},{"source":"router","target":"handled","sourceHandle":"billing"},
		{"source":"in","target":"ask"},{"source":"ask","target":"yes","sourceHandle":"true"},{"source":"ask","target":"no","condition":false},
		{"source":"money","target":"end"},{"source":"yes","target":"end"}]}`)
	require.Equal(t, run.PhaseCompleted, s.Phase, s.Error.Message)
	got := ran(s)
	require.Equal(t, `"billing"`, got["money"])
	require.Contains(t, got, "handled")
	require.Contains(t, got, "yes")
	require.NotContains(t, got, "tech")
	require.NotContains(t, got, "no")
}

// O1's eval: what does not pass ends the run with its reason, or goes on where that is wanted.
func TestExecutor_EvalBlocksOrWarns(t *testing.T) {
	graph := func(eval string) string {
		return `{"nodes":[{"id":"in","type":"trigger"},{"id":"check","type":"eval","config":` + eval + `},{"id":"end","type":"end"}],
			"edges":[{"source":"in","target":"check"},{"source":"check","target":"end"}]}`
	}
	const policy = `"eval_type":"policy","config":{"rules":[{"name":"score","expression":"score > 0.5 and input.score > 0","reason":"is too low"}]}`
	s := flowOf(t, graph(`{`+policy+`}`))
	require.Equal(t, run.PhaseFailed, s.Phase)
	require.Equal(t, []string{"EVAL_FAILED", "EvalError", "score is too low", "check"}, []string{s.Error.Code, s.Error.Type, s.Error.Message, s.FailedBy})
	s = flowOf(t, graph(`{`+policy+`,"on_failure":"warn"}`))
	require.Equal(t, run.PhaseCompleted, s.Phase, s.Error.Message)
	require.Equal(t, `{"passed":false,"score":0,"reason":"score is too low","data":{"text":"I want a refund","score":0.4},"on_failure":"warn"}`, ran(s)["check"])
	s = flowOf(t, graph(`{"eval_type":"schema","config":{"required":["nothing"]}}`))
	require.Equal(t, "EVAL_FAILED", s.Error.Code)
	require.True(t, s.Graph.Nodes[1].Pure)
	s = flowOf(t, graph(`{"eval_type":"llm_judge","config":{"criteria":"refund"}}`))
	require.Equal(t, run.PhaseCompleted, s.Phase, s.Error.Message)
	require.Equal(t, []any{false, "llm"}, []any{s.Graph.Nodes[1].Pure, s.Graph.Nodes[1].Calls})
	s = flowOf(t, graph(`{"eval_type":"llm_judge","config":{"criteria":"kindness"},"on_failure":"block"}`))
	require.Equal(t, "EVAL_FAILED", s.Error.Code)
	require.Contains(t, s.Error.Message, "the judge gave 0, 0.7 is needed")
}

// A mapped call of a stored workflow answers with all there is, as any other, and is a POST.
func TestDefinition_MappedCallsAreFull(t *testing.T) {
	types := nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient})
	r, err := node.NewRegistry(types...)
	require.NoError(t, err)
	for config, want := range map[string]string{
		`{"depends":"in","default":{"url":"http://h"},"mapping":{}}`:                                `{"config":{"depends":"in","default":{"url":"http://h","output":"full","method":"POST"},"mapping":{}}}`,
		`{"depends":"in","default":{"url":"http://h","output":"body","method":"PUT"},"mapping":{}}`: `{"config":{"depends":"in","default":{"url":"http://h","output":"body","method":"PUT"},"mapping":{}}}`,
		`{"depends":"in","method":"GET","url":"http://h","mapping":{}}`:                             `{"config":{"depends":"in","method":"GET","url":"http://h","mapping":{},"default":{"output":"full"}}}`,
	} {
		g, faults := definition.Parse([]byte(`{"nodes":[{"id":"in","type":"trigger"},{"id":"call","type":"api_call","config":`+config+`},{"id":"end","type":"end"}],"edges":[{"source":"in","target":"call"},{"source":"call","target":"end"}]}`), r)
		require.Empty(t, faults)
		d, faults := g.Definition()
		require.Empty(t, faults)
		var call workflow.Node
		for _, n := range d.Nodes {
			if n.Name == "call" {
				call = n
			}
		}
		require.Equal(t, want, string(call.Params.JSON))
	}
}
