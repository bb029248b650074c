package commands

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/run"
)

// A cache without bounds would keep every result ever given in memory.
func TestRecentRuns_BoundedByCountAndBytes(t *testing.T) {
	c := newRecentRuns()
	for i := range 3 * recentRunsMax {
		c.put(&run.State{RunID: fmt.Sprint(i)})
	}
	require.Len(t, c.byID, recentRunsMax)
	require.Nil(t, c.get("0"))
	require.NotNil(t, c.get(fmt.Sprint(3*recentRunsMax-1)))
	big := domain.Raw([]byte(`"` + strings.Repeat("x", recentBytesMax/3) + `"`))
	for i := range 10 {
		c.put(&run.State{RunID: fmt.Sprint("big", i), Input: big})
		require.LessOrEqual(t, c.bytes, recentBytesMax)
	}
	require.NotNil(t, c.get("big9"))
	require.Nil(t, c.get("big0"))
	c.put(&run.State{RunID: "huge", Input: domain.Raw(make([]byte, recentBytesMax+1))})
	require.Nil(t, c.get("huge"))
}
