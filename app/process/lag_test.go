package process

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	domainrun "quipu/domain/run"
	"quipu/domain/wire"
	"quipu/infra/memory"
)

// The alarm on a feed that stands still looks at this age: it is the oldest waiting event's.
func TestLagAge(t *testing.T) {
	log := memory.NewLog()
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	head := wire.NewHead()
	for i := range 3 {
		typ, data := wire.EncodeRun(domainrun.Abandoned{RunID: "r"})
		var p domain.Pending
		expected := head.Revision
		p, head = wire.Seal("run-r", head, head.Instant(began.Add(time.Duration(i)*time.Second)), wire.Cause{CommandID: "c"}, typ, data)
		_, err := log.Append(t.Context(), "run-r", expected, []domain.Pending{p})
		require.NoError(t, err)
	}
	end, err := log.Head(t.Context())
	require.NoError(t, err)
	now := began.Add(10 * time.Second)
	require.Zero(t, lagAge(t.Context(), log, end, 0, now))
	require.Equal(t, 8*time.Second, lagAge(t.Context(), log, end-1, 1, now))
	require.Equal(t, 10*time.Second, lagAge(t.Context(), log, end-3, 3, now))
	require.Zero(t, lagAge(t.Context(), log, end-3, 3, began.Add(-time.Hour)), "a clock that went back")
}
