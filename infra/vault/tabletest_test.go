package vault

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/vault/tabletest"
)

func TestFileTable_Contract(t *testing.T) {
	require.Equal(t, tabletest.WrappedBytes, wrappedBytes)
	tabletest.Run(t, func(tb testing.TB) (tabletest.Table, func() tabletest.Table, bool) {
		path := filepath.Join(tb.TempDir(), tableName)
		open := func() *fileTable {
			table, err := openTable(path)
			require.NoError(tb, err)
			tb.Cleanup(func() { require.NoError(tb, table.Close()) })
			return table
		}
		table := open()
		return table, func() tabletest.Table {
			require.NoError(tb, table.Close()) // one process at a time
			table = open()
			return table
		}, false
	})
}
