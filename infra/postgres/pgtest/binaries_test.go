//go:build unix

package pgtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind_TheNewestCompleteServerWins(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PATH", root)
	pattern := filepath.Join(root, "*", "bin")
	_, ok := find(pattern)
	require.False(t, ok, "nothing there, nothing in the PATH")
	for name, files := range map[string][]string{
		"9":    {"initdb", "postgres"},
		"15":   {"initdb", "postgres"},
		"17":   {"psql"}, // only the client
		"beta": {"initdb", "postgres"},
	} {
		dir := filepath.Join(root, name, "bin")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for _, f := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, f), nil, 0o755))
		}
	}
	dir, ok := find(pattern)
	require.True(t, ok)
	require.Equal(t, filepath.Join(root, "15", "bin"), dir)
	for _, name := range []string{"initdb", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), nil, 0o755))
	}
	dir, ok = find(filepath.Join(root, "none", "*"))
	require.True(t, ok)
	require.Equal(t, root, dir, "from the PATH")
}
