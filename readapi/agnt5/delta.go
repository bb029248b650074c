package agnt5

import (
	"quipu/readapi"
	"quipu/readapi/object"
)

// TypeDelta is the type of a piece of a model's words. It is no event: it has no offset and no prev,
// comes once or not at all, and is in no history (contract D4).
const TypeDelta = "llm_delta"

// deltas appends the frames of what an execution's models have said since the last call. They go out
// before the events that came with them, so that none follows its task's end; while history is read
// they are left out.
func (s *session) deltas(e *execution, dst []byte) []byte {
	said := e.reader.Ephemeral()
	if len(e.queue) > 0 && !e.queue[0].Live() || s.req.types != nil && !s.req.types[TypeDelta] {
		return dst
	}
	for _, v := range said {
		if d, ok := v.(readapi.Delta); ok {
			dst = readapi.AppendText(dst, appendDelta(nil, e.id, d))
		}
	}
	return dst
}

func appendDelta(dst []byte, executionID string, d readapi.Delta) []byte {
	o := object.New(dst)
	o.Str("type", TypeDelta)
	o.Open("data")
	o.Time("timestamp", d.At)
	o.Open("details")
	o.Str("task_name", d.Task)
	o.Str("task_id", d.TaskID)
	o.Int("attempt", int64(d.Attempt))
	o.Int("seq", int64(d.Seq))
	o.Str("delta", d.Text)
	o.Close()
	o.Str("execution_id", IDPrefix+executionID)
	o.Close()
	return o.Done()
}
