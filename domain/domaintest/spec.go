package domaintest

import (
	"errors"
	"strings"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
)

// Spec is one Given/When/Then over a run.
type Spec struct {
	t    TB
	H    *History
	last run.Decision
	err  error
}

// Given begins with the outcome of commands, each of which must be accepted.
func Given(t TB, commands ...run.Command) *Spec {
	t.Helper()
	s := &Spec{t: t, H: NewHistory()}
	for _, c := range commands {
		if _, err := s.H.Do(t, c); err != nil {
			t.Fatalf("given %T: %v", c, err)
		}
	}
	return s
}

// When decides a command.
func (s *Spec) When(c run.Command) *Spec {
	s.t.Helper()
	s.last, s.err = s.H.Do(s.t, c)
	return s
}

// Then expects exactly these events, as Describe renders them.
func (s *Spec) Then(events ...string) *Spec {
	s.t.Helper()
	if s.err != nil {
		s.t.Fatalf("refused: %v", s.err)
	}
	got, want := strings.Join(DescribeAll(s.last.Events), "\n"), strings.Join(events, "\n")
	if got != want {
		s.t.Fatalf("got\n%s\n\nwant\n%s", got, want)
	}
	return s
}

// ThenNothing expects that there was nothing to do.
func (s *Spec) ThenNothing() *Spec { s.t.Helper(); return s.Then() }

// ThenRefused expects an error of kind and, if not empty, with code.
func (s *Spec) ThenRefused(kind error, code string) *Spec {
	s.t.Helper()
	var e *domain.Error
	if !errors.Is(s.err, kind) || !errors.As(s.err, &e) || e.Code != code {
		s.t.Fatalf("got %v, want %v %s", s.err, kind, code)
	}
	return s
}

// Decision is what the last command led to.
func (s *Spec) Decision() run.Decision { return s.last }

// Start begins a run of definition at instant 0 on process n1.
func Start(t TB, d workflow.Definition, input string) run.Start {
	t.Helper()
	g, err := workflow.Compile(d, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return run.Start{
		At: At(0), RunID: "r1", Source: "lao", FlowName: "flow", RunName: "run", WorkflowID: "w",
		Definition: wire.Definition(d), Graph: g, Input: domain.Raw([]byte(input)), Node: "n1",
	}
}

// Node makes a task: kind is a type name; "tool" and "llm" make calls, names that begin with
// "pure" are pure, with "timer" timers; "approval", "event" and "wait_bad" wait. params is JSON, "" for {}.
func Node(name, kind, params string) workflow.Node {
	if params == "" {
		params = "{}"
	}
	n := workflow.Node{Name: name, Type: kind, Params: domain.Raw([]byte(params)), Pure: strings.HasPrefix(kind, "pure"), Timer: strings.HasPrefix(kind, "timer")}
	switch kind {
	case "approval", "wait_bad":
		n.Waits = workflow.WaitsApproval
	case "event":
		n.Waits = workflow.WaitsEvent
	}
	if kind == "tool" || kind == "llm" {
		n.Calls = kind
		n.Retry = workflow.DefaultRetry()
	}
	return n
}
