package embedded_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/infra/embedded"
	"quipu/infra/embedded/vfs"
)

func openLog(t *testing.T, dir string, opts embedded.Options) *embedded.Log {
	t.Helper()
	l, err := embedded.Open(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// The order of the writes is the order of the log, also among other appenders.
func TestAppendBatch_OrderIsKept(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, embedded.Options{SegmentBytes: embedded.SegmentBytesMin, RecentEventsMax: 1})
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for i := range 4 {
		others.Go(func() {
			stream := domain.StreamID(fmt.Sprintf("other-%d", i))
			for r := domain.NoStream; ctx.Err() == nil; r++ {
				_, err := l.Append(t.Context(), stream, r, logtest.Events(1))
				require.NoError(t, err)
			}
		})
	}
	var want []domain.EventID
	var positions []domain.Position
	for round := range 20 {
		var writes []commands.Write
		for i := range 30 {
			stream := domain.StreamID(fmt.Sprintf("run-%d-%d", round, i%10))
			writes = append(writes, commands.Write{Stream: stream, Expected: domain.Revision(i/10*2) - 1, Events: logtest.Events(2)})
			for _, e := range writes[i].Events {
				want = append(want, e.ID)
			}
		}
		at, err := l.AppendBatch(t.Context(), writes)
		require.NoError(t, err)
		require.Equal(t, domain.Revision(5), at.Revision)
		positions = append(positions, at.Position)
	}
	stop()
	others.Wait()
	require.NoError(t, l.Close())
	l = openLog(t, dir, embedded.Options{})
	all, err := l.ReadAll(t.Context(), 0, 1<<20)
	require.NoError(t, err)
	for round, last := range positions {
		for i, e := range all[int(last)-60 : last] {
			require.Equal(t, want[round*60+i], e.ID, "round %d event %d: nothing comes between", round, i)
		}
	}
}

func TestAppendBatch_AllOrNone(t *testing.T) {
	l := openLog(t, t.TempDir(), embedded.Options{BatchAppendsMax: 4})
	write := func(stream domain.StreamID, expected domain.Revision, events int) commands.Write {
		return commands.Write{Stream: stream, Expected: expected, Events: logtest.Events(events)}
	}
	_, err := l.AppendBatch(t.Context(), []commands.Write{write("a", -1, 2), write("b", -1, 1), write("a", 1, 1)})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		writes []commands.Write
		kind   domain.Kind
	}{
		"one is stale":          {[]commands.Write{write("c", -1, 1), write("a", 1, 1)}, domain.KindConflict},
		"stale behind another":  {[]commands.Write{write("a", 2, 1), write("a", 2, 1)}, domain.KindConflict},
		"a stream that is not":  {[]commands.Write{write("c", -1, 1), write("d", 0, 1)}, domain.KindConflict},
		"a bad stream":          {[]commands.Write{write("c", -1, 1), write("", -1, 1)}, domain.KindInvalid},
		"none":                  {nil, domain.KindInvalid},
		"too many":              {[]commands.Write{write("1", -1, 1), write("2", -1, 1), write("3", -1, 1), write("4", -1, 1), write("5", -1, 1)}, domain.KindInvalid},
		"an append too large":   {[]commands.Write{write("c", -1, domain.AppendEventsMax+1)}, domain.KindInvalid},
		"an append of no event": {[]commands.Write{write("c", -1, 0)}, domain.KindInvalid},
	} {
		_, err := l.AppendBatch(t.Context(), c.writes)
		require.Equal(t, c.kind, domain.KindOf(err), "%s: %v", name, err)
	}
	head, err := l.Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 4, head, "nothing of the refused ones was written")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = l.AppendBatch(canceled, []commands.Write{write("c", -1, 1)})
	require.Equal(t, domain.KindCanceled, domain.KindOf(err))
	require.NoError(t, l.Close())
	_, err = l.AppendBatch(t.Context(), []commands.Write{write("c", -1, 1)})
	require.Equal(t, domain.KindUnavailable, domain.KindOf(err))
}

// A full disk fails a batch as a whole; the same batch passes once there is room.
func TestAppendBatch_FullDisk(t *testing.T) {
	sim := vfs.NewSim()
	l := openSim(t, sim)
	var full atomic.Bool
	full.Store(true)
	sim.Fault = func(c vfs.Call) (int, error) {
		if full.Load() && c.Op == "write" && strings.HasSuffix(c.Name, ".seg") {
			return c.Bytes / 2, syscall.ENOSPC
		}
		return 0, nil
	}
	writes := []commands.Write{
		{Stream: "a", Expected: domain.NoStream, Events: logtest.Events(2)},
		{Stream: "b", Expected: domain.NoStream, Events: logtest.Events(1)},
		{Stream: "a", Expected: 1, Events: logtest.Events(1)},
	}
	_, err := l.AppendBatch(t.Context(), writes)
	require.Equal(t, domain.KindUnavailable, domain.KindOf(err), err)
	full.Store(false)
	at, err := l.AppendBatch(t.Context(), writes)
	require.NoError(t, err)
	require.Equal(t, commands.Appended{Revision: 2, Position: 4}, at)
	require.NoError(t, l.Close())
}
