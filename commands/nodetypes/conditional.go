package nodetypes

import (
	"encoding/json"
	"strconv"

	"quipu/commands/expression"
	"quipu/commands/node"
)

// conditional evaluates config.condition_expression. Output: {"result": bool, "branch":
// "true"|"false"}; edges named "true" and "false" go on from the branch (contract D9).
func conditional() node.Type {
	return node.Type{
		Name:        "conditional",
		Title:       "Conditional",
		Category:    categoryLogic,
		Description: "Evaluates a condition over the source's output, nodes and input, and takes the branch true or false.",
		Input:       json.RawMessage(anyUpstream),
		Output: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["result", "branch"],
  "properties": {"result": {"type": "boolean"}, "branch": {"enum": ["true", "false"], "description": "The edges with this name go on."}}
}`),
		Examples: []node.Example{
			example("Branch by a number", `{"config":{"name":"Good enough?","condition_expression":"input.score > 0.5 and input.state in ['new', 'open']"}}`, `{"result":true,"branch":"true"}`),
		},
		Kind: node.Pure,
		Config: json.RawMessage(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "condition_expression": {"type": "string", "minLength": 1, "maxLength": 4096, "description": "An expression such as output.score > 0.5 and \"ok\" in nodes.check."}
  },
  "required": ["condition_expression"]
}`),
		Check:   checkConditional,
		Compute: computeConditional,
	}
}

const conditionPointer = "/config/condition_expression"

func checkConditional(params json.RawMessage) []node.Fault {
	r := reader{params: params}
	src, ok := r.text(conditionPointer)
	switch {
	case !r.untemplated(conditionPointer):
	case ok:
		if _, err := expression.Compile(src); err != nil {
			r.fault(conditionPointer, "%s", err.Error())
		}
	case len(r.faults) == 0 && !r.has(conditionPointer):
		r.fault(conditionPointer, "is required")
	}
	return r.faults
}

func computeConditional(call node.Call) (node.Reply, error) {
	r := reader{params: call.Params, resolved: true}
	src, ok := r.text(conditionPointer)
	if !ok {
		return node.Reply{}, configFailure(node.Fault{Pointer: conditionPointer, Message: "must be a string"})
	}
	yes, err := expression.Truth(src, scopeOf(call))
	if err != nil {
		return node.Reply{}, expressionFailure(conditionPointer, err)
	}
	branch := strconv.FormatBool(yes)
	return node.Reply{Output: json.RawMessage(`{"result":` + branch + `,"branch":"` + branch + `"}`)}, nil
}

func expressionFailure(pointer string, err error) *node.Failure {
	f := node.Failf("ExpressionError", codeExpressionError, false, "%s: %s", pointer, err.Error())
	f.Details = pointerDetails(pointer)
	return f
}

// scopeOf is the call's scope, or, without one, what can be told from its upstream: the first task
// that was not skipped is the source.
func scopeOf(call node.Call) node.Scope {
	if call.Scope != nil {
		return *call.Scope
	}
	s := node.Scope{Nodes: make(map[string]json.RawMessage, len(call.Upstream))}
	for _, up := range call.Upstream {
		if up.Skipped {
			continue
		}
		if s.Output == nil {
			s.Output = up.Output
		}
		s.Nodes[up.Task] = up.Output
	}
	return s
}
