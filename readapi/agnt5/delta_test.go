package agnt5_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/readapi"
)

func (w *world) say(id, text string, seq int) {
	w.hub.PublishEphemeral(domain.StreamID("run-"+id), readapi.Delta{Task: "a", TaskID: id + "/a", Attempt: 1, Seq: seq, Text: text, At: at(0)})
}

// D4: what a model says comes as it is said, without an offset, before its task's end, and to who is
// there; the filter knows its type.
func TestD4_DeltasReachAgents(t *testing.T) {
	w := newWorld(t)
	c := w.dial("&connection_id=ws_1&types=task_start,llm_delta,task_end")
	require.Equal(t, "resume_accepted", c.next().Type)
	c.send(`{"name":"a"}`)
	id := w.next()
	w.event(id, run.TaskStarted{Task: "a", TaskID: id + "/a", Node: "n", Function: "agent", Input: raw(`{}`)})
	require.Equal(t, []string{"task_start exec_r1 1<-1"}, c.briefs(1))
	deaf := w.dial("&execution_id=exec_r1&types=task_start")
	require.Equal(t, "resume_accepted", deaf.next().Type)
	require.Equal(t, "task_start", deaf.next().Type)

	w.say(id, "Grüße \"\n", 0)
	f := c.next()
	require.Equal(t, "llm_delta", f.Type)
	require.Equal(t, "exec_r1", f.Data.ExecutionID)
	require.Nil(t, f.Data.Offset)
	require.Nil(t, f.Data.Prev)
	require.Equal(t, "2025-09-02T09:42:05.043Z", f.Data.Timestamp)
	require.Equal(t, map[string]any{"task_name": "a", "task_id": "r1/a", "attempt": 1.0, "seq": 0.0, "delta": "Grüße \"\n"}, f.Data.Details)
	w.say(id, "second", 1)
	require.Equal(t, "second", c.next().Data.Details["delta"])
	w.say("r2", "of nobody", 0)

	r := w.event(id, run.TaskCompleted{Task: "a", TaskID: id + "/a", Attempt: 1, StartedAt: at(0), Output: raw(`1`)})
	require.Equal(t, []string{"task_end exec_r1 2<1"}, c.briefs(1), "prev goes past what is no event")
	deaf.ping()

	// Who comes later sees the events alone.
	late := w.dial("&execution_id=exec_r1&types=llm_delta,task_start,task_end")
	require.Equal(t, "resume_accepted", late.next().Type)
	require.Equal(t, []string{"task_start exec_r1 1<-1", "task_end exec_r1 2<1"}, late.briefs(2))
	w.event(id, run.Completed{StartedAt: at(0), Results: raw(`{"a":` + string(rune('0'+r)) + `}`)})
	late.ping()
}
