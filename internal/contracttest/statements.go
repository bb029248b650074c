package contracttest

// statement is something that clients rely on, or a decision of ours where they are silent.
type statement struct {
	id string
	// words say it in short, in Markdown.
	words string
	// beside are tests that show a part of it without its number in their names.
	beside string
}

// lao are the statements of LAO's published page.
var lao = []statement{
	{"S0-1", "the path is `/ws/{flow}/{run}`, no query needed", ""},
	{"S0-2", "no header, subprotocol or first message is needed, by default and on a loopback address", ""},
	{"S0-3", "the names are those given to run-dag", "TestLive_NamesDoNotMix TestBad_HostileNames"},
	{"S0-4", "connecting a little late shows the run from its start", "TestFirst_SocketsBeforeDuringAndAfterSeeTheSame"},
	{"S0-5", "names of letters, digits, underscore, not encoded", "TestD5_SocketBeforeTheRun"},
	{"S0-6", "pushed without a subscription", ""},
	{"S0-7", "one JSON object per text frame", ""},
	{"S0-8", "the six documented types", ""},
	{"S0-9", "flat, discriminated by `event_type`", ""},
	{"S0-10", "when each type fires", "TestFrames_Golden TestExecutor_FiveSteps"},
	{"S0-11", "fields of flow_started", ""},
	{"S0-12", "fields of task_started", ""},
	{"S0-13", "`input` is the resolved object, config inside", "TestDecide_ResolvesParams"},
	{"S0-14", "fields of task_completed", ""},
	{"S0-15", "`task_id` pairs started and completed", ""},
	{"S0-16", "`execution_time` is the difference, in seconds", ""},
	{"S0-17", "fields of flow_completed, `task_name` \"flow\"", ""},
	{"S0-18", "`total_execution_time` is the difference", ""},
	{"S0-19", "`output` keyed by task name", ""},
	{"S0-20", "fields of task_failed", ""},
	{"S0-21", "its `error`: type, message, code, details", ""},
	{"S0-22", "fields of flow_error", ""},
	{"S0-23", "its `error` with flat extras", ""},
	{"S0-24", "`partial_results` is an object", ""},
	{"S0-25", "flow-level `task_id` is tied to no task", ""},
	{"S0-26", "order per run, timestamps never go back", "TestHead_InstantNeverGoesBack TestRun_RandomScriptsKeepTheInvariants"},
	{"S0-27", "task_failed, then flow_error, nothing between or after", "TestFirst_FailureEndsWithFlowError TestDecide_FailTask_FinalFailureEndsTheRun"},
	{"S0-28", "each event is pushed as it happens", "TestS0_4_HistoryThenLive"},
	{"S0-29", "tasks may run in parallel", "TestRun_RandomGraphsComplete"},
	{"S0-30", "a ping every 30 s is accepted, the socket stays", "TestD27_PingAndOtherMessages TestSocket_IsPingedAndStaysOpen"},
	{"S0-31", "a reply to it is JSON and none of the six types", "TestD27_PingAndOtherMessages"},
	{"S0-32", "unknown types are ignored", "TestFrames_Golden"},
	{"S0-33", "the client closes after flow_completed, without a code", ""},
	{"S0-34", "on failure it does not close", "TestFirst_FailureEndsWithFlowError"},
	{"S0-35", "it reconnects without an offset after 2, 4, 6 s", `
		TestS0_36_LoopBreaker TestD3_ReplayWindow TestS0_36_Chromium_RefusedHandshakeEndsAfterThreeTries`},
	{"S0-36", "it must not loop for ever", "TestD3_ReplayWindow"},
	{"S0-37", "progress \"step n of m\"", ""},
}

// agnt5 are the statements of AGNT5's published page.
var agnt5 = []statement{
	{"S1-1", "`/ws?x-wf-endpoint=…`: the endpoint is a query parameter of that name", "TestS1_4_7_8_D13_HandshakeRefusals"},
	{"S1-2", "an endpoint is a slug, a hyphen and 8 hex digits", "TestD15_EndpointIsMade"},
	{"S1-3", "the key is offered as subprotocol `x-api-key.<key>`, the only one", ""},
	{"S1-4", "without a good endpoint and a good key there is no connection", "TestD15_WorkflowsAreKnownAtOnce"},
	{"S1-5", "the subprotocol comes back as it was offered, or a browser drops the socket", ""},
	{"S1-6", "keys are HTTP tokens, or a browser cannot offer them", ""},
	{"S1-7", "what can go wrong at connecting shows as an error, then a close", ""},
	{"S1-8", "a handshake that is refused is 1006 to the client", ""},
	{"S1-9", "a message has name, parameters, metadata and connection_id", ""},
	{"S1-10", "connection_id is the client's choice: `ws_` and what it likes", ""},
	{"S1-11", "a message starts the workflow of that name; nested parameters are allowed", "TestD12_InvocationsRunByName"},
	{"S1-12", "a connection takes several messages, both ways at once", "TestD12_ManyExecutionsOnManySockets"},
	{"S1-13", "a frame is `{type, data: {timestamp, details, execution_id}}`", "TestD1_FramesGolden"},
	{"S1-14", "`data.timestamp` is RFC 3339 in UTC with Z", ""},
	{"S1-15", "`data.execution_id` begins with `exec_`", ""},
	{"S1-16", "`data.details` is an object", ""},
	{"S1-17", "execution_started, _completed, _failed, _cancelled", ""},
	{"S1-18", "workflow_start, _end, _error", ""},
	{"S1-19", "task_start, _end, _error", ""},
	{"S1-20", "llm_start, _end, _error", ""},
	{"S1-21", "tool_start, _end, _error", ""},
	{"S1-22", "one run has both the execution's and the workflow's events", ""},
	{"S1-23", "one object per frame", "TestS1_11_12_17_AnExecutionForEachMessage"},
	{"S1-24", "a message has at most 65,536 bytes, else close 1009", ""},
	{"S1-25", "at most 100 messages a second", ""},
	{"S1-26", "at most 50 connections per endpoint", ""},
	{"S1-27", "the client comes back after 1, 2, 4, 8, 16 s, then gives up", "TestD12_Resume TestKill_D12_AgentsResume"},
	{"S1-28", "what a server should meet: queues, checks, fragments, heartbeats, clean ends, recovery, logs, compression, metrics", ""},
	{"S1-29", "a client may send a message again: the same execution", "TestD12_InvocationsWithAKeyAreOneRun"},
}

// orchestrator are the statements of the Orchestrator's published page.
var orchestrator = []statement{
	{"S2-1", "bodies are JSON", "TestWorkflows_LifeOverHTTP TestD17_WrongValuesOfEveryParameter"},
	{"S2-2", "every answer is `{data, status: \"success\"}`", "TestD20_ExecutionObject TestS2_12_D21_OneHistory TestWorkflows_LifeOverHTTP"},
	{"S2-3", "methods and status codes as usual", "TestExecution_Unknown TestWorkflow_Unknown TestWorkflows_LifeOverHTTP"},
	{"S2-4", "OpenAPI 3.0 and a Swagger UI", "TestExplore_EveryAnswerIsAsDocumented"},
	{"S2-5", "authentication is optional: off by default, on with keys, for REST and sockets", "TestGuard_Areas TestGuard_WithoutKeysAllIsOpen"},
	{"S2-6", "workflows are listed, in pages", "TestD18_Paging"},
	{"S2-7", "a definition is created", "TestWorkflows_LifeOverHTTP"},
	{"S2-8", "and shown", ""},
	{"S2-9", "and updated", `
		TestWorkflows_LifeOverHTTP TestWorkflows_UpdateOfHalfAGraph TestD23_VersionsAndDeletion`},
	{"S2-10", "and deleted: then it is 404", "TestWorkflows_LifeOverHTTP TestD23_VersionsAndDeletion"},
	{"S2-11", "it is executed with any `input_data`", "TestWorkflows_LifeOverHTTP TestWorkflows_ExecuteBodies"},
	{"S2-12", "executions are listed with filters", "TestD18_ExecutionFilters TestD18_PausedExecutions"},
	{"S2-13", "an execution shows its status and outputs", "TestD20_ExecutionObject TestD20_FailedCancelledAndRunning TestExecution_Unknown"},
	{"S2-14", "a running one is cancelled", "TestD20_FailedCancelledAndRunning TestCancel"},
	{"S2-15", "the event log, in pages", ""},
	{"S2-16", "the events of a workflow or execution", ""},
	{"S2-17", "events live, by workflow", "TestD19_RandomCursorsWhileRunsStart"},
	{"S2-18", "node types are listed, with categories", "TestAll_TypesAreComplete"},
	{"S2-19", "one type: config, what it takes and gives", "TestDocs_ExamplesAreTrue TestDocs_NodeTypes"},
	{"S2-20", "the JSON Schema of a type's config", ""},
	{"S2-21", "executing answers before the work is done; it is followed meanwhile", ""},
	{"S2-22", "events cover workflows, executions, changes of state", "TestS2_15_D19_Events TestD19_FramesGolden"},
	{"S2-23", "what the page leaves open is fixed by our document: fields, parameters, errors, frames", ""},
}
