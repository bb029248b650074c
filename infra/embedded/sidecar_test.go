package embedded_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/embedded"
	"quipu/infra/embedded/vfs"
)

const firstIndex = dir + "/00000001.idx"

// indexed is a log of several segments, closed, each sealed one with its index.
func indexed(t *testing.T) (sim *vfs.Sim, told *acked, all []domain.Recorded) {
	t.Helper()
	sim = vfs.NewSim()
	l := openSim(t, sim)
	told = &acked{events: map[domain.StreamID][]domain.EventID{}}
	told.work(l, "a", 30)
	require.NoError(t, l.Close())
	l = openSim(t, sim) // makes those that were left out in a hurry
	all, err := l.ReadAll(t.Context(), 0, 1000)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	segments := 0
	for _, name := range sim.Names(dir + "/0") {
		if strings.HasSuffix(name, ".seg") {
			segments++
		}
	}
	require.Greater(t, segments, 3)
	for n := 1; n < segments; n++ {
		require.NotNil(t, sim.Bytes(fmt.Sprintf("%s/%08d.idx", dir, n)))
	}
	return sim, told, all
}

// reopenedEqual opens the log and requires that it holds exactly this, in every way of reading.
func reopenedEqual(t *testing.T, sim *vfs.Sim, told *acked, all []domain.Recorded, about string) {
	t.Helper()
	l, err := embedded.Open(dir, simOptions(sim))
	require.NoError(t, err, about)
	got, err := l.ReadAll(t.Context(), 0, 1000)
	require.NoError(t, err, about)
	require.Equal(t, all, got, about)
	streams := map[domain.StreamID][]domain.Recorded{}
	for _, e := range all {
		streams[e.Stream] = append(streams[e.Stream], e)
	}
	for id, want := range streams {
		got, err := l.ReadStream(t.Context(), id, 0, 1000)
		require.NoError(t, err, about)
		require.Equal(t, want, got, about)
	}
	told.check(t, l, about)
	require.NoError(t, l.Close())
}

// The index of a sealed segment is what Open reads instead of the segment: not its payloads.
func TestOpen_ReadsIndexesInsteadOfSealedSegments(t *testing.T) {
	sim, told, all := indexed(t)
	read := map[string]int{}
	sim.Fault = func(c vfs.Call) (int, error) {
		if c.Op == "read" {
			read[c.Name]++
		}
		return 0, nil
	}
	l := openSim(t, sim)
	require.Equal(t, 2, read[first], "its header and the header of its last batch")
	require.Equal(t, 1, read[firstIndex])
	require.NoError(t, l.Close())
	sim.Fault = nil
	reopenedEqual(t, sim, told, all, "")

	// So damage in there is found by who reads it, and by a check, with its place.
	sim.Bytes(first)[64+40+60] ^= 1
	l = openSim(t, sim)
	_, err := l.ReadAll(t.Context(), 0, 1000)
	require.ErrorIs(t, err, domain.ErrCorrupt)
	require.ErrorContains(t, err, "00000001.seg: offset 104:")
	require.NoError(t, l.Close())
	sum, err := embedded.VerifyDir(t.Context(), dir, sim, nil)
	require.NoError(t, err)
	require.NotZero(t, sum.Problems)
}

// Whatever happens to an index, the log is the same: it is only ever believed when it is right.
func TestOpen_IndexMissingDamagedOrForeign(t *testing.T) {
	sim, told, all := indexed(t)
	whole := append([]byte(nil), sim.Bytes(firstIndex)...)
	put := func(content []byte) {
		f, err := sim.Create(firstIndex)
		require.NoError(t, err)
		_, err = f.WriteAt(content, 0)
		require.NoError(t, err)
	}
	for at := range whole {
		flipped := append([]byte(nil), whole...)
		flipped[at] ^= 1
		put(flipped)
		reopenedEqual(t, sim, told, all, fmt.Sprintf("flipped at %d", at))
		require.Equal(t, whole, sim.Bytes(firstIndex), "made anew")
	}
	for n := 0; n < len(whole); n += 7 {
		put(whole[:n])
		reopenedEqual(t, sim, told, all, fmt.Sprintf("cut at %d", n))
	}
	put(append(append([]byte(nil), whole...), make([]byte, 100)...))
	reopenedEqual(t, sim, told, all, "longer")
	put(sim.Bytes(dir + "/00000002.idx"))
	reopenedEqual(t, sim, told, all, "of another segment")
	require.NoError(t, sim.Remove(firstIndex))
	reopenedEqual(t, sim, told, all, "missing")
	require.Equal(t, whole, sim.Bytes(firstIndex))
}

// A copy that has gone on in another way has segments of the same numbers, positions and salt; an index
// that strays from one to the other is noticed.
func TestOpen_IndexOfAnotherLifeIsNotBelieved(t *testing.T) {
	sim := vfs.NewSim()
	l := openSim(t, sim)
	_, err := embedded.CopyTo(t.Context(), dir, copied, sim)
	require.NoError(t, err)
	lives := map[string]*acked{}
	for _, where := range []string{dir, copied} {
		if where == copied {
			l, err = embedded.Open(copied, simOptions(sim))
			require.NoError(t, err)
		}
		lives[where] = &acked{events: map[domain.StreamID][]domain.EventID{}}
		lives[where].work(l, "a", 30)
		require.NoError(t, l.Close())
	}
	l = openSim(t, sim)
	require.NoError(t, l.Close())
	strayed := 0
	for _, name := range sim.Names(dir + "/0") {
		if strings.HasSuffix(name, ".idx") {
			b := sim.Bytes(name)
			f, err := sim.Create(strings.Replace(name, dir, copied, 1))
			require.NoError(t, err)
			_, err = f.WriteAt(b, 0)
			require.NoError(t, err)
			strayed++
		}
	}
	require.Greater(t, strayed, 2)
	l, err = embedded.Open(copied, simOptions(sim))
	require.NoError(t, err)
	lives[copied].check(t, l, "")
	require.NoError(t, l.Close())
}

// An index that cannot be written or read is a slower start and nothing else.
func TestOpen_IndexThatCannotBeUsed(t *testing.T) {
	for _, op := range []string{"create", "write", "rename", "open", "read"} {
		sim, told, all := indexed(t)
		require.NoError(t, sim.Remove(dir+"/00000002.idx"))
		sim.Fault = func(c vfs.Call) (int, error) {
			if strings.Contains(c.Name, ".idx") && c.Op == op {
				return c.Bytes / 2, syscall.ENOSPC
			}
			return 0, nil
		}
		reopenedEqual(t, sim, told, all, op)
		l := openSim(t, sim)
		told.work(l, op, 20) // rolls segments
		told.check(t, l, op)
		require.NoError(t, l.Close())
	}
}
