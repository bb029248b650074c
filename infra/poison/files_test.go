package poison_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/eventbus/poison"
	"quipu/eventbus/poison/poisontest"
	files "quipu/infra/poison"
)

func TestFiles_Contract(t *testing.T) {
	poisontest.Run(t, func(t *testing.T) (poison.List, func() poison.List) {
		dir := t.TempDir()
		list, err := files.Open(dir)
		require.NoError(t, err)
		return list, func() poison.List {
			again, err := files.Open(dir)
			require.NoError(t, err)
			return again
		}
	})
}

// What no process wrote whole is not read as an entry, and a damaged one is named.
func TestFiles_DamageIsNamed(t *testing.T) {
	dir := t.TempDir()
	list, err := files.Open(dir)
	require.NoError(t, err)
	require.NoError(t, list.Add(t.Context(), poisontest.Entry("a", 3)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a", "new-123"), []byte("half"), 0o600))
	n, err := list.Count(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 1, n)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "new-123"), []byte("half"), 0o600))
	again, err := files.Open(dir)
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, "new-123"))
	got, err := again.Entries(t.Context(), "a", 0, 9)
	require.NoError(t, err)
	require.Equal(t, []poison.Entry{poisontest.Entry("a", 3)}, got)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "a", "0000000000000003.json"), []byte(`{"stream":`), 0o600))
	_, err = again.Entries(t.Context(), "a", 0, 9)
	require.ErrorIs(t, err, domain.ErrCorrupt)
	require.ErrorContains(t, err, "0000000000000003.json")
}
