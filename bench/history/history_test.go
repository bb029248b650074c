package history

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/memory"
)

// fold applies events as the executor would at recovery; it refuses what cannot follow.
func fold(t *testing.T, events []domain.Recorded) *run.State {
	t.Helper()
	state := run.New()
	for i := range events {
		e, err := wire.DecodeRun(events[i].Type, events[i].Data)
		require.NoError(t, err)
		f := run.Fact{Revision: events[i].Revision, Event: e}
		f.At, err = wire.DecodeAt(events[i].Metadata)
		require.NoError(t, err)
		if s, ok := e.(run.Started); ok {
			d, err := wire.DecodeDefinition(s.Definition)
			require.NoError(t, err)
			f.Graph, err = workflow.Compile(d, nil)
			require.NoError(t, err)
			f.Input = s.Input
		}
		state, err = run.Fold(state, f)
		require.NoError(t, err)
	}
	return state
}

// Figures over a history that no executor could have written would mean nothing.
func TestFill_IsWhatRunsLookLike(t *testing.T) {
	log := memory.NewLog()
	s := Of(60, 60*700)
	require.NoError(t, s.Fill(t.Context(), log, nil))
	head, err := log.Head(context.Background())
	require.NoError(t, err)
	require.EqualValues(t, s.Events(), head)
	require.GreaterOrEqual(t, s.Events(), 60*700)
	ends := map[string]int{}
	for i := range s.Runs {
		events, err := log.ReadStream(t.Context(), commands.RunStream(s.RunID(i)), 0, 10_000)
		require.NoError(t, err)
		state := fold(t, events)
		require.True(t, state.Phase.Ended())
		last, err := wire.DecodeRun(events[len(events)-1].Type, events[len(events)-1].Data)
		require.NoError(t, err)
		switch last.(type) {
		case run.Completed:
			ends["completed"]++
		case run.Failed:
			ends["failed"]++
		case run.Cancelled:
			ends["cancelled"]++
		}
		require.Len(t, events, 2*s.Tasks+2)
	}
	require.Equal(t, map[string]int{"completed": 52, "failed": 6, "cancelled": 2}, ends)
}
