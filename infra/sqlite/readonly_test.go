package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/sqlite"
	"quipu/projections"
)

// Who only looks sees what the owner commits, follows it to another generation, and changes nothing.
func TestViews_ReadOnly(t *testing.T) {
	dir := t.TempDir()
	look := func() *sqlite.Views {
		v, err := sqlite.Open(dir, nil, sqlite.Options{ReadOnly: true})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, v.Close()) })
		return v
	}
	_, err := look().Current(t.Context())
	require.ErrorIs(t, err, domain.ErrNotFound, "there are none yet")
	require.Empty(t, files(t, dir))

	owner := views(t, dir)
	commit(t, current(t, owner), 0, 3)
	building, err := owner.Begin(t.Context())
	require.NoError(t, err)
	v := look()
	at := func() domain.Position {
		s, err := v.Current(t.Context())
		require.NoError(t, err)
		snapshot, err := s.Snapshot(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, snapshot.Close()) }()
		n := 0
		for _, err := range snapshot.Executions(t.Context()) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 3, n)
		return snapshot.State().Position
	}
	first := at()
	require.Positive(t, first)

	seen := current(t, v)
	for op, err := range map[string]error{
		"begin": func() error { _, err := v.Begin(t.Context()); return err }(), "promote": v.Promote(t.Context(), seen), "drop": v.Drop(t.Context(), seen),
		"commit": seen.Commit(t.Context(), projections.Changes{After: first, To: first + 1}),
	} {
		require.ErrorIs(t, err, domain.ErrRefused, op)
	}

	commit(t, building, 0, 3)
	require.NoError(t, owner.Promote(t.Context(), building))
	require.Equal(t, first, at(), "of the generation that took its place")
	require.NoError(t, owner.Close())
	require.Equal(t, first, at(), "without an owner")

	path := filepath.Join(dir, "views.json")
	require.NoError(t, os.Remove(path))
	_, err = look().Current(t.Context())
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.NoFileExists(t, path)
}
