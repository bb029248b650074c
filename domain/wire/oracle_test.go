package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
	"quipu/domain/wire"
)

// The decoder by encoding/json that the one under test is compared with: slow, and plain to see what
// it reads. TestDecode_EqualsOracle lists where they differ on purpose.

type decoder func(data []byte) (run.Event, error)

var oracleRuns = map[string]decoder{
	wire.RunStarted:            decodeAs[startedV1],
	wire.RunAbandoned:          decodeAs[abandonedV1],
	wire.RunTaskStarted:        decodeAs[taskStartedV1],
	wire.RunTaskAttemptStarted: decodeAs[taskAttemptStartedV1],
	wire.RunTaskCompleted:      decodeAs[taskCompletedV1],
	wire.RunTaskFailed:         decodeAs[taskFailedV1],
	wire.RunTaskRetryScheduled: decodeAs[taskRetryScheduledV1],
	wire.RunTimerSet:           decodeAs[timerSetV1],
	wire.RunTaskSkipped:        decodeAs[taskSkippedV1],
	wire.RunTaskReused:         decodeAs[taskReusedV1],
	wire.RunApprovalRequested:  decodeAs[approvalRequestedV1],
	wire.RunApprovalDecided:    decodeAs[approvalDecidedV1],
	wire.RunEventAwaited:       decodeAs[eventAwaitedV1],
	wire.RunEventReceived:      decodeAs[eventReceivedV1],
	wire.RunSignalReceived:     decodeAs[signalReceivedV1],
	wire.RunPaused:             decodeAs[pausedV1],
	wire.RunResumed:            decodeAs[resumedV1],
	wire.RunToolStarted:        decodeCall("tool", callStarted),
	wire.RunToolCompleted:      decodeCall("tool", callCompleted),
	wire.RunToolFailed:         decodeCall("tool", callFailed),
	wire.RunLLMStarted:         decodeCall("llm", callStarted),
	wire.RunLLMCompleted:       decodeCall("llm", callCompleted),
	wire.RunLLMFailed:          decodeCall("llm", callFailed),
	wire.RunCompleted:          decodeAs[completedV1],
	wire.RunFailed:             decodeAs[failedV1],
	wire.RunCancelled:          decodeAs[cancelledV1],
}

func decodeAs[W interface{ event() run.Event }](data []byte) (run.Event, error) {
	var w W
	if err := strict(data, &w); err != nil {
		return nil, err
	}
	return w.event(), nil
}

// strict reads one JSON object and refuses fields it does not know, since dropping one silently
// would be losing a fact, and anything after it.
func strict(data []byte, into any) error {
	if rawjson.KindOf(data) != rawjson.Object {
		return errors.New("is no JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if rest := rawjson.Trim(data[dec.InputOffset():]); len(rest) > 0 {
		return errors.New("has bytes after its JSON object")
	}
	return nil
}

type instant struct{ time.Time }

func (t *instant) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	at, err := time.Parse(domain.TimeLayout, s)
	if err != nil {
		return fmt.Errorf("instant %q: %w", s, err)
	}
	t.Time = at
	return nil
}

type value struct {
	JSON  json.RawMessage `json:"json"`
	Holes []hole          `json:"holes"`
}

type hole struct {
	At     string `json:"at"`
	Sealed string `json:"sealed"`
	FP     string `json:"fp"`
	Blob   string `json:"blob"`
	Bytes  int64  `json:"bytes"`
}

// optional turns an absent field into the absent Value.
func (v *value) optional() domain.Value {
	if v == nil {
		return domain.Value{}
	}
	return v.domain()
}

func (v value) domain() domain.Value {
	out := domain.Value{JSON: v.JSON}
	if out.JSON == nil {
		out.JSON = []byte("null")
	}
	for _, h := range v.Holes {
		out.Holes = append(out.Holes, domain.Hole(h))
	}
	return out
}

type errorV1 struct {
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Details *value `json:"details"`
}

func (e errorV1) domain() run.ErrorInfo {
	return run.ErrorInfo{Type: e.Type, Code: e.Code, Message: e.Message, Details: e.Details.optional()}
}

type secretV1 struct {
	ID         string `json:"id"`
	FP         string `json:"fp"`
	Ciphertext string `json:"ciphertext"`
	Blob       string `json:"blob"`
	Bytes      int64  `json:"bytes"`
}

func secretsOf(list []secretV1) []run.Secret {
	var out []run.Secret
	for _, s := range list {
		out = append(out, run.Secret(s))
	}
	return out
}

type startedV1 struct {
	RunID           string     `json:"run_id"`
	Source          string     `json:"source"`
	FlowName        string     `json:"flow_name"`
	RunName         string     `json:"run_name"`
	WorkflowID      string     `json:"workflow_id"`
	WorkflowVersion int        `json:"workflow_version"`
	Endpoint        string     `json:"endpoint"`
	Definition      value      `json:"definition"`
	Input           value      `json:"input"`
	BodySHA256      string     `json:"body_sha256"`
	ConnectionID    string     `json:"connection_id"`
	Metadata        *value     `json:"metadata"`
	RetryOf         string     `json:"retry_of"`
	Reused          *value     `json:"reused"`
	Secrets         []secretV1 `json:"secrets"`
}

func (w startedV1) event() run.Event {
	return run.Started{
		RunID: w.RunID, Source: w.Source, FlowName: w.FlowName, RunName: w.RunName, WorkflowID: w.WorkflowID, WorkflowVersion: w.WorkflowVersion, Endpoint: w.Endpoint,
		Definition: w.Definition.domain(), Input: w.Input.domain(), BodySHA256: w.BodySHA256, Secrets: secretsOf(w.Secrets),
		ConnectionID: w.ConnectionID, Metadata: w.Metadata.optional(), RetryOf: w.RetryOf, Reused: w.Reused.optional(),
	}
}

type abandonedV1 struct {
	RunID string `json:"run_id"`
}

func (w abandonedV1) event() run.Event { return run.Abandoned(w) }

type taskV1 struct {
	Task      string `json:"task"`
	TaskID    string `json:"task_id"`
	Iteration int    `json:"iteration"`
}

type taskStartedV1 struct {
	taskV1
	Node     string  `json:"node"`
	Function string  `json:"function"`
	Input    value   `json:"input"`
	Deadline instant `json:"deadline"`
}

func (w taskStartedV1) event() run.Event {
	return run.TaskStarted{
		Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Node: w.Node, Function: w.Function,
		Input: w.Input.domain(), Deadline: w.Deadline.Time,
	}
}

type taskAttemptStartedV1 struct {
	taskV1
	Attempt  int     `json:"attempt"`
	Node     string  `json:"node"`
	Reason   string  `json:"reason"`
	Deadline instant `json:"deadline"`
}

func (w taskAttemptStartedV1) event() run.Event {
	return run.TaskAttemptStarted{
		Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Attempt: w.Attempt, Node: w.Node,
		Reason: w.Reason, Deadline: w.Deadline.Time,
	}
}

type gateV1 struct {
	Edge  int  `json:"edge"`
	Holds bool `json:"holds"`
}

type taskCompletedV1 struct {
	taskV1
	Attempt   int        `json:"attempt"`
	StartedAt instant    `json:"started_at"`
	Output    value      `json:"output"`
	Gates     []gateV1   `json:"gates"`
	Secrets   []secretV1 `json:"secrets"`
}

func (w taskCompletedV1) event() run.Event {
	e := run.TaskCompleted{
		Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Attempt: w.Attempt,
		StartedAt: w.StartedAt.Time, Output: w.Output.domain(), Secrets: secretsOf(w.Secrets),
	}
	for _, g := range w.Gates {
		e.Gates = append(e.Gates, run.GateResult(g))
	}
	return e
}

type taskFailedV1 struct {
	taskV1
	Attempt   int        `json:"attempt"`
	StartedAt instant    `json:"started_at"`
	Error     errorV1    `json:"error"`
	Partial   value      `json:"partial_results"`
	Secrets   []secretV1 `json:"secrets"`
}

func (w taskFailedV1) event() run.Event {
	return run.TaskFailed{
		Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Attempt: w.Attempt, StartedAt: w.StartedAt.Time,
		Error: w.Error.domain(), Partial: w.Partial.domain(), Secrets: secretsOf(w.Secrets),
	}
}

type taskRetryScheduledV1 struct {
	taskV1
	Attempt int        `json:"attempt"`
	Error   errorV1    `json:"error"`
	RetryAt instant    `json:"retry_at"`
	Secrets []secretV1 `json:"secrets"`
}

func (w taskRetryScheduledV1) event() run.Event {
	return run.TaskRetryScheduled{
		Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Attempt: w.Attempt, Error: w.Error.domain(), RetryAt: w.RetryAt.Time,
		Secrets: secretsOf(w.Secrets),
	}
}

type timerSetV1 struct {
	taskV1
	DueAt instant `json:"due_at"`
}

func (w timerSetV1) event() run.Event {
	return run.TimerSet{Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, DueAt: w.DueAt.Time}
}

type taskSkippedV1 struct {
	Task   string `json:"task"`
	Reason string `json:"reason"`
}

func (w taskSkippedV1) event() run.Event { return run.TaskSkipped(w) }

type callV1 struct {
	taskV1
	Attempt   int     `json:"attempt"`
	Function  string  `json:"function"`
	StartedAt instant `json:"started_at"`
	Error     errorV1 `json:"error"`
	Details   *value  `json:"details"`
}

func decodeCall(family string, make func(string, callV1) run.Event) decoder {
	return func(data []byte) (run.Event, error) {
		var w callV1
		if err := strict(data, &w); err != nil {
			return nil, err
		}
		return make(family, w), nil
	}
}

func callStarted(family string, w callV1) run.Event {
	return run.CallStarted{Family: family, Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Attempt: w.Attempt, Function: w.Function}
}

func callCompleted(family string, w callV1) run.Event {
	return run.CallCompleted{
		Family: family, Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Attempt: w.Attempt, Function: w.Function,
		StartedAt: w.StartedAt.Time, Details: w.Details.optional(),
	}
}

func callFailed(family string, w callV1) run.Event {
	return run.CallFailed{
		Family: family, Task: w.Task, TaskID: w.TaskID, Iteration: w.Iteration, Attempt: w.Attempt, Function: w.Function,
		StartedAt: w.StartedAt.Time, Error: w.Error.domain(), Details: w.Details.optional(),
	}
}

type completedV1 struct {
	StartedAt instant `json:"started_at"`
	Results   value   `json:"results"`
}

func (w completedV1) event() run.Event {
	return run.Completed{StartedAt: w.StartedAt.Time, Results: w.Results.domain()}
}

type failedV1 struct {
	StartedAt instant `json:"started_at"`
	Task      string  `json:"task"`
	Error     errorV1 `json:"error"`
	Results   value   `json:"results"`
}

func (w failedV1) event() run.Event {
	return run.Failed{StartedAt: w.StartedAt.Time, Task: w.Task, Error: w.Error.domain(), Results: w.Results.domain()}
}

type cancelledV1 struct {
	StartedAt instant `json:"started_at"`
	Reason    string  `json:"reason"`
	Results   value   `json:"results"`
}

func (w cancelledV1) event() run.Event {
	return run.Cancelled{StartedAt: w.StartedAt.Time, Reason: w.Reason, Results: w.Results.domain()}
}
