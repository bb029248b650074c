package wire_test

import (
	"time"

	"quipu/domain"
	"quipu/domain/run"
)

// hostileJSON is what users send and must get back byte for byte.
var hostileJSON = []string{
	`1e400`, `9007199254740993`, `-0`, `-0.0`, `1.0`, `1E5`, `"\ud800"`, `"\u0041\/"`, "\"\u2028\u2029\"", `"<script>&"`,
	`{ "b" : 1 ,  "a":[ ] }`, "[\n\t1 ,2\r\n]", `{"":{"":{}}}`, `"\u0000"`, `[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]`, `null`, `""`,
}

func at(ms int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

func raw(s string) domain.Value { return domain.Raw([]byte(s)) }

// sample is one event of a type with every field set, or with only what is always there.
type sample struct {
	name  string // of the golden file, without ".golden.json"; begins with the stored type
	event run.Event
}

func samples() []sample {
	holes := domain.Value{
		JSON: []byte(`{"config": {"api_key":null,"url":"https://example.org/?a=1&b=<2>"},"doc":null,"n":1e400}`),
		Holes: []domain.Hole{
			{At: "/config/api_key", Sealed: "s1", FP: "k7Qx"},
			{At: "/doc", Blob: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Bytes: 70000},
		},
	}
	secrets := []run.Secret{{ID: "s1", FP: "k7Qx", Ciphertext: "AAEC/+=="}, {ID: "s2", FP: "", Blob: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Bytes: 90000}}
	const task, id = "fetch \"orders\"/é", "6f2d1c9a-0000-8000-8000-0123456789ab"
	failure := run.ErrorInfo{Type: "HTTPError", Code: "HTTP_503", Message: "the far side said 503:\n\"busy\"", Details: raw(`{"status":503}`)}
	short := run.ErrorInfo{Type: "T", Code: "C", Message: "m"}
	return []sample{
		{"run.started.v1", run.Started{
			RunID: "0190a0b0-0000-7000-8000-000000000001", Source: "lao", FlowName: "Customer Support", RunName: "ticket/78453",
			WorkflowID: "lao-0011223344556677", Definition: raw(`{"nodes":[{"name":"a","type":"inputs","params":{"q": -0}}],"edges":[]}`),
			Input: holes, BodySHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Secrets: secrets,
		}},
		{"run.started.v1.least", run.Started{RunID: "r", Source: "api", Definition: raw(`{}`), Input: raw(`{}`)}},
		{"run.abandoned.v1", run.Abandoned{RunID: "r"}},
		{"run.task_started.v1", run.TaskStarted{
			Task: task, TaskID: id, Iteration: 0, Node: "n1", Function: "api_call", Input: holes, Deadline: at(30_000),
		}},
		{"run.task_started.v1.least", run.TaskStarted{Task: "a", TaskID: id, Node: "n1", Function: "f", Input: raw(`{}`)}},
		{"run.task_attempt_started.v1", run.TaskAttemptStarted{
			Task: task, TaskID: id, Iteration: 1, Attempt: 2, Node: "n2", Reason: run.ReasonRecovered, Deadline: at(60_000),
		}},
		{"run.task_completed.v1", run.TaskCompleted{
			Task: task, TaskID: id, Attempt: 2, StartedAt: at(1), Output: holes,
			Gates: []run.GateResult{{Edge: 0, Holds: true}, {Edge: 7, Holds: false}}, Secrets: secrets,
		}},
		{"run.task_completed.v1.least", run.TaskCompleted{Task: "a", TaskID: id, Attempt: 1, StartedAt: at(1), Output: raw(`null`)}},
		{"run.task_failed.v1", run.TaskFailed{
			Task: task, TaskID: id, Attempt: 3, StartedAt: at(1), Error: failure, Partial: raw(`{"rows": 12}`), Secrets: secrets,
		}},
		{"run.task_retry_scheduled.v1", run.TaskRetryScheduled{
			Task: task, TaskID: id, Attempt: 1, Error: failure, RetryAt: at(501), Secrets: secrets,
		}},
		{"run.task_skipped.v1", run.TaskSkipped{Task: task, Reason: run.SkippedByGate}},
		{"run.tool_started.v1", run.CallStarted{Family: "tool", Task: task, TaskID: id, Attempt: 1, Function: "api_call"}},
		{"run.tool_completed.v1", run.CallCompleted{
			Family: "tool", Task: task, TaskID: id, Attempt: 1, Function: "api_call", StartedAt: at(1), Details: raw(`{"status":200,"latency_ms":12}`),
		}},
		{"run.tool_failed.v1", run.CallFailed{
			Family: "tool", Task: task, TaskID: id, Attempt: 1, Function: "api_call", StartedAt: at(1), Error: failure, Details: raw(`{"status":503}`),
		}},
		{"run.llm_started.v1", run.CallStarted{Family: "llm", Task: task, TaskID: id, Attempt: 1, Function: "agent"}},
		{"run.llm_completed.v1", run.CallCompleted{
			Family: "llm", Task: task, TaskID: id, Attempt: 1, Function: "agent", StartedAt: at(1), Details: raw(`{"model":"m","tokens":{"in":3,"out":5}}`),
		}},
		{"run.llm_failed.v1", run.CallFailed{
			Family: "llm", Task: task, TaskID: id, Attempt: 1, Function: "agent", StartedAt: at(1), Error: short,
		}},
		{"run.completed.v1", run.Completed{StartedAt: at(0), Results: raw(`{"a":3,"fetch \"orders\"/é":7}`)}},
		{"run.failed.v1", run.Failed{StartedAt: at(0), Task: task, Error: failure, Results: raw(`{"a":3}`)}},
		{"run.cancelled.v1", run.Cancelled{StartedAt: at(0), Reason: "asked by the operator", Results: raw(`{}`)}},
		{"run.started.v1.versioned", run.Started{
			RunID: "r", Source: "api", FlowName: "Support", WorkflowID: "0190a0b0-0000-7000-8000-000000000002", WorkflowVersion: 3,
			Definition: raw(`{"nodes":[{"name":"a","type":"agent","calls":"llm","templates":true,"params":{"config":{}}}],"edges":[]}`), Input: raw(`{}`),
		}},
		{"run.started.v1.endpoint", run.Started{
			RunID: "r", Source: "api", FlowName: "Support", WorkflowID: "0190a0b0-0000-7000-8000-000000000002", WorkflowVersion: 4,
			Endpoint: "shop-e66b8d23", Definition: raw(`{}`), Input: raw(`{}`),
		}},
		{"run.started.v1.retry", run.Started{
			RunID: "r", Source: "agnt5", WorkflowID: "w", WorkflowVersion: 1, Endpoint: "shop-e66b8d23", Definition: raw(`{}`), Input: raw(`{}`),
			ConnectionID: "ws_c2GDFfT7bywQZW4He6CNFw", Metadata: raw(`{"tenant":"é"}`), RetryOf: "q",
			Reused: domain.Value{JSON: []byte(`{"a":{"offset":3,"output":{"token":null}}}`), Holes: []domain.Hole{{At: "/a/output/token", Sealed: "s1", FP: "k7Qx"}}}, Secrets: secrets,
		}},
		{"run.task_reused.v1", run.TaskReused{Task: task, TaskID: id, Offset: 7}},
		{"run.approval_requested.v1", run.ApprovalRequested{Task: task, TaskID: id, Request: raw(`{"description":"refund 120 EUR?","approvers":["ops@example.org"]}`), DueAt: at(86_400_000)}},
		{"run.approval_requested.v1.least", run.ApprovalRequested{Task: "a", TaskID: id, Request: raw(`{}`)}},
		{"run.approval_decided.v1", run.ApprovalDecided{Task: task, TaskID: id, Action: run.Rejected, Approver: "ops@example.org", Comment: "not \"this\" year"}},
		{"run.approval_decided.v1.least", run.ApprovalDecided{Task: "a", TaskID: id, Action: run.Approved}},
		{"run.event_awaited.v1", run.EventAwaited{Task: task, TaskID: id, Channel: "orders/é", DueAt: at(1000)}},
		{"run.event_awaited.v1.least", run.EventAwaited{Task: "a", TaskID: id, Channel: "c"}},
		{"run.event_received.v1", run.EventReceived{Task: task, TaskID: id, Channel: "orders/é", SignalID: "s-1", MessageID: "7"}},
		{"run.event_received.v1.least", run.EventReceived{Task: "a", TaskID: id, Channel: "c", SignalID: "s-1"}},
		{"run.signal_received.v1", run.SignalReceived{SignalID: "s-1", Name: "orders/é", Payload: holes, Secrets: secrets}},
		{"run.signal_received.v1.least", run.SignalReceived{SignalID: "s-1", Name: "c", Payload: raw(`null`)}},
		{"run.paused.v1", run.Paused{Reason: "the far side is down"}},
		{"run.paused.v1.least", run.Paused{}},
		{"run.resumed.v1", run.Resumed{Reason: "it is back"}},
		{"run.resumed.v1.least", run.Resumed{}},
		{"run.timer_set.v1", run.TimerSet{Task: task, TaskID: id, DueAt: at(3_600_000)}},
	}
}
