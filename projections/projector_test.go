package projections_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/channel"
	"quipu/domain/domaintest"
	"quipu/domain/endpoint"
	"quipu/domain/name"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/projections"
	"quipu/projections/view"
)

var update = flag.Bool("update", false, "rewrite the golden files; review the difference")

// projectorCase is one event after a short past.
type projectorCase struct {
	name string // begins with the stored type
	past []stored
	last stored
}

func ofRun(events ...run.Event) []stored {
	var out []stored
	for _, e := range events {
		typ, data := wire.EncodeRun(e)
		out = append(out, stored{"run-r1", typ, data})
	}
	return out
}

func ofWorkflow(events ...workflow.StoredEvent) []stored {
	var out []stored
	for _, e := range events {
		typ, data := wire.EncodeWorkflow(e)
		out = append(out, stored{"workflow-w1", typ, data})
	}
	return out
}

func ofName(executionID string) stored {
	typ, data := wire.EncodeNameBound(name.Bound{FlowName: "flow", RunName: "run/é", ExecutionID: executionID})
	return stored{name.Stream("flow", "run/é"), typ, data}
}

func ofEndpoint() stored {
	typ, data := wire.EncodeEndpointCreated(endpoint.Created{ID: "shop-e66b8d23", Slug: "shop", KeyHash: endpoint.HashKey("k")})
	return stored{endpoint.Stream("shop-e66b8d23"), typ, data}
}

func ofChannel() stored {
	typ, data := wire.EncodeChannelMessage(channel.Message{Channel: "orders/é", Payload: domain.Raw([]byte(`{"n":1e400}`))})
	return stored{channel.Stream("orders/é"), typ, data}
}

var (
	started = run.Started{
		RunID: "r1", Source: "lao", FlowName: "flow", RunName: "run/é", WorkflowID: "w1", WorkflowVersion: 2, Endpoint: "shop-e66b8d23",
		Definition: domain.Raw([]byte(`{"nodes":[{"name":"a"},{"name":"b"},{"name":"c"}],"edges":[]}`)), Input: domain.Raw([]byte(`{"n":1e400}`)),
	}
	aStarted  = run.TaskStarted{Task: "a", TaskID: "t-a", Node: "n1", Function: "api_call", Input: domain.Raw([]byte(`{}`))}
	bStarted  = run.TaskStarted{Task: "b", TaskID: "t-b", Node: "n1", Function: "agent", Input: domain.Raw([]byte(`{}`))}
	failure   = run.ErrorInfo{Type: "HTTPError", Code: "HTTP_503", Message: "busy", Details: domain.Raw([]byte(`{"status":503}`))}
	aRetry    = run.TaskRetryScheduled{Task: "a", TaskID: "t-a", Attempt: 1, Error: failure, RetryAt: domaintest.At(9000)}
	aAgain    = run.TaskAttemptStarted{Task: "a", TaskID: "t-a", Attempt: 2, Node: "n1", Reason: run.ReasonRetry}
	aDone     = run.TaskCompleted{Task: "a", TaskID: "t-a", Attempt: 1, StartedAt: domaintest.At(2000), Output: domain.Raw([]byte(`1`))}
	aFailed   = run.TaskFailed{Task: "a", TaskID: "t-a", Attempt: 1, StartedAt: domaintest.At(2000), Error: failure, Partial: domain.Raw([]byte(`{}`))}
	asked     = run.ApprovalRequested{Task: "a", TaskID: "t-a", Request: domain.Raw([]byte(`{"q":"refund?"}`)), DueAt: domaintest.At(99_000)}
	approved  = run.ApprovalDecided{Task: "a", TaskID: "t-a", Action: run.Approved, Approver: "ops", Comment: "fine"}
	rejected  = run.ApprovalDecided{Task: "a", TaskID: "t-a", Action: run.Rejected}
	awaited   = run.EventAwaited{Task: "a", TaskID: "t-a", Channel: "orders", DueAt: domaintest.At(99_000)}
	signal    = run.SignalReceived{SignalID: "s-1", Name: "orders", Payload: domain.Raw([]byte(`1`))}
	received  = run.EventReceived{Task: "a", TaskID: "t-a", Channel: "orders", SignalID: "s-1"}
	timedOut  = run.TaskFailed{Task: "a", TaskID: "t-a", Attempt: 1, StartedAt: domaintest.At(2000), Error: run.ErrorInfo{Type: "TimeoutError", Code: "APPROVAL_TIMEOUT", Message: "nobody decided in time"}}
	completed = run.Completed{StartedAt: domaintest.At(1000), Results: domain.Raw([]byte(`{}`))}
	content   = workflow.Content{Name: "Support", Description: "d", Endpoint: "default", Graph: domain.Raw([]byte(`{"nodes":[], "edges":[]}`))}
	renamed   = workflow.Content{Name: "Help", Endpoint: "shop-e66b8d23", Graph: domain.Raw([]byte(`{"nodes":[],"edges":[],"x":1e400}`))}
)

func call(family, what string) run.Event {
	switch what {
	case "started":
		return run.CallStarted{Family: family, Task: "a", TaskID: "t-a", Attempt: 1, Function: "f"}
	case "completed":
		return run.CallCompleted{Family: family, Task: "a", TaskID: "t-a", Attempt: 1, Function: "f", StartedAt: domaintest.At(2000)}
	}
	return run.CallFailed{Family: family, Task: "a", TaskID: "t-a", Attempt: 1, Function: "f", StartedAt: domaintest.At(2000), Error: failure}
}

func projectorCases() []projectorCase {
	last := func(name string, events ...stored) projectorCase {
		return projectorCase{name, events[:len(events)-1], events[len(events)-1]}
	}
	broken := func(s stored, data string) stored { s.data = []byte(data); return s }
	runs := func(name string, events ...run.Event) projectorCase { return last(name, ofRun(events...)...) }
	big := started
	big.Definition = domain.Value{JSON: []byte("null"), Holes: []domain.Hole{{Blob: strings.Repeat("a", 64), Bytes: 70000}}}
	retry := started
	retry.RetryOf, retry.ConnectionID, retry.Metadata = "r0", "ws_1", domain.Raw([]byte(`{"k":1}`))
	other := started
	other.RunID = "r2"
	strangeName := ofName("r1")
	strangeName.stream = name.Stream("other", "pair")
	strangeEndpoint := ofEndpoint()
	strangeEndpoint.stream = endpoint.Stream("other-00000000")
	return []projectorCase{
		runs("run.started.v1", started),
		runs("run.started.v1 large definition", big),
		runs("run.started.v1 of another run", other),
		runs("run.started.v1 retry", retry),
		last("run.started.v1 damaged", broken(ofRun(started)[0], `{"run_id":7}`)),
		runs("run.abandoned.v1", run.Abandoned{RunID: "r1"}),
		runs("run.task_started.v1", started, aStarted),
		runs("run.task_started.v1 beside another", started, aStarted, bStarted),
		runs("run.task_started.v1 again", started, aStarted, aStarted),
		runs("run.task_started.v1 without its run", aStarted),
		runs("run.task_attempt_started.v1", started, aStarted, aRetry, aAgain),
		runs("run.task_retry_scheduled.v1", started, aStarted, aRetry),
		runs("run.timer_set.v1", started, aStarted, run.TimerSet{Task: "a", TaskID: "t-a", DueAt: domaintest.At(99_000)}),
		runs("run.task_completed.v1", started, aStarted, bStarted, aDone),
		runs("run.task_completed.v1 of a task that has not begun", started, bStarted, aDone),
		runs("run.task_completed.v1 after the end", started, aStarted, run.Cancelled{}, aDone),
		last("run.task_completed.v1 damaged", append(ofRun(started, aStarted), broken(ofRun(aDone)[0], `{"task":"a"`))...),
		runs("run.task_failed.v1", started, aStarted, aFailed),
		runs("run.task_skipped.v1", started, run.TaskSkipped{Task: "c", Reason: run.SkippedByGate}),
		runs("run.tool_started.v1", started, aStarted, call("tool", "started")),
		runs("run.tool_completed.v1", started, aStarted, call("tool", "completed")),
		runs("run.tool_failed.v1", started, aStarted, call("tool", "failed")),
		runs("run.llm_started.v1", started, aStarted, call("llm", "started")),
		runs("run.llm_completed.v1", started, aStarted, call("llm", "completed")),
		runs("run.llm_failed.v1", started, aStarted, call("llm", "failed")),
		runs("run.completed.v1", started, aStarted, aDone, completed),
		runs("run.failed.v1", started, aStarted, bStarted, aFailed, run.Failed{Task: "a", Error: failure}),
		runs("run.cancelled.v1", started, aStarted, bStarted, aRetry, run.Cancelled{Reason: "stop"}),
		runs("run.task_reused.v1", started, aStarted, run.TaskReused{Task: "a", TaskID: "t-a", Offset: 7}),
		runs("run.task_reused.v1 of a task that has not begun", started, run.TaskReused{Task: "a", TaskID: "t-a", Offset: 7}),
		runs("run.approval_requested.v1", started, aStarted, asked),
		runs("run.approval_requested.v1 again", started, aStarted, asked, asked),
		runs("run.approval_decided.v1 approved", started, aStarted, asked, approved),
		runs("run.approval_decided.v1 rejected", started, aStarted, asked, rejected),
		runs("run.approval_decided.v1 without a request", started, aStarted, approved),
		runs("run.task_completed.v1 after its approval", started, aStarted, asked, approved, aDone),
		runs("run.task_failed.v1 after its rejection", started, aStarted, asked, rejected, aFailed),
		runs("run.task_failed.v1 without a decision", started, aStarted, asked, timedOut),
		runs("run.failed.v1 while others wait", started, aStarted, asked, bStarted, run.Failed{Task: "b", Error: failure}),
		runs("run.cancelled.v1 while a task waits", started, aStarted, asked, run.Cancelled{}),
		runs("run.event_awaited.v1", started, aStarted, awaited),
		runs("run.event_received.v1", started, aStarted, awaited, signal, received),
		runs("run.event_received.v1 of a task that has not begun", started, received),
		runs("run.signal_received.v1", started, signal),
		runs("run.paused.v1", started, aStarted, run.Paused{Reason: "lunch"}),
		runs("run.paused.v1 again", started, run.Paused{}, run.Paused{}),
		runs("run.resumed.v1", started, run.Paused{}, run.Resumed{}),
		runs("run.resumed.v1 of a run that is not paused", started, run.Resumed{}),
		runs("run.cancelled.v1 of a paused run", started, aStarted, run.Paused{}, run.Cancelled{}),
		runs("run.task_completed.v1 in a pause", started, aStarted, run.Paused{}, aDone),
		last("run.unknown.v9", append(ofRun(started), stored{"run-r1", "run.unknown.v9", []byte(`{"new":1}`)})...),
		last("name.bound.v1", ofName("r1")),
		last("name.bound.v1 again", ofName("r1"), ofName("r2")),
		last("name.bound.v1 of another pair", strangeName),
		last("name.bound.v1 damaged", broken(ofName("r1"), `[]`)),
		last("workflow.created.v1", ofWorkflow(workflow.Created{ID: "w1", Content: content})...),
		last("workflow.created.v1 of another workflow", ofWorkflow(workflow.Created{ID: "w2", Content: content})...),
		last("workflow.updated.v1", ofWorkflow(workflow.Created{ID: "w1", Content: content}, workflow.Updated{ID: "w1", Content: renamed})...),
		last("workflow.updated.v1 without its workflow", ofWorkflow(workflow.Updated{ID: "w1", Content: renamed})...),
		last("workflow.updated.v1 damaged", append(ofWorkflow(workflow.Created{ID: "w1", Content: content}), broken(ofWorkflow(workflow.Updated{ID: "w1"})[0], `1`))...),
		last("workflow.deleted.v1", ofWorkflow(workflow.Created{ID: "w1", Content: content}, workflow.Deleted{ID: "w1"})...),
		last("workflow.deleted.v1 again", ofWorkflow(workflow.Created{ID: "w1", Content: content}, workflow.Deleted{ID: "w1"}, workflow.Deleted{ID: "w1"})...),
		last("endpoint.created.v1", ofEndpoint()),
		last("endpoint.created.v1 in another stream", strangeEndpoint),
		last("endpoint.created.v1 damaged", broken(ofEndpoint(), `{`)),
		last("channel.message.v1", ofChannel()),
		last("channel.message.v1 damaged", broken(ofChannel(), `{`)),
		last("ours.foreign.v1", stored{"somebody-else", "ours.foreign.v1", []byte("\xff not JSON")}),
	}
}

// Each projector's answer to each type of event, the hostile ones among them, stands in a file: a
// change of it is a new version of the projector.
func TestProjectors_EveryEventType(t *testing.T) {
	var got strings.Builder
	var covered []string
	for _, c := range projectorCases() {
		w := newWriter(t)
		w.append(c.past...)
		past := w.events()
		w.append(c.last)
		event := w.events()[len(past):]
		before := projections.Fold(projections.Known{}, past)
		folded := projections.Fold(projections.Known{Runs: before.Runs, Workflows: workflowsOf(before)}, event)
		covered = append(covered, event[0].Type)
		require.Len(t, folded.Changes.Events, 1, "every event has its row")

		fmt.Fprintf(&got, "## %s\n", c.name)
		rows := changes(folded.Changes)
		for _, p := range sortedKeys(projections.Versions()) {
			if len(rows[p]) == 0 {
				fmt.Fprintf(&got, "%s: nothing\n", p)
			}
			for _, row := range rows[p] {
				fmt.Fprintf(&got, "%s: %s\n", p, row)
			}
			delete(rows, p)
		}
		require.Empty(t, rows, "rows of no projector")
		got.WriteString("\n")

		all := projections.Fold(projections.Known{}, w.events())
		require.Equal(t, runsOf(folded, event), runsOf(all, event), "%s: the fold of all at once differs", c.name)
	}
	types := append(append(wire.RunTypes(), wire.WorkflowTypes()...), wire.NameBound, wire.EndpointCreated, wire.ChannelMessage)
	for _, typ := range types {
		require.Contains(t, covered, typ, "no case for %s", typ)
	}
	const file = "testdata/projectors.golden.txt"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

func workflowsOf(f projections.Folded) map[string]view.Workflow {
	out := map[string]view.Workflow{}
	for _, w := range f.Changes.Workflows {
		out[w.ID] = w
	}
	return out
}

func runsOf(f projections.Folded, of []domain.Recorded) projections.Run {
	id, _ := strings.CutPrefix(string(of[0].Stream), "run-")
	return f.Runs[id]
}

func sortedKeys(m map[string]int) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
