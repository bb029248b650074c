package commands_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// templated is a node whose templates are evaluated.
func templated(name, typ, params string) workflow.Node {
	return workflow.Node{Name: name, Type: typ, Params: domain.Raw([]byte(params)), Templates: true, Retry: workflow.Retry{Attempts: 1}}
}

// recorder hands on what its attempts are given.
func recorder(seen chan<- node.Call, output string) node.Type {
	return effectFunc("record", func(_ context.Context, c node.Call) (node.Reply, error) {
		seen <- c
		return node.Reply{Output: json.RawMessage(output)}, nil
	})
}

// What stands in the definition is evaluated when the task starts; what comes from outside is not,
// and secrets reach the node without ever being read.
func TestExecutor_TemplatesAreEvaluatedWhenATaskStarts(t *testing.T) {
	const secret, fixed = "sk-planted-in-the-input-01", "pw-planted-in-the-definition-02"
	w := newWorld()
	seen := make(chan node.Call, 2)
	e, _ := w.start(t, commands.Limits{}, recorder(seen, `{"reply":"{{ input.topic }}","n":3}`))
	q := request("r", workflow.Definition{
		Nodes: []workflow.Node{
			templated("first", "record", `{"config":{"prompt":"About {{ topic }}: {{ input.note }}","header":"{{ input.api_key }}","said":"key {{ input.api_key }}","password":"`+fixed+`"},"note":{"input":"note"}}`),
			templated("second", "record", `{"config":{"n":"{{ n * 2 }}","text":"{{ output.reply }}","of":"{{ nodes.first.n }}","{{ n }}":["{{ nodes }}"]}}`),
		},
		Edges: []workflow.Edge{{Source: "first", Target: "second"}},
	})
	q.Input = []byte(`{"topic":"tea","note":"{{ 1 + 1 }}","api_key":"` + secret + `"}`)
	out, err := e.StartRun(t.Context(), q)
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase, s.Error.Message)
	first, second := <-seen, <-seen
	var got struct {
		Config map[string]string
		Note   string
	}
	require.NoError(t, json.Unmarshal(first.Params, &got))
	require.Equal(t, "About tea: {{ 1 + 1 }}", got.Config["prompt"])
	require.Equal(t, secret, got.Config["header"], "a template that is a secret hands it on")
	require.Regexp(t, `^key \*\*\*[0-9a-f]{8}$`, got.Config["said"], "in a text it stays masked")
	require.Equal(t, fixed, got.Config["password"])
	require.Equal(t, "{{ 1 + 1 }}", got.Note)
	require.JSONEq(t, `{"config":{"n":6,"text":"{{ input.topic }}","of":3,"{{ n }}":[{"first":{"reply":"{{ input.topic }}","n":3}}]}}`, string(second.Params))
	require.Equal(t, []node.Upstream{{Task: "first", Output: json.RawMessage(`{"reply":"{{ input.topic }}","n":3}`)}}, second.Upstream)
	all, err := w.log.ReadAll(t.Context(), 0, 100)
	require.NoError(t, err)
	for _, r := range all {
		require.NotContains(t, string(r.Data), secret, r.Type)
		require.NotContains(t, string(r.Data), fixed, r.Type)
	}
}

// A template that has no value fails its task, and says where and why; others are not evaluated at
// all where the trait is missing.
func TestExecutor_TemplateThatFails(t *testing.T) {
	w := newWorld()
	seen := make(chan node.Call, 2)
	e, _ := w.start(t, commands.Limits{}, recorder(seen, `1`), pause())
	out, err := e.StartRun(t.Context(), request("bad", workflow.Definition{Nodes: []workflow.Node{templated("t", "record", `{"config":{"a":"{{ input.n + 'x' }}"}}`)}}))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, "TEMPLATE_FAILED", s.Error.Code)
	require.Contains(t, s.Error.Message, "/config/a: {{ input.n + 'x' }}: ")
	require.Equal(t, `{"pointer":"/config/a"}`, string(s.Error.Details.JSON))
	require.Equal(t, []string{"started", "task_started", "task_failed", "failed"}, w.types(t, out.RunID))

	plain := templated("t", "record", `{"config":{"a":"{{ input.n + 'x' }}"}}`)
	plain.Templates = false
	out, err = e.StartRun(t.Context(), request("plain", workflow.Definition{Nodes: []workflow.Node{plain}}))
	require.NoError(t, err)
	_, err = e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.JSONEq(t, `{"config":{"a":"{{ input.n + 'x' }}"}}`, string((<-seen).Params))

	// The length of a wait may come from the input.
	q := request("wait", workflow.Definition{Nodes: []workflow.Node{templated("t", "pause", `{"for":"{{ input.ms }}ms"}`)}})
	q.Input = []byte(`{"ms":7}`)
	out, err = e.StartRun(t.Context(), q)
	require.NoError(t, err)
	s, err = e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase)
	waited := struct {
		Waited float64 `json:"waited_seconds"`
	}{}
	require.NoError(t, json.Unmarshal(s.Task(0).Output.JSON, &waited))
	require.GreaterOrEqual(t, waited.Waited, 0.007)

	q.RunName, q.Input = "no wait", []byte(`{"ms":"soon"}`)
	out, err = e.StartRun(t.Context(), q)
	require.NoError(t, err)
	s, err = e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, "TIMER_FAILED", s.Error.Code)
}

// A pure node fails under the code of its own fault, with the place; what has no code gets the
// decider's, and no details are stored that are no object.
func TestExecutor_PureNodesFailUnderTheirOwnCode(t *testing.T) {
	w := newWorld()
	pure := func(name string, err error) node.Type {
		return node.Type{Name: name, Kind: node.Pure, Compute: func(node.Call) (node.Reply, error) { return node.Reply{}, err }}
	}
	coded := node.Failf("ExpressionError", "EXPRESSION_FAILED", false, "/config/expression: adds a text to a number")
	coded.Details = json.RawMessage(`{"pointer":"/config/expression"}`)
	odd := node.Failf("ConfigError", "INVALID_CONFIG", false, "odd")
	odd.Details = json.RawMessage(`[1`)
	e, _ := w.start(t, commands.Limits{}, pure("coded", coded), pure("odd", odd), pure("plain", errors.New("no more to say")))
	for name, want := range map[string]run.ErrorInfo{
		"coded": {Type: "ExpressionError", Code: "EXPRESSION_FAILED", Message: coded.Message, Details: domain.Raw(coded.Details)},
		"odd":   {Type: "ConfigError", Code: "INVALID_CONFIG", Message: "odd"},
		"plain": {Type: "ComputeError", Code: "COMPUTE_FAILED", Message: "no more to say"},
	} {
		q := request(name, workflow.Definition{Nodes: []workflow.Node{{Name: "t", Type: name, Pure: true, Params: domain.Raw([]byte("{}")), Retry: workflow.Retry{Attempts: 1}}}})
		out, err := e.StartRun(t.Context(), q)
		require.NoError(t, err)
		s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
		require.NoError(t, err)
		require.Equal(t, want, s.Error)
	}
}
