package nodetypes

import (
	"context"
	"encoding/json"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// benchNoop does nothing, yet is an effect: its start is on disk before it runs, so it measures
// what a durable step costs. Output: the param "value", {} without one.
func benchNoop() node.Type {
	return node.Type{
		Name:        "bench_noop",
		Title:       "Benchmark no-op",
		Category:    categoryTesting,
		Description: "Returns its value parameter, or {}. An effect node without an effect, for measurements.",
		Input:       json.RawMessage(`{"type": "object", "properties": {"value": {"description": "The output."}}}`),
		Output:      json.RawMessage(`{"description": "The value, or {}."}`),
		Examples: []node.Example{
			example("Give a value back", `{"value":[1,2]}`, `[1,2]`),
		},
		Kind: node.Effect,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"}
  }
}`),
		Run: func(ctx context.Context, call node.Call) (node.Reply, error) {
			if value, ok := rawjson.Get(call.Params, "/value"); ok {
				return node.Reply{Output: value}, nil
			}
			return node.Reply{Output: []byte("{}")}, nil
		},
	}
}
