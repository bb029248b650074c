package memory_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/memory"
)

// Streams are found by their newest event alone, in the order of their first.
func TestLog_StreamsByLast(t *testing.T) {
	l := memory.NewLog()
	next := byte(0)
	put := func(stream domain.StreamID, expected domain.Revision, typ string) {
		next++
		_, err := l.Append(t.Context(), stream, expected, []domain.Pending{{
			ID: domain.EventID{next, 6: 0x80, 8: 0x80}, Type: typ, Data: []byte("{}"), Metadata: []byte("{}"),
		}})
		require.NoError(t, err)
	}
	put("run-z", -1, "a")
	put("run-b", -1, "a")
	put("name-c", -1, "b")
	put("run-a", -1, "b")
	put("run-b", 0, "b")
	put("run-z", 0, "c")
	put("run-z", 1, "b")
	put("run-d", -1, "a")
	isB := func(typ string) bool { return typ == "b" }
	got, err := l.StreamsByLast(t.Context(), "run-", isB)
	require.NoError(t, err)
	require.Equal(t, []domain.StreamID{"run-z", "run-b", "run-a"}, got)
	got, err = l.StreamsByLast(t.Context(), "", func(typ string) bool { return !isB(typ) })
	require.NoError(t, err)
	require.Equal(t, []domain.StreamID{"run-d"}, got)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = l.StreamsByLast(ctx, "", isB)
	require.ErrorIs(t, err, domain.ErrCanceled)
	require.NoError(t, l.Close())
	_, err = l.StreamsByLast(t.Context(), "", isB)
	require.ErrorIs(t, err, domain.ErrUnavailable)
}
