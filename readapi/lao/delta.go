package lao

import "time"

// DeltaType is the event_type of a piece of a model's words.
const DeltaType = "llm_delta"

// Delta is a piece of what a model says. Seq counts the pieces of an attempt from 0.
type Delta struct {
	Task, TaskID string
	Attempt, Seq int
	Text         string
	At           time.Time
}

// AppendDelta appends the frame of a delta. It is no event: it has neither offset nor prev.
func AppendDelta(dst []byte, r Run, d Delta) []byte {
	o := begin(dst)
	o.Str("event_type", DeltaType)
	o.Str("task_id", d.TaskID)
	o.Str("task_name", d.Task)
	o.Str("flow_name", r.FlowName)
	o.Str("run_name", r.RunName)
	o.Str("execution_id", r.ID)
	o.instant("timestamp", d.At)
	o.Int("attempt", int64(d.Attempt))
	o.Int("seq", int64(d.Seq))
	o.Str("delta", d.Text)
	return o.Done()
}
