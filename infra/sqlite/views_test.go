package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/sqlite"
	"quipu/projections/viewstest"
)

func TestViews_Contract(t *testing.T) {
	viewstest.Run(t, open, viewstest.Capabilities{Again: again})
}

// opened is a Views that knows its folder.
type opened struct {
	*sqlite.Views
	dir string
}

func open(tb testing.TB, log *viewstest.Log) viewstest.Views { return openIn(tb, tb.TempDir(), log) }

func openIn(tb testing.TB, dir string, log *viewstest.Log) viewstest.Views {
	v, err := sqlite.Open(dir, log, sqlite.Options{SpanPositions: 16})
	require.NoError(tb, err)
	return opened{v, dir}
}

func again(tb testing.TB, v viewstest.Views, log *viewstest.Log) viewstest.Views {
	return openIn(tb, v.(opened).dir, log)
}
