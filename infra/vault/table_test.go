package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

func wrappedKey(b byte) []byte { return bytes.Repeat([]byte{b}, wrappedBytes) }

func create(t testing.TB, table *fileTable, stream string, b byte) {
	t.Helper()
	got, err := table.Create(context.Background(), stream, wrappedKey(b))
	require.NoError(t, err)
	require.Equal(t, wrappedKey(b), got)
}

func openTableAt(t testing.TB, path string) *fileTable {
	t.Helper()
	table, err := openTable(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()) })
	return table
}

// A crash may cut the file anywhere: all keys before the cut stay, the table works on, and what
// was cut is saved.
func TestTable_TruncatedAtAnyByteKeepsEarlierKeys(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "keys.table")
	table := openTableAt(t, path)
	ends := []int64{table.size}
	for i := range 2 {
		create(t, table, fmt.Sprint("run-", i), byte(i+1))
		ends = append(ends, table.size)
	}
	require.NoError(t, table.Close())
	whole := read(t, path)
	dir := t.TempDir()
	for n := range len(whole) {
		// What a file system may leave behind the cut: nothing, and by turns zeros or noise.
		odd := bytes.Repeat([]byte{byte(n % 2 * 0xA5)}, 40)
		for name, tail := range map[string][]byte{"cut": nil, "odd": odd} {
			path := filepath.Join(dir, fmt.Sprintf("%d-%s", n, name))
			content := append(bytes.Clone(whole[:n]), tail...)
			if int64(n) < ends[0] && tail != nil {
				continue // damage of the header is not a torn end
			}
			require.NoError(t, os.WriteFile(path, content, 0o600))
			again, err := openTable(path)
			require.NoError(t, err, "%d %s", n, name)
			kept := 0
			for i := range 2 {
				got, err := again.Get(ctx, fmt.Sprint("run-", i))
				if int64(n) >= ends[i+1] {
					require.NoError(t, err)
					require.Equal(t, wrappedKey(byte(i+1)), got)
					kept++
				} else {
					require.ErrorIs(t, err, domain.ErrNotFound)
				}
			}
			create(t, again, "run-new", 9)
			require.NoError(t, again.Close())
			if int64(n) >= ends[0] {
				require.Len(t, read(t, path), int(ends[kept])+frameHead+entryBytes)
				saved, err := os.ReadFile(fmt.Sprintf("%s.torn-%d", path, ends[kept]))
				if torn := content[ends[kept]:]; len(torn) > 0 {
					require.NoError(t, err)
					require.Equal(t, torn, saved)
				}
			}
			if n%10 > 0 {
				continue
			}
			again, err = openTable(path)
			require.NoError(t, err)
			_, err = again.Get(ctx, "run-new")
			require.NoError(t, err)
			require.NoError(t, again.Close())
		}
	}
}

// Damage before the end is never cut away: the keys behind it are in use.
func TestTable_DamageInTheMiddleIsCorrupt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.table")
	table := openTableAt(t, path)
	first := table.size
	for i := range 3 {
		create(t, table, fmt.Sprint("run-", i), byte(i))
	}
	second := first + frameHead + entryBytes
	require.NoError(t, table.Close())
	whole := read(t, path)
	for i := first; i < second+frameHead+entryBytes; i++ {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x10
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		_, err := openTable(path)
		require.ErrorIs(t, err, domain.ErrCorrupt, "byte %d", i)
		at := first
		if i >= second {
			at = second
		}
		require.ErrorContains(t, err, fmt.Sprintf("%s: is damaged at byte %d", path, at))
		require.Equal(t, damaged, read(t, path), "nothing was changed")
	}
	// A long stretch that cannot be one torn frame.
	require.NoError(t, os.WriteFile(path, append(bytes.Clone(whole), make([]byte, frameBytesMax+1)...), 0o600))
	_, err := openTable(path)
	require.ErrorIs(t, err, domain.ErrCorrupt)
}

// Many frames, across the reader's window.
func TestTable_ManyKeys(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "keys.table")
	var content []byte
	content = append(content, tableHeader...)
	const frames = 7
	for f := range frames {
		var entries []byte
		for i := range frameEntriesMax - f {
			sum := sha256.Sum256(fmt.Appendf(nil, "run-%d-%d", f, i))
			entries = append(append(append(entries, entryKey), sum[:]...), wrappedKey(byte(i))...)
		}
		content = append(content, encodeFrame(entries)...)
	}
	sum := sha256.Sum256([]byte("run-3-3"))
	content = append(content, encodeFrame(append(append([]byte{entryErased}, sum[:]...), make([]byte, wrappedBytes)...))...)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	table := openTableAt(t, path)
	for f := range frames {
		for i := range frameEntriesMax - f {
			got, err := table.Get(ctx, fmt.Sprintf("run-%d-%d", f, i))
			if f == 3 && i == 3 {
				require.ErrorIs(t, err, domain.ErrNotFound, "erased")
				continue
			}
			require.NoError(t, err)
			require.Equal(t, wrappedKey(byte(i)), got)
		}
	}
}

// faultyFile fails on demand and counts syncs.
type faultyFile struct {
	file
	mu        sync.Mutex
	syncs     int
	onWrite   error
	onSync    error
	writeGate chan struct{} // if set, each write takes one token
	writing   chan struct{} // if set, each write says that it waits
}

func (f *faultyFile) WriteAt(b []byte, off int64) (int, error) {
	if f.writing != nil {
		f.writing <- struct{}{}
		<-f.writeGate
	}
	if f.onWrite != nil {
		n, _ := f.file.WriteAt(b[:len(b)/2], off)
		return n, f.onWrite
	}
	return f.file.WriteAt(b, off)
}

func (f *faultyFile) Sync() error {
	f.mu.Lock()
	f.syncs++
	f.mu.Unlock()
	if f.onSync != nil {
		return f.onSync
	}
	return f.file.Sync()
}

func TestTable_DiskFullIsClearAndPasses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.table")
	table := openTableAt(t, path)
	f := &faultyFile{file: table.f, onWrite: syscall.ENOSPC}
	table.f = f
	size := len(read(t, path))
	_, err := table.Create(context.Background(), "run-1", wrappedKey(1))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "the disk is full")
	require.Len(t, read(t, path), size, "the half-written frame is cut off")
	f.onWrite = nil
	create(t, table, "run-1", 1)
}

func TestTable_FailedSyncStopsCreations(t *testing.T) {
	ctx := context.Background()
	table := openTableAt(t, filepath.Join(t.TempDir(), "keys.table"))
	create(t, table, "run-1", 1)
	f := &faultyFile{file: table.f, onSync: errors.New("io")}
	table.f = f
	_, err := table.Create(ctx, "run-2", wrappedKey(2))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	f.onSync = nil
	_, err = table.Create(ctx, "run-3", wrappedKey(3))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = table.Get(ctx, "run-1")
	require.NoError(t, err, "keys that are durable stay readable")
	_, err = table.Get(ctx, "run-2")
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// Creations that arrive during a sync share the next one; of two for one stream the first wins.
func TestTable_ConcurrentCreationsShareASync(t *testing.T) {
	ctx := context.Background()
	table := openTableAt(t, filepath.Join(t.TempDir(), "keys.table"))
	f := &faultyFile{file: table.f, writeGate: make(chan struct{}), writing: make(chan struct{})}
	table.f = f
	const n = frameEntriesMax + 50
	got := make([][]byte, n+2)
	errs := make([]error, n+2)
	var wg sync.WaitGroup
	start := func(i int, stream string) {
		wg.Go(func() { got[i], errs[i] = table.Create(ctx, stream, wrappedKey(byte(i))) })
	}
	start(n, "run-first")
	<-f.writing // the first write is under way and waits
	start(n+1, "run-first")
	for i := range n {
		start(i, fmt.Sprint("run-", i))
	}
	require.Eventually(t, func() bool {
		table.mu.Lock()
		defer table.mu.Unlock()
		return table.queue != nil && len(table.queue.at) == frameEntriesMax
	}, deadline, tick)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		wg.Wait()
	}()
	f.writeGate <- struct{}{}
	for done := false; !done; {
		select {
		case <-f.writing:
			f.writeGate <- struct{}{}
		case <-stop:
			done = true
		}
	}
	for i := range got {
		require.NoError(t, errs[i])
		if i < n {
			require.Equal(t, wrappedKey(byte(i)), got[i])
		}
	}
	require.Equal(t, got[n], got[n+1])
	require.LessOrEqual(t, f.syncs, 2+n-frameEntriesMax, "one for the first, one for a full frame, at most one each for those left over")
}

func TestTable_CancelWhileWaiting(t *testing.T) {
	table := openTableAt(t, filepath.Join(t.TempDir(), "keys.table"))
	f := &faultyFile{file: table.f, writeGate: make(chan struct{}), writing: make(chan struct{})}
	table.f = f
	first := make(chan error)
	go func() {
		_, err := table.Create(context.Background(), "run-1", wrappedKey(1))
		first <- err
	}()
	<-f.writing
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := table.Create(ctx, "run-2", wrappedKey(2))
	require.ErrorIs(t, err, domain.ErrCanceled)
	f.writeGate <- struct{}{}
	require.NoError(t, <-first)
	f.writing = nil
	create(t, table, "run-3", 3)
	got, err := table.Create(context.Background(), "run-2", wrappedKey(4))
	require.NoError(t, err)
	require.Equal(t, wrappedKey(2), got, "the key that was queued is the stream's key")
}
