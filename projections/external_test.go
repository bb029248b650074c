package projections_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/memory"
	"quipu/projections"
)

// Streams that users keep in the same log have no rows, and hold nothing up: the views are the same as
// without them, at the head all the same.
func TestRunner_LeavesExternalStreamsAlone(t *testing.T) {
	mine := newWriter(t)
	shared := newWriter(t)
	external := stored{"ext-run-r1", "run.started.v1", []byte("not JSON")}
	shared.append(external)
	for i := range 5 {
		mine.append(aRun(i, "a")...)
		for _, e := range aRun(i, "a") {
			shared.append(e)
		}
	}
	shared.append(external, external)
	views := memory.NewViews()
	catchUp(t, newRunner(shared, views, projections.Options{}))
	store := current(t, views)
	state, err := store.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, domain.Position(23), state.Position, "the head, which is external")
	require.Zero(t, state.Parked)
	require.Len(t, snapshot(t, store), len(rows(t, mine)))
	for _, row := range snapshot(t, store) {
		require.NotContains(t, row, "ext-")
	}
}
