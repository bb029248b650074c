package contracttest

// decisions are ours, where the pages are silent.
var decisions = []statement{
	{"D1", "one log, each dialect only renders it", `
		TestD19_FramesGolden TestFrames_Golden TestFrame_CancelledIsFlowErrorWithCode
		TestFrame_UnknownAndDamagedEvents TestFrame_LargeResultsBecomeALink TestShared_RenderedOncePerDialect`},
	{"D2", "`/ws/workflows/…` is another route, the flow name reserved, case matters", "TestUpgrade_OtherRoutes TestRunDAG_Refusals TestBad_RunDag TestBad_HostileNames"},
	{"D3", "what a connect without an offset gets; keepalive; loop-breaker", `
		TestKeepalive_Every25s TestS0_36_LoopBreaker TestSocket_IdleAfterTheEnd
		TestStudio_ConnectsBeforeItPostsAndRepeatsNames`},
	{"D4", "offsets and cursors, no gap and no duplicate", `
		TestUpgrade_BadRequests TestSocket_ConnectAtAnyMoment TestRestart_ClientsLoseAndDoubleNothing
		TestFeed_YieldsExactlyItsWorkflow`},
	{"D5", "a socket before its run waits", ""},
	{"D6", "names bound at an exact revision; taken, abandoned, free again", `
		TestExecutor_NameTakenWhileUnfinishedThenFree TestStartRun_NameIsHeldWhileTheStartIsUnderWay
		TestStartRun_LosesItsNameToAnotherProcess TestStream_Golden`},
	{"D7", "run-dag and task-status: bodies, answers, faults", `
		TestRunDAG_Answers TestRunDAG_RunNameIsGenerated TestRunDAG_Refusals
		TestParse_InputsOverrideKeyByKeyAsWritten TestParse_WrongTypes TestTaskStatus_Shapes TestRunDAG_StudioBody`},
	{"D8", "functions, translation, message, keys, retry; no templates", `
		TestParse_FunctionsAndTheirAliases TestParse_WrongMeaning TestAgent_AsksItsAPI TestAgent_AsksAModel
		TestAPICall_Requests TestAPICall_IdempotencyKeys TestAPICall_StatusesOutside2xxFail TestDelay_DefaultPolicy
		TestParse_RetryAndTimeout TestBad_ValuesStayAsWritten TestAgent_StreamsAnswers TestAgent_BrokenStreams
		TestGPTRouter_UnderstandsAnswers TestGPTRouter_DeterministicIsGolden TestGPTConditional_UnderstandsAnswers
		TestGPTConditional_DeterministicIsGolden TestA2A_SendsAMessage TestA2A_WaitsForTasks
		TestDefinition_MappedCallsAreFull`},
	{"D9", "depends schedule, conditional edges gate, skips, endings", `
		TestDecide_GatesAndSkips TestCompile_RefusesWithFieldFaultAndFix TestParse_BranchesOfConditionals
		TestDecide_ConditionsSeeTheirSourceAmongNodes TestScripts TestS0_24_PartialResultsAreObjects
		TestExecutor_RoutersAndConditionalsGate`},
	{"D10", "secrets sealed, masked, real for the node; the switch", `
		TestSecrets_AreFoundNowhere TestExecutor_SecretsFlowButNeverLand TestSeal_KeepMasks
		TestDefinitions_MovedMasksAreRefused TestExecutor_MasksCannotBeForged TestProperty_NoSecretShows
		TestDelta_NeverShowsASecret TestDelta_BrokenOffAttempt TestDelta_SecretOutputIsNotTold
		TestSettled_NoPieceShowsASecret`},
	{"D11", "a UUID per task execution; flow frames carry the run's id", "TestS0_25_FlowFramesCarryTheRunsID"},
	{"D12", "an execution for each message, shown to who asked; resumed; sent again under a key", ""},
	{"D13", "refusals before and after the handshake, limits", ""},
	{"D14", "cancel on the socket; the first end wins", ""},
	{"D15", "endpoints: made once with a key that is shown once, known at once, one made at the first start", ""},
	{"D16", "the envelope of answers, lists and errors", `
		TestWorkflows_LifeOverHTTP TestProblem_Shape TestCancel TestS2_12_D21_OneHistory TestD18_Paging`},
	{"D17", "status codes: 200, 201, 202, 400, 404, 409, 422, one entry per field", `
		TestWorkflows_LifeOverHTTP TestWorkflows_NamesEachFault TestWorkflows_ExecuteBodies
		TestProblem_StatusPerKind TestHistory_BadRequests`},
	{"D18", "paging and filters; `paused` beside the statuses named there", "TestS2_15_D19_Events"},
	{"D19", "frames of events, past and live, by workflow or execution; `/ws/workflows/:id` and its aliases; 404 for what names neither", "TestS2_17_WorkflowLive"},
	{"D20", "the execution object, what it waits for and is a retry of; `exec_` is accepted; repeats under a key are one", "TestApprovals_List"},
	{"D21", "one history of every dialect", ""},
	{"D22", "reads see what was written, or say that they do not", `
		TestHistory_HoldsWhatWasAcknowledged TestRunDAG_Answers TestWorkflows_LifeOverHTTP`},
	{"D23", "a deleted workflow is gone for clients, its history stays", "TestWorkflows_LifeOverHTTP TestDefinitions_RunsStayWithTheirVersion"},
	{"D24", "the types with their schemas; unknown ones refused; conditions and expressions", `
		TestS2_18_NodeTypesAndCategories TestS2_19_NodeType TestParse_NamesEachFault TestEval_Kinds TestEval_Judge
		TestExecutor_EvalBlocksOrWarns TestCheckConfig_NamesEachPlaceWithoutQuotingIt`},
	{"D25", "what a graph holds beside what we read survives; handles route", `
		TestParse_KeepsTheGraph TestDefinition_Translates TestDefinitions_RunsStayWithTheirVersion
		TestS2_6_8_WorkflowsListedAndShown TestWorkflows_FlatGraphKeepsItsMembers`},
	{"D26", "one instant per event; seconds with 3 decimals", `
		TestS0_9_FlatWithEventType TestS0_16_ExecutionTimeIsTheDifference TestAppendSeconds
		TestInstant_RoundsDownToMilliseconds`},
	{"D27", "pong; 90 s of silence are fine", "TestSocket_IsPingedAndStaysOpen TestD19_ProtocolPingsOnly"},
	{"D28", "products of the same names that are not ours", ""},
}
