package postgres_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/postgres"
	"quipu/infra/postgres/pgtest"
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
	contract(t, postgres.Options{PartitionWidth: 1 << 14, CopyEventsMin: 16}, viewstest.Capabilities{Scripts: 10})
}
