package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/clock"
	"quipu/infra/config"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/members"
	"quipu/infra/postgres/pgtest"
)

// When no node answers, the database itself tells who they are.
func TestClusterNodes_ListsThoseOfAllLogs(t *testing.T) {
	url := pgtest.URL(t)
	db, err := cluster.Open(t.Context(), url, cluster.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	for node, log := range map[string]domain.LogID{"node-1": "log-1", "node-2": "log-2"} {
		m, err := members.Join(t.Context(), db, members.Options{Node: node, Log: log, Name: "host", Version: "1.2.3", Level: 1, Clock: clock.System{}})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
	}
	var printed strings.Builder
	require.NoError(t, clusterNodes(t.Context(), config.Secret(url), &printed))
	require.Regexp(t, `NAME +STATE +VERSION`, printed.String())
	for _, want := range []string{"node-1", "node-2", "host", "1.2.3"} {
		require.Contains(t, printed.String(), want)
	}
	err = clusterNodes(t.Context(), "postgres://127.0.0.1:1/none", &printed)
	require.ErrorContains(t, err, "set --cluster to the database")
}
