package postgres_test

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/postgres"
	"quipu/infra/postgres/pgtest"
	"quipu/projections/view"
	"quipu/projections/viewstest"
)

// open opens views on a database; they are closed with the test.
func open(tb testing.TB, url string, o postgres.Options) *postgres.Views {
	tb.Helper()
	v, err := postgres.Open(tb.Context(), url, o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, v.Close()) })
	return v
}

// contract runs the suite with options.
func contract(t *testing.T, o postgres.Options, caps viewstest.Capabilities) {
	var urls sync.Map // views -> their database
	start := func(tb testing.TB, url string) viewstest.Views {
		v := open(tb, url, o)
		urls.Store(viewstest.Views(v), url)
		return v
	}
	caps.Again = func(tb testing.TB, v viewstest.Views, _ *viewstest.Log) viewstest.Views {
		url, _ := urls.Load(v)
		return start(tb, url.(string))
	}
	viewstest.Run(t, func(tb testing.TB, _ *viewstest.Log) viewstest.Views { return start(tb, pgtest.URL(tb)) }, caps)
}

func TestViews_Contract(t *testing.T) {
	contract(t, postgres.Options{PartitionWidth: 1 << 14, CopyEventsMin: 16}, viewstest.Capabilities{Scripts: 5})
}

// exec runs a statement as an administrator would.
func exec(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

func TestViews_OfANewerProgramAreLeftAlone(t *testing.T) {
	refused := func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, domain.ErrRefused)
		var e *domain.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "VIEWS_NEWER", e.Code)
	}
	page := view.Page{Limit: 1}
	t.Run("registry", func(t *testing.T) {
		url := pgtest.URL(t)
		v := open(t, url, postgres.Options{})
		_, err := v.Current(t.Context())
		require.NoError(t, err)
		exec(t, url, "INSERT INTO quipu_views.migrations (version) VALUES (99)")
		again := open(t, url, postgres.Options{})
		_, err = again.Current(t.Context())
		refused(t, err)
		_, err = again.Begin(t.Context())
		refused(t, err)
	})
	t.Run("generation", func(t *testing.T) {
		url := pgtest.URL(t)
		v := open(t, url, postgres.Options{})
		s, err := v.Current(t.Context())
		require.NoError(t, err)
		next, err := v.Begin(t.Context())
		require.NoError(t, err)
		require.NoError(t, open(t, url, postgres.Options{}).Promote(t.Context(), next))
		exec(t, url, "UPDATE quipu_views.generations SET layout = 99")
		// v holds the former generation, and learns that it was replaced by one it cannot read.
		_, err = v.Events(t.Context(), view.EventQuery{Page: page})
		refused(t, err)
		require.ErrorIs(t, s.Commit(t.Context(), counted(0, 1)), domain.ErrConflict)
		_, err = v.Current(t.Context())
		refused(t, err)
	})
}

// Tables of an older layout cannot be read: an empty generation takes their place, and they go.
func TestViews_OfAnOlderLayoutBeginAnew(t *testing.T) {
	url := pgtest.URL(t)
	old := open(t, url, postgres.Options{})
	s, err := old.Current(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), counted(0, 7)))
	exec(t, url, "UPDATE quipu_views.generations SET layout = 1")
	var wg sync.WaitGroup
	for range 4 { // one of them makes it
		v := open(t, url, postgres.Options{})
		wg.Go(func() {
			next, err := v.Current(t.Context())
			if !assert.NoError(t, err) {
				return
			}
			st, err := next.State(t.Context())
			assert.NoError(t, err)
			assert.Zero(t, st.Position)
		})
	}
	wg.Wait()
	require.ErrorIs(t, s.Commit(t.Context(), counted(7, 1)), domain.ErrConflict, "it was replaced")
	got, err := old.Events(t.Context(), view.EventQuery{Page: view.Page{Limit: 1, Total: true}})
	require.NoError(t, err)
	require.Zero(t, got.Total)
	next, err := old.Current(t.Context())
	require.NoError(t, err)
	require.NoError(t, next.Commit(t.Context(), counted(0, 3)))
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // the end of the test
	var left int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM quipu_views.generations").Scan(&left))
	require.Equal(t, 1, left)
}

func TestViews_ManyProcessesStartOnANewDatabase(t *testing.T) {
	url := pgtest.URL(t)
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range 8 {
		v := open(t, url, postgres.Options{})
		wg.Go(func() {
			_, err := v.Current(t.Context())
			errs <- err
		})
	}
	wg.Wait()
	for range 8 {
		require.NoError(t, <-errs)
	}
	s, err := open(t, url, postgres.Options{}).Current(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), counted(0, 1)))
}

// Two runners on one database: of each pair of commits one wins, the other learns it.
func TestCommit_TwoProcesses(t *testing.T) {
	url := pgtest.URL(t)
	const rounds = 40
	var wg sync.WaitGroup
	var won [2]int
	for i := range won {
		v := open(t, url, postgres.Options{CopyEventsMin: 20, PartitionWidth: 1024})
		wg.Go(func() {
			s, err := v.Current(t.Context())
			if !assert.NoError(t, err) {
				return
			}
			for {
				st, err := s.State(t.Context())
				if !assert.NoError(t, err) || st.Position >= rounds*100 {
					return
				}
				switch err := s.Commit(t.Context(), counted(st.Position, 1+int(st.Position)%60)); {
				case err == nil:
					won[i]++
				case !assert.ErrorIs(t, err, domain.ErrConflict):
					return
				}
			}
		})
	}
	wg.Wait()
	require.NotZero(t, won[0]+won[1])
	v := open(t, url, postgres.Options{})
	got, err := v.Events(t.Context(), view.EventQuery{Page: view.Page{Limit: 1, Total: true}})
	require.NoError(t, err)
	require.EqualValues(t, got.As.Position, got.Total, "every event once (commits won: %v)", won)
}
