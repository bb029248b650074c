package nodetypes_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
)

func TestConditional_TakesABranch(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	scope := &node.Scope{Output: json.RawMessage(`{"score":0.7}`), Nodes: map[string]json.RawMessage{"check": json.RawMessage(`"ok"`)}, Input: json.RawMessage(`{"n":1}`)}
	for src, want := range map[string]string{
		`score > 0.5 and nodes.check == 'ok'`: `{"result":true,"branch":"true"}`,
		`input.n > 1`:                         `{"result":false,"branch":"false"}`,
		`missing`:                             `{"result":false,"branch":"false"}`,
	} {
		call := params(`{"config":{"condition_expression":` + quote(src) + `}}`)
		call.Scope = scope
		reply, err := run(t, r, "conditional", call)
		require.NoError(t, err)
		require.Equal(t, want, string(reply.Output))
	}
	call := params(`{"config":{"condition_expression":"output.score > 0.5 and nodes.b.score > 0.5"}}`)
	call.Upstream = []node.Upstream{{Task: "a", Skipped: true}, {Task: "b", Output: scope.Output}}
	reply, err := run(t, r, "conditional", call)
	require.NoError(t, err)
	require.Equal(t, `{"result":true,"branch":"true"}`, string(reply.Output))

	for src, code := range map[string]string{`score > "x"`: "EXPRESSION_FAILED", `score >`: "EXPRESSION_FAILED"} {
		call := params(`{"config":{"condition_expression":` + quote(src) + `}}`)
		call.Scope = scope
		_, err := run(t, r, "conditional", call)
		var f *node.Failure
		require.ErrorAs(t, err, &f)
		require.Equal(t, code, f.Code)
		require.False(t, f.Retryable)
	}
	_, err = run(t, r, "conditional", params(`{}`))
	require.ErrorContains(t, err, "INVALID_CONFIG")
}

func TestConditional_CheckNamesTheToken(t *testing.T) {
	faults := check(t, "conditional", `{"config":{"condition_expression":"now() > 1"}}`)
	require.Len(t, faults, 1)
	require.Equal(t, "/config/condition_expression", faults[0].Pointer)
	require.Contains(t, faults[0].Message, `"now"`)
	require.Len(t, check(t, "conditional", `{"config":{}}`), 1)
	require.Len(t, check(t, "conditional", `{"config":{"condition_expression":5}}`), 1)
	require.Empty(t, check(t, "conditional", `{"config":{"condition_expression":"output.get('a') is_not_checked"}}`)[1:])
	require.Empty(t, check(t, "conditional", `{"config":{"condition_expression":"output.get('a') or len(output) > 1"}}`))
}

func TestExpressions_TakeNoTemplates(t *testing.T) {
	for p, pointer := range map[string]string{
		`{"config":{"condition_expression":"\"{{ input.role }}\" == \"admin\""}}`: "/config/condition_expression",
		`{"config":{"condition_expression":{"value":"{{ input.condition }}"}}}`:   "/config/condition_expression",
		`{"config":{"expression":"upper(\"{{ input.x }}\")"}}`:                    "/config/expression",
		`{"config":{"fields":{"good":"input.x","b/d":"{{ input.x }}"}}}`:          "/config/fields/b~1d",
		`{"config":{"fields":"{{ input.fields }}"}}`:                              "/config/fields",
	} {
		function := "transform"
		if pointer == "/config/condition_expression" {
			function = "conditional"
		}
		faults := check(t, function, p)
		require.Len(t, faults, 1, p)
		require.Equal(t, node.Fault{Pointer: pointer, Message: "is read as an expression; write its names without {{ }}"}, faults[0], p)
	}
	require.Empty(t, check(t, "transform", `{"config":{"name":"{{ input.x }}","expression":"{\"a\": {\"b\": input.x}}"}}`))
}

func TestMerge_Strategies(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	up := func(task, output string) node.Upstream {
		return node.Upstream{Task: task, Output: json.RawMessage(output), Skipped: output == "null!"}
	}
	all := []node.Upstream{up("z", `{"a":1,"b":2}`), up("gone", "null!"), up("y", `"no"`), up("z", `{"a":1,"b":2}`), up("x", `{"b":2, "a":1}`)}
	for _, c := range []struct {
		strategy string
		upstream []node.Upstream
		want     string
	}{
		{`"combine"`, all, `{"merged_results":{"z":{"a":1,"b":2},"y":"no","x":{"b":2, "a":1}}}`},
		{`null`, all[:1], `{"merged_results":{"z":{"a":1,"b":2}}}`},
		{`"first"`, all[1:], `{"merged_results":{"y":"no"}}`},
		{`"vote"`, all, `{"winner":{"a":1,"b":2},"all_votes":{"z":{"a":1,"b":2},"y":"no","x":{"b":2, "a":1}}}`},
		{`"vote"`, []node.Upstream{up("a", "1"), up("b", "2")}, `{"winner":1,"all_votes":{"a":1,"b":2}}`},
		{`"vote"`, []node.Upstream{up("a", "1e400"), up("b", "2"), up("c", "1e400")}, `{"winner":1e400,"all_votes":{"a":1e400,"b":2,"c":1e400}}`},
		{`"vote"`, nil, `{"winner":null,"all_votes":{}}`},
		{`"first"`, nil, `{"merged_results":{}}`},
	} {
		call := params(`{"config":{"merge_strategy":` + c.strategy + `}}`)
		call.Upstream = c.upstream
		reply, err := run(t, r, "merge", call)
		require.NoError(t, err)
		require.Equal(t, c.want, string(reply.Output))
	}
	require.Len(t, check(t, "merge", `{"config":{"merge_strategy":"any"}}`), 1)
	require.Empty(t, check(t, "merge", `{}`))
	_, err := run(t, r, "merge", params(`{"config":{"merge_strategy":"any"}}`))
	require.ErrorContains(t, err, "INVALID_CONFIG")
}

// Clients read the schemas as they are; a broken one would break their forms.
func TestAll_TypesAreComplete(t *testing.T) {
	for _, typ := range registry(t, nodetypes.Deps{}).Types() {
		require.NotEmpty(t, typ.Title, typ.Name)
		require.NotEmpty(t, typ.Category, typ.Name)
		require.NotEmpty(t, typ.Description, typ.Name)
		if typ.Config == nil {
			continue // all of it stands beside the config
		}
		var schema struct {
			Dialect    string `json:"$schema"`
			Type       string
			Properties map[string]any
		}
		require.NoError(t, json.Unmarshal(typ.Config, &schema), typ.Name)
		require.Equal(t, "https://json-schema.org/draft/2020-12/schema", schema.Dialect, typ.Name)
		require.Equal(t, "object", schema.Type, typ.Name)
		require.Contains(t, schema.Properties, "name", typ.Name)
	}
	require.Panics(t, func() { nodetypes.All(nodetypes.Deps{}) })
}

// Params come from users: whatever they hold, checking and running must not panic.
func FuzzParams(f *testing.F) {
	f.Add(`{"config":{"url":"http://h","headers":{"a":"b"},"depends":"t","mapping":{"BODY_a":"x[0].y"}},"d":{"depends":"t","mapping":{"QUERY_a":"response"}}}`)
	f.Add(`{"config":{"condition_expression":"a > 1","merge_strategy":"vote","temperature":1},"user_message":{"value":"x"}}`)
	r, err := node.NewRegistry(nodetypes.All(nodetypes.Deps{HTTP: refusing{}})...)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if !json.Valid([]byte(p)) {
			return
		}
		for _, typ := range r.Types() {
			call := params(p)
			call.Upstream = []node.Upstream{{Task: "t", Output: json.RawMessage(p)}}
			if typ.Check != nil {
				typ.Check(call.Params)
			}
			_, _ = run(t, r, typ.Name, call)
		}
	})
}
