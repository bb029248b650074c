package run_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// Edges carry data where templates are evaluated, unless params name their sources.
func TestState_UpstreamByEdges(t *testing.T) {
	edges := []workflow.Edge{
		{Source: "b", Target: "end"},
		{Source: "c", Target: "end", Condition: "true"},
		{Source: "a", Target: "end"},
		{Source: "b", Target: "end", Condition: "true"},
		{Source: "a", Target: "c", Condition: "false"},
		{Source: "a", Target: "plain"},
		{Source: "a", Target: "named"},
		{Source: "b", Target: "named"},
	}
	with := func(n workflow.Node) workflow.Node { n.Templates = true; return n }
	d := workflow.Definition{Edges: edges, Nodes: []workflow.Node{
		domaintest.Node("a", "effect", ""), domaintest.Node("b", "effect", ""), domaintest.Node("c", "effect", ""),
		with(domaintest.Node("end", "effect", "")), domaintest.Node("plain", "effect", ""), with(domaintest.Node("named", "effect", `{"x":{"depends":"b"}}`)),
	}}
	h := domaintest.Given(t, domaintest.Start(t, d, `{}`), complete(1, "a", 1, `"A"`), complete(2, "b", 1, `"B"`)).H
	of := func(task string) []run.Upstream {
		i, _ := h.State.Graph.Index(task)
		return h.State.Upstream(i)
	}
	got := of("end")
	require.Len(t, got, 3)
	require.Equal(t, []string{"b", "c", "a"}, []string{got[0].Task, got[1].Task, got[2].Task})
	require.Equal(t, []bool{false, true, false}, []bool{got[0].Skipped, got[1].Skipped, got[2].Skipped})
	require.Equal(t, []string{`"B"`, `null`, `"A"`}, []string{string(got[0].Output.JSON), string(got[1].Output.JSON), string(got[2].Output.JSON)})
	require.Empty(t, of("plain"), "without templates only params carry data")
	require.Equal(t, "x", of("named")[0].Param)
	require.Len(t, of("named"), 1)
}
