package embedded_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/infra/embedded"
	"quipu/infra/embedded/vfs"
)

// beside appends to a log and reads the same folder through a Reader, as another process would.
type beside struct {
	folder
	reader *embedded.Reader
}

func openBeside(tb testing.TB, f folder) commands.Log {
	tb.Helper()
	r, err := embedded.OpenReadOnly(f.dir, embedded.Options{})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = r.Close() })
	return beside{f, r}
}

func (b beside) ReadStream(ctx context.Context, id domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	if err := b.reader.Refresh(ctx); err != nil {
		return nil, err
	}
	return b.reader.ReadStream(ctx, id, from, max)
}

func (b beside) ReadStreamBackward(ctx context.Context, id domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	if err := b.reader.Refresh(ctx); err != nil {
		return nil, err
	}
	return b.reader.ReadStreamBackward(ctx, id, from, max)
}

func (b beside) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	if err := b.reader.Refresh(ctx); err != nil {
		return nil, err
	}
	return b.reader.ReadAll(ctx, after, max)
}

func (b beside) Head(ctx context.Context) (domain.Position, error) {
	if err := b.reader.Refresh(ctx); err != nil {
		return 0, err
	}
	return b.reader.Head(ctx)
}

func (b beside) ID() domain.LogID { return b.reader.ID() }

func (b beside) Close() error {
	if err := b.reader.Close(); err != nil {
		return err
	}
	return b.folder.Close()
}

// Whatever a log promises its readers, a Reader beside it promises too.
func TestReader_Contract(t *testing.T) {
	opts := embedded.Options{SegmentBytes: embedded.SegmentBytesMin}
	logtest.Run(t,
		func(tb testing.TB) commands.Log {
			return openBeside(tb, open(tb, tb.TempDir(), opts).(folder))
		},
		logtest.Capabilities{Durable: true, Reopen: func(tb testing.TB, log commands.Log) commands.Log {
			b := log.(beside)
			require.NoError(tb, b.reader.Close())
			return openBeside(tb, reopen(tb, b.folder).(folder))
		}})
}

// However appends and looks fall together, a Reader sees a prefix of the log, never damage.
func TestReader_BesideAppends(t *testing.T) {
	for range 5 {
		f := open(t, t.TempDir(), embedded.Options{SegmentBytes: embedded.SegmentBytesMin}).(folder)
		told := &acked{events: map[domain.StreamID][]domain.EventID{}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			var wg sync.WaitGroup
			for w := range 3 {
				wg.Go(func() { told.work(f.Log, fmt.Sprint(w), 60) })
			}
			wg.Wait()
		}()
		kept, err := embedded.OpenReadOnly(f.dir, embedded.Options{})
		require.NoError(t, err)
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			fresh, err := embedded.OpenReadOnly(f.dir, embedded.Options{})
			require.NoError(t, err)
			require.NoError(t, kept.Refresh(t.Context()))
			prefix(t, f.Log, fresh)
			prefix(t, f.Log, kept)
			require.NoError(t, fresh.Close())
		}
		head, err := f.Head(t.Context())
		require.NoError(t, err)
		seen, err := kept.Head(t.Context())
		require.NoError(t, err)
		require.Equal(t, head, seen)
		require.NoError(t, kept.Close())
		require.ErrorIs(t, kept.Refresh(t.Context()), domain.ErrUnavailable)
		require.NoError(t, f.Close())
	}
}

// prefix requires that all r shows, and no less than its head says, is what the log holds.
func prefix(t *testing.T, l *embedded.Log, r *embedded.Reader) {
	t.Helper()
	ctx := t.Context()
	require.Equal(t, l.ID(), r.ID())
	head, err := r.Head(ctx)
	require.NoError(t, err)
	for after := domain.Position(0); after < head; {
		got, err := r.ReadAll(ctx, after, 200)
		require.NoError(t, err)
		want, err := l.ReadAll(ctx, after, len(got))
		require.NoError(t, err)
		// What is written and not yet acknowledged is shown here and not yet there.
		require.NotEmpty(t, got)
		for i := range want {
			require.Equal(t, want[i], got[i])
		}
		after = got[len(got)-1].Position
	}
}

// What a crash cut short is not shown and not touched, wherever the cut is.
func TestReader_TornAtEveryByte(t *testing.T) {
	_, _, start, end := three(t, false)
	for at := start; at < end; at++ {
		sim, _, _, _ := three(t, false)
		clear(sim.Bytes(first)[at:])
		before := string(sim.Bytes(first))
		r := readOnly(t, sim)
		all, err := r.ReadAll(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Len(t, all, 2, "torn at %d", at)
		require.NoError(t, r.Close())
		require.Equal(t, before, string(sim.Bytes(first)))
		require.Empty(t, sim.Names(dir+"/cut/"))
	}
}

func TestReader_DamageInTheMiddleIsCorrupt(t *testing.T) {
	_, _, _, end := three(t, true)
	for at := range end {
		sim, _, _, _ := three(t, true)
		sim.Bytes(first)[at] ^= 0x10
		_, err := embedded.OpenReadOnly(dir, simOptions(sim))
		require.ErrorIs(t, err, domain.ErrCorrupt, "byte %d", at)
		require.ErrorContains(t, err, "00000001.seg: offset ", "byte %d", at)
	}
}

// The one who only looks changes nothing: every operation on the disk is a reading one.
func TestReader_WritesNothing(t *testing.T) {
	sim, _, _, _ := three(t, true)
	sim.Fault = func(c vfs.Call) (int, error) {
		switch c.Op {
		case "read", "open", "list", "size":
			return 0, nil
		}
		return 0, fmt.Errorf("%s of %s", c.Op, c.Name)
	}
	r := readOnly(t, sim)
	require.NoError(t, r.Refresh(t.Context()))
	require.NoError(t, r.Close())

	_, err := embedded.OpenReadOnly("elsewhere", simOptions(sim))
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.ErrorContains(t, err, "elsewhere: the folder holds no log")
}

func readOnly(t *testing.T, sim *vfs.Sim) *embedded.Reader {
	t.Helper()
	r, err := embedded.OpenReadOnly(dir, simOptions(sim))
	require.NoError(t, err)
	return r
}
