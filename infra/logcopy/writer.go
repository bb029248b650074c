package logcopy

import (
	"context"
	"fmt"

	"quipu/commands"
	"quipu/domain"
)

// writer joins consecutive events of a stream to one append, and appends to one batch where the target
// takes batches.
type writer struct {
	*copier
	ctx     context.Context
	batches commands.Batches // nil: one append after the other
	writes  []commands.Write
	bytes   int // of writes
	last    int // bytes of the last of writes
	// most writes and bytes that are held
	writesMax, bytesMax int
	position            domain.Position // of the source's last event added
}

// batchBytes is enough for a batch: larger ones cost memory and gain nothing.
const batchBytes = 1 << 20

func (c *copier) writer(ctx context.Context) *writer {
	w := &writer{copier: c, ctx: ctx, writesMax: 1, bytesMax: domain.AppendBytesMax}
	if b, ok := c.target.(commands.Batches); ok {
		w.batches = b
		var most int
		w.writesMax, most = b.BatchBounds()
		w.bytesMax = min(most, batchBytes)
	}
	return w
}

// add takes the next event of the source, and appends what is held when that would be too much.
func (w *writer) add(e *domain.Recorded) error {
	p := domain.Pending{ID: e.ID, Type: e.Type, Metadata: e.Metadata, Data: e.Data}
	n := domain.EventBytes(&p)
	if i := len(w.writes) - 1; i >= 0 {
		last := &w.writes[i]
		joins := last.Stream == e.Stream && len(last.Events) < domain.AppendEventsMax && w.last+n <= domain.AppendBytesMax
		if w.bytes+n <= w.bytesMax && joins {
			last.Events = append(last.Events, p)
			w.bytes, w.last, w.position = w.bytes+n, w.last+n, e.Position
			return nil
		}
		if len(w.writes) >= w.writesMax || w.bytes+n > w.bytesMax {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	w.writes = append(w.writes, commands.Write{Stream: e.Stream, Expected: e.Revision - 1, Events: []domain.Pending{p}})
	w.bytes, w.last, w.position = w.bytes+n, n, e.Position
	return nil
}

// flush appends what is held.
func (w *writer) flush() error {
	if len(w.writes) == 0 {
		return nil
	}
	var at commands.Appended
	err := w.retry(w.ctx, func() (err error) {
		if w.batches != nil {
			at, err = w.batches.AppendBatch(w.ctx, w.writes)
			return err
		}
		at, err = w.target.Append(w.ctx, w.writes[0].Stream, w.writes[0].Expected, w.writes[0].Events)
		return err
	})
	last := &w.writes[len(w.writes)-1]
	switch {
	case err != nil:
		return fmt.Errorf("copy to log %s: %w", w.target.ID(), err)
	case at.Position <= w.done.TargetHead || at.Revision != last.Expected+domain.Revision(len(last.Events)):
		return domain.E(domain.KindRefused, "copy to", fmt.Sprintf("log %s, stream %q revision %d", w.target.ID(), last.Stream, last.Expected+1),
			"the target holds the event at another place: somebody else writes to it").WithCode("TARGET_DIFFERS")
	}
	w.done.TargetHead = at.Position
	w.done.Appends += len(w.writes)
	before := w.done.Copied / w.o.PageEventsMax
	for i := range w.writes {
		w.done.Copied += len(w.writes[i].Events)
		if w.writes[i].Expected == domain.NoStream {
			w.done.Streams++
		}
	}
	if w.done.Copied/w.o.PageEventsMax > before {
		w.o.Progress(Progress{PhaseCopy, w.done.Copied, w.position, w.goal})
	}
	w.writes, w.bytes, w.last = w.writes[:0], 0, 0
	return nil
}
