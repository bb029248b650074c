package projections_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/memory"
	"quipu/projections"
)

// Old rows that only readers touch are built anew once one of them met damage, also while nothing is
// written, and however many say so.
func TestRunner_BuildsAnewWhatReadersCannotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := filled(t, 5)
		ctx, cancel := context.WithCancel(t.Context())
		rebuilt := 0
		r := projections.NewRunner(memory.NewViews(), logFeed{w.log}, clock.System{}, projections.Options{
			Hooks: projections.Hooks{Rebuilt: func(time.Duration) { rebuilt++ }},
		})
		r.Damaged(fault(domain.KindCorrupt)) // whose rows they are is not known yet
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		_, err := r.Wait(ctx, 20)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Zero(t, rebuilt)
		for range 2 {
			before := rebuilt
			for range 10 {
				r.Damaged(fault(domain.KindCorrupt))
			}
			synctest.Wait()
			require.Equal(t, before+1, rebuilt)
			time.Sleep(time.Hour)
			synctest.Wait()
			require.Equal(t, before+1, rebuilt, "once is enough")
		}
		require.EqualValues(t, 20, r.Position())
		cancel()
		require.NoError(t, <-done)
	})
}
