package intakehttp

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
)

type shownType struct {
	Type, Name, Category, Description, Kind string
	Aliases                                 []string
	Schema, InputSchema, OutputSchema       json.RawMessage
	Examples                                []json.RawMessage
}

// S2-18: all node types and their categories, in the form of every list.
func TestS2_18_NodeTypesAndCategories(t *testing.T) {
	s := newSite(t)
	got := s.do(t, "GET", "/api/node-types", "")
	require.Equal(t, 200, got.status)
	var items []shownType
	require.NoError(t, json.Unmarshal(got.data["items"], &items))
	require.Len(t, items, len(registry(t).Types()))
	require.Equal(t, string(got.data["count"]), string(got.data["total"]))
	inItems := map[string]string{}
	for _, x := range items {
		inItems[x.Type] = x.Category
		require.NotEmpty(t, x.Name, x.Type)
		require.NotEmpty(t, x.Description, x.Type)
		require.Contains(t, []string{"effect", "pure", "timer", "wait"}, x.Kind)
		require.NotNil(t, x.Aliases, x.Type)
	}
	for _, name := range []string{"trigger", "agent", "api_call", "conditional", "merge", "timer", "eval", "end", "call_lyzr_agent", "gpt_router", "gpt_conditional_block", "inputs", "a2a"} {
		require.Contains(t, inItems, name)
	}
	var categories []struct {
		Name  string
		Types []string
	}
	require.NoError(t, json.Unmarshal(got.data["categories"], &categories))
	listed := map[string]string{}
	for _, c := range categories {
		for _, name := range c.Types {
			listed[name] = c.Name
		}
	}
	require.Equal(t, inItems, listed, "each type stands in its category, once")
}

// S2-19: one type with its config schema, what it takes and gives, and examples; aliases find it.
func TestS2_19_NodeType(t *testing.T) {
	s := newSite(t)
	for _, typ := range registry(t).Types() {
		got := s.do(t, "GET", "/api/node-types/"+typ.Name, "")
		require.Equal(t, 200, got.status, typ.Name)
		require.Equal(t, `"`+typ.Name+`"`, string(got.data["type"]))
		require.JSONEq(t, string(orAnything(typ.Config)), string(got.data["schema"]))
		for _, key := range []string{"input_schema", "output_schema", "examples"} {
			require.Contains(t, got.data, key, typ.Name)
		}
	}
	require.Equal(t, `"inputs"`, string(s.do(t, "GET", "/api/node-types/default_inputs", "").data["type"]))
	for path, status := range map[string]int{"/api/node-types/rm_rf": 404, "/api/node-types/Agent": 404, "/api/node-types/%zz": 400, "/api/node-types/rm_rf/schema": 404} {
		got := s.do(t, "GET", path, "")
		require.Equal(t, status, got.status, path)
		require.Contains(t, got.body, "path/type")
	}
}

// S2-20: the schema alone, fit for a validator: it refuses what the server refuses.
func TestS2_20_NodeTypeSchema(t *testing.T) {
	s := newSite(t)
	for _, typ := range registry(t).Types() {
		got := s.do(t, "GET", "/api/node-types/"+typ.Name+"/schema", "")
		require.Equal(t, 200, got.status)
		raw, err := json.Marshal(got.data)
		require.NoError(t, err)
		require.JSONEq(t, string(orAnything(typ.Config)), string(raw))
		_, err = node.NewGivenSchema(raw)
		require.NoError(t, err, typ.Name)
	}
	raw, err := json.Marshal(s.do(t, "GET", "/api/node-types/merge/schema", "").data)
	require.NoError(t, err)
	schema, err := node.NewGivenSchema(raw)
	require.NoError(t, err)
	faults, err := schema.Check(json.RawMessage(`{"merge_strategy":"shuffle"}`))
	require.NoError(t, err)
	require.Len(t, faults, 1)
	require.Equal(t, "/merge_strategy", faults[0].Pointer)
}
