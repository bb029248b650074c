package checkpoints_test

import (
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/eventbus"
	"quipu/eventbus/checkpointstest"
	"quipu/infra/postgres/checkpoints"
	"quipu/infra/postgres/pgtest"
)

func pool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	// As the pools of package cluster: neither names nor prepared statements.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	p, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func TestTable_Contract(t *testing.T) {
	checkpointstest.Run(t, func(t *testing.T) checkpointstest.Open {
		url := pgtest.URL(t)
		return func(log domain.LogID) eventbus.Checkpoints {
			c, err := checkpoints.New(pool(t, url), log, checkpoints.Options{})
			require.NoError(t, err)
			return c
		}
	})
}

func TestTable_ManyNodesMakeItAtOnce(t *testing.T) {
	url := pgtest.URL(t)
	var wg sync.WaitGroup
	for range 8 {
		c, err := checkpoints.New(pool(t, url), "log-a", checkpoints.Options{})
		require.NoError(t, err)
		wg.Go(func() {
			if err := c.Save(t.Context(), "relay:nats", 0, 5); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestTable_ADatabaseThatGoesAndComesBack(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	c, err := checkpoints.New(pool(t, pgtest.Database(t, s)), "log-a", checkpoints.Options{})
	require.NoError(t, err)
	require.NoError(t, c.Save(t.Context(), "relay:nats", 0, 5))
	require.NoError(t, s.Stop())
	err = c.Save(t.Context(), "relay:nats", 5, 6)
	require.Contains(t, []domain.Kind{domain.KindUnavailable, domain.KindIndeterminate}, domain.KindOf(err), "%v", err)
	require.NotContains(t, err.Error(), "user=")
	_, err = c.Load(t.Context(), "relay:nats")
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NoError(t, s.Restart())
	require.NoError(t, c.Save(t.Context(), "relay:nats", 5, 6))
}

func TestTable_ATableThatWasRemoved(t *testing.T) {
	p := pool(t, pgtest.URL(t))
	c, err := checkpoints.New(p, "log-a", checkpoints.Options{Schema: "other"})
	require.NoError(t, err)
	require.NoError(t, c.Save(t.Context(), "a", 0, 5))
	_, err = p.Exec(t.Context(), "DROP SCHEMA other CASCADE")
	require.NoError(t, err)
	_, err = c.Load(t.Context(), "a")
	require.ErrorIs(t, err, domain.ErrUnavailable)
	at, err := c.Load(t.Context(), "a")
	require.NoError(t, err)
	require.Zero(t, at)
}

func TestNew_BadOptions(t *testing.T) {
	for _, o := range []checkpoints.Options{{Schema: "a b"}, {Schema: "x; drop"}, {Timeout: -1}} {
		_, err := checkpoints.New(nil, "log-a", o)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
}
