package postgres_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/postgres"
	"quipu/infra/postgres/pgtest"
	"quipu/infra/postgres/poolertest"
	"quipu/projections/view"
	"quipu/projections/viewstest"
)

// Everything that writes or manages generations works behind a pooler, and leaves nothing in sessions.
func TestViews_BehindATransactionPooler(t *testing.T) {
	var urls sync.Map
	start := func(tb testing.TB, url string) viewstest.Views {
		v := open(tb, url, postgres.Options{CopyEventsMin: 16})
		urls.Store(viewstest.Views(v), url)
		return v
	}
	caps := viewstest.Capabilities{Again: func(tb testing.TB, v viewstest.Views, _ *viewstest.Log) viewstest.Views {
		url, _ := urls.Load(v)
		return start(tb, url.(string))
	}}
	ran := 0
	for _, c := range viewstest.Cases() {
		group, _, _ := strings.Cut(c.Name, "_")
		if group != "Commit" && group != "Generations" {
			continue
		}
		ran++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			viewstest.RunCase(t, c, func(tb testing.TB, _ *viewstest.Log) viewstest.Views {
				url := pgtest.URL(tb)
				unqualified(tb, url)
				return start(tb, poolertest.New(tb, url, 6).URL)
			}, caps)
		})
	}
	require.Greater(t, ran, 10)
}

// The connection breaks after the server has committed and before it could say so.
func TestCommit_UnknownOutcome(t *testing.T) {
	for name, n := range map[string]int{"pipeline": 10, "COPY": 100} {
		t.Run(name, func(t *testing.T) {
			p := poolertest.New(t, pgtest.URL(t), 4)
			v := open(t, p.URL, postgres.Options{CopyEventsMin: 50})
			s, err := v.Current(t.Context())
			require.NoError(t, err)
			require.NoError(t, s.Commit(t.Context(), counted(0, 5)))
			before := domain.Position(5)
			if name == "pipeline" {
				p.Deaf(true)
				err = s.Commit(t.Context(), counted(5, n))
				p.Deaf(false)
				require.ErrorIs(t, err, domain.ErrIndeterminate)
				before += domain.Position(n)
			}
			st, err := s.State(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, st.Position)
			// The same handle goes on.
			require.NoError(t, s.Commit(t.Context(), counted(before, n)))
			got, err := v.Events(t.Context(), view.EventQuery{Page: view.Page{Limit: view.LimitMax, Total: true}})
			require.NoError(t, err)
			require.EqualValues(t, int(before)+n, got.Total)
		})
	}
}

// unqualified makes names without a schema fail in new sessions of a database.
func unqualified(tb testing.TB, url string) {
	tb.Helper()
	conn, err := pgconn.Connect(tb.Context(), url)
	require.NoError(tb, err)
	require.NoError(tb, conn.Exec(tb.Context(), `DO $$ BEGIN
		EXECUTE 'ALTER DATABASE ' || current_database() || ' SET search_path = ''''';
	END $$`).Close())
	require.NoError(tb, conn.Close(tb.Context()))
}
