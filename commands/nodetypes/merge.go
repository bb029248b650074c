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
//     wins, the earliest of several. Equal are outputs that differ in white space or the order of
//     keys at most.
//
// Without an output to merge: merged_results and all_votes are {}, winner is null.
func merge() node.Type {
	return node.Type{
		Name:        "merge",
		Title:       "Merge",
		Category:    categoryLogic,
		Description: "Joins the outputs of several tasks: all, the first, or the one most agree on.",
		Input:       json.RawMessage(anyUpstream),
		Output: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "anyOf": [
    {"type": "object", "required": ["merged_results"], "properties": {"merged_results": {"type": "object", "description": "Outputs by task."}}},
    {"type": "object", "description": "With vote.", "required": ["winner", "all_votes"], "properties": {"winner": {}, "all_votes": {"type": "object", "description": "Outputs by task."}}}
  ]
}`),
		Examples: []node.Example{
			example("Nothing to join", `{"config":{"name":"Join","merge_strategy":"combine"}}`, `{"merged_results":{}}`),
			example("Nothing to vote on", `{"config":{"merge_strategy":"vote"}}`, `{"winner":null,"all_votes":{}}`),
		},
		Kind: node.Pure,
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
	votes := distinct(call.Upstream)
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

// winner counts equal outputs by their canonical text, so that the time is in proportion to their
// size: comparing each with each would let a thousand large outputs hold up a decision.
func winner(votes []node.Upstream) json.RawMessage {
	counts := make(map[string]int, len(votes))
	texts := make([]string, len(votes))
	for i, v := range votes {
		texts[i] = canonical(v.Output)
		counts[texts[i]]++
	}
	best, most := json.RawMessage("null"), 0
	for i, v := range votes { // in order, so that the earliest of several wins
		if n := counts[texts[i]]; n > most {
			best, most = v.Output, n
		}
	}
	return best
}

// canonical is the output without white space, object keys sorted, numbers as written. One too
// large for the expression language stands as it is.
func canonical(output json.RawMessage) string {
	text, err := expression.Eval("output", node.Scope{Output: output})
	if err != nil {
		return string(output)
	}
	return string(text)
}
