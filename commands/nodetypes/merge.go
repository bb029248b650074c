package nodetypes

import (
	"encoding/json"

	"quipu/commands/expression"
	"quipu/commands/node"
	"quipu/domain"
)

// merge joins the outputs of the tasks it depends on, skipped ones left out, by
// config.merge_strategy (contract C.3):
//   - combine (default): {"merged_results": {task: output, …}} in the order of the params;
//   - first: the same with the first task only;
//   - vote: {"winner": output, "all_votes": {task: output, …}}. The output that most tasks gave
//     wins, the earliest of several. Outputs are equal as the expression language's == has it.
//
// Without an output to merge: merged_results and all_votes are {}, winner is null.
func merge() node.Type {
	return node.Type{
		Name:        "merge",
		Title:       "Merge",
		Category:    "Logic",
		Description: "Joins the outputs of several tasks: all, the first, or the one most agree on.",
		Kind:        node.Pure,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "merge_strategy": {"enum": ["combine", "first", "vote"], "default": "combine"}
  }
}`),
		Check: func(params json.RawMessage) []node.Fault {
			r := reader{params: params}
			mergeStrategy(&r)
			return r.faults
		},
		Compute: computeMerge,
	}
}

func mergeStrategy(r *reader) string {
	return r.choice("/config/merge_strategy", "combine", "first", "vote")
}

func computeMerge(call node.Call) (node.Reply, error) {
	r := reader{params: call.Params, resolved: true}
	strategy := mergeStrategy(&r)
	if len(r.faults) > 0 {
		return node.Reply{}, configFailure(r.faults[0])
	}
	var votes []node.Upstream
	seen := make(map[string]bool, len(call.Upstream))
	for _, up := range call.Upstream {
		if !up.Skipped && !seen[up.Task] {
			seen[up.Task] = true
			votes = append(votes, up)
		}
	}
	if strategy == "first" && len(votes) > 1 {
		votes = votes[:1]
	}
	var all domain.Object
	for _, v := range votes {
		all.Add(v.Task, domain.Raw(v.Output))
	}
	var out domain.Object
	if strategy != "vote" {
		out.Add("merged_results", all.Value())
		return node.Reply{Output: out.Value().JSON}, nil
	}
	out.Add("winner", domain.Raw(winner(votes)))
	out.Add("all_votes", all.Value())
	return node.Reply{Output: out.Value().JSON}, nil
}

// winner groups equal outputs by their first member, comparing each vote with one per group.
func winner(votes []node.Upstream) json.RawMessage {
	type group struct {
		output json.RawMessage
		count  int
	}
	var groups []*group
	byText := make(map[string]*group) // same text, the usual case, needs no comparing
	best := &group{output: json.RawMessage("null")}
	for _, v := range votes {
		g := byText[string(v.Output)]
		for i := 0; g == nil && i < len(groups); i++ {
			if sameJSON(groups[i].output, v.Output) {
				g = groups[i]
			}
		}
		if g == nil {
			g = &group{output: v.Output}
			groups = append(groups, g)
		}
		byText[string(v.Output)] = g
		g.count++
	}
	for _, g := range groups {
		if g.count > best.count {
			best = g
		}
	}
	return best.output
}

// sameJSON compares two outputs as values; those too large to compare, or with numbers out of
// range, are the same only if their texts are.
func sameJSON(a, b json.RawMessage) bool {
	same, err := expression.Truth("nodes.a == nodes.b", node.Scope{Nodes: map[string]json.RawMessage{"a": a, "b": b}})
	return err == nil && same
}
