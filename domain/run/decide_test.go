package run_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

func flow(nodes []workflow.Node, edges ...workflow.Edge) workflow.Definition {
	return workflow.Definition{Nodes: nodes, Edges: edges}
}

func nodes(n ...workflow.Node) []workflow.Node { return n }

func chainOf2() workflow.Definition {
	return flow(nodes(domaintest.Node("a", "tool", ""), domaintest.Node("b", "effect", `{"x":{"depends":"a"}}`)))
}

func complete(ms int, task string, attempt int, output string) run.CompleteTask {
	return run.CompleteTask{At: domaintest.At(ms), Task: task, Attempt: attempt, Output: domain.Raw([]byte(output)), Node: "n1"}
}

func fail(ms int, task string, attempt int, retryable bool) run.FailTask {
	return run.FailTask{
		At: domaintest.At(ms), Task: task, Attempt: attempt, Retryable: retryable, Jitter: 0.5,
		Error: run.ErrorInfo{Type: "HTTPError", Code: "HTTP_503", Message: "busy"},
	}
}

func again(ms int, task string) run.StartAttempt {
	return run.StartAttempt{At: domaintest.At(ms), Task: task, Node: "n1"}
}

func TestDecide_Start(t *testing.T) {
	start := domaintest.Start(t, chainOf2(), `{}`)
	domaintest.Given(t).When(start).Then("started", "task_started a", "tool_started a 1")
	domaintest.Given(t, start).When(start).ThenRefused(domain.ErrConflict, "")
	domaintest.Given(t, run.Abandon{At: domaintest.At(0), RunID: "r1"}).When(start).ThenRefused(domain.ErrConflict, "")
	held := start
	held.Hold = true
	domaintest.Given(t).When(held).Then("started").
		When(run.Continue{At: domaintest.At(1), Node: "n2"}).Then("task_started a", "tool_started a 1").
		When(run.Continue{At: domaintest.At(1), Node: "n2"}).ThenNothing()
}

func TestDecide_Abandon(t *testing.T) {
	abandon := run.Abandon{At: domaintest.At(0), RunID: "r1"}
	s := domaintest.Given(t).When(abandon).Then("abandoned")
	require.Equal(t, run.PhaseAbandoned, s.H.State.Phase)
	s.When(abandon).ThenRefused(domain.ErrConflict, "")
	s.When(complete(1, "a", 1, "1")).ThenNothing()
	domaintest.Given(t, domaintest.Start(t, chainOf2(), `{}`)).When(abandon).ThenRefused(domain.ErrConflict, "")
}

// Every command but a start needs a run.
func TestDecide_RefusedWhenTheRunDoesNotExist(t *testing.T) {
	for _, c := range []run.Command{
		run.Continue{}, run.CompleteTask{}, run.FailTask{}, run.StartAttempt{}, run.Recover{}, run.Cancel{}, nil,
	} {
		domaintest.Given(t).When(c).ThenRefused(domain.ErrRefused, "")
	}
}

func TestDecide_CompleteTask_StartsWhatIsReadyInTheSameAppend(t *testing.T) {
	s := domaintest.Given(t, domaintest.Start(t, chainOf2(), `{}`))
	s.When(complete(5, "a", 1, `{"n":1e400}`)).Then("tool_completed a 1", "task_completed a", "task_started b")
	e := s.Decision().Events[2].(run.TaskStarted)
	require.Equal(t, `{"x":{"n":1e400}}`, string(e.Input.JSON))
	require.Equal(t, "n1", e.Node)
	s.When(complete(5, "a", 1, `2`)).ThenNothing()
	s.When(complete(6, "b", 2, `2`)).ThenNothing()
	s.When(complete(6, "nobody", 1, `2`)).ThenNothing()
	s.When(complete(9, "b", 1, `2`)).Then("task_completed b", "completed")
	done := s.Decision().Events[1].(run.Completed)
	require.Equal(t, `{"a":4,"b":6}`, string(done.Results.JSON))
	require.Equal(t, domaintest.At(0), done.StartedAt)
	for _, c := range []run.Command{
		complete(10, "b", 1, `3`), fail(10, "b", 1, true), again(10, "b"), run.Continue{At: domaintest.At(10)}, run.Recover{At: domaintest.At(10), Node: "n9"},
	} {
		s.When(c).ThenNothing()
	}
	s.When(run.Cancel{At: domaintest.At(10)}).ThenRefused(domain.ErrRefused, "RUN_ENDED")
}

// Contract D8: three attempts, 0.5 s doubling, then the failure is final.
func TestDecide_FailTask_RetriesByPolicy(t *testing.T) {
	s := domaintest.Given(t, domaintest.Start(t, chainOf2(), `{}`))
	s.When(fail(10, "a", 1, true)).Then("tool_failed a 1 HTTP_503", "task_retry_scheduled a 1 HTTP_503")
	require.Equal(t, domaintest.At(510), s.Decision().Events[1].(run.TaskRetryScheduled).RetryAt)
	s.When(fail(10, "a", 1, true)).ThenNothing()
	s.When(complete(11, "a", 1, `1`)).ThenNothing()
	s.When(again(509, "a")).ThenNothing()
	s.When(again(510, "a")).Then("task_attempt_started a 2 retry", "tool_started a 2")
	s.When(again(511, "a")).ThenNothing()
	s.When(complete(511, "a", 1, `1`)).ThenNothing()
	far := fail(600, "a", 2, true)
	far.RetryAfter = 7 * time.Second
	s.When(far).Then("tool_failed a 2 HTTP_503", "task_retry_scheduled a 2 HTTP_503")
	require.Equal(t, domaintest.At(7600), s.Decision().Events[1].(run.TaskRetryScheduled).RetryAt)
	s.When(again(7600, "a")).Then("task_attempt_started a 3 retry", "tool_started a 3")
	s.When(fail(7700, "a", 3, true)).Then("tool_failed a 3 HTTP_503", "task_failed a HTTP_503", "failed a HTTP_503")
	failed := s.Decision().Events[1].(run.TaskFailed)
	require.Equal(t, domaintest.At(0), failed.StartedAt, "of the first attempt")
	require.Equal(t, `{}`, string(failed.Partial.JSON))
	require.Equal(t, domaintest.At(7600), s.Decision().Events[0].(run.CallFailed).StartedAt, "of this attempt")
	s.When(again(9000, "a")).ThenNothing()
}

// The ciphertext of a secret in the error of a failed attempt stands nowhere else.
func TestDecide_FailTask_RetryKeepsSecrets(t *testing.T) {
	c := fail(1, "a", 1, true)
	c.Error.Details = domain.Value{JSON: []byte(`{"url":null}`), Holes: []domain.Hole{{At: "/url", Sealed: "s1", FP: "f"}}}
	c.Secrets = []run.Secret{{ID: "s1", FP: "f", Ciphertext: "AAAA"}}
	s := domaintest.Given(t, domaintest.Start(t, chainOf2(), `{}`)).When(c).Then("tool_failed a 1 HTTP_503", "task_retry_scheduled a 1 HTTP_503")
	require.Equal(t, c.Secrets, s.Decision().Events[1].(run.TaskRetryScheduled).Secrets)
	require.Equal(t, 1, s.H.State.SecretsN)
}

// Failure ends the run at once; what else ran gets no event, and its late result is dropped.
func TestDecide_FailTask_FinalFailureEndsTheRun(t *testing.T) {
	d := flow(nodes(domaintest.Node("a", "effect", ""), domaintest.Node("b", "effect", ""), domaintest.Node("c", "effect", `{"x":{"depends":"a"}}`)))
	c := fail(3, "b", 1, false)
	c.Partial = domain.Raw([]byte(`{"rows":12}`))
	s := domaintest.Given(t, domaintest.Start(t, d, `{}`), complete(1, "a", 1, `"A"`)).When(c).Then("task_failed b HTTP_503", "failed b HTTP_503")
	require.Equal(t, `{"rows":12}`, string(s.Decision().Events[0].(run.TaskFailed).Partial.JSON))
	failed := s.Decision().Events[1].(run.Failed)
	require.Equal(t, `{"a":3}`, string(failed.Results.JSON))
	require.Equal(t, c.Error, failed.Error)
	require.Equal(t, run.PhaseFailed, s.H.State.Phase)
	s.When(complete(4, "c", 1, `1`)).ThenNothing()
	s.When(fail(4, "c", 1, true)).ThenNothing()
}

func TestDecide_Cancel(t *testing.T) {
	s := domaintest.Given(t, domaintest.Start(t, chainOf2(), `{}`))
	s.When(run.Cancel{At: domaintest.At(3), Reason: string(make([]byte, 5000))}).ThenRefused(domain.ErrUnprocessable, "REASON_TOO_LONG")
	s.When(run.Cancel{At: domaintest.At(3), Reason: "not \xff UTF-8"}).Then("cancelled")
	e := s.Decision().Events[0].(run.Cancelled)
	require.Equal(t, "not \ufffd UTF-8", e.Reason)
	require.Equal(t, `{}`, string(e.Results.JSON))
	s.When(complete(4, "a", 1, `1`)).ThenNothing()
	s.When(run.Cancel{At: domaintest.At(5)}).ThenRefused(domain.ErrRefused, "RUN_ENDED")
}

// After a crash every attempt of another process begins again; one's own go on.
func TestDecide_Recover(t *testing.T) {
	d := flow(nodes(domaintest.Node("a", "tool", ""), domaintest.Node("b", "effect", ""), domaintest.Node("c", "tool", "")))
	s := domaintest.Given(t, domaintest.Start(t, d, `{}`), fail(1, "c", 1, true))
	s.When(run.Recover{At: domaintest.At(2), Node: "n1"}).ThenNothing()
	s.When(run.Recover{At: domaintest.At(2), Node: "n2", Alive: []string{"n0", "n1", "n2"}}).ThenNothing()
	s.When(run.Recover{At: domaintest.At(2), Node: "n2"}).
		Then("task_attempt_started a 2 recovered", "tool_started a 2", "task_attempt_started b 2 recovered")
	s.When(run.Recover{At: domaintest.At(2), Node: "n2"}).ThenNothing()
	s.When(complete(3, "a", 1, `1`)).ThenNothing()
	s.When(fail(3, "a", 2, true)).Then("tool_failed a 2 HTTP_503", "task_retry_scheduled a 2 HTTP_503")
	require.Equal(t, domaintest.At(503), s.Decision().Events[1].(run.TaskRetryScheduled).RetryAt, "a lost attempt is no failure")
}

// A task that kills its process each time must not do so for ever.
func TestDecide_Recover_CrashLoop(t *testing.T) {
	s := domaintest.Given(t, domaintest.Start(t, flow(nodes(domaintest.Node("a", "effect", ""))), `{}`))
	for i := range run.RecoveriesMax {
		s.When(run.Recover{At: domaintest.At(i), Node: []string{"n2", "n3"}[i%2]})
		require.Len(t, s.Decision().Events, 1)
	}
	require.Equal(t, int32(101), s.H.State.Task(0).Attempt)
	s.When(run.Recover{At: domaintest.At(999), Node: "n9"}).Then("task_failed a CRASH_LOOP", "failed a CRASH_LOOP")
	require.Contains(t, s.Decision().Events[0].(run.TaskFailed).Error.Message, "ended 101 times")
}

// More than one append of lost attempts: the same Recover goes on where it stopped.
func TestDecide_Recover_ManyTasks(t *testing.T) {
	var d workflow.Definition
	for i := range 450 {
		d.Nodes = append(d.Nodes, domaintest.Node(quotes(i), "tool", ""))
	}
	s := domaintest.Given(t, domaintest.Start(t, d, `{}`))
	for s.Decision().More || s.H.State.HasReady() {
		s.When(run.Continue{At: domaintest.At(1), Node: "n1"})
	}
	recovered := 0
	for range 10 {
		s.When(run.Recover{At: domaintest.At(2), Node: "n2"})
		recovered += len(s.Decision().Events) / 2
		if !s.Decision().More {
			break
		}
	}
	require.Equal(t, 450, recovered)
	s.When(run.Recover{At: domaintest.At(2), Node: "n2"}).ThenNothing()
}

// Contract D9, each rule once. The random graphs of property_test.go mix them.
func TestDecide_GatesAndSkips(t *testing.T) {
	effect := func(name, params string) workflow.Node { return domaintest.Node(name, "effect", params) }
	edge := func(from, to, condition string) workflow.Edge {
		return workflow.Edge{Source: from, Target: to, Condition: condition}
	}
	for name, c := range map[string]struct {
		def  workflow.Definition
		want []string
	}{
		"a condition that holds": {
			flow(nodes(effect("a", ""), effect("b", "")), edge("a", "b", "true")),
			[]string{"task_completed a 0=true", "task_started b"},
		},
		"a condition that does not": {
			flow(nodes(effect("a", ""), effect("b", "")), edge("a", "b", "false")),
			[]string{"task_completed a 0=false", "task_skipped b", "completed"},
		},
		"of several one is enough": {
			flow(nodes(effect("a", ""), effect("b", "")), edge("a", "b", "false"), edge("a", "b", "true"), edge("a", "b", "false")),
			[]string{"task_completed a 0=false 1=true 2=false", "task_started b"},
		},
		"a plain edge orders only": {
			flow(nodes(effect("a", ""), effect("b", "")), edge("a", "b", "")),
			[]string{"task_completed a", "task_started b"},
		},
		"a plain edge beside a condition does not open it": {
			flow(nodes(effect("a", ""), effect("b", "")), edge("a", "b", ""), edge("a", "b", "false")),
			[]string{"task_completed a 1=false", "task_skipped b", "completed"},
		},
		"only skipped upstream skips on": {
			flow(nodes(effect("a", ""), effect("b", ""), effect("c", `{"x":{"depends":"b"}}`)), edge("a", "b", "false")),
			[]string{"task_completed a 0=false", "task_skipped b", "task_skipped c", "completed"},
		},
		"a skipped one beside others gives null": {
			flow(nodes(effect("a", ""), effect("b", ""), effect("c", `{"x":{"depends":"b"},"y":{"depends":"a"}}`)), edge("a", "b", "false")),
			[]string{"task_completed a 0=false", "task_skipped b", "task_started c"},
		},
		"a skipped source opens nothing": {
			flow(nodes(effect("a", ""), effect("b", ""), effect("c", `{"y":{"depends":"a"}}`)), edge("a", "b", "false"), edge("b", "c", "true")),
			[]string{"task_completed a 0=false", "task_skipped b", "task_skipped c", "completed"},
		},
		"a condition that cannot be evaluated": {
			flow(nodes(effect("a", ""), effect("b", ""), effect("c", "")), edge("a", "b", "true"), edge("a", "c", "error")),
			[]string{"task_completed a 0=true", "failed c CONDITION_FAILED"},
		},
		"a pure node that cannot be computed": {
			flow(nodes(effect("a", ""), domaintest.Node("p", "pure_fail", "")), edge("a", "p", "")),
			[]string{"task_completed a", "task_started p", "task_failed p COMPUTE_FAILED", "failed p COMPUTE_FAILED"},
		},
		"a pure node that gives no JSON": {
			flow(nodes(effect("a", ""), domaintest.Node("p", "pure_bad", "")), edge("a", "p", "")),
			[]string{"task_completed a", "task_started p", "task_failed p COMPUTE_FAILED", "failed p COMPUTE_FAILED"},
		},
		"a pure node that says what is wrong": {
			flow(nodes(effect("a", ""), domaintest.Node("p", "pure_fault", "")), edge("a", "p", "")),
			[]string{"task_completed a", "task_started p", "task_failed p OWN_CODE", "failed p OWN_CODE"},
		},
		"a chain of pure nodes": {
			flow(nodes(effect("a", ""), domaintest.Node("p", "pure", ""), domaintest.Node("q", "pure_echo", `{"x":{"depends":"p"}}`)), edge("a", "p", "")),
			[]string{"task_completed a", "task_started p", "task_completed p", "task_started q", "task_completed q", "completed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := domaintest.Given(t, domaintest.Start(t, c.def, `{}`)).When(complete(1, "a", 1, `1`)).Then(c.want...)
			for _, e := range s.Decision().Events {
				if started, ok := e.(run.TaskStarted); ok && started.Task == "c" {
					require.Equal(t, `{"x":null,"y":1}`, string(started.Input.JSON))
				}
				if failed, ok := e.(run.TaskFailed); ok && failed.Error.Code == "OWN_CODE" {
					require.Equal(t, run.ErrorInfo{Type: "OwnError", Code: "OWN_CODE", Message: "/x: is wrong", Details: domain.Raw([]byte(`{"pointer":"/x"}`))}, failed.Error)
				}
			}
		})
	}
}

// seen records what conditions may read.
type seen struct {
	domaintest.Compute
	names   []string
	outputs []string
}

func (c *seen) Gate(function, condition string, scope run.Scope) (bool, error) {
	scope.Nodes(func(name string, output domain.Value) {
		c.names = append(c.names, name)
		c.outputs = append(c.outputs, string(output.JSON))
	})
	return c.Compute.Gate(function, condition, scope)
}

// A condition on an edge may name its own source like every other completed task.
func TestDecide_ConditionsSeeTheirSourceAmongNodes(t *testing.T) {
	d := flow(nodes(domaintest.Node("z", "effect", ""), domaintest.Node("a", "effect", ""), domaintest.Node("b", "effect", "")),
		workflow.Edge{Source: "a", Target: "b", Condition: "true"})
	h := domaintest.Given(t, domaintest.Start(t, d, `{}`), complete(1, "z", 1, `"Z"`)).H
	c := &seen{}
	_, err := run.Decide(h.State, complete(2, "a", 1, `"A"`), c)
	require.NoError(t, err)
	require.Equal(t, []string{"z", "a"}, c.names)
	require.Equal(t, []string{`"Z"`, `"A"`}, c.outputs)
}

// The ways to name a parameter's value, resolved (contract Part 2 A.2).
func TestDecide_ResolvesParams(t *testing.T) {
	d := flow(nodes(
		domaintest.Node("t", "effect", ""),
		domaintest.Node("u", "effect", `{"config": {"url":"u","body":{"input":"hello"}},"a":{"value": 1.0},"b":{"input":"k"},"c":{"input":"absent"},"d":{"depends":"t.context"},"e":{"depends":"t","mapping":{"BODY_x":"response"},"output":"old"},"f":[ 1 ]}`),
	))
	s := domaintest.Given(t, domaintest.Start(t, d, `{"k": {"deep":[-0]} }`)).When(complete(1, "t", 1, ` {"r":1E5} `)).Then("task_completed t", "task_started u")
	require.Equal(t, `{"config":{"url":"u","body":{"input":"hello"}},"a":1.0,"b":{"deep":[-0]},"c":null,"d":{"r":1E5},`+
		`"e":{"depends":"t","mapping":{"BODY_x":"response"},"output":{"r":1E5}},"f":[ 1 ]}`,
		string(s.Decision().Events[1].(run.TaskStarted).Input.JSON))
}
