package webhooks

import (
	"quipu/domain"
)

// parcel is one event on its way.
type parcel struct {
	before   domain.Position // how far the log was considered before it
	stream   domain.StreamID
	revision domain.Revision
	position domain.Position
	id, typ  string
	bytes    int
	event    *domain.Recorded // nil once it failed: it is read again for the next attempt
	attempts int
	done     bool
}

// window holds what a courier has read and not passed yet. It belongs to the courier's goroutine.
type window struct {
	considered domain.Position // all of the log up to here is done or in the window
	parcels    []*parcel       // by position; done ones wait for those before them
	lanes      map[domain.StreamID][]*parcel
	ready      []domain.StreamID // lanes whose first parcel may be attempted
	pending    int               // parcels that are not done
	failing    int               // of these, how many were tried in vain
	bytes      int               // of the events held for them
}

func newWindow(at domain.Position) *window {
	return &window{considered: at, lanes: map[domain.StreamID][]*parcel{}}
}

// add takes an event that is to be delivered.
func (w *window) add(e *domain.Recorded) {
	p := &parcel{
		before: w.considered, stream: e.Stream, revision: e.Revision, position: e.Position,
		id: e.ID.String(), typ: e.Type, bytes: len(e.Data) + len(e.Metadata), event: e,
	}
	w.considered = e.Position
	w.parcels = append(w.parcels, p)
	w.pending++
	w.bytes += p.bytes
	lane := w.lanes[p.stream]
	if len(lane) == 0 {
		w.ready = append(w.ready, p.stream)
	}
	w.lanes[p.stream] = append(lane, p)
}

// next takes the first parcel of a lane that may be attempted; nil if there is none.
func (w *window) next() *parcel {
	if len(w.ready) == 0 {
		return nil
	}
	stream := w.ready[0]
	w.ready = w.ready[1:]
	return w.lanes[stream][0]
}

// release lets go of the event's bytes while it waits for its next attempt.
func (w *window) release(p *parcel) {
	if p.event != nil {
		w.bytes -= p.bytes
		p.event = nil
	}
}

// fail counts an attempt in vain.
func (w *window) fail(p *parcel) {
	w.release(p)
	if p.attempts++; p.attempts == 1 {
		w.failing++
	}
}

// finish ends a parcel, which is the first of its lane, and lets the next one go.
func (w *window) finish(p *parcel) {
	w.release(p)
	if p.attempts > 0 {
		w.failing--
	}
	p.done = true
	w.pending--
	if lane := w.lanes[p.stream][1:]; len(lane) == 0 {
		delete(w.lanes, p.stream)
	} else {
		w.lanes[p.stream] = lane
		w.ready = append(w.ready, p.stream)
	}
	n := 0
	for n < len(w.parcels) && w.parcels[n].done {
		n++
	}
	w.parcels = w.parcels[n:]
	if len(w.parcels) == 0 {
		w.parcels = nil
	}
}

// checkpoint is the position up to which everything is done.
func (w *window) checkpoint() domain.Position {
	if len(w.parcels) > 0 {
		return w.parcels[0].before
	}
	return w.considered
}

// room is how many more events may be taken; it is 0 until there is some worth a reading.
func (w *window) room() int {
	free := min(PendingMax-w.pending, HeldMax-len(w.parcels))
	if w.bytes >= PendingBytesMax || free < PendingMax/4 {
		return 0
	}
	return free
}
