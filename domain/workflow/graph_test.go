package workflow_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/workflow"
)

// node makes a task whose params depend on others.
func node(name string, depends ...string) workflow.Node {
	var o domain.Object
	for i, d := range depends {
		quoted, _ := json.Marshal(d)
		o.Add(fmt.Sprintf("p%d", i), domain.Raw([]byte(`{"depends":`+string(quoted)+`}`)))
	}
	return workflow.Node{Name: name, Type: "t", Params: o.Value()}
}

func edge(source, target string, condition ...string) workflow.Edge {
	return workflow.Edge{Source: source, Target: target, Condition: strings.Join(condition, "")}
}

func def(nodes []workflow.Node, edges ...workflow.Edge) workflow.Definition {
	return workflow.Definition{Nodes: nodes, Edges: edges}
}

func nodes(n ...workflow.Node) []workflow.Node { return n }

func TestCompile_RefusesWithFieldFaultAndFix(t *testing.T) {
	long := strings.Repeat("n", domain.NameBytesMax)
	many := make([]workflow.Node, domain.TasksMax+1)
	for i := range many {
		many[i] = node(fmt.Sprint("t", i))
	}
	wide := make([]workflow.Edge, workflow.GatesMax+1)
	for i := range wide {
		wide[i] = edge("a", "b", fmt.Sprint(i))
	}
	withParams := func(params string) []workflow.Node {
		return nodes(workflow.Node{Name: "a", Params: domain.Raw([]byte(params))})
	}
	withRetry := func(r workflow.Retry) []workflow.Node { return nodes(workflow.Node{Name: "a", Retry: r}) }
	for name, c := range map[string]struct {
		def         workflow.Definition
		field, text string
	}{
		"no task":        {def(nil), "/tasks", "has no task; add at least one"},
		"too many":       {def(many), "/tasks", "has 10001 tasks, at most 10000 are allowed"},
		"empty name":     {def(nodes(node("a"), node(""))), "/tasks/1/name", "is empty"},
		"long name":      {def(nodes(node(long + "x"))), "/tasks/0/name", "has 513 bytes, at most 512"},
		"control":        {def(nodes(node("a\x00"))), "/tasks/0/name", "control character"},
		"C1 control":     {def(nodes(node("a\u0085"))), "/tasks/0/name", "control character"},
		"not UTF-8":      {def(nodes(node("a\xff"))), "/tasks/0/name", "UTF-8"},
		"double name":    {def(nodes(node("a"), node("b"), node("a"))), "/tasks/2/name", `"a" is the name of two tasks`},
		"unknown":        {def(nodes(node("a"), node("b", "a", "c"))), "/tasks/1/params/p1/depends", `names "c", which is no task`},
		"itself":         {def(nodes(node("a", "a"))), "/tasks/0/params/p0/depends", `task "a" depends on itself`},
		"itself.context": {def(nodes(node("a", "a.context"))), "/tasks/0/params/p0/depends", `task "a" depends on itself`},
		"source":         {def(nodes(node("a")), edge("x", "a")), "/edges/0/source", `names "x", which is no task`},
		"target":         {def(nodes(node("a")), edge("a", "x")), "/edges/0/target", `names "x", which is no task`},
		"self edge":      {def(nodes(node("a")), edge("a", "a", "true")), "/edges/0", `leads from task "a" to itself`},
		"cycle":          {def(nodes(node("x"), node("a", "c", "x"), node("b", "a"), node("c", "b"), node("y", "c"))), "/tasks", "cycle: a -> b -> c -> a;"},
		"cycle by edge":  {def(nodes(node("a"), node("b", "a")), edge("b", "a")), "/tasks", "cycle: a -> b -> a;"},
		"field escaped":  {def([]workflow.Node{{Name: "a", Params: domain.Raw([]byte(`{"p/q~":{"depends":"x"}}`))}}), "/tasks/0/params/p~1q~0/depends", "no task"},
		"array params":   {def(withParams(`[1]`)), "/tasks/0/params", "object"},
		"text params":    {def(withParams(`"x"`)), "/tasks/0/params", "object"},
		"too many gates": {def(nodes(node("a"), node("b")), wide...), "/edges/10000", `"a" has more than 10000 conditional edges`},
		"retry NaN":      {def(withRetry(workflow.Retry{Attempts: 2, Factor: math.NaN()})), "/tasks/0/retry", "factor"},
		"retry Inf":      {def(withRetry(workflow.Retry{Attempts: 2, Factor: 2, Jitter: math.Inf(1)})), "/tasks/0/retry", "jitter"},
		"retry attempts": {def(withRetry(workflow.Retry{Attempts: 101})), "/tasks/0/retry", "attempts"},
		"retry delay":    {def(withRetry(workflow.Retry{Attempts: 1, Max: -1})), "/tasks/0/retry", "max"},
		"timeout":        {def(nodes(workflow.Node{Name: "a", Timeout: -1})), "/tasks/0/timeout", "negative"},
	} {
		_, err := workflow.Compile(c.def, nil)
		require.ErrorIs(t, err, domain.ErrInvalid, name)
		var e *domain.Error
		require.True(t, errors.As(err, &e), name)
		require.Equal(t, c.field, e.Field, name)
		require.Equal(t, "INVALID_GRAPH", e.Code, name)
		require.Contains(t, e.Message, c.text, name)
	}
	for name, d := range map[string]workflow.Definition{
		"longest name":  def(nodes(node(long))),
		"hostile names": def(nodes(node("/~"), node(" "), node(`"`, "/~"), node("é", " "))),
		"no params":     def(nodes(workflow.Node{Name: "a"}, workflow.Node{Name: "b", Params: domain.Null()})),
		"default retry": def(withRetry(workflow.DefaultRetry())),
		"most gates":    def(nodes(node("a"), node("b")), wide[:workflow.GatesMax]...),
	} {
		_, err := workflow.Compile(d, nil)
		require.NoError(t, err, name)
	}
}

// A cycle through everything must not make a message of megabytes.
func TestCompile_ClipsLongCycles(t *testing.T) {
	const n = domain.TasksMax
	all := make([]workflow.Node, n)
	for i := range all {
		all[i] = node(strings.Repeat("x", 500)+fmt.Sprint(i), strings.Repeat("x", 500)+fmt.Sprint((i+n-1)%n))
	}
	_, err := workflow.Compile(def(all), nil)
	require.ErrorContains(t, err, "in a cycle: ")
	require.Less(t, len(err.Error()), 4000)
	require.Contains(t, err.Error(), "more")
}

func TestCompile_ChecksInputKeys(t *testing.T) {
	d := def([]workflow.Node{{Name: "a", Params: domain.Raw([]byte(`{"x":{"input":"k"}}`))}})
	_, err := workflow.Compile(d, func(k string) bool { return k == "k" })
	require.NoError(t, err)
	_, err = workflow.Compile(d, func(string) bool { return false })
	require.ErrorContains(t, err, `/tasks/0/params/x/input: names "k", which is not in default_inputs; add it there`)
}

func TestCompile_Indexes(t *testing.T) {
	g, err := workflow.Compile(def(
		nodes(node("a"), node("b", "a", "a.context"), node("c", "b"), node("d"), node("e", "a")),
		edge("a", "d", "x"), edge("a", "b", "y"), edge("a", "d", "z"), edge("a", "c"), edge("d", "c", "true"),
	), nil)
	require.NoError(t, err)
	require.Equal(t, [][]int32{{1, 2, 3, 4}, {2}, nil, {2}, nil}, g.Succ, "each once, ascending")
	require.Equal(t, []int32{0, 1, 3, 1, 1}, g.Preds)
	require.Equal(t, [][]int32{{0, 1, 2}, nil, nil, {4}, nil}, g.Gates)
	require.Equal(t, []bool{false, true, true, true, false}, g.Gated)
	require.Equal(t, 3, g.Target(0))
	i, ok := g.Index("d")
	require.True(t, ok)
	require.Equal(t, 3, i)
	_, ok = g.Index("nobody")
	require.False(t, ok)
}

// Every graph of up to four tasks, by depends and by edge, against a checker that tries all orders.
func TestCompile_AllSmallGraphs(t *testing.T) {
	checked := 0
	for n := 1; n <= 4; n++ {
		pairs := n * (n - 1)
		for mask := range 1 << pairs {
			d, arrows := smallGraph(n, mask)
			g, err := workflow.Compile(d, nil)
			checked++
			if !hasOrder(n, arrows) {
				require.ErrorContains(t, err, "in a cycle: ", "n=%d mask=%b", n, mask)
				requireRealCycle(t, err, arrows)
				continue
			}
			require.NoError(t, err, "n=%d mask=%b", n, mask)
			for from := range n {
				var want []int32
				for to := range n {
					if arrows[from][to] {
						want = append(want, int32(to))
					}
				}
				require.Equal(t, want, g.Succ[from], "n=%d mask=%b", n, mask)
			}
		}
	}
	require.Equal(t, 1+4+64+4096, checked)
}

// smallGraph gives the arrows that mask says; even ones are depends, odd ones edges.
func smallGraph(n, mask int) (workflow.Definition, [4][4]bool) {
	var arrows [4][4]bool
	depends := make([][]string, n)
	var edges []workflow.Edge
	bit := 0
	for from := range n {
		for to := range n {
			if from == to {
				continue
			}
			if mask>>bit&1 == 1 {
				arrows[from][to] = true
				if bit%2 == 0 {
					depends[to] = append(depends[to], string(rune('a'+from)))
				} else {
					edges = append(edges, edge(string(rune('a'+from)), string(rune('a'+to))))
				}
			}
			bit++
		}
	}
	var all []workflow.Node
	for i := range n {
		all = append(all, node(string(rune('a'+i)), depends[i]...))
	}
	return def(all, edges...), arrows
}

func hasOrder(n int, arrows [4][4]bool) bool {
	var try func(order []int) bool
	try = func(order []int) bool {
		if len(order) == n {
			return true
		}
		for next := range n {
			if slices.Contains(order, next) {
				continue
			}
			ready := true
			for from := range n {
				ready = ready && (!arrows[from][next] || slices.Contains(order, from))
			}
			if ready && try(append(slices.Clone(order), next)) {
				return true
			}
		}
		return false
	}
	return try(nil)
}

func requireRealCycle(t *testing.T, err error, arrows [4][4]bool) {
	t.Helper()
	_, text, _ := strings.Cut(err.Error(), "in a cycle: ")
	text, _, _ = strings.Cut(text, ";")
	names := strings.Split(text, " -> ")
	require.GreaterOrEqual(t, len(names), 3)
	require.Equal(t, names[0], names[len(names)-1])
	for i := 1; i < len(names); i++ {
		require.True(t, arrows[names[i-1][0]-'a'][names[i][0]-'a'], text)
	}
}

// A wide and a deep graph of the largest size compile quickly.
func TestCompile_LargestGraphs(t *testing.T) {
	for name, depends := range map[string]func(i int) []string{
		"chain": func(i int) []string { return []string{fmt.Sprint(i - 1)} },
		"star":  func(int) []string { return []string{"0"} },
	} {
		all := []workflow.Node{node("0")}
		for i := 1; i < domain.TasksMax; i++ {
			all = append(all, node(fmt.Sprint(i), depends(i)...))
		}
		began := time.Now()
		_, err := workflow.Compile(def(all), nil)
		require.NoError(t, err, name)
		require.Less(t, time.Since(began), 3*time.Second, name)
	}
}
