package run_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// goOn continues until there is nothing more to do at once and returns how many appends that took.
func goOn(t *testing.T, h *domaintest.History, c run.Command) int {
	t.Helper()
	d, err := h.Do(t, c)
	require.NoError(t, err)
	n := 1
	for ; d.More; n++ {
		require.Less(t, n, 500)
		d, err = h.Do(t, run.Continue{At: domaintest.At(1), Node: "n1"})
		require.NoError(t, err)
	}
	return n
}

func TestFanOut_250StartsIn100s(t *testing.T) {
	d := workflow.Definition{Nodes: []workflow.Node{domaintest.Node("root", "tool", "")}}
	join := domaintest.Node("join", "effect", "")
	var depends domain.Object
	for i := range 250 {
		name := fmt.Sprint("t", i)
		d.Nodes = append(d.Nodes, domaintest.Node(name, "tool", `{"x":{"depends":"root"}}`))
		depends.Add(name, domain.Raw([]byte(`{"depends":"`+name+`"}`)))
	}
	join.Params = depends.Value()
	d.Nodes = append(d.Nodes, join)
	s := domaintest.Given(t, domaintest.Start(t, d, `{}`))
	require.Equal(t, 3, goOn(t, s.H, complete(1, "root", 1, `1`)))
	last := s.H.Appends[len(s.H.Appends)-3:]
	for i, want := range []int{100, 100, 50} {
		starts := 0
		for _, e := range last[i].Events {
			if _, ok := e.(run.TaskStarted); ok {
				starts++
			}
		}
		require.Equal(t, want, starts)
	}
	require.Equal(t, 250, s.H.State.Active())
	for i := range 250 {
		require.Equal(t, 1, goOn(t, s.H, complete(2, fmt.Sprint("t", 249-i), 1, `[1]`)))
	}
	s.When(complete(3, "join", 1, `1`)).Then("task_completed join", "completed")
}

// The largest run: as many at once as allowed, each result starts the next, and no step's cost
// depends on how many tasks there are.
func TestFanOut_10000TasksEnd(t *testing.T) {
	var d workflow.Definition
	for i := range domain.TasksMax {
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint("t", i), "effect", ""))
	}
	state := run.New()
	decide := func(c run.Command) run.Decision {
		dec, err := run.Decide(state, c, domaintest.Compute{})
		require.NoError(t, err)
		state = dec.Next
		return dec
	}
	began := time.Now()
	dec := decide(domaintest.Start(t, d, `{}`))
	for dec.More {
		dec = decide(run.Continue{At: domaintest.At(1), Node: "n1"})
	}
	require.Equal(t, domain.ParallelTasksMax, state.Active())
	for i := range domain.TasksMax {
		require.False(t, dec.More)
		dec = decide(complete(2, fmt.Sprint("t", i), 1, `1`))
		if i < domain.TasksMax-domain.ParallelTasksMax {
			require.Len(t, dec.Events, 2)
		}
	}
	require.Equal(t, run.PhaseCompleted, state.Phase)
	require.Less(t, time.Since(began), 15*time.Second)
}

// Pure nodes are decided within the append, at most 100 events of them.
func TestPureChain_IsCappedPerDecision(t *testing.T) {
	d := workflow.Definition{Nodes: []workflow.Node{domaintest.Node("t0", "effect", "")}}
	for i := 1; i <= 175; i++ {
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint("t", i), "pure", fmt.Sprintf(`{"x":{"depends":"t%d"}}`, i-1)))
	}
	s := domaintest.Given(t, domaintest.Start(t, d, `{}`))
	require.Equal(t, 4, goOn(t, s.H, complete(1, "t0", 1, `1`)))
	require.Equal(t, run.PhaseCompleted, s.H.State.Phase)
	sizes := []int{}
	for _, a := range s.H.Appends[1:] {
		sizes = append(sizes, len(a.Events))
	}
	require.Equal(t, []int{101, 100, 100, 51}, sizes)
}

func TestSkips_ManyTakeSeveralAppends(t *testing.T) {
	d := workflow.Definition{Nodes: []workflow.Node{domaintest.Node("a", "effect", ""), domaintest.Node("t0", "effect", "")}}
	d.Edges = []workflow.Edge{{Source: "a", Target: "t0", Condition: "false"}}
	const n = 1500
	for i := 1; i < n; i++ {
		d.Nodes = append(d.Nodes, domaintest.Node(fmt.Sprint("t", i), "effect", fmt.Sprintf(`{"x":{"depends":"t%d"}}`, i-1)))
	}
	h := domaintest.NewHistory()
	_, err := h.Do(t, domaintest.Start(t, d, `{}`))
	require.NoError(t, err)
	require.Equal(t, (n+391)/392, goOn(t, h, complete(1, "a", 1, `1`)))
	require.Equal(t, run.PhaseCompleted, h.State.Phase)
}
