package nodetypes

import (
	"encoding/json"

	"quipu/commands/node"
)

// The categories of the Orchestrator's page (contract C.3), and one of ours.
const (
	categoryAgents      = "AI Agents"
	categoryLogic       = "Logic"
	categoryIntegration = "Integration"
	categoryTesting     = "Testing"
)

// anyUpstream is the input of types that read what the tasks before them gave.
const anyUpstream = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "description": "Whatever the tasks before gave, each under the parameter that names it.",
  "additionalProperties": true
}`

// withMessage is the input of types that are told a message.
const withMessage = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "message": {"description": "The message. Without one: what the tasks before gave."}
  },
  "additionalProperties": true
}`

// example is an example whose texts are written by hand: they are JSON.
func example(title, params, output string) node.Example {
	return node.Example{Title: title, Params: json.RawMessage(params), Output: json.RawMessage(output)}
}
