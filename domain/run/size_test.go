package run_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// An estimate below the truth makes an append that no log takes, and the run stands still for ever.
func TestEventSize_IsNeverTooSmall(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{strings.Repeat("\"", 512), strings.Repeat("\x01", 300), strings.Repeat("\U0001F600", 99)}))
	rapid.Check(t, func(t *rapid.T) {
		s := func() string { return text.Draw(t, "text") }
		v := domain.Value{JSON: domain.Text(s()).JSON, Holes: []domain.Hole{{At: s(), Sealed: s(), FP: s()}, {At: s(), Blob: strings.Repeat("f", 64), Bytes: 1 << 62}}}
		secrets := []run.Secret{{ID: s(), FP: s(), Ciphertext: strings.Repeat("A", 99)}, {ID: s(), Blob: strings.Repeat("f", 64), Bytes: 1 << 62}}
		info := run.ErrorInfo{Type: s(), Code: s(), Message: s(), Details: v}
		gates := make([]run.GateResult, 500)
		for i := range gates {
			gates[i].Edge = 9_999_999
		}
		const big = 1 << 30
		name, id, when := s(), run.TaskID("r", "t", 0), domaintest.At(1)
		for _, e := range []run.Event{
			run.Started{RunID: s(), Source: s(), FlowName: s(), RunName: s(), WorkflowID: s(), Endpoint: s(), Definition: v, Input: v, BodySHA256: s(), Secrets: secrets},
			run.Abandoned{RunID: s()},
			run.TaskStarted{Task: name, TaskID: id, Node: s(), Function: s(), Input: v, Deadline: when},
			run.TaskAttemptStarted{Task: name, TaskID: id, Attempt: big, Node: s(), Reason: run.ReasonRecovered, Deadline: when},
			run.TaskCompleted{Task: name, TaskID: id, Attempt: big, StartedAt: when, Output: v, Gates: gates, Secrets: secrets},
			run.TaskFailed{Task: name, TaskID: id, Attempt: big, StartedAt: when, Error: info, Partial: v, Secrets: secrets},
			run.TaskRetryScheduled{Task: name, TaskID: id, Attempt: big, Error: info, RetryAt: when, Secrets: secrets},
			run.TimerSet{Task: name, TaskID: id, DueAt: when},
			run.TaskSkipped{Task: name, Reason: run.SkippedByUpstream},
			run.CallStarted{Family: "tool", Task: name, TaskID: id, Attempt: big, Function: s()},
			run.CallCompleted{Family: "tool", Task: name, TaskID: id, Attempt: big, Function: s(), StartedAt: when, Details: v},
			run.CallFailed{Family: "tool", Task: name, TaskID: id, Attempt: big, Function: s(), StartedAt: when, Error: info, Details: v},
			run.Completed{StartedAt: when, Results: v},
			run.Failed{StartedAt: when, Task: name, Error: info, Results: v},
			run.Cancelled{StartedAt: when, Reason: s(), Results: v},
		} {
			typ, data := wire.EncodeRun(e)
			p, _ := wire.Seal("run-x", wire.Head{Revision: 1 << 40}, when, domaintest.LargestCause(), typ, data)
			if got, is := run.EventSize(e), domain.EventBytes(&p); got < is {
				t.Fatalf("%s: estimated %d, is %d", typ, got, is)
			}
		}
	})
}

// quotes is a name that doubles in JSON, n of them distinct.
func quotes(i int) string { return strings.Repeat(`"`, domain.NameBytesMax-6) + fmt.Sprintf("%06d", i) }

// The largest things that may come together in one decision. History checks the bounds of appends.
func TestDecide_LargestDecisionsFitAnAppend(t *testing.T) {
	most := domain.Text(strings.Repeat("x", domain.PayloadInlineBytesMax-2))
	var wide, gated workflow.Definition
	wide.Nodes = append(wide.Nodes, domaintest.Node("root", "tool", ""))
	for i := range 300 {
		n := domaintest.Node(quotes(i), "llm", `{"x":{"depends":"root"}}`)
		n.Params = domain.Value{JSON: []byte(`{"x":{"depends":"root"},"y":` + string(most.JSON[:5000]) + `"}`)}
		wide.Nodes = append(wide.Nodes, n)
	}
	gated.Nodes = []workflow.Node{domaintest.Node("root", "tool", ""), domaintest.Node("pure", "pure_big", ""), domaintest.Node("b", "effect", "")}
	gated.Edges = append(gated.Edges, workflow.Edge{Source: "root", Target: "pure"})
	for range workflow.GatesMax {
		gated.Edges = append(gated.Edges, workflow.Edge{Source: "root", Target: "b", Condition: "false"}, workflow.Edge{Source: "pure", Target: "b", Condition: "true"})
	}
	// Nine full inputs leave too little room for a pure task with as many gates as there may be.
	last := workflow.Definition{Nodes: []workflow.Node{domaintest.Node("root", "tool", "")}, Edges: []workflow.Edge{{Source: "root", Target: "pure"}}}
	for i := range 9 {
		n := domaintest.Node(fmt.Sprint("t", i), "effect", "")
		n.Params = domain.Raw([]byte(`{"x":{"depends":"root"},"y":` + string(domain.Text(strings.Repeat("y", 63<<10)).JSON) + `}`))
		last.Nodes = append(last.Nodes, n)
	}
	last.Nodes = append(last.Nodes, domaintest.Node("pure", "pure", ""), domaintest.Node("b", "effect", ""))
	for range workflow.GatesMax {
		last.Edges = append(last.Edges, workflow.Edge{Source: "pure", Target: "b", Condition: "true"})
	}
	for i, d := range []workflow.Definition{wide, gated, last} {
		h, output := domaintest.NewHistory(), most
		if i == 2 {
			output = domain.Null() // else the inputs would become blobs
		}
		do := func(c run.Command) run.Decision {
			d, err := h.Do(t, c)
			require.NoError(t, err)
			return d
		}
		do(domaintest.Start(t, d, "{}"))
		decision := do(run.CompleteTask{At: domaintest.At(1), Task: "root", Attempt: 1, Output: output, Details: most, Node: "n1"})
		for n := 0; decision.More; n++ {
			require.Less(t, n, 50)
			decision = do(run.Continue{At: domaintest.At(2), Node: "n1"})
		}
		running := h.Running()
		require.NotEmpty(t, running)
		name := h.State.Graph.Nodes[running[0]].Name
		do(run.FailTask{
			At: domaintest.At(3), Task: name, Attempt: 1, Partial: most, Details: most,
			Error: run.ErrorInfo{Type: strings.Repeat("\x01", 9000), Code: strings.Repeat("\x01", 9000), Message: strings.Repeat("\x01", 1e6), Details: most},
		})
		require.Equal(t, run.PhaseFailed, h.State.Phase)
	}
}

// Holes stay in the event when their value becomes a blob. Ten thousand of them would not fit; the
// task fails with a code instead of the run standing still.
func TestDecide_TooManyHolesFailTheTask(t *testing.T) {
	holes := func(n int) domain.Value {
		var a domain.Array
		for range n {
			a.Add(domain.Value{JSON: []byte("null"), Holes: []domain.Hole{{Sealed: "s1", FP: "abcd"}}})
		}
		return a.Value()
	}
	d := workflow.Definition{Nodes: []workflow.Node{
		domaintest.Node("a", "effect", ""), domaintest.Node("b", "effect", ""),
		domaintest.Node("sum", "effect", `{"a":{"depends":"a"},"b":{"depends":"b"}}`),
	}}
	complete := func(task string, holes domain.Value) run.CompleteTask {
		return run.CompleteTask{At: domaintest.At(1), Task: task, Attempt: 1, Output: holes, Node: "n1"}
	}
	domaintest.Given(t, domaintest.Start(t, d, "{}")).When(complete("a", holes(10_000))).Then("task_failed a OUTPUT_TOO_LARGE", "failed a OUTPUT_TOO_LARGE")
	domaintest.Given(t, domaintest.Start(t, d, "{}"), complete("a", holes(1500))).When(complete("b", holes(1500))).
		Then("task_completed b", "task_started sum", "task_failed sum INPUT_TOO_LARGE", "failed sum INPUT_TOO_LARGE")
	secrets := complete("a", domain.Null())
	secrets.Secrets = []run.Secret{{ID: "s1", Ciphertext: strings.Repeat("A", 1<<20)}}
	domaintest.Given(t, domaintest.Start(t, d, "{}")).When(secrets).Then("task_failed a OUTPUT_TOO_LARGE", "failed a OUTPUT_TOO_LARGE")

	start := domaintest.Start(t, d, "{}")
	start.Input = domain.Value{JSON: []byte(`{"k":` + string(holes(20_000).JSON) + `}`), Holes: holes(20_000).Holes}
	domaintest.Given(t).When(start).ThenRefused(domain.ErrUnprocessable, "START_TOO_LARGE")
}

func TestDecide_PayloadsOverTheBoundBecomeBlobs(t *testing.T) {
	big := domaintest.Big("x")
	inBig := domain.Value{JSON: []byte(`{"input":null,"pad":` + string(big.JSON) + `}`), Holes: []domain.Hole{{At: "/input", Sealed: "s1", FP: "f"}}}
	first := domaintest.Node("a", "effect", "")
	first.Params = domain.Raw([]byte(`{"doc":{"input":"doc"},"pad":` + string(big.JSON) + `}`))
	d := workflow.Definition{Nodes: []workflow.Node{first, domaintest.Node("b", "effect", `{"x":{"depends":"a"}}`)}}
	for i := range 700 { // enough names for results beyond the bound
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprintf("%s%03d", strings.Repeat("p", 100), i), "pure", ""))
	}
	start := domaintest.Start(t, d, "{}")
	start.Input = domain.Value{JSON: []byte(`{"doc":` + string(inBig.JSON) + `}`), Holes: []domain.Hole{{At: "/doc/input", Sealed: "s1", FP: "f"}}}
	s := domaintest.Given(t, start)
	for s.H.State.HasReady() {
		s.When(run.Continue{At: domaintest.At(1), Node: "n1"})
	}
	started := s.H.Facts[0].Event.(run.Started)
	require.Equal(t, "null", string(started.Definition.JSON))
	require.Equal(t, []string{"", "/doc/input"}, []string{started.Input.Holes[0].At, started.Input.Holes[1].At})
	taskStarted := s.H.Facts[1].Event.(run.TaskStarted)
	require.NotEmpty(t, taskStarted.Input.Holes[0].Blob)
	loaded := s.H.Load(t, taskStarted.Input)
	require.Equal(t, `{"doc":`+string(inBig.JSON)+`,"pad":`+string(big.JSON)+`}`, string(loaded.JSON))
	require.Equal(t, []domain.Hole{{At: "/doc/input", Sealed: "s1", FP: "f"}}, loaded.Holes)

	s.When(run.CompleteTask{At: domaintest.At(2), Task: "a", Attempt: 1, Output: inBig, Node: "n1"}).Then("task_completed a", "task_started b")
	events := s.Decision().Events
	require.Len(t, s.Decision().Blobs, 1, "the input of b names the blob of a's output")
	require.Equal(t, `{"x":null}`, string(events[1].(run.TaskStarted).Input.JSON))
	require.Equal(t, string(inBig.JSON), string(s.H.Load(t, events[0].(run.TaskCompleted).Output).JSON))

	s.When(run.CompleteTask{At: domaintest.At(3), Task: "b", Attempt: 1, Output: domain.Null(), Node: "n1"}).Then("task_completed b", "completed")
	results := s.Decision().Events[1].(run.Completed).Results
	require.NotEmpty(t, results.Holes)
	require.Contains(t, string(s.H.Load(t, results).JSON), `"b":`)
}

// A large input that many tasks take is hashed and handed out once per decision.
func TestDecide_EqualBlobsAreHandedOutOnce(t *testing.T) {
	var d workflow.Definition
	for i := range 50 {
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint(i), "effect", `{"doc":{"input":"doc"}}`))
	}
	start := domaintest.Start(t, d, `{"k":1,"doc":`+string(domaintest.Big("x").JSON)+`}`)
	s := domaintest.Given(t).When(start)
	require.False(t, s.Decision().More)
	require.Len(t, s.Decision().Blobs, 2, "the run's input and the tasks'")
}

// What one decision hands out to be written before its append is bounded too.
func TestDecide_BlobsOfOneDecisionAreBounded(t *testing.T) {
	const n = 30
	var d workflow.Definition
	for i := range n {
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint(i), "effect", fmt.Sprintf(`{"n":%d,"doc":{"input":"doc"}}`, i)))
	}
	start := domaintest.Start(t, d, `{"doc":"`+strings.Repeat("x", 1<<20)+`"}`)
	s := domaintest.Given(t).When(start)
	for decisions := 1; ; decisions++ {
		size := 0
		for _, b := range s.Decision().Blobs {
			size += len(b)
		}
		require.LessOrEqual(t, size, 10<<20)
		require.Less(t, decisions, 8)
		if !s.Decision().More {
			break
		}
		s.When(run.Continue{At: domaintest.At(1), Node: "n1"})
	}
	require.Equal(t, n, s.H.State.Active())
}

// 10,000 parameters out of an input of 10,000 members: one look-up each.
func TestDecide_ManyInputReferencesAreLinear(t *testing.T) {
	var d workflow.Definition
	var input domain.Object
	for i := range domain.TasksMax {
		key := fmt.Sprintf("key-%05d", i)
		input.Add(key, domain.Text(strings.Repeat("v", 90)))
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint("t", i), "pure", `{"p":{"input":"`+key+`"}}`))
	}
	start := domaintest.Start(t, d, "{}")
	start.Input = input.Value()
	h := domaintest.NewHistory()
	began := time.Now()
	dec, err := run.Decide(h.State, start, domaintest.Compute{})
	for n := 0; err == nil && dec.More; n++ {
		dec, err = run.Decide(dec.Next, run.Continue{At: domaintest.At(1), Node: "n1"}, domaintest.Compute{})
	}
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, dec.Next.Phase)
	require.Less(t, time.Since(began), 10*time.Second)
}
