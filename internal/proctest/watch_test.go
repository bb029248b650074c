package proctest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// quipu watch prints a run of a name, and an execution of any API, of a server that asks for a key.
func TestWatch_RunsAndExecutionsWithAKey(t *testing.T) {
	const key = "k-0123456789abcdef"
	s := Start(t, Options{Args: []string{"--api-keys", "ci:" + key, "--lao-open", "no"}})
	s.Ready()
	r := as(t, s, "POST", "/run-dag", string(dag("f", "r", nil, noop("a", 1), noop("b", 2, "a"))), "x-api-key", key)
	require.Equal(t, 200, r.Status, string(r.Body))
	var started Started
	require.NoError(t, r.JSON(&started))
	watched := func(args ...string) (types []string) {
		code, out := Run(t, append([]string{"watch", "--server", s.Addr(), "--api-key", key}, args...)...)
		require.Zero(t, code, out)
		for line := range strings.Lines(out) {
			var f struct {
				EventType string `json:"event_type"`
				Offset    *int64
			}
			require.NoError(t, json.Unmarshal([]byte(line), &f), line)
			if f.Offset != nil { // else it is no event
				types = append(types, f.EventType)
			}
		}
		return types
	}
	run := []string{"flow_started", "task_started", "task_completed", "task_started", "task_completed", "flow_completed"}
	require.Equal(t, run, watched("f", "r"))
	require.Equal(t, run, watched("f", "r", "--execution-id", started.TaskID))
	require.Equal(t, run[4:], watched("f", "r", "--after", "3"))
	execution := []string{"workflow.started", "node.started", "node.completed", "node.started", "node.completed", "workflow.completed"}
	require.Equal(t, execution, watched(started.TaskID))
	require.Equal(t, execution, watched("exec_"+started.TaskID))
	require.Equal(t, []string{"node.completed", "node.completed", "workflow.completed"}, watched(started.TaskID, "--types", "node.completed,workflow.completed"))

	for _, c := range []struct{ args, says string }{
		{"f r", "401"}, {started.TaskID, "401"}, {started.TaskID + " --api-key wrong-0123456789abc", "401"}, {"nobody --api-key " + key, "404"},
	} {
		code, out := Run(t, append([]string{"watch", "--server", s.Addr()}, strings.Fields(c.args)...)...)
		require.Equal(t, 1, code, out)
		require.Contains(t, out, c.says, c.args)
	}
}
