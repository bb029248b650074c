package blobs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands/sealing"
	"quipu/commands/sealing/sealingtest"
	"quipu/domain"
	"quipu/infra/durable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openAt(t testing.TB, dir string) *Store {
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	return s
}

func TestConformance(t *testing.T) {
	sealingtest.Blobs(t, func(t testing.TB) (sealing.Blobs, func() sealing.Blobs) {
		dir := filepath.Join(t.TempDir(), "data", "blobs")
		return openAt(t, dir), func() sealing.Blobs { return openAt(t, dir) }
	})
}

func TestPut_TooLarge(t *testing.T) {
	s, err := Open(t.TempDir(), Options{BytesMax: 4})
	require.NoError(t, err)
	_, err = s.Put(context.Background(), []byte("1234"))
	require.NoError(t, err)
	_, err = s.Put(context.Background(), []byte("12345"))
	require.ErrorIs(t, err, domain.ErrInvalid)
	_, err = Open(t.TempDir(), Options{BytesMax: -1})
	require.ErrorIs(t, err, domain.ErrInvalid)
}

// Damage is reported with the file's name, and mended by putting the content again when its size shows it.
func TestGet_DamagedNamesTheFile(t *testing.T) {
	ctx := context.Background()
	s := openAt(t, t.TempDir())
	name, err := s.Put(ctx, []byte("content"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.path(name), []byte("Content"), 0o600))
	_, err = s.Get(ctx, name)
	require.ErrorIs(t, err, domain.ErrCorrupt)
	require.ErrorContains(t, err, s.path(name))

	require.NoError(t, os.Truncate(s.path(name), 3))
	_, err = s.Get(ctx, name)
	require.ErrorIs(t, err, domain.ErrCorrupt)
	_, err = s.Put(ctx, []byte("content"))
	require.NoError(t, err)
	got, err := s.Get(ctx, name)
	require.NoError(t, err)
	require.Equal(t, "content", string(got))
}

// What a crash left half-written disappears, and is never taken for content.
func TestOpen_RemovesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	openAt(t, dir)
	left := filepath.Join(dir, "tmp", "put-123")
	require.NoError(t, os.WriteFile(left, []byte("half"), 0o600))
	openAt(t, dir)
	require.NoFileExists(t, left)
}

func TestPut_DiskFull(t *testing.T) {
	ctx := context.Background()
	s := openAt(t, t.TempDir())
	s.fs.writeSynced = func(_, path string, _ []byte) error {
		return &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
	}
	_, err := s.Put(ctx, []byte("x"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, "the disk is full")
	require.ErrorContains(t, err, s.dir)
	s.fs = osFiles
	_, err = s.Put(ctx, []byte("x"))
	require.NoError(t, err, "with room again it goes on")
}

// After a folder could not be synced nothing is acknowledged until the store is opened again.
func TestPut_FailedSyncStopsTheStore(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openAt(t, dir)
	s.fs.syncDir = func(string) error { return syscall.EIO }
	_, err := s.Put(ctx, []byte("x"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	s.fs = osFiles
	_, err = s.Put(ctx, []byte("x"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorIs(t, err, syscall.EIO)
	_, err = openAt(t, dir).Put(ctx, []byte("x"))
	require.NoError(t, err)
}

// A name found by a new process may not be on disk yet; once per folder it makes sure.
func TestPut_ExistingIsSyncedOncePerFolder(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	_, err := openAt(t, dir).Put(ctx, []byte("x"))
	require.NoError(t, err)
	s := openAt(t, dir)
	synced := 0
	s.fs.syncDir = func(d string) error { synced++; return durable.SyncDir(d) }
	s.fs.writeSynced = func(string, string, []byte) error { return errors.New("must not write") }
	for range 3 {
		_, err = s.Put(ctx, []byte("x"))
		require.NoError(t, err)
	}
	require.Equal(t, 1, synced)
}

func BenchmarkPut_Existing64KiB(b *testing.B) {
	s := openAt(b, b.TempDir())
	content := make([]byte, 64<<10)
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := s.Put(context.Background(), content); err != nil {
			b.Fatal(err)
		}
	}
}
