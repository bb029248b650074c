package commands_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain/run"
)

// A URL with a key in its query is a secret of the workflow: shown as a mask, which may be sent back.
func TestDefinitions_URLWithAKeyComesBack(t *testing.T) {
	const secret = "sk-in-a-query-0123456789"
	far := newFarSide(t)
	l := newLibrary(t, newWorld())
	w, err := l.Create(t.Context(), l.change(t, "n", callGraph(far.URL+"/in?api_key="+secret, `,"body":"x"`)), somebody)
	require.NoError(t, err)
	shown := l.shown(t, w)
	require.NotContains(t, shown, secret)
	w, err = l.Update(t.Context(), w.ID, l.change(t, "renamed", shown), somebody)
	require.NoError(t, err)
	require.Equal(t, shown, l.shown(t, w))
	require.Len(t, w.Secrets, 1)
	out, err := l.Execute(t.Context(), w.ID, commands.RunInput{Input: []byte(`{}`)}, somebody)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, l.await(t, out.RunID).Phase)
	require.Len(t, far.seen(), 1)
	l.world.nowhere(t, secret)
}
