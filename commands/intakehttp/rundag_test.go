package intakehttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/commands/nodetypes"
	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/rawjson"
	"quipu/domain/workflow"
)

// registry holds the node types of the product; nothing is ever sent.
func registry(t testing.TB) *node.Registry {
	t.Helper()
	r, err := node.NewRegistry(nodetypes.All(nodetypes.Deps{HTTP: http.DefaultClient})...)
	require.NoError(t, err)
	return r
}

func parse(t testing.TB, body string) commands.StartRequest {
	t.Helper()
	q, err := parseRunDAG([]byte(body), registry(t))
	require.NoError(t, err)
	return q
}

// faultsOf parses what must be refused and returns kind, code and "field: message" of every fault.
func faultsOf(t testing.TB, body string) (kind domain.Kind, code string, found []string) {
	t.Helper()
	_, err := parseRunDAG([]byte(body), registry(t))
	require.Error(t, err, body)
	var first *domain.Error
	require.ErrorAs(t, err, &first)
	all := []error{err}
	if join, ok := err.(interface{ Unwrap() []error }); ok {
		all = join.Unwrap()
	}
	for _, one := range all {
		var e *domain.Error
		require.ErrorAs(t, one, &e)
		require.Equal(t, first.Kind, e.Kind)
		require.Equal(t, first.Code, e.Code)
		require.NotEmpty(t, e.Field)
		found = append(found, e.Field+": "+e.Message)
	}
	return first.Kind, first.Code, found
}

// flow is a body with the members given beside flow_name f.
func flow(members string) string { return `{"flow_name":"f",` + members + `}` }

// apiTask is a flow of one api_call whose config holds more members.
func apiTask(more string) string {
	return flow(`"tasks":[{"name":"a","function":"api_call","params":{"config":{"url":"https://example.org"` + more + `}}}]`)
}

const noopA = `{"name":"a","function":"bench_noop"}`

func TestParse_Bare(t *testing.T) {
	body := `{"flow_name":"My Flow","run_name":"r 1","default_inputs":{"n":1e400,"s":"\u00e9"},
		"tasks":[{"name":"a","tag":"first","function":"bench_noop","params":{"value":{"big":9007199254740993}}},{"name":"b","function":"merge"}],
		"edges":[{"source":"a","target":"b","condition":" output.ok == true "}]}`
	q := parse(t, body)
	require.Equal(t, "lao", q.Source)
	require.Equal(t, "My Flow", q.FlowName)
	require.Equal(t, "r 1", q.RunName)
	require.Equal(t, name.WorkflowID("My Flow"), q.WorkflowID)
	require.Len(t, q.BodySHA256, 64)
	require.Equal(t, `{"n":1e400,"s":"\u00e9"}`, string(q.Input), "as written")
	require.Len(t, q.Definition.Nodes, 2)
	a, b := q.Definition.Nodes[0], q.Definition.Nodes[1]
	require.Equal(t, `{"value":{"big":9007199254740993}}`, string(a.Params.JSON), "as written")
	require.Equal(t, "first", a.Tag)
	require.Equal(t, workflow.DefaultRetry(), a.Retry)
	require.False(t, a.Pure)
	require.True(t, b.Pure)
	require.Zero(t, b.Retry, "pure nodes are not tried again")
	require.Equal(t, "{}", string(b.Params.JSON))
	require.Equal(t, []workflow.Edge{{Source: "a", Target: "b", Condition: "output.ok == true"}}, q.Definition.Edges)
}

func TestParse_InputsOverrideKeyByKeyAsWritten(t *testing.T) {
	for defaultsAndInputs, want := range map[[2]string]string{
		{`{"a":1,"b":{"x":1}}`, `{"b":2e0}`}:    `{"a":1,"b":2e0}`,              // whole values, not merged
		{`{"a":1}`, `{"z":9007199254740993}`}:   `{"a":1,"z":9007199254740993}`, // new keys come last
		{`{"a":1,"b":2}`, `{"b":null,"a":"x"}`}: `{"a":"x","b":null}`,           // null is a value
		{`{ "a" : 1 }`, `{}`}:                   `{ "a" : 1 }`,
		{`{"a":1}`, `null`}:                     `{"a":1}`,
		{`null`, `{"a":1}`}:                     `{"a":1}`,
		{`{}`, `{"a\u0062":1}`}:                 `{"ab":1}`,
	} {
		body := fmt.Sprintf(`{"workflow_data":{"flow_name":"f","default_inputs":%s,"tasks":[%s]},"inputs":%s}`, defaultsAndInputs[0], noopA, defaultsAndInputs[1])
		require.Equal(t, want, string(parse(t, body).Input), body)
	}
	// Without defaults the inputs are the input; without either it is the empty object.
	require.Equal(t, `{"k":"v"}`, string(parse(t, `{"inputs":{"k":"v"},"workflow_data":{"flow_name":"f","tasks":[`+noopA+`]}}`).Input))
	require.Equal(t, `{}`, string(parse(t, flow(`"tasks":[`+noopA+`]`)).Input))
	require.Equal(t, `{}`, string(parse(t, flow(`"default_inputs":null,"tasks":[`+noopA+`]`)).Input))
	// Bare bodies have no inputs beside default_inputs: the engine that clients know has none either.
	require.Equal(t, `{"a":1}`, string(parse(t, flow(`"inputs":{"a":2},"default_inputs":{"a":1},"tasks":[`+noopA+`]`)).Input))
}

// Editors save null for what is not set.
func TestParse_NullMeansNotGiven(t *testing.T) {
	q := parse(t, flow(`"run_name":null,"default_inputs":null,"edges":null,"flow_data":null,
		"tasks":[{"name":"a","tag":null,"function":"bench_noop","params":null},{"name":"b","function":"bench_noop","params":{"x":null}}]`))
	require.Empty(t, q.RunName)
	require.Empty(t, q.Definition.Edges)
	require.Equal(t, "{}", string(q.Definition.Nodes[0].Params.JSON))
	require.Equal(t, `{"x":null}`, string(q.Definition.Nodes[1].Params.JSON))
	q = parse(t, flow(`"edges":[{"source":"a","target":"b","condition":null}],"tasks":[`+noopA+`,{"name":"b","function":"bench_noop"}]`))
	require.Equal(t, []workflow.Edge{{Source: "a", Target: "b"}}, q.Definition.Edges)
}

func TestParse_FunctionsAndTheirAliases(t *testing.T) {
	for function, want := range map[string]string{
		"agent":           "call_lyzr_agent", // LAO's word for it (contract D8); the registry's own agent is the Orchestrator's
		"call_lyzr_agent": "call_lyzr_agent",
		"inputs":          "inputs",
		"default_inputs":  "inputs",
		"bench_noop":      "bench_noop",
	} {
		n := parse(t, flow(`"tasks":[{"name":"a","function":"`+function+`"}]`)).Definition.Nodes[0]
		require.Equal(t, want, n.Type, function)
	}
	calls := map[string]string{}
	for _, n := range parse(t, flow(`"tasks":[`+noopA+`,{"name":"b","function":"agent"},{"name":"c","function":"api_call","params":{"config":{"url":"http://h"}}}]`)).Definition.Nodes {
		calls[n.Type] = n.Calls
	}
	require.Equal(t, map[string]string{"bench_noop": "", "call_lyzr_agent": "llm", "api_call": "tool"}, calls)
}

// Older saves name the output of a task "<task>.context" (contract Part 2 A.2).
func TestParse_DependsOnContext(t *testing.T) {
	q := parse(t, flow(`"tasks":[`+noopA+`,{"name":"b","function":"bench_noop","params":{"x":{"depends":"a.context"}}}]`))
	g, err := workflow.Compile(q.Definition, func(string) bool { return false })
	require.NoError(t, err)
	require.Equal(t, [][]int32{{1}, nil}, g.Succ)
}

func TestParse_Malformed(t *testing.T) {
	deep := strings.Repeat("[", domain.JSONDepthMax+1) + strings.Repeat("]", domain.JSONDepthMax+1)
	for what, c := range map[string]struct{ body, want string }{
		"empty":             {"", "body: is empty; send a JSON object with tasks and flow_name"},
		"blanks":            {" \n\t", "body: is empty; send a JSON object with tasks and flow_name"},
		"byte order mark":   {"\xef\xbb\xbf{}", "body: begins with a byte order mark; send plain UTF-8 without one"},
		"form":              {"a=1", "body: is not acceptable JSON at byte 0: unexpected character 'a'"},
		"cut":               {`{"tasks":[{`, "/tasks/0: is not acceptable JSON at byte 11: expected a string as object key"},
		"invalid UTF-8":     {"{\"flow_name\":\"\xff\"}", "/flow_name: is not acceptable JSON at byte 14: invalid UTF-8 in a string"},
		"too deep":          {`{"x":` + deep + `}`, ""},
		"duplicate key":     {`{"a":{"k":1,"k":2}}`, ""},
		"two values":        {`{}{}`, "body: is not acceptable JSON at byte 2: unexpected bytes after the value"},
		"NaN":               {`{"x":NaN}`, ""},
		"control character": {"{\"x\":\"\x01\"}", ""},
	} {
		kind, code, found := faultsOf(t, c.body)
		require.Equal(t, domain.KindUnprocessable, kind, what)
		require.Equal(t, "INVALID_JSON", code, what)
		require.Len(t, found, 1, what)
		if c.want != "" {
			require.Equal(t, c.want, found[0], what)
		}
	}
}

func TestParse_WrongTypes(t *testing.T) {
	functions := registry(t).Names()
	for body, want := range map[string][]string{
		`[]`: {"body: must be an object with tasks and flow_name"}, `null`: {"body: must be an object with tasks and flow_name"},
		`"x"`: {"body: must be an object with tasks and flow_name"}, `1e400`: {"body: must be an object with tasks and flow_name"},
		`{"workflow_data":null}`: {"/workflow_data: must be an object with tasks and flow_name"},
		`{"workflow_data":[]}`:   {"/workflow_data: must be an object with tasks and flow_name"},
		`{}`:                     {"/flow_name: is missing; give the flow a name", "/tasks: must be an array of tasks"},
		`{"workflow_data":{}}`:   {"/workflow_data/flow_name: is missing; give the flow a name", "/workflow_data/tasks: must be an array of tasks"},
		// Everything at once, each with its place.
		`{"flow_name":7,"run_name":[],"default_inputs":[],"tasks":{},"edges":"x"}`: {
			"/flow_name: must be a string", "/run_name: must be a string", "/default_inputs: must be an object",
			"/tasks: must be an array of tasks", "/edges: must be an array of edges",
		},
		flow(`"tasks":[1,{},{"name":1,"function":null,"params":[],"tag":2},{"name":"","function":""},{"name":"d","function":"agent","params":null}]`): {
			"/tasks/0: must be an object with name and function",
			"/tasks/1/name: is missing; give the task a name", "/tasks/1/function: is missing; name one of: " + functions,
			"/tasks/2/name: must be a string", "/tasks/2/function: must be a string", "/tasks/2/params: must be an object", "/tasks/2/tag: must be a string",
			"/tasks/3/function: is missing; name one of: " + functions,
		},
		flow(`"tasks":[` + noopA + `],"edges":[1,{},{"source":"a"},{"source":1,"target":"a","condition":{}}]`): {
			"/edges/0: must be an object with source and target", "/edges/1: needs the names of its source and target tasks",
			"/edges/2: needs the names of its source and target tasks",
			"/edges/3/source: must be a string", "/edges/3/condition: must be a string", "/edges/3: needs the names of its source and target tasks",
		},
		`{"workflow_data":{"flow_name":"f","tasks":[{"name":"a","function":7}]},"inputs":"x"}`: {
			"/inputs: must be an object", "/workflow_data/tasks/0/function: must be a string",
		},
		`{"flow_name":"\ud800","tasks":[` + noopA + `]}`:                                                          {"/flow_name: holds half of a surrogate pair; write both halves or neither"},
		flow(`"tasks":[{"name":"a","function":"api_call","params":{"config":{"url":"ftp://x","method":"G T"}}}]`): nil,
	} {
		kind, code, found := faultsOf(t, body)
		require.Equal(t, domain.KindUnprocessable, kind, body)
		require.Equal(t, "INVALID_BODY", code, body)
		if want != nil {
			require.Equal(t, want, found, body)
		}
		for _, f := range found {
			require.True(t, strings.HasPrefix(f, "/") || strings.HasPrefix(f, "body: "), f)
		}
	}
	// An answer to a request that is wrong everywhere stays bounded.
	_, _, found := faultsOf(t, flow(`"tasks":[`+strings.Repeat(`1,`, 5000)+`1]`))
	require.Len(t, found, faultsMax)
}

func TestParse_WrongMeaning(t *testing.T) {
	functions := registry(t).Names()
	two := `"tasks":[` + noopA + `,{"name":"b","function":"bench_noop"}]`
	for body, want := range map[string][]string{
		flow(`"tasks":[{"name":"a","function":"rm_rf"},{"name":"b","function":"GPT_router"},{"name":"c","function":"loopNode"},{"name":"d","function":"superflow"}]`): {
			`/tasks/0/function: "rm_rf" is no function of this server; use one of: ` + functions,
			`/tasks/1/function: "GPT_router" is no function of this server; use one of: ` + functions,
			`/tasks/2/function: "loopNode" is no function of this server; use one of: ` + functions,
			`/tasks/3/function: "superflow" is no function of this server; use one of: ` + functions,
		},
		flow(`"tasks":[{"name":"a","function":"` + strings.Repeat("x", 100) + `"}]`): {
			`/tasks/0/function: "` + strings.Repeat("x", 64) + `…" is no function of this server; use one of: ` + functions,
		},
		// "true" names a branch of conditional nodes only; elsewhere it is an expression like any other.
		flow(two + `,"edges":[{"source":"a","target":"b","condition":"route == "},{"source":"a","target":"b","condition":"foo bar"},{"source":"a","target":"b","condition":"ok"}]`): {
			`/edges/0/condition: at character 8 ("="): unexpected token EOF`, `/edges/1/condition: at character 5 ("bar"): unexpected token Identifier("bar")`,
		},
	} {
		kind, code, found := faultsOf(t, body)
		require.Equal(t, domain.KindInvalid, kind, body)
		require.Equal(t, "INVALID_WORKFLOW", code, body)
		require.Len(t, found, len(want), "%q", found)
		for i := range want {
			if strings.Contains(want[i], "/condition") {
				// The words are the expression language's; the place and the token are ours.
				require.Equal(t, strings.SplitAfter(want[i], "): ")[0], strings.SplitAfter(found[i], "): ")[0])
				continue
			}
			require.Equal(t, want[i], found[i])
		}
	}
	_, code, found := faultsOf(t, flow(`"tasks":[{"name":"a","function":"rm_rf","params":1}]`))
	require.Equal(t, "INVALID_BODY", code, "what cannot be read is reported before what it means")
	require.Equal(t, []string{"/tasks/0/params: must be an object"}, found)
}

func TestParse_BranchesOfConditionals(t *testing.T) {
	q := parse(t, flow(`"tasks":[{"name":"if","function":"conditional","params":{"config":{"condition_expression":"input.n > 1"}}},`+noopA+`,{"name":"b","function":"bench_noop"}],
		"edges":[{"source":"if","target":"a","condition":"true"},{"source":"if","target":"b","condition":false},{"source":"a","target":"b","condition":true}]`))
	require.Equal(t, []workflow.Edge{
		{Source: "if", Target: "a", Condition: "true"}, {Source: "if", Target: "b", Condition: "false"}, {Source: "a", Target: "b", Condition: "true"},
	}, q.Definition.Edges)
	_, _, found := faultsOf(t, flow(`"tasks":[{"name":"if","function":"conditional","params":{"config":{"condition_expression":"n >"}}}]`))
	require.Len(t, found, 1)
	require.Contains(t, found[0], "/tasks/0/params/config/condition_expression: at character ")
}

func TestParse_RetryAndTimeout(t *testing.T) {
	with := func(change func(*workflow.Node)) workflow.Node {
		n := workflow.Node{Retry: workflow.DefaultRetry()}
		change(&n)
		return n
	}
	timeout := parse(t, apiTask("")).Definition.Nodes[0].Timeout // the node type's own
	for more, want := range map[string]workflow.Node{
		``:                              with(func(n *workflow.Node) { n.Timeout = timeout }),
		`,"retry":{}`:                   with(func(n *workflow.Node) { n.Timeout = timeout }),
		`,"retry":true`:                 with(func(n *workflow.Node) { n.Timeout = timeout }),
		`,"retry":null,"timeout":null`:  with(func(n *workflow.Node) { n.Timeout = timeout }),
		`,"retry":false`:                with(func(n *workflow.Node) { n.Timeout, n.Retry.Attempts = timeout, 1 }),
		`,"retry":{"attempts":0}`:       with(func(n *workflow.Node) { n.Timeout, n.Retry.Attempts = timeout, 1 }),
		`,"retry":{"attempts":1}`:       with(func(n *workflow.Node) { n.Timeout, n.Retry.Attempts = timeout, 1 }),
		`,"retry":{"max_attempts":100}`: with(func(n *workflow.Node) { n.Timeout, n.Retry.Attempts = timeout, 100 }),
		`,"retry":{"initial":0.25,"max":"24h","factor":1,"jitter":0}`: with(func(n *workflow.Node) {
			n.Timeout, n.Retry = timeout, workflow.Retry{Attempts: 3, Initial: 250 * time.Millisecond, Max: 24 * time.Hour, Factor: 1}
		}),
		`,"retry":{"initial":86400,"factor":100,"jitter":1}`: with(func(n *workflow.Node) {
			n.Timeout, n.Retry = timeout, workflow.Retry{Attempts: 3, Initial: 24 * time.Hour, Max: 10 * time.Second, Factor: 100, Jitter: 1}
		}),
		`,"timeout":1.5`:     with(func(n *workflow.Node) { n.Timeout = 1500 * time.Millisecond }),
		`,"timeout":"250ms"`: with(func(n *workflow.Node) { n.Timeout = 250 * time.Millisecond }),
		`,"timeout":"24h"`:   with(func(n *workflow.Node) { n.Timeout = 24 * time.Hour }),
		`,"timeout":86400`:   with(func(n *workflow.Node) { n.Timeout = 24 * time.Hour }),
	} {
		n := parse(t, apiTask(more)).Definition.Nodes[0]
		require.Equal(t, want.Retry, n.Retry, more)
		require.Equal(t, want.Timeout, n.Timeout, more)
	}
	for more, field := range map[string]string{
		`,"retry":3`:                                      "retry",
		`,"retry":"no"`:                                   "retry",
		`,"retry":{"attempts":-1}`:                        "retry/attempts",
		`,"retry":{"attempts":101}`:                       "retry/attempts",
		`,"retry":{"attempts":"3"}`:                       "retry/attempts",
		`,"retry":{"attempts":1.5}`:                       "retry/attempts",
		`,"retry":{"factor":0.99}`:                        "retry/factor",
		`,"retry":{"factor":100.01}`:                      "retry/factor",
		`,"retry":{"factor":1e400}`:                       "retry/factor",
		`,"retry":{"jitter":1.01}`:                        "retry/jitter",
		`,"retry":{"jitter":-0.01}`:                       "retry/jitter",
		`,"retry":{"initial":0}`:                          "retry/initial",
		`,"retry":{"initial":"25h"}`:                      "retry/initial",
		`,"retry":{"max":86400.1}`:                        "retry/max",
		`,"retry":{"max":"soon"}`:                         "retry/max",
		`,"retry":{"tries~/":2}`:                          "retry/tries~0~1",
		`,"timeout":0`:                                    "timeout",
		`,"timeout":-1`:                                   "timeout",
		`,"timeout":"24h1s"`:                              "timeout",
		`,"timeout":1e400`:                                "timeout",
		`,"timeout":1e-12`:                                "timeout",
		`,"timeout":"` + strings.Repeat("9", 1000) + `h"`: "timeout",
		`,"timeout":{}`:                                   "timeout",
	} {
		kind, _, found := faultsOf(t, apiTask(more))
		require.Equal(t, domain.KindUnprocessable, kind, more)
		require.Len(t, found, 1, "one entry per field, though the node type looks at the timeout, too")
		for _, f := range found {
			require.True(t, strings.HasPrefix(f, "/tasks/0/params/config/"+field+": "), "%s: %s", more, f)
			require.Less(t, len(f), 300, "the answer quotes a whole value")
		}
	}
}

func TestParse_Limits(t *testing.T) {
	edge := `{"source":"a","target":"b"}`
	edges := func(n int) string {
		return flow(`"tasks":[` + noopA + `,{"name":"b","function":"bench_noop"}],"edges":[` + strings.TrimSuffix(strings.Repeat(edge+",", n), ",") + `]`)
	}
	require.Len(t, parse(t, edges(edgesMax)).Definition.Edges, edgesMax)
	_, _, found := faultsOf(t, edges(edgesMax+1))
	require.Equal(t, []string{"/edges: has 50001 edges, at most 50000 are allowed"}, found)
	tasks := func(n int) string {
		return flow(`"tasks":[` + strings.TrimSuffix(strings.Repeat(noopA+",", n), ",") + `]`)
	}
	require.Len(t, parse(t, tasks(domain.TasksMax)).Definition.Nodes, domain.TasksMax)
	_, _, found = faultsOf(t, tasks(domain.TasksMax+1))
	require.Equal(t, []string{"/tasks: has 10001 tasks, at most 10000 are allowed"}, found)
}

// studioBody is what the editor's run button posts (contract Part 2 A.1 to A.3, A.6): an object in
// the form of its types, with the members that only the editor itself reads.
const studioBody = `{
  "tasks": [
    {"name": "Sentiment Analyser", "tag": "Agent", "function": "call_lyzr_agent", "params": {
      "config": {"user_id": "user@example.com", "session_id": "66b0-x9q2", "agent_id": "66b0a7f1c2d3e4f5a6b7c8d9",
                 "api_key": "sk-default-studio-0123456789", "api_url": "https://agent.example.com/v3/inference/chat/", "agent_name": "Sentiment Analyser"},
      "assets": [], "user_message": {"value": "Classify this ticket"}, "user input": {"input": "user input"}}},
    {"name": "CRM Update", "tag": "API", "function": "api_call", "params": {
      "config": {"depends": "Sentiment Analyser", "default": {"url": "https://crm.example.com/v1/tickets", "method": "POST", "headers": {"Content-Type": "application/json"}, "BODY_source": "lao"},
                 "mapping": {"BODY_sentiment": "response", "HEADER_X-Ticket": "response"}}}},
    {"name": "Summary", "tag": "Agent", "function": "call_lyzr_agent", "params": {
      "config": {"user_id": "user@example.com", "session_id": "66b0-x9q3", "agent_id": "77b0a7f1c2d3e4f5a6b7c8d9", "api_key": "sk-default-studio-0123456789",
                 "api_url": "https://agent.example.com/v3/inference/chat/", "agent_name": "Summary"},
      "user_message": {"value": "Summarise"}, "context": {"depends": "CRM Update.context"}, "Sentiment Analyser": {"depends": "Sentiment Analyser"}}}
  ],
  "default_inputs": {"user input": "My dashboard is broken", "_file_mapping": {"user input": {"asset_id": "a1", "name": "shot.png"}}},
  "flow_name": "Rapid Workflow",
  "run_name": "swift-falcon",
  "edges": [
    {"source": "Sentiment Analyser", "target": "CRM Update", "condition": "true"},
    {"source": "CRM Update", "target": "Summary", "condition": ""}
  ],
  "flow_data": {"node_positions": {"Sentiment Analyser": {"x": 100.5, "y": -20}, "CRM Update": {"x": 400, "y": 0}, "Summary": {"x": 700, "y": 0}}}
}`

// The real client's body is taken unchanged; what it asks for that is not there is named.
func TestParse_StudioBody(t *testing.T) {
	q := parse(t, studioBody)
	require.True(t, json.Valid(q.Input))
	require.Contains(t, string(q.Input), `"_file_mapping": {"user input": {"asset_id": "a1", "name": "shot.png"}}`, "the editor's own members stay as written")
	input := map[string]bool{}
	for _, m := range rawjson.Members(q.Input) {
		input[m.Key] = true
	}
	g, err := workflow.Compile(q.Definition, func(k string) bool { return input[k] })
	require.NoError(t, err)
	require.Equal(t, [][]int32{{1, 2}, {2}, nil}, g.Succ)
	var types []string
	for _, n := range q.Definition.Nodes {
		types = append(types, n.Tag+" "+n.Type+" "+n.Calls)
	}
	require.Equal(t, []string{"Agent call_lyzr_agent llm", "API api_call tool", "Agent call_lyzr_agent llm"}, types)

	withA2A := strings.Replace(studioBody, `"tasks": [`, `"tasks": [{"name": "Remote", "tag": "A2A", "function": "a2a", "params": {"base_url": "https://a2a.example.com", "message": {"value": "hi"}}},`, 1)
	require.Equal(t, "a2a", parse(t, withA2A).Definition.Nodes[0].Type)
	kind, _, found := faultsOf(t, strings.Replace(withA2A, "https://a2a.example.com", "a2a.example.com", 1))
	require.Equal(t, domain.KindUnprocessable, kind)
	require.Equal(t, []string{"/tasks/0/params/base_url: must be an absolute URL that begins with http:// or https://"}, found)
}

// Whatever comes in: an answer, never a panic; and what is accepted is what Compile can judge.
func FuzzParseRunDAG(f *testing.F) {
	r := registry(f)
	for _, seed := range []string{
		"", "{}", "[]", "\xef\xbb\xbf{}", studioBody, apiTask(`,"retry":{"attempts":3,"initial":"1s"},"timeout":5`), flow(`"tasks":[` + noopA + `]`),
		`{"workflow_data":` + flow(`"default_inputs":{"a":1},"tasks":[`+noopA+`]`) + `,"inputs":{"a":1e400}}`,
		flow(`"tasks":[{"name":"if","function":"conditional","params":{"config":{"condition_expression":"a and b"}}},` + noopA + `],"edges":[{"source":"if","target":"a","condition":true}]`),
		flow(`"tasks":[{"name":"a","function":"bench_noop","params":{"x":{"depends":"a"}}}]`),
		`{"flow_name":"\ud800\udc00","run_name":"\u0000","tasks":[null]}`, flow(`"tasks":[` + noopA + `],"edges":[{"source":"a","target":"a","condition":"route == 'x'"}]`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := parseRunDAG(body, r)
		if err != nil {
			if k := domain.KindOf(err); k != domain.KindInvalid && k != domain.KindUnprocessable {
				t.Fatalf("kind %s: %v", k, err)
			}
			return
		}
		if rawjson.Check(q.Input, domain.JSONDepthMax) != nil || rawjson.KindOf(q.Input) != rawjson.Object {
			t.Fatalf("input is no object: %q", q.Input)
		}
		for i, n := range q.Definition.Nodes {
			if _, ok := r.Get(n.Type); !ok || rawjson.KindOf(n.Params.JSON) != rawjson.Object {
				t.Fatalf("task %d: type %q, params %q", i, n.Type, n.Params.JSON)
			}
		}
		if _, err := workflow.Compile(q.Definition, nil); err != nil {
			var e *domain.Error
			if !errors.As(err, &e) || e.Kind != domain.KindInvalid && e.Kind != domain.KindUnprocessable || e.Field == "" {
				t.Fatalf("Compile: %v", err)
			}
		}
	})
}
