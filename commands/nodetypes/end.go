package nodetypes

import (
	"encoding/json"

	"quipu/commands/node"
	"quipu/domain"
)

// end is where a run of a stored workflow ends. Output: that of the task before it; of several that
// were not skipped, {task: output, …} in the order of the edges; {} without any.
func end() node.Type {
	return node.Type{
		Name:        "end",
		Title:       "End",
		Category:    categoryLogic,
		Description: "Ends a workflow. Output: what the tasks before it gave.",
		Input:       json.RawMessage(anyUpstream),
		Output:      json.RawMessage(`{"description": "The output of the task before; of several an object, task by task."}`),
		Examples: []node.Example{
			example("End", `{"config":{"name":"End","capture_output":true}}`, `{}`),
		},
		Kind: node.Pure,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "capture_output": {"type": "boolean", "default": false, "description": "Kept for editors; the output is always recorded."},
    "show_output": {"type": "boolean", "default": true, "description": "Kept for editors."}
  }
}`),
		Compute: func(call node.Call) (node.Reply, error) {
			given := distinct(call.Upstream)
			if len(given) == 1 {
				return node.Reply{Output: given[0].Output}, nil
			}
			var all domain.Object
			for _, up := range given {
				all.Add(up.Task, domain.Raw(up.Output))
			}
			return node.Reply{Output: all.Value().JSON}, nil
		},
	}
}

// distinct are the upstream tasks that were not skipped, each once.
func distinct(upstream []node.Upstream) []node.Upstream {
	var out []node.Upstream
	seen := make(map[string]bool, len(upstream))
	for _, up := range upstream {
		if !up.Skipped && !seen[up.Task] {
			seen[up.Task] = true
			out = append(out, up)
		}
	}
	return out
}
