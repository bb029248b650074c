package vault

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands/sealing"
	"quipu/commands/sealing/sealingtest"
	"quipu/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openAt(t testing.TB, dir string) *Vault {
	t.Helper()
	v, err := Open(dir, Options{OpenedKeysMax: 3})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	return v
}

func TestConformance(t *testing.T) {
	sealingtest.Vault(t, func(t testing.TB) (sealing.Vault, func() sealing.Vault) {
		dir := filepath.Join(t.TempDir(), "keys")
		v := openAt(t, dir)
		return v, func() sealing.Vault {
			require.NoError(t, v.Close())
			v = openAt(t, dir)
			return v
		}
	})
}

func TestOpen_FirstStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	v := openAt(t, dir)
	for path, mode := range map[string]os.FileMode{dir: 0o700, dir + "/master.key": 0o600, dir + "/keys.table": 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
	before := read(t, dir+"/keys.table")
	v.Fingerprint([]byte("x"))
	_, err := v.Open(context.Background(), "run-1", "s1", []byte("x"))
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.Equal(t, before, read(t, dir+"/keys.table"), "nothing is written for runs without secrets")

	_, err = Open(dir, Options{})
	require.ErrorIs(t, err, domain.ErrRefused, "one process at a time")
	require.NoError(t, v.Close())
	require.NoError(t, v.Close())
	_, err = v.Seal(context.Background(), "run-1", "s1", []byte("x"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// A vault that cannot keep its promise does not start, and says what to do.
func TestOpen_Refused(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		kind  error
		says  string
	}{
		"readable by the group": {func(t *testing.T, dir string) { require.NoError(t, os.Chmod(dir+"/master.key", 0o640)) }, domain.ErrRefused, "chmod 600"},
		"readable by all":       {func(t *testing.T, dir string) { require.NoError(t, os.Chmod(dir+"/master.key", 0o604)) }, domain.ErrRefused, "chmod 600"},
		"short":                 {func(t *testing.T, dir string) { require.NoError(t, os.Truncate(dir+"/master.key", 63)) }, domain.ErrInvalid, "64 hex digits"},
		"empty":                 {func(t *testing.T, dir string) { require.NoError(t, os.Truncate(dir+"/master.key", 0)) }, domain.ErrInvalid, "64 hex digits"},
		"not hex": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(dir+"/master.key", []byte(strings.Repeat("z", 64)), 0o600))
		}, domain.ErrInvalid, "64 hex digits"},
		"missing": {func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir+"/master.key")) }, domain.ErrRefused, "put the key back"},
		"another": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(dir+"/master.key", []byte(strings.Repeat("0", 64)), 0o600))
		}, domain.ErrRefused, "not the key that wrapped"},
		"no table": {func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(dir+"/keys.table", []byte("quipu keys 2\n"), 0o600))
		}, domain.ErrCorrupt, "not a key table"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			v, err := Open(dir, Options{})
			require.NoError(t, err)
			_, err = v.Seal(ctx, "run-1", "s1", []byte("x"))
			require.NoError(t, err)
			require.NoError(t, v.Close())
			c.spoil(t, dir)
			_, err = Open(dir, Options{})
			require.ErrorIs(t, err, c.kind)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, dir)
		})
	}
}

// A key moved to another stream's place in the table is refused.
func TestTable_SwappedEntriesAreCorrupt(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	v := openAt(t, dir)
	c, err := v.Seal(ctx, "run-1", "s1", []byte("x"))
	require.NoError(t, err)
	table := v.table.(*fileTable)
	wrapped, err := table.Get(ctx, "run-1")
	require.NoError(t, err)
	_, err = table.Create(ctx, "run-2", wrapped)
	require.NoError(t, err)
	_, err = v.Open(ctx, "run-2", "s1", c)
	require.ErrorIs(t, err, domain.ErrCorrupt)
}

func TestCache_KeepsTheLastUsed(t *testing.T) {
	c := newCache(2)
	key, err := newAEAD(bytes.Repeat([]byte{1}, keyBytes))
	require.NoError(t, err)
	c.put("a", key)
	c.put("b", key)
	c.get("a")
	c.put("c", key)
	_, a := c.get("a")
	_, b := c.get("b")
	require.True(t, a)
	require.False(t, b)
	require.Equal(t, 2, c.order.Len())
}

// Formats that are on disk may not change: these were made by the first version.
func TestGolden(t *testing.T) {
	m, err := NewMaster(bytes.Repeat([]byte{7}, keyBytes))
	require.NoError(t, err)
	require.Equal(t, goldenFingerprint, m.fingerprint([]byte("secret")))
	require.Equal(t, goldenMasterID, fmt.Sprintf("%x", m.id))
	secret, ok := m.unwrapKey("run-1", fromHex(t, goldenWrapped))
	require.True(t, ok)
	require.Equal(t, bytes.Repeat([]byte{9}, keyBytes), secret)
	key, err := newAEAD(secret)
	require.NoError(t, err)
	plaintext, ok := decrypt(key, fromHex(t, goldenCiphertext), []byte("run-1/s1"))
	require.True(t, ok)
	require.Equal(t, `"secret"`, string(plaintext))
}

func BenchmarkSeal_KnownStream(b *testing.B) {
	v := openAt(b, b.TempDir())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Seal(context.Background(), "run-1", "s1", []byte(`"sk-proj-51H8xYabcDEF"`)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal_NewStreams64Writers(b *testing.B) {
	v := openAt(b, b.TempDir())
	b.ReportAllocs()
	b.SetParallelism(32)
	var n counter
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := v.Seal(context.Background(), fmt.Sprint("run-", n.next()), "s1", []byte("x")); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
