package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidate_Cluster(t *testing.T) {
	c := Default()
	require.False(t, c.Cluster.Shared())
	c.Cluster.URL, c.Cluster.Direct, c.Cluster.ViewsDirect = "postgres://u:p@h/db", "postgresql://u:p@h:5433/db", "postgres:///db?host=/run"
	require.NoError(t, c.Validate())
	require.True(t, c.Cluster.Shared())

	c = Default()
	c.Cluster.Direct = "mysql://u:hunter2@h/db"
	err := c.Validate()
	require.ErrorContains(t, err, "cluster_direct: is not a Postgres URL")
	require.ErrorContains(t, err, "cluster_direct: is set without cluster")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestLoad_ClusterNodes(t *testing.T) {
	inv, err := load(t, []string{"cluster", "nodes"}, "QUIPU_CLUSTER=postgres://u:hunter2@h/db")
	require.NoError(t, err)
	require.Equal(t, CommandClusterNodes, inv.Command)
	require.Equal(t, "postgres://u:hunter2@h/db", inv.Config.Cluster.URL.Reveal())
	_, err = load(t, []string{"cluster", "nodes"})
	require.ErrorContains(t, err, "--cluster")
	_, err = load(t, []string{"cluster", "nodes", "--cluster", "mysql://u:hunter2@h/db"})
	require.ErrorContains(t, err, "is not a Postgres URL")
	require.NotContains(t, err.Error(), "hunter2")
}
