package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/infra/sqlite"
	"quipu/projections/view"
	"quipu/projections/viewstest"
)

// killDir is set in the process that is to be killed.
const killDir = "QUIPU_TEST_SQLITE_KILL"

// kills is how often the projecting process dies.
const kills = 12

// Rows and checkpoint agree after SIGKILL at any moment, whole runs being committed all the time.
func TestKill_RowsAndCheckpointAgree(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		project(t, dir)
		return
	}
	dir := t.TempDir()
	at := int64(-1)
	for i := range kills {
		started := filepath.Join(dir, fmt.Sprintf("started-%d", i))
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill_RowsAndCheckpointAgree$")
		child.Env = append(os.Environ(), killDir+"="+started)
		require.NoError(t, child.Start())
		require.Eventually(t, func() bool { _, err := os.Stat(started); return err == nil }, time.Minute, time.Duration(1+i)*time.Millisecond)
		require.NoError(t, child.Process.Signal(syscall.SIGKILL))
		require.Error(t, child.Wait())

		v := views(t, filepath.Join(dir, "views"))
		state, err := current(t, v).State(t.Context())
		require.NoError(t, err)
		require.Greater(t, int64(state.Position), at, "each process commits before it dies")
		at = int64(state.Position)
		snap, err := current(t, v).Snapshot(t.Context())
		require.NoError(t, err)
		runs := 0
		for e, err := range snap.Executions(t.Context()) {
			require.NoError(t, err)
			require.EqualValues(t, runs*viewstest.RunEvents+1, e.Position)
			runs++
		}
		require.Equal(t, at, int64(runs*viewstest.RunEvents))
		tasks := 0
		for _, err := range snap.Tasks(t.Context()) {
			require.NoError(t, err)
			tasks++
		}
		require.Equal(t, 5*runs, tasks)
		require.NoError(t, snap.Close())
		completed, err := v.Executions(t.Context(), view.ExecutionQuery{Status: view.Completed, Page: view.Page{Limit: 1, Total: true}})
		require.NoError(t, err)
		require.Equal(t, min(runs, view.TotalMax+1), completed.Total)
		require.NoError(t, v.Close())
	}
}

// project commits until it is killed, and says so once it has committed.
func project(t *testing.T, started string) {
	v, err := sqlite.Open(filepath.Join(filepath.Dir(started), "views"), viewstest.NewLog(), sqlite.Options{WALBytes: 1 << 20})
	require.NoError(t, err)
	ctx := context.WithoutCancel(t.Context())
	s, err := v.Current(ctx)
	require.NoError(t, err)
	state, err := s.State(ctx)
	require.NoError(t, err)
	for n := int(state.Position) / viewstest.RunEvents; n < 1_000_000; {
		runs := 1 + n%17
		require.NoError(t, s.Commit(ctx, viewstest.BenchRuns("log", n, runs)))
		n += runs
		if n > int(state.Position)/viewstest.RunEvents+20 {
			require.NoError(t, os.WriteFile(started, nil, 0o600))
		}
	}
}
