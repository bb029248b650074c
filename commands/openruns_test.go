package commands_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/memory"
)

// reads counts the events that are read in the log's order.
type reads struct {
	commands.Log
	events atomic.Int64
}

func (r *reads) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	page, err := r.Log.ReadAll(ctx, after, max)
	r.events.Add(int64(len(page)))
	return page, err
}

// A node that starts reads what came after the newest snapshot, and finds every run without an end; a
// snapshot that cannot be used costs a reading of the whole log and nothing else.
func TestOpenRuns_Snapshot(t *testing.T) {
	release := make(chan struct{})
	w := newTown(t, commands.Limits{}, held(release), noop("noop"))
	counted := &reads{Log: w.log}
	w.through = func(commands.Log) commands.Log { return counted }
	w.snapshots = &memory.Snapshots{}
	w.open()
	var open []string
	for i := range 3 {
		out, err := w.any(0).StartRun(t.Context(), request(fmt.Sprint("held", i), chainOf(1, "hold")))
		require.NoError(t, err)
		open = append(open, out.RunID)
	}
	for i := range 1900 { // with 12 events each
		_, err := w.any(0).StartRun(t.Context(), request(fmt.Sprint("r", i), chainOf(5, "noop")))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		at, _, err := w.snapshots.Load(t.Context(), "open-runs.v1")
		return err == nil && at > 0
	}, time.Minute, time.Millisecond)
	eventually(t, w.any(0).Executor, commands.Counts{Active: 3})
	w.end(0, false)
	head, err := w.log.Head(t.Context())
	require.NoError(t, err)
	at, snapshot, err := w.snapshots.Load(t.Context(), "open-runs.v1")
	require.NoError(t, err)

	counted.events.Store(0)
	w.open()
	eventually(t, w.any(0).Executor, commands.Counts{Active: 3})
	require.EqualValues(t, head-at, counted.events.Load())
	w.end(0, false)

	for name, bad := range map[string]struct {
		at   domain.Position
		data []byte
	}{"garbage": {at, []byte("[[1")}, "of the future": {1 << 60, snapshot}} {
		t.Run(name, func(t *testing.T) {
			w.snapshots = &memory.Snapshots{}
			require.NoError(t, w.snapshots.Save(t.Context(), "open-runs.v1", bad.at, bad.data))
			w.open()
			eventually(t, w.any(0).Executor, commands.Counts{Active: 3})
			w.end(0, false)
		})
	}
	close(release)
	w.open()
	w.over(1903)
	for _, id := range open {
		w.checkStream(t, id)
	}
}
