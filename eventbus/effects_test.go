package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/eventbus"
)

func TestEffects_RunAtMostMaxAtOnceAndEachOnce(t *testing.T) {
	const most, jobs = 4, 200
	e := eventbus.NewEffects(most, nil)
	var running, peak atomic.Int64
	var done sync.WaitGroup
	seen := make([]atomic.Int64, jobs)
	for i := range jobs {
		done.Add(1)
		e.Submit(t.Context(), fmt.Sprint(i), 0, func(context.Context) error {
			if n := running.Add(1); n > peak.Load() {
				peak.Store(n)
			}
			defer running.Add(-1)
			seen[i].Add(1)
			return nil
		}, func(err error) {
			defer done.Done()
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	e.Wait()
	require.LessOrEqual(t, peak.Load(), int64(most))
	for i := range seen {
		require.EqualValues(t, 1, seen[i].Load())
	}
	running2, waiting := e.Running()
	require.Zero(t, running2+waiting)
}

func TestEffects_PanicTimeoutAndEndedContext(t *testing.T) {
	e := eventbus.NewEffects(1, nil)
	outcome := make(chan error, 1)
	done := func(err error) { outcome <- err }

	e.Submit(t.Context(), "panics", 0, func(context.Context) error { panic("secret detail") }, done, "function", "bad")
	err := <-outcome
	var p interface{ Panicked() bool }
	require.ErrorAs(t, err, &p)
	require.NotContains(t, err.Error(), "secret")

	e.Submit(t.Context(), "slow", time.Millisecond, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, done)
	require.ErrorIs(t, <-outcome, context.DeadlineExceeded)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	e.Submit(ended, "late", 0, func(context.Context) error { return errors.New("must not run") }, done)
	require.ErrorIs(t, <-outcome, context.Canceled)
	e.Wait()
}
