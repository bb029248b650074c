package intakehttp

import (
	"slices"

	"quipu/apidoc"
)

// Operations describes the routes of this package.
func Operations() []apidoc.Operation {
	return slices.Concat(runDAGOperations(), workflowOperations(), endpointOperations(), nodeTypeOperations(), controlOperations())
}

// Refusals that several routes share.
var (
	badID       = apidoc.Refusal{Status: 400, Code: "INVALID_ID", Field: pathID, Message: "is not percent-encoded correctly"}
	noExecution = apidoc.Refusal{Status: 404, Code: "EXECUTION_UNKNOWN", Field: pathID, Message: "names no execution"}
	noWorkflow  = apidoc.Refusal{Status: 404, Code: "WORKFLOW_UNKNOWN", Field: pathID, Message: "names no workflow"}
	// notDone are of every command; the same request may be sent again.
	notDone = []apidoc.Refusal{
		{Status: 503, Code: "LOG_FAILED", Message: "the log cannot be written; the server has to be restarted"},
		{Status: 503, Code: "UNAVAILABLE", Message: "a part of the server does not answer, so nothing was done; send it again in a while (/health/ready says what is wrong)"},
		{Status: 503, Code: "INDETERMINATE", Message: "a part of the server did not answer, so it is not known whether this was done; send it again with the same Idempotency-Key, or ask whether it was (/health/ready says what is wrong)"},
		{Status: 504, Code: "DEADLINE", Message: "deadline"},
	}
	overloaded = apidoc.Refusal{Status: 429, Code: "OVERLOADED", Message: "10000 runs are active and 100000 wait; try again later"}
	busy       = apidoc.Refusal{Status: 429, Code: "RUN_BUSY", Message: "too many commands wait for this run; try again later"}
	badGraph   = apidoc.Refusal{Status: 400, Code: "INVALID_GRAPH", Field: "/edges/1", Message: "the edges form a cycle: a -> b -> a"}
	// notSealed are of commands whose payloads may hold secrets.
	notSealed = []apidoc.Refusal{
		{Status: 422, Code: "UNKNOWN_MASK", Field: "/tasks/0/params/config/api_key", Message: "is a mask that is not known here; send the secret itself"},
		{Status: 422, Code: "MASK_MOVED", Field: "/tasks/0/params/config/api_key", Message: "is the mask of a secret that stands elsewhere; send the secret itself"},
		{Status: 422, Code: "SECRET_IN_KEY", Field: "/tasks/0/params", Message: "a key of this object holds a secret of the run; rename the key"},
		{Status: 422, Code: "TOO_MANY_SECRETS", Message: "holds 2000 secrets, at most 1000 are allowed"},
		{Status: 422, Code: "START_TOO_LARGE", Message: "the secrets in the definition and the input take 1000000 bytes of its first event, at most 900000 are allowed; pass fewer secrets"},
	}
	badAPIBody = []apidoc.Refusal{
		{Status: 400, Code: "INVALID_JSON", Field: "body", Message: "is empty; send a JSON object"},
		{Status: 422, Code: "INVALID_BODY", Field: "/input_data", Message: "must be an object"},
	}
)

func refusals(lists ...[]apidoc.Refusal) []apidoc.Refusal { return slices.Concat(lists...) }

// laoTask is a task of run-dag.
type laoTask struct {
	Name     string        `json:"name" example:"greet" doc:"Its own in the flow."`
	Function string        `json:"function" example:"api_call" doc:"A node type; GET /api/node-types lists them."`
	Tag      *string       `json:"tag,omitempty" nullable:"true" example:"API"`
	Params   apidoc.Object `json:"params,omitempty" doc:"config for the function; a member {depends: task} takes another task's output, {input: key} an input." example:"{\"config\":{\"url\":\"https://api.example.com/greet\",\"method\":\"POST\"}}"`
}

type laoEdge struct {
	Source    string     `json:"source"`
	Target    string     `json:"target"`
	Condition apidoc.Any `json:"condition,omitempty" doc:"An expression over the source's output, or true or false for a branch of a conditional task."`
}

type runDAGBody struct {
	FlowName      string        `json:"flow_name" example:"greeting"`
	RunName       string        `json:"run_name" required:"false" doc:"Made up if missing."`
	Tasks         []laoTask     `json:"tasks"`
	Edges         []laoEdge     `json:"edges" required:"false"`
	DefaultInputs apidoc.Object `json:"default_inputs,omitempty"`
	FlowData      apidoc.Any    `json:"flow_data,omitempty" doc:"The editor's own; not read."`
}

type wrappedRunDAGBody struct {
	WorkflowData runDAGBody    `json:"workflow_data"`
	Inputs       apidoc.Object `json:"inputs,omitempty" doc:"Override default_inputs key by key."`
}

type runDAGReply struct {
	Status   string `json:"status" enum:"processing"`
	TaskID   string `json:"task_id" doc:"The id of the run, for /task-status and /api/executions." example:"0192f0c1-7c1e-7000-8000-000000000001"`
	FlowName string `json:"flow_name" example:"greeting"`
	RunName  string `json:"run_name" example:"run_1"`
}

type taskStatusReply struct {
	Status  string         `json:"status" enum:"processing,completed,failed"`
	Results apidoc.Object  `json:"results,omitempty" doc:"Of the tasks that completed, by name; once the run has ended."`
	Error   *laoRunFailure `json:"error,omitempty"`
}

type laoRunFailure struct {
	Type     string `json:"type" example:"HTTPError"`
	Code     string `json:"code" example:"HTTP_500"`
	Message  string `json:"message" example:"the server answered 500"`
	TaskName string `json:"task_name,omitempty"`
}

// taskStatusQuery is what task-status takes.
type taskStatusQuery struct {
	Wait string `query:"wait" max:"32" doc:"Wait for the end at most this long, such as 10s; up to 60s."`
}

type cancelledData struct {
	ID       string `json:"id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	Status   string `json:"status" enum:"cancelled"`
	Position string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

func runDAGOperations() []apidoc.Operation {
	return []apidoc.Operation{
		{
			Method: "POST", Path: "/run-dag", ID: "runDAG", Tag: "runs", Key: apidoc.KeyBySetting,
			Summary: "Start a run of a flow that comes with the request",
			Doc:     "The contract of LAO's editor; `/run-dag/` is the same. Connect to `/ws/{flow_name}/{run_name}` for its events.",
			Headers: apidoc.Headers(apidoc.IdempotencyKey),
			Body: &apidoc.Body{
				Of:      apidoc.AnyOf{runDAGBody{}, wrappedRunDAGBody{}},
				Example: `{"flow_name":"greeting","run_name":"monday","tasks":[{"name":"inputs","function":"inputs","params":{}},{"name":"check","function":"conditional","params":{"config":{"condition_expression":"input.n > 1"}}}],"edges":[],"default_inputs":{"n":2}}`,
				Examples: map[string]string{
					"waiting": `{"flow_name":"patience","tasks":[{"name":"night","function":"timer","params":{"config":{"duration":"8h"}}}]}`,
					"wrapped": `{"workflow_data":{"flow_name":"greeting","tasks":[{"name":"inputs","function":"inputs"}],"default_inputs":{"n":2}},"inputs":{"n":3}}`,
				},
			},
			Answers: []apidoc.Answer{{Status: 200, Doc: "It is recorded and runs.", Of: runDAGReply{}, Headers: apidoc.Headers(apidoc.QuipuPosition)}},
			Refusals: refusals([]apidoc.Refusal{
				{Status: 400, Code: "INVALID_WORKFLOW", Field: "/tasks/0/function", Message: `"rm_rf" is no function of this server; use one of: agent, api_call, …`},
				{Status: 400, Code: "RESERVED_NAME", Field: "flow_name", Message: `"workflows" is reserved, since /ws/workflows/… is another stream; choose another name`},
				badGraph,
				{Status: 409, Code: "RUN_NAME_TAKEN", Field: "run_name", Message: "the run 0192f0c1-7c1e-7000-8000-000000000001 of this name has not ended"},
				{Status: 422, Code: "INVALID_NAME", Field: "flow_name", Message: "is empty"},
				overloaded, badKey, keyReused, spent,
				{Status: 422, Code: "INVALID_BODY", Field: "/tasks", Message: "must be an array of tasks"},
				{Status: 422, Code: "INVALID_JSON", Field: "body", Message: "is empty; send a JSON object with tasks and flow_name"},
			}, notSealed, notDone),
		},
		{
			Method: "GET", Path: "/task-status/:id", ID: "taskStatus", Tag: "runs", Key: apidoc.KeyBySetting,
			Summary: "Where a run stands, with its results",
			Params:  map[string]string{"id": "The task_id of run-dag's reply; exec_<id> is the same."},
			Query:   taskStatusQuery{},
			Answers: []apidoc.Answer{{Status: 200, Of: taskStatusReply{}, Example: `{"status":"completed","results":{"inputs":{"n":2}}}`}},
			Refusals: refusals([]apidoc.Refusal{
				badID, {Status: 400, Code: "INVALID_WAIT", Field: "query/wait", Message: `must be a duration from 0s to 60s such as "10s"`}, noExecution,
			}, notDone),
		},
		{
			Method: "POST", Path: "/api/executions/:id/cancel", ID: "cancelExecution", Tag: "executions",
			Summary: "Cancel a run",
			Doc:     "The answer follows the recorded event; nothing of the run begins after it.",
			Params:  map[string]string{"id": "The execution; exec_<id> is the same."},
			Headers: apidoc.Headers(apidoc.IdempotencyKey),
			Answers: []apidoc.Answer{{Status: 202, Doc: "It is cancelled.", Of: apidoc.Data[cancelledData]{}, Headers: apidoc.Headers(apidoc.QuipuPosition)}},
			Refusals: refusals([]apidoc.Refusal{
				badID, noExecution, {Status: 409, Code: "RUN_ENDED", Message: "the run has already ended as completed"}, busy, badKey, keyReused,
			}, notDone),
		},
	}
}
