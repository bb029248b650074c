package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/sqlite"
	"quipu/projections/viewstest"
)

func BenchmarkViews(b *testing.B) {
	viewstest.Benchmark(b, func(tb testing.TB, log *viewstest.Log) viewstest.Views {
		v, err := sqlite.Open(tb.TempDir(), log, sqlite.Options{})
		require.NoError(tb, err)
		return v
	})
}
