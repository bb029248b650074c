package projections

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Views that commit too often take the machine from what makes the events; too seldom, they lag.
func TestOptions_LingerGrowsWithTheWorkOfACommit(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: LingerDefault, time.Millisecond: LingerDefault, 2 * time.Millisecond: 22 * time.Millisecond,
		5 * time.Millisecond: 55 * time.Millisecond, time.Second: lingerBusyMax,
	} {
		require.Equal(t, want, Options{}.withDefaults().linger(took), took)
	}
	require.Equal(t, time.Second, Options{Linger: time.Second}.linger(time.Minute), "what is asked for is never shortened")
	require.Zero(t, Options{Linger: -1}.linger(time.Minute), "none")
}
