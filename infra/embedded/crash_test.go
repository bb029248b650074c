package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/infra/embedded"
	"quipu/infra/embedded/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	dir   = "data"
	first = dir + "/00000001.seg"
)

func openSim(t testing.TB, sim *vfs.Sim) *embedded.Log {
	t.Helper()
	l, err := embedded.Open(dir, simOptions(sim))
	require.NoError(t, err)
	return l
}

func simOptions(sim *vfs.Sim) embedded.Options {
	return embedded.Options{FS: sim, SegmentBytes: embedded.SegmentBytesMin}
}

// acked is what a workload was told is durable.
type acked struct {
	mu     sync.Mutex
	events map[domain.StreamID][]domain.EventID
}

// work appends to streams of its own until an append fails.
func (a *acked) work(l *embedded.Log, name string, appends int) {
	for i := range appends {
		stream := domain.StreamID(fmt.Sprintf("run-%s-%d", name, i/3))
		a.mu.Lock()
		expected := domain.Revision(len(a.events[stream])) - 1
		a.mu.Unlock()
		events := logtest.Events(1 + i%3)
		if i%7 == 6 {
			events = logtest.SizedEvents(6000) // more than a segment holds
		}
		_, err := l.Append(context.Background(), stream, expected, events)
		if err != nil {
			return
		}
		a.mu.Lock()
		for _, e := range events {
			a.events[stream] = append(a.events[stream], e.ID)
		}
		a.mu.Unlock()
	}
}

// check requires that everything acknowledged is in l, in place, and that l is sound.
func (a *acked) check(t *testing.T, l *embedded.Log, about string) {
	t.Helper()
	ctx := t.Context()
	for stream, ids := range a.events {
		got, err := l.ReadStream(ctx, stream, 0, 1000)
		require.NoError(t, err, about)
		require.GreaterOrEqual(t, len(got), len(ids), about)
		for i, id := range ids {
			require.Equal(t, id, got[i].ID, about)
		}
	}
	sum, err := l.Verify(ctx, func(p embedded.Problem) { t.Errorf("%s: %s", about, p) })
	require.NoError(t, err)
	require.Zero(t, sum.Problems)
}

// The promise the log is for: power fails at any operation, in the middle of any write, any
// unsynced sector is kept or lost, and nothing acknowledged is missing.
func TestLog_Crash_KeepsWhatWasAcknowledged(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 1))
		sim := vfs.NewSim()
		told := &acked{events: map[domain.StreamID][]domain.EventID{}}
		for life := range 4 {
			about := fmt.Sprintf("seed=%d life=%d", seed, life)
			crashAt(sim, int64(rng.IntN(120)), rng.Float64())
			l, err := embedded.Open(dir, simOptions(sim))
			if err == nil {
				var wg sync.WaitGroup
				for w := range 1 + rng.IntN(3) {
					wg.Go(func() { told.work(l, fmt.Sprintf("%d-%d", life, w), 30) })
				}
				wg.Wait()
				crashed := sim.Crash(rng)
				_ = l.Close() // the machine is gone; this only ends the goroutines
				sim = crashed
			} else {
				sim = sim.Crash(rng)
			}
			l, err = embedded.Open(dir, simOptions(sim))
			require.NoError(t, err, about)
			told.check(t, l, about)
			next := sim
			if rng.IntN(2) == 0 {
				require.NoError(t, l.Close(), about)
			} else {
				next = sim.Crash(rng)
				_ = l.Close() // as above
			}
			sim = next
		}
	}
}

// crashAt lets the machine die at the n-th operation that changes something, a part of it done.
func crashAt(sim *vfs.Sim, n int64, part float64) {
	var count atomic.Int64
	sim.Fault = func(c vfs.Call) (int, error) {
		switch c.Op {
		case "read", "open", "list", "size":
			return 0, nil
		}
		if count.Add(1) <= n {
			return 0, nil
		}
		if count.Load() == n+1 {
			return int(part * float64(c.Bytes)), vfs.ErrCrashed
		}
		return 0, vfs.ErrCrashed
	}
}

// three writes three batches and returns where the second and the third start and the third ends.
func three(t *testing.T, clean bool) (sim *vfs.Sim, second, third, end int) {
	t.Helper()
	sim = vfs.NewSim()
	opts := simOptions(sim)
	opts.SegmentBytes = 64 << 10
	l, err := embedded.Open(dir, opts)
	require.NoError(t, err)
	var starts []int
	for i := range 3 {
		starts = append(starts, used(sim))
		_, err := l.Append(t.Context(), "run-1", domain.Revision(i)-1, logtest.Events(1))
		require.NoError(t, err)
	}
	end = used(sim)
	if clean {
		require.NoError(t, l.Close())
		return sim, starts[1], starts[2], end
	}
	after := sim.Crash(rand.New(rand.NewPCG(1, 1)))
	_ = l.Close() // the machine is gone
	return after, starts[1], starts[2], end
}

// used is the length of segment 1 without the zeros behind it, at least its header.
func used(sim *vfs.Sim) int {
	return max(len(strings.TrimRight(string(sim.Bytes(first)), "\x00")), 64)
}

func events(t *testing.T, l *embedded.Log) int {
	t.Helper()
	all, err := l.ReadAll(t.Context(), 0, 100)
	require.NoError(t, err)
	return len(all)
}

// A batch that a crash cut short is cut off and kept aside, wherever the cut is.
func TestOpen_TornAtEveryByte(t *testing.T) {
	_, _, start, end := three(t, false)
	for at := start; at < end; at++ {
		sim, _, _, _ := three(t, false)
		clear(sim.Bytes(first)[at:])
		l := openSim(t, sim)
		require.Equal(t, 2, events(t, l), "torn at %d", at)
		_, err := l.Append(t.Context(), "run-1", 1, logtest.Events(1))
		require.NoError(t, err)
		require.NoError(t, l.Close())
		if at > start {
			require.Len(t, sim.Names(dir+"/cut/"), 1, "torn at %d", at)
		}
		l = openSim(t, sim)
		require.Equal(t, 3, events(t, l))
		require.NoError(t, l.Close())
	}
}

// Damage before the end is never cut: Open says where it is and changes nothing.
func TestOpen_DamageInTheMiddleIsCorrupt(t *testing.T) {
	_, second, third, end := three(t, true)
	for at := 64; at < end; at++ {
		sim, _, _, _ := three(t, true)
		sim.Bytes(first)[at] ^= 0x10
		before := string(sim.Bytes(first))
		_, err := embedded.Open(dir, simOptions(sim))
		require.ErrorIs(t, err, domain.ErrCorrupt, "byte %d", at)
		start := 64
		if at >= second {
			start = second
		}
		if at >= third {
			start = third
		}
		require.ErrorContains(t, err, fmt.Sprintf("00000001.seg: offset %d:", start), "byte %d", at)
		require.Equal(t, before, string(sim.Bytes(first)), "nothing is changed")
	}
}

// Without an orderly close a rotted last batch looks like a torn write; the ones before it do not.
func TestOpen_DamageAfterCrash(t *testing.T) {
	_, second, third, end := three(t, false)
	for at := second; at < end; at++ {
		sim, _, _, _ := three(t, false)
		sim.Bytes(first)[at] ^= 0x10
		l, err := embedded.Open(dir, simOptions(sim))
		if at < third {
			require.ErrorIs(t, err, domain.ErrCorrupt, "byte %d", at)
			continue
		}
		require.NoError(t, err, "byte %d", at)
		require.Equal(t, 2, events(t, l))
		require.NoError(t, l.Close())
	}
}

func TestOpen_MissingOrForeignFiles(t *testing.T) {
	fill := func() *vfs.Sim {
		sim := vfs.NewSim()
		l := openSim(t, sim)
		(&acked{events: map[domain.StreamID][]domain.EventID{}}).work(l, "a", 40)
		require.NoError(t, l.Close())
		return sim
	}
	require.Greater(t, len(fill().Names(dir+"/0")), 3, "several segments")
	for _, missing := range []string{"00000001.seg", "00000002.seg", "META"} {
		sim := fill()
		require.NoError(t, sim.Remove(dir+"/"+missing))
		_, err := embedded.Open(dir, simOptions(sim))
		require.ErrorIs(t, err, domain.ErrCorrupt, missing)
		require.ErrorContains(t, err, missing)
	}
	sim := fill()
	other := fill()
	copy(sim.Bytes(first), other.Bytes(first))
	_, err := embedded.Open(dir, simOptions(sim))
	require.ErrorIs(t, err, domain.ErrCorrupt, "a segment of another log")

	sim = vfs.NewSim()
	_, err = sim.Create(dir + "/notes.txt")
	require.NoError(t, err)
	_, err = embedded.Open(dir, simOptions(sim))
	require.ErrorIs(t, err, domain.ErrInvalid, "a folder of something else")
}

// After a failed fdatasync nothing is known, so nothing more is accepted; reads go on.
func TestAppend_FailedSyncRefusesUntilReopened(t *testing.T) {
	for _, op := range []string{"datasync", "write"} {
		sim := vfs.NewSim()
		l := openSim(t, sim)
		ctx := t.Context()
		_, err := l.Append(ctx, "run-1", domain.NoStream, logtest.Events(1))
		require.NoError(t, err)
		var failing atomic.Bool
		failing.Store(true)
		sim.Fault = func(c vfs.Call) (int, error) {
			if failing.Load() && c.Op == op && strings.HasSuffix(c.Name, ".seg") {
				return c.Bytes / 2, syscall.EIO
			}
			return 0, nil
		}
		lost := logtest.Events(1)
		_, err = l.Append(ctx, "run-1", 0, lost)
		require.ErrorIs(t, err, domain.ErrIndeterminate)
		require.ErrorIs(t, err, syscall.EIO, "with the cause")
		failing.Store(false)
		_, err = l.Append(ctx, "run-2", domain.NoStream, logtest.Events(1))
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.ErrorIs(t, err, syscall.EIO, "with the cause")
		_, err = l.Append(ctx, "run-1", 0, lost)
		require.ErrorIs(t, err, domain.ErrIndeterminate, "these events may be stored")
		require.Equal(t, 1, events(t, l), "reads go on")
		require.NoError(t, l.Close())

		l = openSim(t, sim)
		_, err = l.Append(ctx, "run-1", 0, lost)
		require.NoError(t, err, "the same bytes again: stored once, whatever happened")
		require.Equal(t, 2, events(t, l))
		require.NoError(t, l.Close())
	}
}

// A full disk refuses, clearly and without loss, and the log goes on when there is room again.
func TestAppend_FullDiskRecovers(t *testing.T) {
	for _, where := range []string{".seg", "prepared.tmp"} {
		sim := vfs.NewSim()
		l := openSim(t, sim)
		ctx := t.Context()
		told := &acked{events: map[domain.StreamID][]domain.EventID{}}
		told.work(l, "before", 2)
		var full atomic.Bool
		full.Store(true)
		sim.Fault = func(c vfs.Call) (int, error) {
			if full.Load() && c.Op == "write" && strings.HasSuffix(c.Name, where) {
				return c.Bytes / 2, syscall.ENOSPC
			}
			return 0, nil
		}
		var err error
		appended := domain.NoStream
		for range 10 { // until the segment is used up, where only the next cannot be prepared
			if _, err = l.Append(ctx, "run-1", appended, logtest.SizedEvents(2000)); err != nil {
				break
			}
			appended++
		}
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.ErrorContains(t, err, "no space left")
		var e *domain.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "DISK_FULL", e.Code)
		full.Store(false)
		for range 10 {
			_, err = l.Append(ctx, "run-1", appended, logtest.SizedEvents(2000))
			require.NoError(t, err)
			appended++
		}
		told.check(t, l, where)
		require.NoError(t, l.Close())
		l = openSim(t, sim)
		told.check(t, l, where)
		got, err := l.ReadStream(ctx, "run-1", 0, 100)
		require.NoError(t, err)
		require.Len(t, got, int(appended)+1)
		require.NoError(t, l.Close())
	}
}

func TestOpen_ReadOnlyFolder(t *testing.T) {
	for _, code := range []error{syscall.EROFS, syscall.EACCES} {
		sim := vfs.NewSim()
		sim.Fault = func(c vfs.Call) (int, error) {
			if c.Op == "lock" {
				return 0, code
			}
			return 0, nil
		}
		_, err := embedded.Open(dir, simOptions(sim))
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.ErrorContains(t, err, "must be writable")
	}
}

func TestOpen_SecondOpenIsRefused(t *testing.T) {
	folder := t.TempDir()
	opts := embedded.Options{SegmentBytes: embedded.SegmentBytesMin}
	l, err := embedded.Open(folder, opts)
	require.NoError(t, err)
	_, err = embedded.Open(folder, opts)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, "in use by another process")
	require.NoError(t, l.Close())
	l, err = embedded.Open(folder, opts)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

// A damaged byte is found by the read that meets it, and named.
func TestRead_DamageIsNamed(t *testing.T) {
	sim := vfs.NewSim()
	opts := simOptions(sim)
	opts.SegmentBytes, opts.RecentEventsMax = 64<<10, 1
	l, err := embedded.Open(dir, opts)
	require.NoError(t, err)
	for i := range 4 {
		_, err := l.Append(t.Context(), "run-1", domain.Revision(i)-1, logtest.Events(2)[:1])
		require.NoError(t, err)
	}
	sub, err := l.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	sim.Bytes(first)[64+40+60] ^= 1
	for _, err := range []error{
		second(l.ReadStream(t.Context(), "run-1", 0, 10)), second(l.ReadStreamBackward(t.Context(), "run-1", 9, 10)),
		second(l.ReadAll(t.Context(), 0, 10)), second(sub.Next(t.Context())),
	} {
		require.ErrorIs(t, err, domain.ErrCorrupt)
		require.ErrorContains(t, err, "00000001.seg: offset 104:")
	}
	require.Error(t, errors.Join(l.Close(), reopened(sim)))
}

func reopened(sim *vfs.Sim) error { _, err := embedded.Open(dir, simOptions(sim)); return err }

func second[T any](_ T, err error) error { return err }
