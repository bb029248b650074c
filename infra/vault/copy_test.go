package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

// The copy holds every key stored before it began, opens under the same master key only, and never
// holds the master key itself.
func TestCopyTo_BesideWrites(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	v, err := Open(dir, Options{})
	require.NoError(t, err)
	sealed := map[string][]byte{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				stream := fmt.Sprintf("run-%d-%d", w, i)
				b, err := v.Seal(context.Background(), stream, "s1", []byte("secret of "+stream))
				if err != nil {
					panic(err)
				}
				mu.Lock()
				sealed[stream] = b
				mu.Unlock()
			}
		})
	}
	for range 5 {
		before := map[string][]byte{}
		mu.Lock()
		for stream, b := range sealed {
			before[stream] = b
		}
		mu.Unlock()
		to := filepath.Join(t.TempDir(), "keys")
		files, err := CopyTo(ctx, dir, to)
		require.NoError(t, err)
		require.Len(t, files, 1)
		content := read(t, filepath.Join(to, "keys.table"))
		sum := sha256.Sum256(content)
		require.Equal(t, hex.EncodeToString(sum[:]), files[0].SHA256)
		require.Len(t, content, int(files[0].Bytes))
		entries, err := os.ReadDir(to)
		require.NoError(t, err)
		require.Len(t, entries, 1, "no master key")

		if len(before) > 0 {
			_, err = Open(to, Options{})
			require.ErrorIs(t, err, domain.ErrRefused)
			require.ErrorContains(t, err, "the master key is missing")
		}
		require.NoError(t, os.WriteFile(filepath.Join(to, "master.key"), read(t, filepath.Join(dir, "master.key")), 0o600))
		restored, err := Open(to, Options{})
		require.NoError(t, err)
		for stream, b := range before {
			got, err := restored.Open(ctx, stream, "s1", b)
			require.NoError(t, err)
			require.Equal(t, "secret of "+stream, string(got))
		}
		require.NoError(t, restored.Close())
	}
	wg.Wait()
	require.NoError(t, v.Close())
}

// A torn end is left out, damage before it is told and not copied; the source stays as it is.
func TestCopyTo_TornAndDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, tableName)
	table, err := openTable(path)
	require.NoError(t, err)
	for i := range 3 {
		create(t, table, fmt.Sprint("run-", i), byte(i+1))
	}
	require.NoError(t, table.Close())
	whole := read(t, path)
	frame := (len(whole) - len(tableHeader)) / 3
	for n := range len(whole) {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		to := t.TempDir()
		_, err := CopyTo(t.Context(), dir, to)
		require.NoError(t, err)
		got := read(t, filepath.Join(to, tableName))
		want := len(tableHeader) + max(0, n-len(tableHeader))/frame*frame
		require.Equal(t, whole[:want], got, "cut at %d", n)
		require.Len(t, read(t, path), n)
	}
	for at := range len(whole) - frame { // the last frame looks torn
		damaged := []byte(string(whole))
		damaged[at] ^= 1
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		_, err := CopyTo(t.Context(), dir, t.TempDir())
		require.ErrorIs(t, err, domain.ErrCorrupt, "byte %d", at)
	}
}

func TestCopyTo_Failures(t *testing.T) {
	to := t.TempDir()
	files, err := CopyTo(t.Context(), t.TempDir(), to)
	require.NoError(t, err)
	require.Empty(t, files, "a folder without keys")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, tableName), []byte(tableHeader), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(to, tableName), nil, 0o600))
	_, err = CopyTo(t.Context(), dir, to)
	require.ErrorIs(t, err, domain.ErrUnavailable, "nothing is overwritten")
	require.True(t, strings.Contains(err.Error(), to), "the message names the target: %v", err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = CopyTo(ctx, dir, t.TempDir())
	require.ErrorIs(t, err, domain.ErrCanceled)
}
