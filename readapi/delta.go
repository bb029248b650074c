package readapi

import (
	"time"

	"quipu/readapi/lao"
)

// Delta is a piece of what a model says, handed to live readers beside the events of its run
// (contract D4). It has no offset and comes once or not at all; a moment's delay of events may let it
// come before the task's first frame.
type Delta struct {
	Task, TaskID string
	Attempt, Seq int // Seq counts the attempt's pieces from 0
	Text         string
	At           time.Time
}

// deltas appends the frames of what was said since the last call. They go out before events that came
// with them, so that none follows its task's end; while history is read they are left out.
func (s *laoSession) deltas(events []Event, dst []byte) []byte {
	c := s.current
	said := c.reader.Ephemeral()
	if c.pending || len(events) > 0 && !events[0].Live() {
		return dst
	}
	for _, v := range said {
		d, ok := v.(Delta)
		if ok && s.req.wantsType(lao.DeltaType) && s.req.wantsTask(d.Task) {
			dst = AppendText(dst, lao.AppendDelta(nil, c.run, lao.Delta(d)))
		}
	}
	return dst
}
