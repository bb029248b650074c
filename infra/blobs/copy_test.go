package blobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

// The copy holds every blob stored before it began, and opens.
func TestCopyTo_BesideWrites(t *testing.T) {
	ctx := t.Context()
	s := openAt(t, t.TempDir())
	var mu sync.Mutex
	stored := map[string]string{}
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 60 {
				content := fmt.Sprint("content ", w, i)
				name, err := s.Put(context.Background(), []byte(content))
				if err != nil {
					panic(err)
				}
				mu.Lock()
				stored[name] = content
				mu.Unlock()
			}
		})
	}
	for range 4 {
		before := map[string]string{}
		mu.Lock()
		for name, content := range stored {
			before[name] = content
		}
		mu.Unlock()
		to := filepath.Join(t.TempDir(), "blobs")
		c, err := CopyTo(ctx, s.dir, to, nil)
		require.NoError(t, err)
		require.GreaterOrEqual(t, c.Blobs, len(before))
		require.Zero(t, c.Damaged)
		again, err := Verify(ctx, to, nil)
		require.NoError(t, err)
		require.Equal(t, c, again)
		restored := openAt(t, to)
		for name, content := range before {
			got, err := restored.Get(ctx, name)
			require.NoError(t, err)
			require.Equal(t, content, string(got))
		}
	}
	wg.Wait()
}

// A damaged blob is told by name and not copied; the others are.
func TestCopyTo_DamagedIsLeftOutAndTold(t *testing.T) {
	ctx := t.Context()
	s := openAt(t, t.TempDir())
	good, err := s.Put(ctx, []byte("good"))
	require.NoError(t, err)
	bad, err := s.Put(ctx, []byte("bad"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.path(bad), []byte("rot"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "tmp", "new-1"), []byte("half"), 0o600))
	to := t.TempDir()
	var told []string
	c, err := CopyTo(ctx, s.dir, to, func(name string) { told = append(told, name) })
	require.NoError(t, err)
	require.Equal(t, Count{Blobs: 1, Bytes: 4, Damaged: 1}, c)
	require.Equal(t, []string{bad}, told)
	restored := openAt(t, to)
	_, err = restored.Get(ctx, good)
	require.NoError(t, err)
	_, err = restored.Get(ctx, bad)
	require.ErrorIs(t, err, domain.ErrNotFound)
	told = nil
	_, err = Verify(ctx, s.dir, func(name string) { told = append(told, name) })
	require.NoError(t, err)
	require.Equal(t, []string{bad}, told)
}

func TestCopyTo_Failures(t *testing.T) {
	s := openAt(t, t.TempDir())
	name, err := s.Put(t.Context(), []byte("content"))
	require.NoError(t, err)
	to := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(to, name[:2]), 0o700))
	_, err = CopyTo(t.Context(), s.dir, to, nil)
	require.ErrorIs(t, err, domain.ErrUnavailable, "nothing is overwritten")
	require.ErrorContains(t, err, to)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = CopyTo(ctx, s.dir, t.TempDir(), nil)
	require.ErrorIs(t, err, domain.ErrCanceled)
	c, err := CopyTo(t.Context(), filepath.Join(to, "none"), t.TempDir(), nil)
	require.NoError(t, err)
	require.Equal(t, Count{}, c)
}
