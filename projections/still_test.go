package projections_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/infra/clock"
	"quipu/infra/memory"
	"quipu/projections"
)

// A database that hangs gives no error for long; the views say that they stand still all the same,
// whichever step it hangs in, and no longer once it goes on.
func TestStatus_SaysThatADatabaseHangs(t *testing.T) {
	for name, hang := range map[string]func(f *faults, wait func()){
		"while it opens": func(f *faults, wait func()) { f.open = func() error { wait(); return nil } },
		"while it reads": func(f *faults, wait func()) { f.state = func() error { wait(); return nil } },
		"while it commits": func(f *faults, wait func()) {
			f.commit = func(_ projections.Changes, do func() error) error { wait(); return do() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := filled(t, 5)
				ctx, cancel := context.WithCancel(t.Context())
				views := &faults{Generations: memory.NewViews()}
				release := make(chan struct{})
				hang(views, func() { <-release })
				r := projections.NewRunner(views, logFeed{w.log}, clock.System{}, projections.Options{})
				done := make(chan error)
				go func() { done <- r.Run(ctx) }()

				time.Sleep(projections.StillAfter - time.Millisecond)
				synctest.Wait()
				require.Empty(t, r.Status(ctx).StandsStill())
				time.Sleep(2 * time.Second)
				synctest.Wait()
				status := r.Status(ctx)
				require.Equal(t, "their database has not answered for 7 s (paused, overloaded, or a table is locked)", status.StandsStill())
				require.Empty(t, status.Error, "nothing failed")
				require.Zero(t, status.Position)

				close(release)
				_, err := r.Wait(ctx, 20)
				require.NoError(t, err)
				time.Sleep(time.Hour) // in which there is nothing to do
				synctest.Wait()
				status = r.Status(ctx)
				require.Empty(t, status.StandsStill())
				require.Zero(t, status.UnderWay)
				cancel()
				require.NoError(t, <-done)
			})
		})
	}
}
