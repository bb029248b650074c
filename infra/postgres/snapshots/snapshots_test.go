package snapshots_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/memory"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/pgtest"
	"quipu/infra/postgres/snapshots"
)

func open(t *testing.T, url string, log domain.LogID) *snapshots.Table {
	t.Helper()
	db, err := cluster.Open(t.Context(), url, cluster.Options{})
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context()))
	table, err := snapshots.Open(t.Context(), db, log)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, table.Close())
		require.NoError(t, db.Close())
	})
	return table
}

// What every adapter of the port does.
func TestSnapshots_Contract(t *testing.T) {
	for name, s := range map[string]commands.Snapshots{"memory": &memory.Snapshots{}, "postgres": open(t, pgtest.URL(t), "log-1")} {
		t.Run(name, func(t *testing.T) {
			have := func(want domain.Position, data []byte) {
				t.Helper()
				at, b, err := s.Load(t.Context(), "runs")
				require.NoError(t, err)
				require.Equal(t, want, at)
				require.Equal(t, data, b)
			}
			have(0, nil)
			large := bytes.Repeat([]byte{0, 0xff, '\''}, 1<<20)
			require.NoError(t, s.Save(t.Context(), "runs", 7, []byte("seven")))
			have(7, []byte("seven"))
			require.NoError(t, s.Save(t.Context(), "runs", 6, []byte("older")), "a node that lags is no error")
			have(7, []byte("seven"))
			require.NoError(t, s.Save(t.Context(), "other", 9, nil))
			require.NoError(t, s.Save(t.Context(), "runs", 1<<62, large))
			have(1<<62, large)
			require.ErrorIs(t, s.Save(t.Context(), "runs", 1<<62+1, make([]byte, commands.SnapshotBytesMax+1)), domain.ErrInvalid)
		})
	}
}

// A copy of a log is another log: nothing that was kept of the first counts for it.
func TestSnapshots_OfOneLog(t *testing.T) {
	url := pgtest.URL(t)
	one, other := open(t, url, "log-1"), open(t, url, "log-2")
	require.NoError(t, one.Save(t.Context(), "runs", 5, []byte("1")))
	at, b, err := other.Load(t.Context(), "runs")
	require.NoError(t, err)
	require.Zero(t, at)
	require.Nil(t, b)
}

func TestSnapshots_DatabaseAway(t *testing.T) {
	db, err := cluster.Open(t.Context(), "postgres://nobody@127.0.0.1:1/x", cluster.Options{})
	require.NoError(t, err)
	table, err := snapshots.Open(t.Context(), db, "log")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()); require.NoError(t, db.Close()) })
	_, _, err = table.Load(context.WithoutCancel(t.Context()), "runs")
	require.ErrorIs(t, err, domain.ErrUnavailable)
}
