package commands_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/workflow"
)

// speaker says its words and answers with all of them, or fails at the first attempt.
func speaker(words []string, fails bool) node.Type {
	t := effectFunc("speaker", func(_ context.Context, call node.Call) (node.Reply, error) {
		if call.Delta == nil {
			return node.Reply{Output: json.RawMessage(`"nobody listens"`)}, nil
		}
		for _, w := range words {
			call.Delta(w)
		}
		if fails && call.Attempt == 1 {
			return node.Reply{}, node.Failf("ConnectError", "CONNECTION_LOST", true, "broke off")
		}
		out, err := json.Marshal(strings.Join(words, ""))
		return node.Reply{Output: out}, err
	})
	t.Calls = node.CallsModel
	return t
}

func speak(params string) workflow.Definition {
	return workflow.Definition{Nodes: []workflow.Node{
		{Name: "say", Type: "speaker", Calls: "llm", Params: domain.Raw([]byte(params)), Retry: workflow.Retry{Attempts: 2, Initial: time.Millisecond, Factor: 1, Max: time.Second}},
	}}
}

// tell runs a definition and returns what live readers were told.
func tell(t *testing.T, d workflow.Definition, types ...node.Type) ([]commands.Delta, *run.State) {
	t.Helper()
	w := newWorld()
	var mu sync.Mutex
	var told []commands.Delta
	w.delta = func(d commands.Delta) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, d)
	}
	e, stop := w.start(t, commands.Limits{}, types...)
	out, err := e.StartRun(t.Context(), request("r", d))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase, s.Error.Message)
	stop()
	for i := range told {
		require.Equal(t, out.RunID, told[i].RunID)
		require.Equal(t, run.TaskID(out.RunID, told[i].Task, 0), told[i].TaskID)
	}
	return told, s
}

func TestDelta_TellsWordsInOrder(t *testing.T) {
	told, _ := tell(t, speak(`{}`), speaker([]string{"Hel", "lo ", "", "there"}, false))
	var text []string
	for i, d := range told {
		require.Equal(t, []any{i, 1, "say"}, []any{d.Seq, d.Attempt, d.Task})
		text = append(text, d.Text)
	}
	require.Equal(t, []string{"Hel", "lo ", "there"}, text)
}

// A model that repeats a secret of its run shows no part of it, in however small pieces.
func TestDelta_NeverShowsASecret(t *testing.T) {
	const key = "sk-live-0123456789abcdef"
	words := strings.Split("The key is "+key+", keep it. Again: "+key, "")
	told, s := tell(t, speak(`{"config":{"api_key":"`+key+`"}}`), speaker(words, false))
	var text strings.Builder
	for _, d := range told {
		require.NotContains(t, d.Text, "sk")
		text.WriteString(d.Text)
	}
	require.Regexp(t, `^The key is \S*\S*, keep it\. Again: \S+$`, text.String())
	require.NotContains(t, text.String(), "0123")
	require.NotContains(t, string(s.Task(0).Output.JSON), key)
}

// What was held back when an attempt broke off may be half of a secret; it is not told, and the next
// attempt counts anew.
func TestDelta_BrokenOffAttempt(t *testing.T) {
	const key = "sk-live-0123456789abcdef"
	told, _ := tell(t, speak(`{"config":{"api_key":"`+key+`"}}`), speaker([]string{"so: ", "sk-live-0123"}, true))
	require.Len(t, told, 3)
	require.Equal(t, []any{1, 0, "so: "}, []any{told[0].Attempt, told[0].Seq, told[0].Text})
	require.Equal(t, []any{2, 0, "so: "}, []any{told[1].Attempt, told[1].Seq, told[1].Text})
	require.Equal(t, []any{2, 1, "sk-live-0123"}, []any{told[2].Attempt, told[2].Seq, told[2].Text}, "half a secret is none")
}

// An output that goes on under a secret key is secret as a whole.
func TestDelta_SecretOutputIsNotTold(t *testing.T) {
	d := speak(`{}`)
	d.Nodes = append(d.Nodes, workflow.Node{Name: "use", Type: "noop", Params: domain.Raw([]byte(`{"config":{"api_key":{"depends":"say"}}}`))})
	told, _ := tell(t, d, speaker([]string{"a new key"}, false), noop("noop"))
	require.Empty(t, told)
}

// What is held back is bounded.
func TestDelta_HoldsBackSoMuch(t *testing.T) {
	long := strings.Repeat("x", commands.DeltaHeldBytesMax)
	told, _ := tell(t, speak(`{"config":{"api_key":"sk-live-0123456789abcdef"}}`), speaker([]string{"first ", long, "x", " last"}, false))
	require.Len(t, told, 1)
	require.Equal(t, "first ", told[0].Text)
}
