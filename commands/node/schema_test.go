package node_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
)

func typed(t *testing.T, schema string) *node.Type {
	t.Helper()
	r, err := node.NewRegistry(node.Type{Name: "x", Config: json.RawMessage(schema), Run: func(context.Context, node.Call) (node.Reply, error) { return node.Reply{}, nil }})
	require.NoError(t, err)
	typ, _ := r.Get("x")
	return typ
}

const schemaOfAll = `{"type":"object","required":["name"],"properties":{
  "name":{"type":"string","minLength":1,"maxLength":5},"n":{"type":"number","minimum":0.5,"maximum":2},"i":{"type":"integer"},
  "choice":{"enum":["a","b"]},"either":{"anyOf":[{"type":"number"},{"type":"string","pattern":"^[0-9]+s$"}]},
  "list":{"type":"array","maxItems":1,"items":{"type":"boolean"}},"at":{"type":"string","format":"date-time"},
  "inner":{"type":"object","additionalProperties":false,"properties":{"a/b":{"type":"null"}}}}}`

func TestCheckConfig_NamesEachPlaceWithoutQuotingIt(t *testing.T) {
	typ := typed(t, schemaOfAll)
	for config, want := range map[string][]string{
		`{"name":"a","n":1,"i":2,"choice":"b","either":"5s","list":[true],"inner":{"a/b":null},"other":{}}`: nil,
		`{}`:                             {"/name: is required"},
		`[]`:                             {": must be of type object"},
		`{"name":""}`:                    {"/name: must not be empty"},
		`{"name":"sk-live-secret"}`:      {"/name: must have at most 5 characters"},
		`{"name":"a","n":0.25}`:          {"/n: must be at least 0.5"},
		`{"name":"a","n":1e400}`:         {"/n: must be at most 2"},
		`{"name":"a","n":-1e99999999}`:   {"/n: must be at least 0.5"},
		`{"name":"a","n":1e-99999999}`:   {"/n: must be at least 0.5"},
		`{"name":"a","i":1.5}`:           {"/i: must be of type integer"},
		`{"name":"a","choice":"sk-x"}`:   {`/choice: must be one of "a", "b"`},
		`{"name":"a","either":"sk-x"}`:   {"/either: fits none of the forms that are allowed here"},
		`{"name":"a","list":[1,2]}`:      {"/list: must have at most 1 items", "/list/0: must be of type boolean", "/list/1: must be of type boolean"},
		`{"name":"a","at":"sk-x"}`:       {"/at: must be a valid date-time"},
		`{"name":"a","inner":{"sk":1}}`:  {"/inner/sk: is no field of this node type; remove it"},
		`{"name":"a","inner":{"a/b":1}}`: {"/inner/a~1b: must be of type null"},
		`{"n":"x","i":"y"}`:              {"/i: must be of type integer", "/n: must be of type number", "/name: is required"},
		`{"name":"{{ input.name }}","n":"{{ 1 }}","i":"{{ 1 }}","choice":"{{x}}","either":"in {{x}}","list":"{{ l }}","at":"{{ t }}","inner":"{{ i }}"}`: nil,
		`{"name":"a","list":["{{ x }}", 5]}`: {"/list: must have at most 1 items", "/list/1: must be of type boolean"},
	} {
		var got []string
		for _, f := range typ.CheckConfig(json.RawMessage(config)) {
			got = append(got, f.Pointer+": "+f.Message)
			require.NotContains(t, f.Message, "sk-")
		}
		require.ElementsMatch(t, want, got, config)
	}
	require.Empty(t, typed(t, "").CheckConfig(json.RawMessage(`5`)), "no schema accepts anything")
}

// Exact arithmetic on numbers with large exponents takes seconds each, or fails the library.
func TestCheckConfig_HugeNumbersAreCheap(t *testing.T) {
	typ := typed(t, `{"type":"object","additionalProperties":{"type":"array","items":{"type":"number","multipleOf":2,"minimum":0}}}`)
	config := `{"a":[` + strings.TrimSuffix(strings.Repeat("1e999999,", 20_000), ",") + `,` + strings.Repeat("9", 100_000) + `]}`
	began := time.Now()
	require.Empty(t, typ.CheckConfig(json.RawMessage(config)))
	require.Less(t, time.Since(began), 5*time.Second)
}

// A schema that reaches out of itself would read files of the server.
func TestNewRegistry_RefusesSchemasThatReachOut(t *testing.T) {
	for _, schema := range []string{`{"$ref":"file:///etc/passwd"}`, `{"$ref":"https://example.org/s.json"}`, `{"type":"nonsense"}`, `{"properties":5}`, `{`} {
		_, err := node.NewRegistry(node.Type{Name: "x", Config: json.RawMessage(schema), Run: func(context.Context, node.Call) (node.Reply, error) { return node.Reply{}, nil }})
		require.ErrorContains(t, err, "register node type x", schema)
	}
}
