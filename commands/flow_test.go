package commands_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// The built-in types together, as a stored workflow joins them: by edges.
func TestExecutor_FlowByEdges(t *testing.T) {
	w := newWorld()
	e, _ := w.start(t, commands.Limits{}, nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient})...)
	pure := func(n workflow.Node) workflow.Node { n.Pure = true; return n }
	d := workflow.Definition{
		Nodes: []workflow.Node{
			pure(templated("start", "trigger", `{"config":{"input_json":{"score":7}}}`)),
			pure(templated("check", "conditional", `{"config":{"condition_expression":"score > 5 and nodes.start.score == 7"}}`)),
			templated("wait", "timer", `{"config":{"duration_seconds":"{{ nodes.start.score / 1000 }}"}}`),
			templated("ask", "agent", `{"config":{"name":"asker"}}`),
			templated("never", "agent", `{}`),
			pure(templated("shape", "transform", `{"config":{"fields":{"late":"waited_seconds >= 0.007","all":"len(nodes)"}}}`)),
			pure(templated("join", "merge", `{"config":{"merge_strategy":"combine"}}`)),
			pure(templated("end", "end", `{}`)),
		},
		Edges: []workflow.Edge{
			{Source: "start", Target: "check"},
			{Source: "check", Target: "wait", Condition: "true"}, {Source: "check", Target: "never", Condition: "false"},
			{Source: "wait", Target: "shape"}, {Source: "start", Target: "ask"},
			{Source: "ask", Target: "join"}, {Source: "shape", Target: "join"}, {Source: "never", Target: "join"},
			{Source: "join", Target: "end"},
		},
	}
	out, err := e.StartRun(t.Context(), request("r", d))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase, s.Error.Message)
	output := func(task string) string {
		i, ok := s.Graph.Index(task)
		require.True(t, ok)
		return string(s.Task(i).Output.JSON)
	}
	require.Equal(t, `{"score":7}`, output("start"))
	require.Regexp(t, `^\{"waited_seconds":0\.0\d+,"completed_at":"20[0-9-]+T[0-9:.]+Z"\}$`, output("wait"))
	require.Contains(t, output("ask"), `start: {\"score\":7}`, "an agent is told what comes before it")
	require.Regexp(t, `^\{"merged_results":\{"ask":".*","shape":\{"late":true,"all":\d\}\}\}$`, output("join"))
	require.Equal(t, output("join"), output("end"))
	require.Empty(t, output("never"))
	_, err = node.NewRegistry(node.Type{Name: "t", Kind: node.Timer})
	require.Error(t, err, "a timer needs its Due")
}
