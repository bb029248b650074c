package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/postgres"
	"quipu/infra/postgres/pgtest"
	"quipu/projections/view"
)

// Tables that somebody dropped under a running server come back without a restart: a lost table is
// reported as damage, which makes the runner build a generation beside; a lost registry is made anew.
func TestViews_DroppedTablesComeBack(t *testing.T) {
	for _, drop := range []string{
		"DROP TABLE quipu_views_g1.executions CASCADE", "DROP TABLE quipu_views_g1.state",
		"DROP SCHEMA quipu_views_g1 CASCADE", "DROP SCHEMA quipu_views CASCADE", "DROP SCHEMA quipu_views CASCADE; DROP SCHEMA quipu_views_g1 CASCADE",
	} {
		url := pgtest.URL(t)
		v := open(t, url, postgres.Options{})
		s, err := v.Current(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Commit(t.Context(), counted(0, 5)))
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), drop)
		require.NoError(t, err, drop)
		require.NoError(t, conn.Close(t.Context()))

		again, err := v.Current(t.Context())
		if err != nil {
			require.ErrorIs(t, err, domain.ErrCorrupt, drop)
			beside, err := v.Begin(t.Context())
			require.NoError(t, err, drop)
			require.NoError(t, beside.Commit(t.Context(), counted(0, 5)), drop)
			require.NoError(t, v.Promote(t.Context(), beside), drop)
			again, err = v.Current(t.Context())
			require.NoError(t, err, drop)
		} else {
			require.NoError(t, again.Commit(t.Context(), counted(0, 5)), drop)
		}
		state, err := again.State(t.Context())
		require.NoError(t, err, drop)
		require.EqualValues(t, 5, state.Position, drop)
		got, err := v.Executions(t.Context(), view.ExecutionQuery{Page: view.Page{Limit: 10}})
		require.NoError(t, err, drop)
		require.Len(t, got.Rows, 5, drop)
	}
}
