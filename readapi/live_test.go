package readapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
)

var wholeRun = []string{"flow_started 0<-1", "task_started 1<0", "task_completed 2<1", "flow_completed 3<2"}

// S0-4: a client that connects after the run began sees it from flow_started on, then live.
func TestLive_HistoryThenLive(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.started("r1")
	w.taskStarted("r1", "a")
	c := w.dial("/ws/flow/run")
	require.Equal(t, wholeRun[:2], c.briefs(2))
	r := w.taskCompleted("r1", "a")
	require.Equal(t, wholeRun[2:3], c.briefs(1))
	w.completed("r1", map[string]domain.Revision{"a": r})
	f := c.next()
	require.Equal(t, wholeRun[3], f.brief())
	require.Equal(t, "flow", f["task_name"])
	require.Equal(t, map[string]any{"a": map[string]any{"y": "a"}}, f["output"])
	require.Equal(t, "r1", f["execution_id"])
	require.Equal(t, "log-1", f["log"])
	c.ping()
}
