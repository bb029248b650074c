package eventbus_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/eventbus"
	"quipu/infra/memory"
)

// If this fails, some client sees a gap, a duplicate or a wrong order: at any moment of connecting,
// with any batch sizes, overflows, cut subscriptions and Refreshes, what a reader yields must be
// exactly the stream from its cursor on.
func TestReader_YieldsExactlyTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		log := memory.NewLog()
		size, fail := 1, error(nil)
		open := func(_ context.Context, after domain.Position, _ string) (eventbus.Source, error) {
			if fail != nil {
				return nil, fail
			}
			return &stepSource{log: log, after: after, size: &size, fail: &fail}, nil
		}
		hub := eventbus.New(log, open, newManualClock(), eventbus.Options{
			QueueEvents:   rapid.IntRange(1, 8).Draw(t, "queue"),
			HistoryEvents: rapid.IntRange(1, 5).Draw(t, "history"),
		})
		streams := []domain.StreamID{"run-a", "run-b", "name-ü/ -x"}
		heads := map[domain.StreamID]int{}
		type following struct {
			reader *eventbus.Reader
			stream domain.StreamID
			from   int
			got    []string
		}
		var readers []*following
		poll := func(f *following) {
			events, err := f.reader.Poll(ctx)
			require.NoError(t, err)
			f.got = append(f.got, texts(events)...)
		}
		var source eventbus.Source
		step := func() {
			var err error
			if source == nil {
				if source, err = hub.Connect(ctx); err != nil {
					source = nil
				}
				return
			}
			if hub.Once(ctx, source) != nil {
				source = nil
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				s, n := rapid.SampledFrom(streams).Draw(t, "stream"), rapid.IntRange(1, 12).Draw(t, "n")
				appendTo(t, log, s, n)
				heads[s] += n
			},
			"crowd": func(t *rapid.T) { // enough followers that recent events are remembered
				for range 4 {
					readers = append(readers, &following{reader: hub.Reader("run-a", domain.Revision(heads["run-a"]), func() {}), stream: "run-a", from: heads["run-a"]})
				}
			},
			"leave": func(t *rapid.T) {
				if len(readers) > 0 {
					i := rapid.IntRange(0, len(readers)-1).Draw(t, "reader")
					readers[i].reader.Close()
					require.Equal(t, expected(readers[i].stream, readers[i].from, readers[i].from+len(readers[i].got)), readers[i].got)
					readers = append(readers[:i:i], readers[i+1:]...)
				}
			},
			"open": func(t *rapid.T) {
				s := rapid.SampledFrom(streams).Draw(t, "stream")
				from := rapid.IntRange(0, heads[s]+2).Draw(t, "from")
				readers = append(readers, &following{reader: hub.Reader(s, domain.Revision(from), func() {}), stream: s, from: from})
			},
			"hub": func(t *rapid.T) {
				size = rapid.IntRange(1, 6).Draw(t, "size")
				step()
			},
			"cut": func(t *rapid.T) {
				fail = errCut
				step()
				fail = nil
			},
			"poll": func(t *rapid.T) {
				if len(readers) > 0 {
					poll(readers[rapid.IntRange(0, len(readers)-1).Draw(t, "reader")])
				}
			},
			"refresh": func(t *rapid.T) {
				if len(readers) > 0 {
					readers[rapid.IntRange(0, len(readers)-1).Draw(t, "reader")].reader.Refresh()
				}
			},
		})
		// Quiet now: the hub reaches the head, every reader takes what there is.
		size = 1000
		for range 3 {
			step()
		}
		for _, f := range readers {
			for before := -1; before != len(f.got); {
				before = len(f.got)
				poll(f)
			}
			require.Equal(t, expected(f.stream, f.from, heads[f.stream]), f.got)
			f.reader.Close()
		}
	})
}
