package poison_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/domain"
	"quipu/eventbus/poison"
	"quipu/eventbus/poison/poisontest"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/pgtest"
	table "quipu/infra/postgres/poison"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, url string) *table.Table {
	t.Helper()
	db, err := cluster.Open(t.Context(), url, cluster.Options{})
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context()))
	list, err := table.Open(t.Context(), db)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, list.Close())
		require.NoError(t, db.Close())
	})
	return list
}

func TestTable_Contract(t *testing.T) {
	poisontest.Run(t, func(t *testing.T) (poison.List, func() poison.List) {
		url := pgtest.URL(t)
		return open(t, url), func() poison.List { return open(t, url) }
	})
}

// A database that is away is said to be, nothing is taken as done, and its return is enough.
func TestTable_DatabaseAwayAndBack(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	list := open(t, pgtest.Database(t, server))
	require.NoError(t, list.Add(t.Context(), poisontest.Entry("a", 1)))
	require.NoError(t, server.Stop())
	require.ErrorIs(t, list.Add(t.Context(), poisontest.Entry("a", 2)), domain.ErrUnavailable)
	_, err := list.Count(t.Context(), "a")
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NoError(t, server.Restart())
	got, err := list.Entries(t.Context(), "a", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []poison.Entry{poisontest.Entry("a", 1)}, got)
	require.ErrorIs(t, list.Add(t.Context(), poisontest.Entry("a", math.MaxUint64)), domain.ErrInvalid)
}
