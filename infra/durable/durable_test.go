package durable_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/durable"
)

func TestWriteFile_AllOrNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	require.NoError(t, durable.WriteFile(dir, path, []byte("content")))
	require.NoError(t, durable.SyncDir(dir))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "content", string(got))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.Error(t, durable.WriteFile(dir, filepath.Join(dir, "missing", "key"), []byte("x")))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "what could not be named is removed")
}

func TestFailure_NamesAFullDisk(t *testing.T) {
	err := durable.Failure("put", "b", &os.PathError{Op: "write", Err: syscall.ENOSPC})
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "the disk is full")
}

func TestContextError(t *testing.T) {
	require.NoError(t, durable.ContextError(t.Context(), "op", "s"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, durable.ContextError(ctx, "op", "s"), domain.ErrCanceled)
	ctx, cancel = context.WithTimeout(t.Context(), 0)
	defer cancel()
	require.ErrorIs(t, durable.ContextError(ctx, "op", "s"), domain.ErrDeadline)
}
