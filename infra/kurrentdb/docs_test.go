package kurrentdb

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Limits that the documentation names are those of the code.
func TestDocs_LimitsEqualTheConstants(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "kurrentdb.md"))
	require.NoError(t, err)
	o, err := Options{}.withDefaults()
	require.NoError(t, err)
	for _, row := range []string{
		fmt.Sprintf("| appends, readings under way | %d each,", CallsMax),
		fmt.Sprintf("| the ring | %d,%03d events, %d MiB |", o.RingEvents/1000, o.RingEvents%1000, o.RingBytes>>20),
		fmt.Sprintf("reads from the server, %d at a time", historyMax),
		fmt.Sprintf("| one call, waiting included | %.0f s |", o.CallTimeout.Seconds()),
		fmt.Sprintf("| waiting for a connection | %.0f s after its loss |", o.ConnectWait.Seconds()),
		fmt.Sprintf("| tries of one call with unknown outcome | %d,", callAttemptsMax),
		fmt.Sprintf("| %.0f s to %.1f s |", o.Liveness.Seconds(), 1.5*o.Liveness.Seconds()),
		fmt.Sprintf("%d ms to %.0f s apart", o.BackoffMin.Milliseconds(), o.BackoffMax.Seconds()),
		fmt.Sprintf("%d,%03d and a checkpoint after each", searchWindow/1000, searchWindow%1000),
	} {
		require.Contains(t, string(b), row)
	}
	require.Equal(t, 1, checkpointInterval)
}
