package raw_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/bench/raw"
)

// The yardstick itself works and leaves nothing behind.
func TestRaw(t *testing.T) {
	dir := t.TempDir()
	for _, how := range []raw.Allocation{raw.Growing, raw.Fallocate, raw.Zeroed} {
		l, err := raw.Fdatasync(dir, 3, 1000, how)
		require.NoError(t, err)
		require.Equal(t, 3, l.Count)
	}
	r, err := raw.Segment(dir, 4, 20*time.Millisecond, 2, 350)
	require.NoError(t, err)
	require.Positive(t, r.Appends)
	require.Equal(t, 2*r.Appends, r.Events)
	require.LessOrEqual(t, r.Batches, r.Appends)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
