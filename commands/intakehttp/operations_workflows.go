package intakehttp

import (
	"slices"

	"quipu/apidoc"
)

// graphNode and graphEdge are what is read of a graph; other members are kept as they are.
type graphNode struct {
	ID     string        `json:"id" example:"start"`
	Type   string        `json:"type" required:"false" example:"trigger" doc:"A node type; GET /api/node-types lists them. data.type does as well."`
	Config apidoc.Object `json:"config,omitempty" doc:"As the type's schema says; data.config does as well."`
	Data   *graphData    `json:"data,omitempty"`
}

type graphData struct {
	Type   string        `json:"type" required:"false"`
	Label  string        `json:"label" required:"false"`
	Config apidoc.Object `json:"config,omitempty"`
}

type graphEdge struct {
	Source       string     `json:"source" example:"start"`
	Target       string     `json:"target" example:"done"`
	Condition    apidoc.Any `json:"condition,omitempty" doc:"An expression over the source's output; true or false for a branch."`
	SourceHandle string     `json:"sourceHandle" required:"false" doc:"The branch of a conditional or approval node that it leaves."`
}

type graphBody struct {
	Nodes []graphNode `json:"nodes"`
	Edges []graphEdge `json:"edges" required:"false"`
}

type createWorkflowBody struct {
	Name        string      `json:"name" example:"greeting"`
	Description string      `json:"description" required:"false"`
	Endpoint    string      `json:"endpoint" required:"false" doc:"Where it is reached; default unless given."`
	Definition  *graphBody  `json:"definition,omitempty" doc:"The graph, unless nodes and edges stand beside the name."`
	Nodes       []graphNode `json:"nodes" required:"false"`
	Edges       []graphEdge `json:"edges" required:"false"`
}

type updateWorkflowBody struct {
	Name        string      `json:"name" required:"false" example:"greeting"`
	Description string      `json:"description" required:"false"`
	Endpoint    string      `json:"endpoint" required:"false"`
	Definition  *graphBody  `json:"definition,omitempty" doc:"nodes and edges replace the graph together: both, or neither to keep it."`
	Nodes       []graphNode `json:"nodes" required:"false"`
	Edges       []graphEdge `json:"edges" required:"false"`
}

type executeBody struct {
	InputData apidoc.Object `json:"input_data,omitempty" example:"{\"n\":2}"`
}

// workflowShown is workflow.Shown as it is written.
type workflowShown struct {
	ID          string        `json:"id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	Name        string        `json:"name" example:"greeting"`
	Description string        `json:"description" example:""`
	Endpoint    string        `json:"endpoint" example:"default"`
	Version     int           `json:"version" min:"1" example:"1"`
	Definition  apidoc.Object `json:"definition" doc:"The graph as it was sent, its secrets masked." example:"{\"nodes\":[{\"id\":\"start\",\"type\":\"trigger\"}],\"edges\":[]}"`
	CreatedAt   string        `json:"created_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	UpdatedAt   string        `json:"updated_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	Position    string        `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

type deletedWorkflow struct {
	Status     string `json:"status" enum:"deleted"`
	WorkflowID string `json:"workflow_id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	Position   string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

type startedExecution struct {
	ExecutionID     string `json:"execution_id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	WorkflowID      string `json:"workflow_id" example:"0192f0c1-7c1e-7000-8000-000000000002"`
	WorkflowVersion int    `json:"workflow_version" min:"1" example:"1"`
	Status          string `json:"status" enum:"running"`
	Position        string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

const workflowExample = `{"name":"greeting","nodes":[{"id":"start","type":"trigger"},{"id":"pause","type":"timer","config":{"duration_seconds":0}},{"id":"done","type":"end"}],"edges":[{"source":"start","target":"pause"},{"source":"pause","target":"done"}]}`

func workflowOperations() []apidoc.Operation {
	graphRefusals := append(slices.Clone(notSealed[:4]),
		badAPIBody[0],
		apidoc.Refusal{Status: 422, Code: "INVALID_WORKFLOW", Field: "/nodes/0/type", Message: `"rm_rf" is no node type of this server; use one of: agent, api_call, …`},
	)
	changed := []apidoc.Refusal{
		{Status: 400, Code: "INVALID_ETAG", Field: "header/If-Match", Message: `must be * or at most 50 ETags such as "3"`},
		{
			Status: 412, Code: "PRECONDITION_FAILED", Field: "header/If-Match",
			Message: "does not hold: the workflow is at version 3; read it and make the change again", Details: map[string]any{"version": 3},
		},
		{Status: 409, Code: "CONFLICT", Message: "others keep writing to it"},
	}
	id := map[string]string{"id": "The workflow."}
	return []apidoc.Operation{
		{
			Method: "POST", Path: "/api/workflows", ID: "createWorkflow", Tag: "workflows",
			Summary: "Store a workflow",
			Doc:     "The graph may stand under `definition` or beside the name. Members of it that are not read here are kept and shown as they were. A repeat under the same Idempotency-Key answers with the workflow as it was made.",
			Headers: apidoc.Headers(apidoc.IdempotencyKey),
			Body: &apidoc.Body{Of: createWorkflowBody{}, Example: workflowExample, Examples: map[string]string{
				"waiting": `{"name":"patience","nodes":[{"id":"start","type":"trigger"},{"id":"night","type":"timer","config":{"duration":"8h"}},{"id":"done","type":"end"}],"edges":[{"source":"start","target":"night"},{"source":"night","target":"done"}]}`,
				"nested":  `{"name":"greeting","endpoint":"default","definition":{"nodes":[{"id":"start","type":"trigger"},{"id":"done","type":"end"}],"edges":[{"source":"start","target":"done"}]}}`,
			}},
			Answers:  []apidoc.Answer{{Status: 201, Doc: "It is stored.", Of: apidoc.Data[workflowShown]{}, Headers: apidoc.Headers(apidoc.Location, apidoc.QuipuPosition, apidoc.ETag)}},
			Refusals: refusals(graphRefusals, []apidoc.Refusal{badKey, keyReused}, notDone),
		},
		{
			Method: "PUT", Path: "/api/workflows/:id", ID: "updateWorkflow", Tag: "workflows",
			Summary:  "Make a new version of a workflow",
			Doc:      "What is missing stays as it is. Runs go on with the version they were started with.",
			Params:   id,
			Headers:  apidoc.Headers(apidoc.IfMatch),
			Body:     &apidoc.Body{Of: updateWorkflowBody{}, Example: `{"description":"says hello"}`, Examples: map[string]string{"graph": workflowExample}},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[workflowShown]{}, Headers: apidoc.Headers(apidoc.QuipuPosition, apidoc.ETag)}},
			Refusals: refusals([]apidoc.Refusal{badID, noWorkflow}, graphRefusals, changed, notDone),
		},
		{
			Method: "DELETE", Path: "/api/workflows/:id", ID: "deleteWorkflow", Tag: "workflows",
			Summary:  "Delete a workflow",
			Doc:      "It cannot be read or executed any more; its executions and events stay.",
			Params:   id,
			Headers:  apidoc.Headers(apidoc.IfMatch),
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[deletedWorkflow]{}, Headers: apidoc.Headers(apidoc.QuipuPosition)}},
			Refusals: refusals([]apidoc.Refusal{badID, noWorkflow}, changed, notDone),
		},
		{
			Method: "POST", Path: "/api/workflows/:id/execute", ID: "executeWorkflow", Tag: "workflows",
			Summary: "Start a run of a workflow's newest version",
			Doc:     "A repeat under the same Idempotency-Key answers with the run that is there and the version that it is pinned to.",
			Headers: apidoc.Headers(apidoc.IdempotencyKey),
			Params:  id,
			Body:    &apidoc.Body{Of: executeBody{}, Optional: true, Example: `{"input_data":{"n":2}}`},
			Answers: []apidoc.Answer{{Status: 202, Doc: "It is recorded and runs.", Of: apidoc.Data[startedExecution]{}, Headers: apidoc.Headers(apidoc.Location, apidoc.QuipuPosition)}},
			Refusals: refusals([]apidoc.Refusal{
				badID, noWorkflow, badGraph, overloaded, badKey, keyReused, spent,
				{Status: 400, Code: "INVALID_WORKFLOW", Field: "/nodes/0/type", Message: "is no node type of this server any more"},
			}, badAPIBody, notSealed, notDone),
		},
	}
}
