package feeds

import (
	"strings"

	"quipu/readapi"
	"quipu/readapi/object"
)

// deltaType is the event_type of a piece of a model's words. It is no event: it has no offset,
// position, id or prev, comes once or not at all, and is in no history (contract D4).
const deltaType = "llm_delta"

// deltas appends the frames of what was said since the last call. They go out before the events that
// came with them, so that none follows its node's end; while history is read they are left out.
func (s *session) deltas(dst []byte) []byte {
	streams, values := s.feed.Ephemeral()
	if len(s.queue) > 0 && !s.queue[0].Live() {
		return dst
	}
	for i, v := range values {
		d, ok := v.(readapi.Delta)
		if !ok || !s.query.wants(deltaType, d.Task) {
			continue
		}
		o := object.New(nil)
		o.Str("event_type", deltaType)
		o.Open("data")
		o.StrOrNull("workflow_id", s.what.workflowID)
		o.Str("execution_id", strings.TrimPrefix(string(streams[i]), runStreamPrefix))
		o.Time("timestamp", d.At)
		o.Str("node_id", d.Task)
		o.Str("task_id", d.TaskID)
		o.Int("attempt", int64(d.Attempt))
		o.Int("seq", int64(d.Seq))
		o.Str("delta", d.Text)
		o.Close()
		o.Seconds("timestamp", d.At)
		dst = readapi.AppendText(dst, o.Done())
	}
	return dst
}
