package history

import "quipu/apidoc"

// Refusals that several routes share.
var (
	badQuery     = apidoc.Refusal{Status: 422, Code: "INVALID_QUERY", Field: "query/limit", Message: "must be an integer from 1 to 200"}
	badID        = apidoc.Refusal{Status: 400, Code: "INVALID_ID", Field: "path/id", Message: "is not percent-encoded correctly"}
	noExecution  = apidoc.Refusal{Status: 404, Code: "EXECUTION_UNKNOWN", Field: "path/id", Message: "names no execution"}
	noWorkflow   = apidoc.Refusal{Status: 404, Code: "WORKFLOW_UNKNOWN", Field: "path/id", Message: "names no workflow"}
	tooManyReads = apidoc.Refusal{Status: 429, Code: "TOO_MANY_READS", Message: "too many reads at once; try again"}
	readTimeout  = apidoc.Refusal{Status: 504, Code: "READ_TIMEOUT", Message: "reading took too long and was given up; narrow the filters or ask for less, unless /health/ready says that a part is slow"}
	listRefusals = []apidoc.Refusal{
		{Status: 409, Code: "LOG_CHANGED", Field: "query/cursor", Message: "belongs to another log than the one here; begin anew without it", Details: map[string]any{"log": "644bdb7e-a5f6-4f73-9fd3-067000e8c6c3"}},
		badQuery,
		{Status: 422, Code: "INVALID_CURSOR", Field: "query/cursor", Message: "is no cursor of this API; give next_cursor of the page before as it was, or begin without one"},
		{Status: 422, Code: "BEYOND_HEAD", Field: "query/at_least", Message: "lies beyond the head of the log"},
		tooManyReads,
		{Status: 503, Code: "STALE", Field: "query/at_least", Message: "the view has not reached that position yet; try again, or ask without at_least", Details: map[string]any{"view_position": "644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-0000000000000029"}},
		{Status: 503, Code: "VIEWS_UNAVAILABLE", Message: "the views cannot be read now, so lists cannot be had; reads by id, commands and sockets go on"},
		readTimeout,
	}
	byIDRefusals = []apidoc.Refusal{
		badID, tooManyReads, {Status: 503, Code: "UNKNOWN_EVENT", Message: "a newer version wrote part of this"}, readTimeout,
	}
)

func with(list []apidoc.Refusal, more ...apidoc.Refusal) []apidoc.Refusal {
	return append(append([]apidoc.Refusal(nil), list...), more...)
}

// errorShown is why something failed.
type errorShown struct {
	Type    string     `json:"type" example:"HTTPError"`
	Code    string     `json:"code" example:"HTTP_500"`
	Message string     `json:"message" example:"the server answered 500"`
	Task    *string    `json:"task" required:"false" doc:"Of a run: the task that failed."`
	Details apidoc.Any `json:"details,omitempty" doc:"Of a task: what the node said besides."`
}

type taskCounts struct {
	Total     int `json:"total" example:"3"`
	Completed int `json:"completed" example:"3"`
	Failed    int `json:"failed" example:"0"`
	Skipped   int `json:"skipped" example:"0"`
	Running   int `json:"running" example:"0"`
	Cancelled int `json:"cancelled" example:"0"`
}

// executionShown is an execution as lists show it (contract D20).
type executionShown struct {
	ID              string      `json:"id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	WorkflowID      *string     `json:"workflow_id" example:"0192f0c1-7c1e-7000-8000-000000000002"`
	WorkflowVersion *int        `json:"workflow_version" doc:"The version it is pinned to; null where it came with its definition." example:"1"`
	Source          string      `json:"source" enum:"lao,agnt5,api" example:"api"`
	Endpoint        *string     `json:"endpoint" example:"default"`
	FlowName        *string     `json:"flow_name" example:"greeting"`
	RunName         *string     `json:"run_name"`
	ConnectionID    *string     `json:"connection_id" doc:"Of the socket it was asked for on."`
	RetryOf         *string     `json:"retry_of" doc:"The execution it goes on from."`
	Status          string      `json:"status" enum:"running,paused,completed,failed,cancelled" example:"completed"`
	CurrentNode     *string     `json:"current_node" doc:"The node that began last among those at work."`
	Error           *errorShown `json:"error"`
	StartedAt       string      `json:"started_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	CompletedAt     *string     `json:"completed_at" format:"date-time" example:"2025-09-02T09:42:05.143Z"`
	DurationMS      *int        `json:"duration_ms" example:"100"`
	LastOffset      int         `json:"last_offset" example:"7"`
	Position        *string     `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
	Tasks           taskCounts  `json:"tasks"`
	Attempts        int         `json:"attempts" example:"3"`
	InputData       apidoc.Any  `json:"input_data" doc:"Over 4 KiB in a list it is {href, bytes}." example:"{\"n\":2}"`
}

type nodeShown struct {
	Name      string      `json:"name" example:"start"`
	Type      string      `json:"type" example:"trigger"`
	Status    string      `json:"status" example:"completed" doc:"pending has not begun."`
	Attempts  int         `json:"attempts" example:"1"`
	StartedAt *string     `json:"started_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	EndedAt   *string     `json:"ended_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	WaitsFor  *waitShown  `json:"waiting_for" doc:"While its status is waiting."`
	Error     *errorShown `json:"error"`
}

// waitShown is what a node waits for.
type waitShown struct {
	Kind    string  `json:"kind" enum:"approval,event,timer" example:"approval"`
	Channel *string `json:"channel" doc:"Of an event: what a signal or a message must be named."`
	DueAt   *string `json:"due_at" format:"date-time" doc:"Of a timer when it goes on, else when it fails; null if it waits for ever." example:"2025-09-03T09:42:05.043Z"`
}

// waitOf is the same with the node.
type waitOf struct {
	NodeID string `json:"node_id" example:"sign-off"`
	waitShown
}

// approvalShown is a request for somebody's decision.
type approvalShown struct {
	ExecutionID string     `json:"execution_id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	WorkflowID  *string    `json:"workflow_id" example:"0192f0c1-7c1e-7000-8000-000000000002"`
	NodeID      string     `json:"node_id" example:"sign-off"`
	TaskID      string     `json:"task_id" example:"0192f0c1-7c1e-7000-8000-000000000003"`
	Iteration   int        `json:"iteration" example:"0"`
	Status      string     `json:"status" enum:"pending,approved,rejected,expired,cancelled" example:"pending"`
	Request     apidoc.Any `json:"request" doc:"What is to be decided; its secrets masked." example:"{\"description\":\"refund 120 EUR?\"}"`
	RequestedAt string     `json:"requested_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	DueAt       *string    `json:"due_at" format:"date-time" doc:"It expires then; null if it waits for ever."`
	Approver    *string    `json:"approver" doc:"Who decided, by the client's word."`
	Comment     *string    `json:"comment"`
	DecidedBy   *actor     `json:"decided_by" doc:"Who was authenticated as having decided; null unless it is approved or rejected."`
	DecidedAt   *string    `json:"decided_at" format:"date-time"`
	EndedAt     *string    `json:"ended_at" format:"date-time" doc:"Also of one that expired or was cancelled."`
	Offset      int        `json:"offset" doc:"Of the event that asked." example:"3"`
	Position    string     `json:"position" example:"8f14e45fceea167a-0000000000000023"`
}

type actor struct {
	Kind string  `json:"kind" enum:"anonymous,system,key,user" example:"key"`
	ID   *string `json:"id"`
}

// executionWhole is an execution by id.
type executionWhole struct {
	executionShown
	Metadata    apidoc.Any    `json:"metadata" doc:"What the client said beside the input; null if nothing." example:"null"`
	IsPaused    bool          `json:"is_paused" example:"false"`
	WaitingFor  []waitOf      `json:"waiting_for" doc:"What its nodes wait for."`
	OutputData  apidoc.Any    `json:"output_data" doc:"Of its end nodes; null unless it completed." example:"{\"n\":2}"`
	NodeOutputs apidoc.Object `json:"node_outputs" doc:"Every output by name." example:"{\"start\":{\"n\":2}}"`
	Nodes       []nodeShown   `json:"nodes"`
}

type taskShown struct {
	Name          string      `json:"name" example:"start"`
	TaskID        *string     `json:"task_id" example:"0192f0c1-7c1e-7000-8000-000000000003"`
	Iteration     int         `json:"iteration" example:"0"`
	Type          *string     `json:"type" example:"trigger"`
	Status        string      `json:"status" example:"completed"`
	Attempts      int         `json:"attempts" example:"1"`
	StartedAt     *string     `json:"started_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	EndedAt       *string     `json:"ended_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	WaitsFor      *waitShown  `json:"waiting_for"`
	Error         *errorShown `json:"error"`
	DurationMS    *int        `json:"duration_ms" example:"0"`
	StartedOffset int         `json:"started_offset" example:"1"`
	EndedOffset   *int        `json:"ended_offset" example:"2"`
}

type tasksShown struct {
	Items           []taskShown `json:"items"`
	Count           int         `json:"count" example:"1"`
	ExecutionID     string      `json:"execution_id" example:"0192f0c1-7c1e-7000-8000-000000000001"`
	ExecutionStatus string      `json:"execution_status" example:"completed"`
	LastOffset      int         `json:"last_offset" example:"7"`
}

type auditShown struct {
	Stream        string     `json:"stream" example:"run-0192f0c1-7c1e-7000-8000-000000000001"`
	Type          string     `json:"type" doc:"As stored." example:"run.started.v1"`
	Hash          string     `json:"hash" example:"5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02"`
	Actor         apidoc.Any `json:"actor,omitempty"`
	CommandID     *string    `json:"command_id" required:"false"`
	CorrelationID *string    `json:"correlation_id" required:"false"`
	CausationID   *string    `json:"causation_id" required:"false"`
	Traceparent   *string    `json:"traceparent" required:"false"`
	PrevHash      *string    `json:"prev_hash" required:"false"`
	DataSHA256    *string    `json:"data_sha256" required:"false"`
}

// eventShown is an event (contract D19). What its data holds besides depends on its type.
type eventShown struct {
	EventType string        `json:"event_type" example:"workflow.started"`
	Data      apidoc.Object `json:"data" doc:"workflow_id, execution_id and timestamp; of a run also node_id, node_type, result and error, and what else the event says." example:"{\"workflow_id\":null,\"execution_id\":\"0192f0c1-7c1e-7000-8000-000000000001\",\"timestamp\":\"2025-09-02T09:42:05.043Z\",\"node_id\":null,\"node_type\":null,\"result\":null,\"error\":null}"`
	Timestamp float64       `json:"timestamp" doc:"Epoch seconds." example:"1756806125.043"`
	Offset    int           `json:"offset" example:"0"`
	Position  string        `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-0000000000000023"`
	ID        string        `json:"id" example:"6f0c1d7e-7c1e-8000-8000-000000000001"`
	Audit     auditShown    `json:"audit"`
}

type workflowListed struct {
	ID          string        `json:"id" example:"0192f0c1-7c1e-7000-8000-000000000002"`
	Name        string        `json:"name" example:"greeting"`
	Description string        `json:"description" example:""`
	Endpoint    string        `json:"endpoint" example:"default"`
	Version     int           `json:"version" min:"1" example:"1"`
	Definition  apidoc.Object `json:"definition,omitempty" doc:"The graph, its secrets masked." example:"{\"nodes\":[{\"id\":\"start\",\"type\":\"trigger\"}],\"edges\":[]}"`
	CreatedAt   string        `json:"created_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	UpdatedAt   string        `json:"updated_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	Position    string        `json:"position,omitempty" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

type endpointShown struct {
	Endpoint  string  `json:"endpoint" example:"orders-1f0c1d7e"`
	Slug      string  `json:"slug" example:"orders"`
	CreatedAt string  `json:"created_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	Position  *string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

// Operations describes the routes of this package.
func Operations() []apidoc.Operation {
	execution := map[string]string{"id": "The execution; exec_<id> is the same."}
	workflow := map[string]string{"id": "The workflow."}
	badAt := apidoc.Refusal{Status: 422, Code: "INVALID_QUERY", Field: "query/at", Message: "must be an offset such as 7, or a time in RFC 3339 such as 2025-09-02T09:42:05.043Z"}
	notBegun := apidoc.Refusal{Status: 404, Code: "NOT_BEGUN", Field: "query/at", Message: "lies before the first event of the execution"}
	beyond := apidoc.Refusal{Status: 422, Code: "BEYOND_HEAD", Field: "query/at", Message: "lies beyond the last event", Details: map[string]any{"last_offset": 7}}
	noVersion := apidoc.Refusal{Status: 404, Code: "VERSION_UNKNOWN", Field: "query/version", Message: "there is no such version"}
	return []apidoc.Operation{
		{
			Method: "GET", Path: "/api/executions", ID: "listExecutions", Tag: "executions", Summary: "List executions",
			Doc: "Newest started first. Every run of every dialect is here.", Query: executionsParams{},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[apidoc.List[executionShown]]{}}},
			Refusals: listRefusals,
		},
		{
			Method: "GET", Path: "/api/executions/:id", ID: "getExecution", Tag: "executions", Summary: "Read an execution, now or as it was",
			Doc: "From the log itself: never older than what you were told, on any node.", Params: execution, Query: atParams{},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[executionWhole]{}}},
			Refusals: with(byIDRefusals, noExecution, notBegun, badAt, beyond),
		},
		{
			Method: "GET", Path: "/api/executions/:id/tasks", ID: "getExecutionTasks", Tag: "executions", Summary: "Every iteration of every task of an execution",
			Params: execution, Query: atParams{},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[tasksShown]{}}},
			Refusals: with(byIDRefusals, noExecution, notBegun, badAt, beyond),
		},
		{
			Method: "GET", Path: "/api/approvals", ID: "listApprovals", Tag: "approvals", Summary: "List what waits, or waited, for somebody's decision",
			Doc: "Newest first, pending ones unless status says otherwise.", Query: approvalsParams{},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[apidoc.List[approvalShown]]{}}},
			Refusals: listRefusals,
		},
		{
			Method: "GET", Path: "/api/events", ID: "listEvents", Tag: "events", Summary: "List events",
			Doc: "Newest first.", Query: eventsParams{},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[apidoc.List[eventShown]]{}}},
			Refusals: listRefusals,
		},
		{
			Method: "GET", Path: "/api/workflows/:id/events", ID: "listWorkflowEvents", Tag: "events", Summary: "The events of a workflow or of an execution",
			Doc: "Oldest first; of a workflow with those of all its executions.", Params: map[string]string{"id": "A workflow, or if none has that id an execution."}, Query: eventsParams{},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[apidoc.List[eventShown]]{}}},
			Refusals: with(listRefusals, badID, apidoc.Refusal{Status: 404, Code: "WORKFLOW_UNKNOWN", Field: "path/id", Message: "names neither a workflow nor an execution"}),
		},
		{
			Method: "GET", Path: "/api/workflows", ID: "listWorkflows", Tag: "workflows", Summary: "List workflows",
			Doc: "Newest created first.", Query: workflowsParams{},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[apidoc.List[workflowListed]]{}}},
			Refusals: listRefusals,
		},
		{
			Method: "GET", Path: "/api/workflows/:id", ID: "getWorkflow", Tag: "workflows", Summary: "Read a workflow",
			Params: workflow, Query: versionParams{}, Headers: apidoc.Headers(apidoc.IfNoneMatch),
			Answers: []apidoc.Answer{
				{Status: 200, Of: apidoc.Data[workflowListed]{}, Headers: apidoc.Headers(apidoc.ETag)},
				{Status: 304, Doc: "It is as it was.", Headers: apidoc.Headers(apidoc.ETag)},
			},
			Refusals: with(byIDRefusals, noWorkflow, noVersion, apidoc.Refusal{Status: 422, Code: "INVALID_QUERY", Field: "query/version", Message: "must be an integer from 1 to 2147483647"}),
		},
		{
			Method: "GET", Path: "/api/workflows/:id/versions", ID: "listWorkflowVersions", Tag: "workflows", Summary: "List the versions of a workflow",
			Doc: "Newest first.", Params: workflow, Query: versionsParams{},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[apidoc.List[workflowListed]]{}}},
			Refusals: with(listRefusals, badID, noWorkflow),
		},
		{
			Method: "GET", Path: "/api/endpoints", ID: "listEndpoints", Tag: "endpoints", Summary: "List the places workflows are reached at",
			Doc: "Keys are never shown.", Query: pagingParams{},
			Answers:  []apidoc.Answer{{Status: 200, Of: apidoc.Data[apidoc.List[endpointShown]]{}}},
			Refusals: listRefusals,
		},
		{
			Method: "GET", Path: "/api/endpoints/:id", ID: "getEndpoint", Tag: "endpoints", Summary: "Read an endpoint",
			Doc: "Its key is never shown.", Params: map[string]string{"id": "The endpoint, such as coffee-shop-e66b8d23."},
			PathExamples: map[string]string{"id": "coffee-shop-e66b8d23"},
			Answers:      []apidoc.Answer{{Status: 200, Of: apidoc.Data[endpointShown]{}}},
			Refusals: []apidoc.Refusal{
				badID,
				{Status: 404, Code: "ENDPOINT_UNKNOWN", Field: "path/id", Message: "names no endpoint"},
				{Status: 503, Code: "UNAVAILABLE", Message: "the log cannot be read now; try again"},
				readTimeout,
			},
		},
	}
}
