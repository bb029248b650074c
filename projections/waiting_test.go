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

// While the database is known to be away, a list must not keep its client for the whole of its wait
// first; but a reader who would see the next try succeed still waits for that.
func TestRunner_WaitsInVainForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := filled(t, 5)
		ctx, cancel := context.WithCancel(t.Context())
		views := &faults{Generations: memory.NewViews(), open: func() error { return fault(domain.KindUnavailable) }}
		r := projections.NewRunner(views, logFeed{w.log}, clock.System{}, projections.Options{})
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()

		wait := func(long time.Duration) (time.Duration, error) {
			began := time.Now()
			ctx, cancel := context.WithTimeout(ctx, long)
			defer cancel()
			_, err := r.Wait(ctx, 20)
			return time.Since(began), err
		}
		// 100 ms after the first failure comes the second try, later ones take longer and longer: a
		// reader is let go as soon as the next is too late for it.
		took, err := wait(2 * time.Second)
		require.ErrorIs(t, err, domain.ErrDeadline)
		require.Less(t, took, 2*time.Second)

		time.Sleep(time.Minute)
		synctest.Wait()
		for range 20 { // at any moment between two tries
			took, err = wait(500 * time.Millisecond)
			require.ErrorIs(t, err, domain.ErrDeadline)
			time.Sleep(10 * time.Millisecond)
		}
		require.Zero(t, took)
		_, err = r.Wait(ctx, 0)
		require.NoError(t, err, "nobody waits for what is there")

		views.set(func(f *faults) { f.open = nil })
		took, err = wait(projections.BackoffMaxDefault + time.Second)
		require.NoError(t, err, "the next try comes within the wait")
		require.LessOrEqual(t, took, projections.BackoffMaxDefault)
		require.EqualValues(t, 20, r.Position())
		cancel()
		require.NoError(t, <-done)
	})
}
