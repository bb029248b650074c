package run_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// asks is a flow that waits for a decision in the middle.
func asks(edges ...workflow.Edge) workflow.Definition {
	return workflow.Definition{
		Nodes: []workflow.Node{
			domaintest.Node("ask", "approval", `{"description":"refund?"}`), domaintest.Node("pay", "effect", ""), domaintest.Node("tell", "effect", ""),
		},
		Edges: append([]workflow.Edge{{Source: "ask", Target: "pay"}}, edges...),
	}
}

func started(t *testing.T, d workflow.Definition) *domaintest.Spec {
	return domaintest.Given(t, domaintest.Start(t, d, "{}"))
}

func decision(ms int, task, action string) run.DecideApproval {
	return run.DecideApproval{At: domaintest.At(ms), Task: task, Action: action, Approver: "ann", Comment: "fine", Node: "n1"}
}

func TestApproval_IsRequestedDecidedAndGoesOn(t *testing.T) {
	s := domaintest.Given(t).When(domaintest.Start(t, asks(), "{}")).
		Then("started", "task_started ask", "approval_requested ask", "task_started tell")
	request := s.Decision().Events[2].(run.ApprovalRequested)
	require.JSONEq(t, `{"description":"refund?"}`, string(request.Request.JSON))
	require.Equal(t, []string{"ask"}, s.H.State.Approvals())
	s.When(decision(10, "", run.Approved)).Then("approval_decided ask approved", "task_completed ask", "task_started pay")
	output := s.Decision().Events[1].(run.TaskCompleted).Output
	require.JSONEq(t, `{"action":"approved","approver":"ann","comment":"fine","timestamp":"2026-01-02T03:04:05.010Z"}`, string(output.JSON))
	s.When(decision(11, "ask", run.Approved)).ThenRefused(domain.ErrRefused, "NOT_AWAITING_APPROVAL")
}

func TestApproval_RejectedWithoutABranchFailsTheRun(t *testing.T) {
	started(t, asks()).When(decision(10, "ask", run.Rejected)).
		Then("approval_decided ask rejected", "task_failed ask APPROVAL_REJECTED", "failed ask APPROVAL_REJECTED").
		When(decision(11, "ask", run.Approved)).ThenRefused(domain.ErrRefused, "RUN_ENDED")
}

func TestApproval_RejectedTakesTheBranchThatSaysSo(t *testing.T) {
	d := asks()
	d.Edges = []workflow.Edge{{Source: "ask", Target: "pay", Condition: "false"}, {Source: "ask", Target: "tell", Condition: "true"}}
	started(t, d).When(decision(10, "ask", run.Rejected)).
		Then("approval_decided ask rejected", "task_completed ask 0=false 1=true", "task_skipped pay", "task_started tell")
}

func TestApproval_OfSeveralOneMustBeNamed(t *testing.T) {
	d := workflow.Definition{Nodes: []workflow.Node{domaintest.Node("a", "approval", ""), domaintest.Node("b", "approval", "")}}
	started(t, d).When(decision(1, "", run.Approved)).ThenRefused(domain.ErrRefused, "APPROVAL_AMBIGUOUS").
		When(decision(1, "c", run.Approved)).ThenRefused(domain.ErrRefused, "NOT_AWAITING_APPROVAL").
		When(decision(2, "b", run.Approved)).Then("approval_decided b approved", "task_completed b").
		When(decision(3, "", run.Approved)).Then("approval_decided a approved", "task_completed a", "completed")
}

func TestApproval_Refusals(t *testing.T) {
	s := started(t, asks())
	s.When(decision(1, "ask", "maybe")).ThenRefused(domain.ErrUnprocessable, "INVALID_ACTION")
	long := decision(1, "ask", run.Approved)
	long.Comment = strings.Repeat("\"", run.CommentBytesMax)
	s.When(long).ThenRefused(domain.ErrUnprocessable, "COMMENT_TOO_LONG")
	long = decision(1, "ask", run.Approved)
	long.Approver = strings.Repeat("a", run.ApproverBytesMax+1)
	s.When(long).ThenRefused(domain.ErrUnprocessable, "APPROVER_TOO_LONG")
}

func TestApproval_TooLateFailsTheTask(t *testing.T) {
	d := asks()
	d.Nodes[0] = domaintest.Node("ask", "approval", `{"ms":500}`)
	fire := func(ms int) run.FireTimer { return run.FireTimer{At: domaintest.At(ms), Task: "ask", Node: "n1"} }
	started(t, d).When(fire(499)).ThenNothing().
		When(fire(500)).Then("task_failed ask APPROVAL_TIMEOUT", "failed ask APPROVAL_TIMEOUT")
}

func TestApproval_ThatCannotBeAskedForFails(t *testing.T) {
	d := asks()
	d.Nodes[0] = domaintest.Node("ask", "wait_bad", "")
	domaintest.Given(t).When(domaintest.Start(t, d, "{}")).Then("started", "task_started ask", "task_failed ask WAIT_FAILED", "failed ask WAIT_FAILED")
}

// listens is a flow that waits for two events of one name, one after the other.
func listens() workflow.Definition {
	return workflow.Definition{
		Nodes: []workflow.Node{domaintest.Node("first", "event", `{"channel":"paid"}`), domaintest.Node("second", "event", `{"channel":"paid","ms":900}`)},
		Edges: []workflow.Edge{{Source: "first", Target: "second"}},
	}
}

func sent(ms int, id, name string) run.Signal {
	return run.Signal{At: domaintest.At(ms), SignalID: id, Name: name, Payload: domain.Raw([]byte(`{"n":1}`)), Node: "n1"}
}

func TestSignal_EndsOneWaitAndIsKeptForTheNext(t *testing.T) {
	s := started(t, listens())
	s.When(sent(1, "s1", "other")).Then("signal_received other s1").
		When(sent(2, "s2", "paid")).Then("signal_received paid s2", "event_received first paid s2", "task_completed first", "task_started second", "event_awaited second paid").
		When(sent(3, "s2", "paid")).ThenNothing().
		When(sent(4, "s3", "paid")).Then("signal_received paid s3", "event_received second paid s3", "task_completed second", "completed")
	require.JSONEq(t, `{"operation":"subscribe","channel":"paid","message_id":"s3","message":{"n":1}}`,
		string(s.Decision().Events[2].(run.TaskCompleted).Output.JSON))
}

func TestSignal_ThatCameBeforeTheWaitIsTaken(t *testing.T) {
	d := listens()
	d.Nodes[0] = domaintest.Node("first", "effect", "")
	started(t, d).When(sent(1, "s1", "paid")).Then("signal_received paid s1").
		When(run.CompleteTask{At: domaintest.At(2), Task: "first", Attempt: 1, Output: domain.Null(), Node: "n1"}).
		Then("task_completed first", "task_started second", "event_awaited second paid", "event_received second paid s1", "task_completed second", "completed")
}

func TestSignal_IsBounded(t *testing.T) {
	s := started(t, asks())
	s.H.Light = true
	for i := range run.SignalsMax {
		s.When(sent(1, "s"+string(rune('a'+i%26))+strings.Repeat("x", i/26), "n"))
	}
	s.When(sent(1, "one more", "n")).ThenRefused(domain.ErrRefused, "TOO_MANY_SIGNALS")
	s.When(sent(1, "bad name", "a\x00")).ThenRefused(domain.ErrUnprocessable, "INVALID_CHANNEL")
}

func TestDeliver_EndsAWaitForItsChannelOnly(t *testing.T) {
	message := func(task, channel string) run.Deliver {
		return run.Deliver{At: domaintest.At(5), Task: task, Channel: channel, MessageID: "7", Payload: domain.Null(), Node: "n1"}
	}
	started(t, listens()).When(message("first", "other")).ThenNothing().
		When(message("second", "paid")).ThenNothing().
		When(message("first", "paid")).Then("event_received first paid 7", "task_completed first", "task_started second", "event_awaited second paid").
		When(message("first", "paid")).ThenNothing().
		When(run.FireTimer{At: domaintest.At(905), Task: "second", Node: "n1"}).Then("task_failed second EVENT_TIMEOUT", "failed second EVENT_TIMEOUT")
}

func TestPause_LetsNothingBegin(t *testing.T) {
	d := workflow.Definition{
		Nodes: []workflow.Node{domaintest.Node("a", "effect", ""), domaintest.Node("b", "effect", ""), domaintest.Node("t", "timer", `{"ms":100}`)},
		Edges: []workflow.Edge{{Source: "a", Target: "b"}},
	}
	s := started(t, d)
	s.When(run.Pause{At: domaintest.At(1), Reason: "down"}).Then("paused").
		When(run.Pause{At: domaintest.At(2)}).ThenNothing().
		When(run.FireTimer{At: domaintest.At(200), Task: "t", Node: "n1"}).ThenNothing().
		When(run.Recover{At: domaintest.At(200), Node: "n2"}).ThenNothing().
		When(run.CompleteTask{At: domaintest.At(201), Task: "a", Attempt: 1, Output: domain.Null(), Node: "n1"}).Then("task_completed a").
		When(run.Continue{At: domaintest.At(202), Node: "n1"}).ThenNothing()
	due, waits := s.H.State.WaitsUntil()
	require.True(t, waits && due.IsZero(), "it waits to be resumed")
	s.When(run.Resume{At: domaintest.At(300), Node: "n1"}).Then("resumed", "task_started b").
		When(run.Resume{At: domaintest.At(301), Node: "n1"}).ThenNothing().
		When(run.FireTimer{At: domaintest.At(302), Task: "t", Node: "n1"}).Then("task_completed t").
		When(run.Pause{At: domaintest.At(303)}).Then("paused").
		When(run.Cancel{At: domaintest.At(304), Reason: "enough"}).Then("cancelled").
		When(run.Resume{At: domaintest.At(305), Node: "n1"}).ThenRefused(domain.ErrRefused, "RUN_ENDED")
}

func TestHold_RecordsAndLeavesTheRestToContinue(t *testing.T) {
	held := decision(1, "ask", run.Approved)
	held.Hold = true
	started(t, asks()).When(held).Then("approval_decided ask approved", "task_completed ask").
		When(run.Continue{At: domaintest.At(2), Node: "n2"}).Then("task_started pay")
}

// A process that works on a run no more records what it finished, and another goes on; also when that was
// the last task.
func TestHold_ResultsOfAProcessThatGaveTheRunAway(t *testing.T) {
	d := flow(nodes(domaintest.Node("a", "effect", ""), domaintest.Node("b", "effect", `{"x":{"depends":"a"}}`)))
	held := func(at int, task string) run.CompleteTask {
		c := complete(at, task, 1, `1`)
		c.Hold = true
		return c
	}
	domaintest.Given(t, domaintest.Start(t, d, `{}`)).When(held(1, "a")).Then("task_completed a").
		When(run.Continue{At: domaintest.At(2), Node: "n2"}).Then("task_started b").
		When(held(3, "b")).Then("task_completed b").
		When(run.Continue{At: domaintest.At(4), Node: "n2"}).Then("completed")
}

func TestRetry_TakesOverWhatIsNotDoneAgain(t *testing.T) {
	d := workflow.Definition{
		Nodes: []workflow.Node{domaintest.Node("a", "tool", ""), domaintest.Node("b", "pure_echo", `{"x":{"depends":"a"}}`), domaintest.Node("c", "effect", "")},
		Edges: []workflow.Edge{{Source: "a", Target: "c", Condition: "output"}},
	}
	again := domaintest.Start(t, d, "{}")
	again.RetryOf = "r0"
	again.Reused = run.Reuse(func(add func(string, domain.Revision, domain.Value)) { add("a", 3, domain.Raw([]byte("true"))) })
	s := domaintest.Given(t).When(again).Then(
		"started", "task_started a", "task_reused a 3", "task_completed a 0=true", "task_started b", "task_completed b", "task_started c")
	require.Equal(t, "true", string(s.Decision().Events[3].(run.TaskCompleted).Output.JSON))
	require.Equal(t, `{"x":true}`, string(s.Decision().Events[5].(run.TaskCompleted).Output.JSON))
	require.True(t, run.Reuse(func(func(string, domain.Revision, domain.Value)) {}).Absent())
}
