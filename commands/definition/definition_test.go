package definition_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands/definition"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/workflow"
)

func registry(t testing.TB) *node.Registry {
	t.Helper()
	types := nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient, Now: func() time.Time { return time.Time{} }})
	r, err := node.NewRegistry(types...)
	require.NoError(t, err)
	return r
}

func listed(faults []node.Fault) []string {
	out := make([]string, len(faults))
	for i, f := range faults {
		out[i] = f.Pointer + ": " + f.Message
	}
	return out
}

func parsed(t *testing.T, graph string) *definition.Graph {
	t.Helper()
	g, faults := definition.Parse([]byte(graph), registry(t))
	require.Empty(t, listed(faults), graph)
	return g
}

// withNode is a graph of one node.
func withNode(n string) string { return `{"nodes":[` + n + `],"edges":[]}` }

func TestParse_NamesEachFault(t *testing.T) {
	r := registry(t)
	const apiCall = `{"id":"a","type":"api_call","data":{"config":`
	for graph, want := range map[string][]string{
		`[]`:                     {": must be an object with nodes and edges"},
		`5`:                      {": must be an object with nodes and edges"},
		`{}`:                     {"/nodes: is missing"},
		`{"nodes":null}`:         {"/nodes: must be an array"},
		`{"nodes":{},"edges":5}`: {"/nodes: must be an array", "/edges: must be an array"},
		`{"nodes":[5,{},{"id":5,"type":[]},{"id":"","type":"nothing"},{"id":"a\u0000","type":"merge"},{"id":"\ud800","type":"merge"}],"edges":[5,{},{"source":1,"target":null,"condition":[],"sourceHandle":{}}]}`: {
			"/nodes/0: must be an object", "/nodes/1/id: is missing", "/nodes/1/type: is missing; name one of: a2a, agent, api_call",
			"/nodes/2/id: must be a string", "/nodes/2/type: must be a string", "/nodes/3/id: is empty", `/nodes/3/type: "nothing" is no node type of this server; use one of: `,
			"/nodes/4/id: contains a control character", "/nodes/5/id: holds half of a surrogate pair",
			"/edges/0: must be an object", "/edges/1/source: is missing", "/edges/1/target: is missing",
			"/edges/2/source: must be a string", "/edges/2/target: must be a string", "/edges/2/condition: must be a string", "/edges/2/sourceHandle: must be a string",
		},
		`{"nodes":[{"id":"a","type":"merge"},{"id":"a","type":"merge"}]}`:        {`/nodes/1/id: "a" is the id of two nodes`},
		withNode(`{"id":"a","type":"custom","data":{"type":"nothing"}}`):         {`/nodes/0/type: "custom" is no node type`},
		withNode(`{"id":"a","data":{"type":"nothing"}}`):                         {`/nodes/0/data/type: "nothing" is no node type`},
		withNode(`{"id":"a","type":"merge","data":5}`):                           {"/nodes/0/data: must be an object"},
		withNode(`{"id":"a","type":"merge","data":{"config":[]}}`):               {"/nodes/0/data/config: must be an object"},
		withNode(`{"id":"a","type":"merge","config":5}`):                         {"/nodes/0/config: must be an object"},
		withNode(`{"id":"a","type":"merge","config":{"merge_strategy":"sk-x"}}`): {`/nodes/0/config/merge_strategy: must be one of "combine", "first", "vote"`},
		withNode(apiCall + `{}}}`):                                               {"/nodes/0/data/config/url: is required"},
		withNode(apiCall + `{"url":"ftp://x","method":5,"timeout":"soon","retry":{"attempts":"many"}}}}`): {
			"/nodes/0/data/config/method: must be of type string", "/nodes/0/data/config/url: must be an absolute URL",
			"/nodes/0/data/config/timeout: ", "/nodes/0/data/config/retry/attempts: must be a number",
		},
		withNode(`{"id":"a","type":"conditional","data":{"config":{"condition_expression":"output.score >"}}}`): {"/nodes/0/data/config/condition_expression: "},
		withNode(apiCall + `{"url":"https://example.org","body":"{{ 1 + }}"}}}`):                                {"/nodes/0/data/config/body: {{ 1 + }}: "},
		withNode(apiCall + `{"url":"https://example.org","headers":{"Authorization":"sk-live-01 {{ input.k }}"}}}}`): {
			"/nodes/0/data/config/headers/Authorization: mixes a secret with a template",
		},
		withNode(apiCall + `{"url":"https://example.org","headers":{"Authorization":"{{ input.k or \"sk-live-01\" }}"}}}}`): {
			"/nodes/0/data/config/headers/Authorization: mixes a secret with a template",
		},
		`{"nodes":[{"id":"a","type":"merge"}],"edges":[{"source":"a","target":"a","condition":"output >"}]}`: {"/edges/0/condition: "},
	} {
		_, faults := definition.Parse([]byte(graph), r)
		got := listed(faults)
		require.Len(t, got, len(want), "%s\n%s", graph, strings.Join(got, "\n"))
		for _, w := range want {
			found := false
			for _, g := range got {
				found = found || strings.HasPrefix(g, w)
			}
			require.True(t, found, "%s\nlacks %s\nhas %s", graph, w, strings.Join(got, "\n"))
		}
		for _, g := range got {
			require.NotContains(t, g, "sk-", "a fault quotes what may be a secret")
		}
	}
}

func TestParse_AcceptsTemplatesWhereOtherTypesAreMeant(t *testing.T) {
	g := parsed(t, withNode(`{"id":"a","type":"api_call","data":{"config":{"url":"{{ input.url }}","headers":"{{ input.h }}","timeout":"{{ input.t }}",
		"retry":"{{ input.r }}","body":{"n":"{{ 1 }}"},"output":"{{ 'full' }}"}}}`))
	d, _ := g.Definition()
	require.Equal(t, workflow.DefaultRetry(), d.Nodes[0].Retry)
	for _, header := range []string{"Bearer {{ input.token }}", `{{ input["a long name of a key"] }}`, `{{ input.get('a long name of a key') }}`, `{{ "Bearer " + input.k }}`} {
		b, err := json.Marshal(header)
		require.NoError(t, err)
		parsed(t, withNode(`{"id":"a","type":"api_call","data":{"config":{"url":"https://example.org","headers":{"Authorization":`+string(b)+`}}}}`))
	}
}

func TestParse_Bounds(t *testing.T) {
	r := registry(t)
	list := func(n int, item func(int) string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(item(i))
		}
		return b.String()
	}
	nodes := func(n int) string {
		return list(n, func(i int) string { return fmt.Sprintf(`{"id":"n%d","type":"merge"}`, i) })
	}
	edges := func(n int) string { return list(n, func(int) string { return `{"source":"n0","target":"n1"}` }) }
	for graph, want := range map[string]string{
		`{"nodes":[` + nodes(domain.TasksMax) + `],"edges":[` + edges(definition.EdgesMax) + `]}`: "",
		`{"nodes":[` + nodes(domain.TasksMax+1) + `]}`:                                            "/nodes: has 10001 nodes, at most 10000 are allowed",
		`{"nodes":[],"edges":[` + edges(definition.EdgesMax+1) + `]}`:                             "/edges: has 50001 edges, at most 50000 are allowed",
	} {
		_, faults := definition.Parse([]byte(graph), r)
		require.Equal(t, want, strings.Join(listed(faults), "\n"))
	}
	_, faults := definition.Parse([]byte(`{"nodes":[`+list(1000, func(int) string { return `5` })+`]}`), r)
	require.Len(t, faults, definition.FaultsMax)
	deep := func(n int) string {
		return withNode(`{"id":"a","type":"bench_noop","config":` + strings.Repeat(`{"a":`, n) + `1` + strings.Repeat(`}`, n) + `}`)
	}
	_, faults = definition.Parse([]byte(deep(domain.JSONDepthMax)), r)
	require.Len(t, faults, 1)
	require.Contains(t, faults[0].Message, "is not acceptable JSON")
	for n := 110; n < domain.JSONDepthMax; n++ {
		if g, faults := definition.Parse([]byte(deep(n)), r); len(faults) == 0 {
			d, _ := g.Definition()
			whole := `{"nodes":[{"params":` + string(d.Nodes[0].Params.JSON) + `}]}`
			require.NoError(t, rawjson.Check([]byte(whole), domain.JSONDepthMax), "what is accepted can be stored with a run")
		}
	}
}

// A client finds edges whether it sent them or not, and everything else as it was.
func TestParse_KeepsTheGraph(t *testing.T) {
	const graph = `{ "viewport": {"zoom":1e400,"x":-0}, "nodes":[{"id":"a","type":"merge","data":{"label":"\u0041"},"z":[ ]}] }`
	require.Equal(t, `{"viewport":{"zoom":1e400,"x":-0},"nodes":[{"id":"a","type":"merge","data":{"label":"\u0041"},"z":[ ]}],"edges":[]}`, string(parsed(t, graph).Raw))
	const whole = `{ "edges" : [ ], "nodes":[ ] }`
	require.Equal(t, whole, string(parsed(t, whole).Raw))
}

func TestDefinition_Translates(t *testing.T) {
	d, faults := parsed(t, `{"nodes":[
		{"id":"in","type":"trigger","data":{"label":"Start","config":{"name":"x"}}},
		{"id":"ask","type":"custom","data":{"type":"agent","config":{"system_instructions":"be kind","timeout":5}}},
		{"id":"if","type":"conditional","config":{"condition_expression":"output.score > 0.5"}},
		{"id":"call","type":"api_call","data":{"config":{"url":"https://example.org","retry":false}}},
		{"id":"get","type":"api_call","data":{"config":{"url":"https://example.org","method":"GET","output":"body"}}},
		{"id":"ok","type":"approval","config":{"description":"?"}},{"id":"out","type":"end"}],
		"edges":[{"source":"in","target":"ask"},{"source":"ask","target":"if","sourceHandle":"bottom"},
		{"source":"if","target":"call","sourceHandle":"true"},{"source":"if","target":"get","sourceHandle":"false","label":"no"},
		{"source":"if","target":"ok","sourceHandle":"true","condition":"output.result"},{"source":"ok","target":"out","sourceHandle":"approve"},
		{"source":"call","target":"out","condition":" output.status_code == 200 "},{"source":"get","target":"out","sourceHandle":"true","condition":null}]}`).Definition()
	require.Empty(t, listed(faults))
	type task struct{ name, typ, tag, calls, params string }
	var got []task
	for _, n := range d.Nodes {
		require.True(t, n.Templates)
		got = append(got, task{n.Name, n.Type, n.Tag, n.Calls, string(n.Params.JSON)})
	}
	require.Equal(t, []task{
		{"in", "trigger", "Start", "", `{"config":{"name":"x"}}`},
		{"ask", "agent", "", "llm", `{"config":{"system_instructions":"be kind","timeout":5,"output":"full"}}`},
		{"if", "conditional", "", "", `{"config":{"condition_expression":"output.score > 0.5"}}`},
		{"call", "api_call", "", "tool", `{"config":{"url":"https://example.org","retry":false,"method":"POST","output":"full"}}`},
		{"get", "api_call", "", "tool", `{"config":{"url":"https://example.org","method":"GET","output":"body"}}`},
		{"ok", "approval", "", "", `{"config":{"description":"?"}}`},
		{"out", "end", "", "", `{"config":{}}`},
	}, got)
	require.Equal(t, 5*time.Second, d.Nodes[1].Timeout)
	require.Equal(t, 1, d.Nodes[3].Retry.Attempts)
	require.True(t, d.Nodes[2].Pure)
	require.Equal(t, []workflow.Edge{
		{Source: "in", Target: "ask"},
		{Source: "ask", Target: "if"},
		{Source: "if", Target: "call", Condition: "true"},
		{Source: "if", Target: "get", Condition: "false"},
		{Source: "if", Target: "ok", Condition: "output.result"},
		{Source: "ok", Target: "out", Condition: "approve"},
		{Source: "call", Target: "out", Condition: "output.status_code == 200"},
		{Source: "get", Target: "out"},
	}, d.Edges)
}

// The example that the README tells people to store can be stored and run.
func TestDefinition_ExampleRuns(t *testing.T) {
	raw, err := os.ReadFile("../../examples/report-workflow.json")
	require.NoError(t, err)
	_, faults := parsed(t, string(raw)).Definition()
	require.Empty(t, listed(faults))
}

func TestDefinition_TellsAllThatKeepsItFromRunning(t *testing.T) {
	const in, out = `{"id":"in","type":"trigger"}`, `{"id":"out","type":"end"}`
	for graph, want := range map[string][]string{
		`{"nodes":[]}`:                      {"/nodes: has no trigger and no end node; add one of each"},
		`{"nodes":[` + in + `],"edges":[]}`: {"/nodes: has no end node; add one"},
		`{"nodes":[` + out + `]}`:           {`/nodes/0: node "out" has no incoming edge; lead one to it or make it a trigger`, "/nodes: has no trigger node; add one"},
		`{"nodes":[` + in + `,` + out + `],"edges":[{"source":"in","target":"out"}]}`: nil,
		`{"nodes":[` + in + `,` + out + `,{"id":"m","type":"merge"}],"edges":[{"source":"in","target":"out"},{"source":"in","target":"m"},{"source":"in","target":"m"}]}`: {
			`/nodes/2: node "m" merges 1 branch, it needs at least 2 incoming edges`,
		},
		`{"nodes":[` + in + `,` + out + `],"edges":[{"source":"in","target":"out"},{"source":"gone","target":"away"},{"source":"out","target":"out"}]}`: {
			`/edges/1/source: names "gone", which is no node`, `/edges/1/target: names "away", which is no node`, `/edges/2: leads from node "out" to itself`,
		},
		`{"nodes":[` + in + `,{"id":"a","type":"bench_noop"},{"id":"b","type":"bench_noop"},` + out + `],"edges":[{"source":"in","target":"a"},{"source":"a","target":"b"},{"source":"b","target":"a"},{"source":"b","target":"out"}]}`: {
			"/edges: make nodes depend on each other in a cycle: a -> b -> a; remove one of these dependencies",
		},
		`{"nodes":[` + in + `,{"id":"c","type":"api_call","data":{"config":{"default":{"url":"https://example.org"},"depends":"gone","mapping":{"BODY_a":"response"}}}},` + out + `],"edges":[{"source":"in","target":"c"},{"source":"c","target":"out"}]}`: {
			`/nodes/1/data/config/depends: names "gone", which is no task; name one of the tasks`,
		},
	} {
		g := parsed(t, graph)
		_, faults := g.Definition()
		require.ElementsMatch(t, want, listed(faults), graph)
		texts := g.Texts(faults)
		require.Len(t, texts, len(faults))
		for _, text := range texts {
			require.NotEmpty(t, text)
		}
	}
	// What was stored before a type was gone, or asked for less.
	g, _ := definition.Parse([]byte(`{"nodes":[`+in+`,{"id":"x","type":"gone"},{"id":"x","type":"end"},{"type":"end"},{"id":"c","type":"api_call"},{"id":"if","type":"conditional"}],"edges":[{"source":"in","target":"x"},{"source":"in","target":"c"},{"source":"c","target":"if"}]}`), registry(t))
	_, faults := g.Definition()
	require.ElementsMatch(t, []string{
		`/nodes/1/type: "gone" is no node type of this server`, `/nodes/2/id: "x" is the id of two nodes; ids must differ`, "/nodes/3/id: is missing; give the node an id",
		"/nodes/4/config/url: is required", "/nodes/5/config/condition_expression: is required, as a string",
	}, listed(faults))
	require.Contains(t, g.Texts(faults), `node "c": url is required`)
}

// Whatever comes in: an answer, never a panic; and what is accepted keeps its bytes and can be judged.
func FuzzParse(f *testing.F) {
	r := registry(f)
	for _, seed := range []string{
		"", "{}", "[]", `{"nodes":[]}`, withNode(`{"id":"a","type":"api_call","data":{"config":{"url":"https://example.org","timeout":1e400,"retry":{"attempts":1}}}}`),
		`{"nodes":[{"id":"in","type":"trigger"},{"id":"if","type":"conditional","config":{"condition_expression":"a and b"}},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"if"},{"source":"if","target":"out","sourceHandle":"true"},{"source":"out","target":"if","condition":true}]}`,
		withNode(`{"id":"\ud800","type":"agent","data":{"config":{"temperature":1e999999,"api_key":"{{ x"}}}`), `{"nodes":[{"id":"a","id":"b"}]}`,
		withNode(`{"id":"t","type":"timer","data":{"config":{"duration_seconds":-1e999}}}`), withNode(`{"id":"t","type":"transform","config":{"fields":{"a":"{{"}}}`),
		strings.Repeat(`{"nodes":[`, 200), `{"nodes":[null,[],"",5,true]}`, withNode(`{"id":"c","type":"api_call","config":{"depends":"c","url":"{{ input.u }}","mapping":{"BODY_x":"a["}}}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, faults := definition.Parse(raw, r)
		for _, fault := range faults {
			if fault.Message == "" || fault.Pointer != "" && fault.Pointer[0] != '/' {
				t.Fatalf("fault %+v", fault)
			}
		}
		d, more := g.Definition()
		if len(g.Texts(more)) != len(more) {
			t.Fatal("a fault without its sentence")
		}
		if len(faults) > 0 {
			return
		}
		if err := rawjson.Check(g.Raw, domain.JSONDepthMax); err != nil {
			t.Fatalf("what is stored is no JSON: %v", err)
		}
		if len(more) > 0 {
			return
		}
		if _, err := workflow.Compile(d, nil); err != nil {
			t.Fatalf("runnable, but: %v", err)
		}
		for _, n := range d.Nodes {
			if rawjson.Check(n.Params.JSON, domain.JSONDepthMax) != nil || rawjson.KindOf(n.Params.JSON) != rawjson.Object {
				t.Fatalf("params %q", n.Params.JSON)
			}
		}
	})
}
