package embedded_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/embedded"
	"quipu/infra/embedded/vfs"
)

const copied = "copy"

// A copy made at any moment holds all that was acknowledged before, is sound, and is another log.
func TestCopyTo_BesideAppends(t *testing.T) {
	opts := embedded.Options{SegmentBytes: embedded.SegmentBytesMin}
	f := open(t, t.TempDir(), opts).(folder)
	var wg sync.WaitGroup
	workers := make([]*acked, 3)
	for w := range workers {
		workers[w] = &acked{events: map[domain.StreamID][]domain.EventID{}}
		wg.Go(func() { workers[w].work(f.Log, fmt.Sprint(w), 300) })
	}
	ids := map[domain.LogID]bool{f.ID(): true}
	for range 8 {
		var before []*acked
		for _, w := range workers {
			before = append(before, w.snapshot())
		}
		to := filepath.Join(t.TempDir(), "log")
		c, err := embedded.CopyTo(t.Context(), f.dir, to, nil)
		require.NoError(t, err)
		require.Equal(t, f.ID(), c.Source)
		for _, file := range c.Files {
			b, err := os.ReadFile(filepath.Join(to, file.Name))
			require.NoError(t, err)
			sum := sha256.Sum256(b)
			require.Equal(t, hex.EncodeToString(sum[:]), file.SHA256)
			require.Len(t, b, int(file.Bytes))
		}
		source, unopened, err := embedded.Unopened(to)
		require.NoError(t, err)
		require.True(t, unopened)
		require.Equal(t, f.ID(), source)

		sum, err := embedded.VerifyDir(t.Context(), to, nil, func(p embedded.Problem) { t.Error(p) })
		require.NoError(t, err)
		require.Equal(t, c.Head, sum.Head)
		l, err := embedded.Open(to, opts)
		require.NoError(t, err)
		require.False(t, ids[l.ID()], "an id of its own")
		ids[l.ID()] = true
		for _, b := range before {
			b.check(t, l, to)
		}
		(&acked{events: map[domain.StreamID][]domain.EventID{}}).work(l, "after", 20)
		require.NoError(t, l.Close())
		again, err := embedded.Open(to, opts)
		require.NoError(t, err)
		require.Equal(t, l.ID(), again.ID(), "once")
		require.NoError(t, again.Close())
		_, unopened, err = embedded.Unopened(to)
		require.NoError(t, err)
		require.False(t, unopened)
	}
	wg.Wait()
	require.NoError(t, f.Close())
}

func (a *acked) snapshot() *acked {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &acked{events: map[domain.StreamID][]domain.EventID{}}
	for stream, ids := range a.events {
		s.events[stream] = append(s.events[stream], ids...)
	}
	return s
}

// copyOf is a log of some segments and its copy, both in sim.
func copyOf(t *testing.T) (sim *vfs.Sim, told *acked, c embedded.Copy) {
	t.Helper()
	sim = vfs.NewSim()
	l := openSim(t, sim)
	told = &acked{events: map[domain.StreamID][]domain.EventID{}}
	told.work(l, "a", 20)
	c, err := embedded.CopyTo(t.Context(), dir, copied, sim)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return sim, told, c
}

// Power fails at every operation of the first opening: the copy takes an id of its own all the same,
// and the one that Open once told is never taken back.
func TestOpen_CopyTakesAnIDOnce(t *testing.T) {
	opened := 0
	for n := range int64(40) {
		for seed := range uint64(6) {
			about := fmt.Sprintf("n=%d seed=%d", n, seed)
			sim, told, c := copyOf(t)
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			crashAt(sim, n, rng.Float64())
			l, err := embedded.Open(copied, simOptions(sim))
			var id domain.LogID
			after := sim.Crash(rng)
			if err == nil {
				id = l.ID()
				_ = l.Close() // the machine is gone
				opened++
			}
			l, err = embedded.Open(copied, simOptions(after))
			require.NoError(t, err, about)
			require.NotEqual(t, c.Source, l.ID(), about)
			if id != "" {
				require.Equal(t, id, l.ID(), about)
			}
			told.check(t, l, about)
			id = l.ID()
			require.NoError(t, l.Close())
			l, err = embedded.Open(copied, simOptions(after))
			require.NoError(t, err, about)
			require.Equal(t, id, l.ID(), about)
			require.NoError(t, l.Close())
		}
	}
	require.NotZero(t, opened)
	require.Less(t, opened, 200, "most crashes hit the opening itself")
}

// A torn end is left out and told; the source stays as it is.
func TestCopyTo_TornAtEveryByte(t *testing.T) {
	_, _, start, end := three(t, false)
	for at := start; at < end; at++ {
		sim, _, _, _ := three(t, false)
		clear(sim.Bytes(first)[at:])
		before := string(sim.Bytes(first))
		torn := len(strings.TrimRight(before, "\x00")) - start
		c, err := embedded.CopyTo(t.Context(), dir, copied, sim)
		require.NoError(t, err)
		require.Equal(t, domain.Position(2), c.Head)
		require.Equal(t, int64(torn), c.Unfinished, "torn at %d", at)
		require.Equal(t, before, string(sim.Bytes(first)))
		l, err := embedded.Open(copied, simOptions(sim))
		require.NoError(t, err)
		require.Equal(t, 2, events(t, l))
		require.NoError(t, l.Close())
	}
}

// Damage is told with its place, never copied, and what was copied before it is no log.
func TestCopyTo_DamageIsCorrupt(t *testing.T) {
	_, _, _, end := three(t, true)
	for at := range end {
		sim, _, _, _ := three(t, true)
		sim.Bytes(first)[at] ^= 0x10
		_, err := embedded.CopyTo(t.Context(), dir, copied, sim)
		require.ErrorIs(t, err, domain.ErrCorrupt, "byte %d", at)
		require.ErrorContains(t, err, "00000001.seg: offset ", "byte %d", at)
		require.Nil(t, sim.Bytes(copied+"/META"))
	}
	sim, _, _ := copyOf(t)
	require.NoError(t, sim.Remove(dir+"/00000002.seg"))
	_, err := embedded.CopyTo(t.Context(), dir, "another", sim)
	require.ErrorIs(t, err, domain.ErrCorrupt)
	require.ErrorContains(t, err, "00000002.seg")
}

// The copy ended in order, so that rot in its last batch does not pass for a write cut short.
func TestCopyTo_CopyShowsEveryRottenByte(t *testing.T) {
	for at := 0; ; at++ {
		sim, _, _, _ := three(t, false)
		_, err := embedded.CopyTo(t.Context(), dir, copied, sim)
		require.NoError(t, err)
		b := sim.Bytes(copied + "/00000001.seg")
		if at == len(b)-40 { // the mark of the end itself
			break
		}
		b[at] ^= 1
		_, err = embedded.Open(copied, simOptions(sim))
		require.ErrorIs(t, err, domain.ErrCorrupt, "byte %d", at)
	}
}

// Whatever fails at the target, CopyTo says so, and what is there is no log or a whole one.
func TestCopyTo_TargetFails(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		for n := 0; ; n++ {
			sim, told, _ := copyOf(t)
			count, hit := 0, false
			sim.Fault = func(c vfs.Call) (int, error) {
				if !strings.HasPrefix(c.Name, "target") {
					return 0, nil
				}
				if count++; count <= n {
					return 0, nil
				}
				hit = true
				return c.Bytes / 2, cause
			}
			_, err := embedded.CopyTo(t.Context(), dir, "target", sim)
			if !hit {
				require.NoError(t, err)
				require.Greater(t, n, 20)
				break
			}
			require.ErrorIs(t, err, domain.ErrUnavailable, "operation %d", n)
			require.ErrorIs(t, err, cause)
			require.ErrorContains(t, err, "target")
			if cause == syscall.ENOSPC {
				require.ErrorContains(t, err, "the disk is full")
			}
			sim.Fault = nil
			if sim.Bytes("target/META") == nil {
				continue // no log
			}
			l, err := embedded.Open("target", simOptions(sim))
			require.NoError(t, err)
			told.check(t, l, "")
			require.NoError(t, l.Close())
		}
	}
}

func TestCopyTo_Refusals(t *testing.T) {
	sim, _, _ := copyOf(t)
	_, err := embedded.CopyTo(t.Context(), "elsewhere", "target", sim)
	require.ErrorIs(t, err, domain.ErrNotFound)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = embedded.CopyTo(ctx, dir, "target", sim)
	require.ErrorIs(t, err, domain.ErrCanceled)
}
