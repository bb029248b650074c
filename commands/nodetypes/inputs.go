package nodetypes

import (
	"encoding/json"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// inputs hands on its resolved parameters. LAO's own client drops such tasks and merges their
// keys into default_inputs; definitions written by hand may keep them.
func inputs() node.Type {
	return node.Type{
		Name:        "inputs",
		Aliases:     []string{"default_inputs"},
		Title:       "Inputs",
		Category:    categoryLogic,
		Description: "Its output is its own parameters, with references resolved.",
		Input:       json.RawMessage(`{"type": "object", "description": "Any parameters."}`),
		Output:      json.RawMessage(`{"type": "object", "description": "The parameters, references resolved."}`),
		Examples: []node.Example{
			example("Name what a flow works with", `{"region":"eu","limit":5}`, `{"region":"eu","limit":5}`),
		},
		Kind: node.Pure,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"}
  }
}`),
		Compute: func(call node.Call) (node.Reply, error) {
			if rawjson.KindOf(call.Params) != rawjson.Object {
				return node.Reply{Output: []byte("{}")}, nil
			}
			return node.Reply{Output: call.Params}, nil
		},
	}
}
