package browsertest

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// The Studio connects before it posts, with spaces in its names, and its names come again: it is shown
// its own run whole, and never an older one's result.
func TestStudio_ConnectsBeforeItPostsAndRepeatsNames(t *testing.T) {
	t.Parallel()
	start := map[string]func(t *testing.T, w *world, p Params) (*Reports, func(string)){
		"Chromium": func(t *testing.T, w *world, p Params) (*Reports, func(string)) {
			page := NewContext(t).Open(t, p.Page(w.site.Origin))
			return page.Reports, func(expression string) { page.Eval(t, expression, nil) }
		},
		"Node": func(t *testing.T, _ *world, p Params) (*Reports, func(string)) {
			process := Node(t, p)
			return process.Reports, func(expression string) { process.Eval(t, expression) }
		},
	}
	for name, open := range start {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The result of "last week": the window is over at once.
			w := newWorld(t, "--lao-replay-window", "0s")
			flow, run := "Rapid Workflow", "brave otter"
			p := w.params("studio", flow, run)
			p["dag"] = w.small(flow, run)
			r, eval := open(t, w, p)
			for n := 1; n <= 2; n++ {
				r.Await(t, "complete", 1, n)
				id := r.Await(t, "posted", 1, n)[n-1].Message // the run may be over before the answer is read
				frames := r.Frames(1, n)
				require.Equal(t, smallRun, events(frames))
				for _, f := range frames {
					if f.Offset != nil {
						require.Equal(t, id, f.ExecutionID, "its own run, not the one before")
					}
				}
				var output [][]json.RawMessage
				require.NoError(t, json.Unmarshal(r.Of("complete", 1)[n-1].Value, &output))
				require.Len(t, output, 2)
				require.Equal(t, `"read"`, string(output[0][0]))
				require.Equal(t, `"answer"`, string(output[1][0]))
				tasks := r.Of("task", 1)[2*(n-1):]
				require.Len(t, tasks, 2)
				for _, one := range tasks {
					var value struct {
						Paired bool
						MS     float64
						Year   int
					}
					require.NoError(t, json.Unmarshal(one.Value, &value))
					require.True(t, value.Paired, "by task_id")
					require.GreaterOrEqual(t, value.MS, 0.0)
					require.GreaterOrEqual(t, value.Year, 2026, "timestamps are seconds")
				}
				if n == 1 {
					eval("quipuPress()")
				}
			}
			require.Len(t, r.Of("open", 1), 2)
			require.Empty(t, r.Of("plain", 1))
			noExceptions(t, r)
		})
	}
}
