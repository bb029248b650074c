package nodes

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/wire"
	"quipu/infra/memory"
	"quipu/infra/postgres/members"
)

// While a cluster is upgraded nobody writes what the older nodes cannot read.
func TestLevelLog_RefusesWhatNotAllNodesKnow(t *testing.T) {
	level := 1
	inner := memory.NewLog()
	log := levelLog{inner, func() int { return level }}
	batch := func(types ...string) (events []domain.Pending) {
		for i, typ := range types {
			events = append(events, domain.Pending{ID: domain.EventID{byte(i + 1)}, Type: typ, Data: []byte("{}"), Metadata: []byte("{}")})
		}
		return events
	}
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, batch(wire.RunStarted))
	require.NoError(t, err)
	_, err = log.Append(t.Context(), "run-2", domain.NoStream, batch(wire.RunStarted, "run.from_the_future.v9"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, "not all nodes can read it")
	level = 0 // as if today's types were of a later level than the one in force
	_, err = log.Append(t.Context(), "run-3", domain.NoStream, batch(wire.RunCompleted))
	require.ErrorIs(t, err, domain.ErrUnavailable, "what a run needs itself is tried again; it is not put aside")
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, members.CodeLevelTooLow, e.Code)
	head, err := inner.Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, head, "nothing of what was refused is written")
}

// Exactly one of the nodes does a thing, also while the last of them drains.
func TestOwned_OneNodeWhateverHappens(t *testing.T) {
	town := memory.NewMembers("a", "b", "c")
	owner := func() (all string) {
		for _, n := range []string{"a", "b", "c"} {
			if mine, _ := (Work{town, n, "projector:views"}).Owns(); mine {
				all += n
			}
		}
		return all
	}
	first := owner()
	require.Len(t, first, 1)
	town.Drain(first)
	second := owner()
	require.Len(t, second, 1)
	require.NotEqual(t, first, second)
	for _, n := range []string{"a", "b", "c"} {
		town.Drain(n)
	}
	require.Equal(t, first, owner())
	_, changed := (Work{town, "a", "projector:views"}).Owns()
	town.Leave(first)
	<-changed
	require.Len(t, owner(), 1)
}
