package readapi

import (
	"strconv"
	"time"

	"quipu/domain/rawjson"
	"quipu/readapi/object"
)

// keepalive appends a keepalive frame if one is due. It is no event: it has no offset.
func (s *laoSession) keepalive(now time.Time, dst []byte) []byte {
	timely := !now.Before(s.keepaliveAt)
	if !timely && !s.keepaliveIn {
		return dst
	}
	s.keepaliveIn = false
	if timely {
		s.keepaliveAt = now.Add(s.live.options.Keepalive)
		s.refresh()
	}
	status, hint := s.last.status, s.last.hint
	if s.current != nil && s.current.pending {
		status, hint = statusWaiting, "the run is named and has not begun; it is shown here when it starts"
	}
	b := make([]byte, 0, 256)
	b = append(b, `{"event_type":"keepalive","flow_name":`...)
	b = rawjson.AppendString(b, s.req.flow)
	b = append(b, `,"run_name":`...)
	b = rawjson.AppendString(b, s.req.run)
	b = append(b, `,"execution_id":`...)
	b = rawjson.AppendString(b, s.last.executionID)
	b = append(b, `,"status":`...)
	b = rawjson.AppendString(b, status)
	b = append(b, `,"head":`...)
	b = strconv.AppendInt(b, int64(s.last.head), 10)
	b = append(b, `,"log":`...)
	b = rawjson.AppendString(b, string(s.live.log.ID()))
	b = append(b, `,"timestamp":`...)
	b = object.AppendSeconds(b, now.UnixMilli())
	b = append(b, `,"hint":`...)
	b = rawjson.AppendString(b, hint)
	return appendFrame(dst, opText, append(b, '}'))
}

// refresh makes the readers look at the log once, so that a feed that is silently dead shows as
// a delay of one keepalive at most and never as silence (lesson: poll as a floor).
func (s *laoSession) refresh() {
	if s.current != nil {
		s.current.reader.Refresh()
	} else if s.names != nil {
		s.names.Refresh()
	}
	s.notify()
}
