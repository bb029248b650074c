package readapi_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/readapi"
)

func (w *world) say(id, task string, seq int, text string) {
	w.hub.PublishEphemeral(domain.StreamID("run-"+id), readapi.Delta{Task: task, TaskID: id + "/" + task, Attempt: 1, Seq: seq, Text: text, At: w.clock.Now()})
}

// D4: what a model says comes as it is said, without an offset, and never after its task's end.
func TestD4_DeltasReachLiveSockets(t *testing.T) {
	w := newWorld(t)
	w.bind("flow", "run", "r1")
	w.started("r1")
	w.taskStarted("r1", "a")
	c, filtered, other := w.dial("/ws/flow/run"), w.dial("/ws/flow/run?types=task_started,llm_delta&node_id=b"), w.dial("/ws/flow/run?types=task_started")
	require.Equal(t, wholeRun[:2], c.briefs(2))
	require.Equal(t, "task_started", other.next().kind())
	filtered.ping()
	w.say("r1", "a", 0, "Grüße \"\n")
	f := c.next()
	at := float64(epoch.UnixMilli()) / 1000
	require.Equal(t, frame{
		"event_type": "llm_delta", "task_id": "r1/a", "task_name": "a", "flow_name": "flow", "run_name": "run", "execution_id": "r1",
		"timestamp": at, "attempt": 1.0, "seq": 0.0, "delta": "Grüße \"\n",
	}, f)
	w.say("r1", "b", 0, "second")
	require.Equal(t, "second", c.next()["delta"])
	require.Equal(t, "second", filtered.next()["delta"])
	r := w.taskCompleted("r1", "a")
	require.Equal(t, wholeRun[2:3], c.briefs(1), "prev goes past what is no event")
	w.completed("r1", map[string]domain.Revision{"a": r})
	require.Equal(t, wholeRun[3:], c.briefs(1))
	other.ping()

	// Who comes later sees the events alone.
	late := w.dial("/ws/flow/run")
	require.Equal(t, wholeRun, late.briefs(4))
	late.ping()
}

// What is said beside a run that a socket does not follow, or to nobody, costs nothing.
func TestD4_DeltasOfNobody(t *testing.T) {
	w := newWorld(t)
	w.say("r1", "a", 0, "unheard")
	w.bind("flow", "run", "r1")
	c := w.dial("/ws/flow/run")
	c.ping()
	w.say("r1", "a", 1, "before the run")
	c.ping()
	w.whole("r1")
	require.Equal(t, wholeRun, c.briefs(4))
	w.clock.Advance(time.Second)
	c.ping()
}
