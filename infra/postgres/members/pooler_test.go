package members_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/memberstest"
	"quipu/infra/postgres/cluster"
	"quipu/infra/postgres/members"
	"quipu/infra/postgres/pgtest"
	"quipu/infra/postgres/poolertest"
)

// behind are nodes that reach the database through a pooler, and by direct, if that is set, past it.
type behind struct {
	pooled, direct string
}

func (c behind) Join(tb testing.TB, node string) memberstest.Node {
	db, err := cluster.Open(tb.Context(), c.pooled, cluster.Options{DirectURL: c.direct})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	require.NoError(tb, db.Migrate(tb.Context()))
	m, err := members.Join(tb.Context(), db, options(node))
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, m.Close()) })
	return memberstest.Node{
		Members: m,
		Drain:   func() { require.NoError(tb, m.Drain(tb.Context())) },
		Leave:   func() { require.NoError(tb, m.Leave(tb.Context())) },
		Kill:    func() { require.NoError(tb, m.Close()) },
	}
}

// Membership works through a pooler in transaction mode, with notifications past it.
func TestMembers_BehindATransactionPooler(t *testing.T) {
	t.Parallel()
	memberstest.Run(t, func(tb testing.TB) memberstest.Cluster {
		url := pgtest.URL(tb)
		return behind{poolertest.New(tb, url, 8).URL, url}
	}, memberstest.Capabilities{NodesMax: members.NodesMax, DeadAfter: deadAfter})
}

// Without any notification the changes are found by polling.
func TestMembers_WithoutNotifications(t *testing.T) {
	t.Parallel()
	memberstest.Run(t, func(tb testing.TB) memberstest.Cluster {
		return behind{pgtest.URL(tb), "postgres://127.0.0.1:1/nobody"}
	}, memberstest.Capabilities{NodesMax: members.NodesMax, DeadAfter: deadAfter})
}
