package embedded_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/embedded"
	"quipu/infra/embedded/vfs"
)

// A stream that is not listed would be a run that is never carried on: what the index says must be
// what reading the whole log says, on an open log, after a reopening, after a crash, and beside it.
func TestStreamsByLast_EqualsReadingEverything(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		sim := vfs.NewSim()
		l := openSim(t, sim)
		heads := map[domain.StreamID]domain.Revision{}
		for range 120 {
			stream := domain.StreamID(fmt.Sprint([]string{"run-", "name-"}[rng.IntN(2)], rng.IntN(25)))
			if _, ok := heads[stream]; !ok {
				heads[stream] = domain.NoStream
			}
			events := make([]domain.Pending, 1+rng.IntN(3))
			for i := range events {
				events[i] = domain.Pending{
					ID:   domain.EventID{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), 6: 0x80, 8: 0x80},
					Type: fmt.Sprintf("type.%d.v1", rng.IntN(4)), Data: []byte("{}"), Metadata: []byte("{}"),
				}
			}
			_, err := l.Append(t.Context(), stream, heads[stream], events)
			require.NoError(t, err)
			heads[stream] += domain.Revision(len(events))
		}
		sameTails(t, l, l)
		r := readOnly(t, sim)
		sameTails(t, l, r)
		require.NoError(t, r.Close())
		next := sim
		if seed%2 == 0 {
			require.NoError(t, l.Close())
		} else {
			next = sim.Crash(rng)
			_ = l.Close() // the machine is gone
		}
		l = openSim(t, next)
		sameTails(t, l, l)
		require.NoError(t, l.Close())
		_, err := l.StreamsByLast(t.Context(), "", func(string) bool { return true })
		require.ErrorIs(t, err, domain.ErrUnavailable)
	}
}

type tails interface {
	StreamsByLast(ctx context.Context, prefix string, keep func(string) bool) ([]domain.StreamID, error)
}

func sameTails(t *testing.T, l *embedded.Log, by tails) {
	t.Helper()
	all, err := l.ReadAll(t.Context(), 0, 1000)
	require.NoError(t, err)
	for _, prefix := range []string{"", "run-", "run-1", "none"} {
		keep := func(typ string) bool { return typ != "type.0.v1" && typ != "type.1.v1" }
		last := map[domain.StreamID]string{}
		var order, want []domain.StreamID
		for i := range all {
			if e := &all[i]; strings.HasPrefix(string(e.Stream), prefix) {
				if e.Revision == 0 {
					order = append(order, e.Stream)
				}
				last[e.Stream] = e.Type
			}
		}
		for _, id := range order {
			if keep(last[id]) {
				want = append(want, id)
			}
		}
		got, err := by.StreamsByLast(t.Context(), prefix, keep)
		require.NoError(t, err)
		require.Equal(t, want, append([]domain.StreamID(nil), got...))
	}
}
