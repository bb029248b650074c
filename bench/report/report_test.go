package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A figure exactly at its target has met it, on either side, and a ratio is judged as a ratio.
func TestReport_JudgesByTheTarget(t *testing.T) {
	for _, c := range []struct {
		row Row
		met bool
	}{
		{Row{Figure: 10, Target: AtLeast(10)}, true},
		{Row{Figure: 9.99, Target: AtLeast(10)}, false},
		{Row{Figure: 10, Target: AtMost(10)}, true},
		{Row{Figure: 10.01, Target: AtMost(10)}, false},
		{Row{Figure: 1, Ratio: 0.5, Target: RatioAtLeast(0.5)}, true},
		{Row{Figure: 1, Ratio: 4.1, Target: RatioAtMost(4)}, false},
	} {
		var r Report
		r.Add(c.row)
		require.Equal(t, c.met, *r.Rows[0].Met, "%+v", c.row)
	}
}

func TestReport_Table(t *testing.T) {
	var r Report
	r.Add(Row{Section: "a", What: "x", Figure: 12345.6, Unit: "events/s", Raw: 20000, RawUnit: "events/s", Ratio: 0.617, Target: RatioAtLeast(0.4), Note: "n"})
	r.Add(Row{Section: "b", What: "y", Figure: 0.0421, Unit: "ms"})
	r.Add(Row{Section: "a", What: "z", Figure: 12.34, Unit: "MB", Target: AtMost(12)})
	var b strings.Builder
	require.NoError(t, r.WriteTable(&b))
	var lines []string
	for line := range strings.Lines(b.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	require.Equal(t, []string{
		"|what |figure |raw limit |ratio |target, first |met |note |",
		"|--- |--- |--- |--- |--- |--- |--- |",
		"|**a** | | | | | | |",
		"|x |12,346 events/s |20,000 events/s |0.62 |ratio ≥ 0.40 |yes |n |",
		"|z |12.3 MB | | |≤ 12 MB |no | |",
		"|**b** | | | | | | |",
		"|y |0.042 ms | | | | | |",
	}, lines[2:])
}

func TestNumber(t *testing.T) {
	for want, f := range map[string]float64{"0": 0, "1": 1, "1,000": 1000, "999": 999.4, "1,234,567": 1234567, "0.10": 0.1, "0.012": 0.012, "-1,500": -1500} {
		require.Equal(t, want, number(f))
	}
}
