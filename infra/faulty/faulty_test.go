package faulty_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/infra/faulty"
	"quipu/infra/memory"
)

// What only repeats must still be a log: an append that arrives twice is stored once.
func TestLog_HarmlessKeepsTheContract(t *testing.T) {
	logtest.Run(t, func(testing.TB) commands.Log {
		return faulty.NewLog(memory.NewLog(), faulty.Options{Seed: 1, Rates: faulty.Rates{Repeated: 50}})
	}, logtest.Capabilities{})
}

// A wrapper whose answers are wrong would make right code fail.
func TestLog_AnswersAreTrue(t *testing.T) {
	inner := memory.NewLog()
	l := faulty.NewLog(inner, faulty.Options{Seed: 7, Rates: faulty.Rates{Refused: 20, Lost: 20, Unanswered: 20, Repeated: 20, Unread: 30}})
	head := wire.NewHead()
	seen := map[domain.Kind]int{}
	stored := 0
	for range 300 {
		p, next := wire.Seal("run-x", head, head.At, wire.Cause{}, "t.v1", []byte("{}"))
		_, err := l.Append(t.Context(), "run-x", head.Revision, []domain.Pending{p})
		page, readErr := inner.ReadStream(t.Context(), "run-x", head.Revision+1, 2)
		if readErr != nil {
			require.ErrorIs(t, readErr, domain.ErrNotFound)
		}
		switch {
		case err == nil:
			require.Len(t, page, 1)
		case domain.KindOf(err) == domain.KindUnavailable:
			require.Empty(t, page)
			seen[domain.KindUnavailable]++
		default:
			require.ErrorIs(t, err, domain.ErrIndeterminate)
			seen[domain.KindIndeterminate]++
		}
		if len(page) == 1 {
			head = next
			stored++
		}
	}
	require.Greater(t, seen[domain.KindUnavailable], 30)
	require.Greater(t, seen[domain.KindIndeterminate], 60)
	l.SetRates(faulty.Rates{})
	page, err := l.ReadStream(t.Context(), "run-x", 0, 500)
	require.NoError(t, err)
	require.Len(t, page, stored)
}

func TestLog_CutsSubscriptions(t *testing.T) {
	l := faulty.NewLog(memory.NewLog(), faulty.Options{Rates: faulty.Rates{Cut: 100}})
	s, err := l.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	_, err = s.Next(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func TestBlobs_Fail(t *testing.T) {
	b := faulty.NewBlobs(memory.NewBlobs(), 1, 100, 0)
	_, err := b.Put(t.Context(), []byte("x"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	b = faulty.NewBlobs(memory.NewBlobs(), 1, 0, 100)
	sum, err := b.Put(t.Context(), []byte("x"))
	require.NoError(t, err)
	_, err = b.Get(t.Context(), sum)
	require.ErrorIs(t, err, domain.ErrUnavailable)
}
