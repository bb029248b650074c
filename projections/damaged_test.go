package projections_test

import (
	"context"
	"sync/atomic"
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
		var rebuilt atomic.Int64
		r := projections.NewRunner(memory.NewViews(), logFeed{w.log}, clock.System{}, projections.Options{
			Hooks: projections.Hooks{Rebuilt: func(time.Duration) { rebuilt.Add(1) }},
		})
		r.Damaged(fault(domain.KindCorrupt)) // whose rows they are is not known yet
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		_, err := r.Wait(ctx, 20)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Zero(t, rebuilt.Load())
		for range 2 {
			before := rebuilt.Load()
			for range 10 {
				r.Damaged(fault(domain.KindCorrupt))
			}
			synctest.Wait()
			require.Equal(t, before+1, rebuilt.Load(), "at once")
			time.Sleep(time.Hour)
			synctest.Wait()
			// Who met the old rows and tells of it after they were replaced costs one more.
			require.LessOrEqual(t, rebuilt.Load(), before+2)
		}
		require.EqualValues(t, 20, r.Position())
		cancel()
		require.NoError(t, <-done)
	})
}
