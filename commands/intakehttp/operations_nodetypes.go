package intakehttp

import "quipu/apidoc"

// nodeTypeShown is what appendNodeType writes.
type nodeTypeShown struct {
	Type         string        `json:"type" example:"timer" doc:"The name to use in a node's type and as a task's function."`
	Name         string        `json:"name" example:"Timer" doc:"For people."`
	Category     string        `json:"category" example:"Logic"`
	Description  string        `json:"description" example:"Waits for a time or until an instant."`
	Kind         string        `json:"kind" enum:"effect,pure,timer,wait" doc:"An effect is tried and retried; a pure task is computed within a decision; the others wait."`
	Aliases      []string      `json:"aliases" doc:"Other names it is known by."`
	Schema       apidoc.Object `json:"schema" doc:"JSON Schema (2020-12) of the config." example:"{\"type\":\"object\"}"`
	InputSchema  apidoc.Object `json:"input_schema" doc:"JSON Schema of the parameters beside the config." example:"{}"`
	OutputSchema apidoc.Object `json:"output_schema" doc:"JSON Schema of what a task gives." example:"{}"`
}

type nodeTypeDetail struct {
	nodeTypeShown
	Examples []nodeTypeExample `json:"examples"`
}

type nodeTypeExample struct {
	Title  string        `json:"title" example:"Wait for a minute and a half"`
	Params apidoc.Object `json:"params" doc:"Of a task in run-dag; params.config is a node's config." example:"{\"config\":{\"duration_seconds\":90}}"`
	Output apidoc.Any    `json:"output" example:"{\"waited_seconds\":90,\"completed_at\":\"2026-01-02T15:05:35Z\"}"`
}

type nodeTypeList struct {
	Items      []nodeTypeShown    `json:"items"`
	Count      int                `json:"count"`
	Total      int                `json:"total"`
	Limit      int                `json:"limit" doc:"All stand on one page."`
	Offset     int                `json:"offset"`
	Categories []nodeTypeCategory `json:"categories"`
}

type nodeTypeCategory struct {
	Name  string   `json:"name" example:"Logic"`
	Types []string `json:"types" doc:"The types in it, by name."`
}

func nodeTypeOperations() []apidoc.Operation {
	params, examples := map[string]string{"type": "A node type's name or alias."}, map[string]string{"type": "timer"}
	refusals := []apidoc.Refusal{
		{Status: 400, Code: "INVALID_ID", Field: "path/type", Message: "is not percent-encoded correctly"},
		{Status: 404, Code: "NODE_TYPE_UNKNOWN", Field: "path/type", Message: "names no node type; use one of: agent, api_call, …"},
	}
	return []apidoc.Operation{
		{
			Method: "GET", Path: "/api/node-types", ID: "listNodeTypes", Tag: "node-types",
			Summary: "All node types and their categories",
			Answers: []apidoc.Answer{{Status: 200, Of: apidoc.Data[nodeTypeList]{}}},
		},
		{
			Method: "GET", Path: "/api/node-types/:type", ID: "getNodeType", Tag: "node-types",
			Summary: "One node type, with examples", Params: params, PathExamples: examples,
			Answers: []apidoc.Answer{{Status: 200, Of: apidoc.Data[nodeTypeDetail]{}}}, Refusals: refusals,
		},
		{
			Method: "GET", Path: "/api/node-types/:type/schema", ID: "getNodeTypeSchema", Tag: "node-types",
			Summary: "The JSON Schema of a node type's config", Params: params, PathExamples: examples,
			Answers: []apidoc.Answer{{Status: 200, Of: apidoc.Data[apidoc.Object]{}}}, Refusals: refusals,
		},
	}
}
