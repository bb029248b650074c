package embedded

import (
	"context"
	"fmt"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/durable"
)

// page collects events within the bounds of one read.
type page struct {
	events []domain.Recorded
	bytes  int
	max    int
}

// add takes events in order until the page is full, and reports whether it took all.
func (p *page) add(events []domain.Recorded) bool {
	for i := range events {
		if !p.addOne(&events[i]) {
			return false
		}
	}
	return true
}

// take is add for a slice that nobody else holds: an empty page keeps it.
func (p *page) take(events []domain.Recorded) bool {
	if len(p.events) > 0 {
		return p.add(events)
	}
	n := p.fitting(events)
	p.events = events[:n:n]
	return n == len(events)
}

// fitting counts the events that an empty page takes, and their bytes.
func (p *page) fitting(events []domain.Recorded) int {
	for i := range events {
		n := len(events[i].Data) + len(events[i].Metadata)
		if i >= p.max || i > 0 && p.bytes+n > commands.ReadBytesMax {
			return i
		}
		p.bytes += n
	}
	return len(events)
}

func (p *page) addOne(e *domain.Recorded) bool {
	n := len(e.Data) + len(e.Metadata)
	if len(p.events) >= p.max || len(p.events) > 0 && p.bytes+n > commands.ReadBytesMax {
		return false
	}
	p.events = append(p.events, *e)
	p.bytes += n
	return true
}

// appendRecorded appends the events of a record after position `after`; !ok means that its
// lengths do not fit.
func appendRecorded(to []domain.Recorded, r *record, stream domain.StreamID, after domain.Position, types *typeNames) ([]domain.Recorded, bool) {
	body := r.body
	for i := range r.events {
		e, rest, ok := nextEvent(body)
		if !ok {
			return to, false
		}
		body = rest
		position := r.first + domain.Position(i)
		if position <= after {
			continue
		}
		to = append(to, domain.Recorded{
			Stream:   stream,
			Revision: r.revision + domain.Revision(i),
			Position: position,
			ID:       e.id,
			Type:     types.intern(e.typ),
			Metadata: e.metadata,
			Data:     e.data,
		})
	}
	return to, len(body) == 0
}

// ReadStream implements commands.Log.
func (l *Log) ReadStream(ctx context.Context, id domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	done, err := l.begin(ctx, "read", string(id), max)
	if err != nil {
		return nil, err
	}
	defer done()
	st, head, appends, ok := l.index.lookup(id)
	if !ok {
		return nil, domain.E(domain.KindNotFound, "read", string(id), "no such stream")
	}
	if from < 0 {
		from = 0
	}
	if from > head {
		return nil, nil
	}
	p := page{max: max, events: make([]domain.Recorded, 0, min(int64(max), int64(head-from)+1, 1024))}
	for i := appendOf(appends, from); i < len(appends); i++ {
		events, err := l.appendAt(ctx, st, appends[i])
		if err != nil {
			return nil, err
		}
		if skip := from - appends[i].revision; skip > 0 {
			events = events[skip:]
		}
		if !p.add(events) {
			break
		}
	}
	return p.events, nil
}

// ReadStreamBackward implements commands.Log.
func (l *Log) ReadStreamBackward(ctx context.Context, id domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	done, err := l.begin(ctx, "read", string(id), max)
	if err != nil {
		return nil, err
	}
	defer done()
	st, head, appends, ok := l.index.lookup(id)
	if !ok {
		return nil, domain.E(domain.KindNotFound, "read", string(id), "no such stream")
	}
	from = min(from, head)
	p := page{max: max}
	for from >= 0 {
		a := appends[appendOf(appends, from)]
		events, err := l.appendAt(ctx, st, a)
		if err != nil {
			return nil, err
		}
		for i := int(from - a.revision); i >= 0; i-- {
			if !p.addOne(&events[i]) {
				return p.events, nil
			}
		}
		from = a.revision - 1
	}
	return p.events, nil
}

// appendAt returns the events of one append, from memory or from its file.
func (l *Log) appendAt(ctx context.Context, st *stream, at place) ([]domain.Recorded, error) {
	if events := l.recent.at(at, l.types); events != nil {
		return events, nil
	}
	if err := durable.ContextError(ctx, "read", string(st.id)); err != nil {
		return nil, err
	}
	seg := l.index.bySegment(at.segment)
	b, err := readRecord(seg, int64(at.offset))
	if err != nil {
		return nil, err
	}
	damaged := func(what string) error { return corruptError(seg.name, int64(at.offset), what) }
	r, ok := decodeRecord(b)
	if !ok || !recordChecksumOK(b, r.bytes, l.seed) {
		return nil, damaged("an append has a wrong checksum")
	}
	if string(r.stream) != string(st.id) || r.revision != at.revision {
		return nil, damaged("another append stands here than the index says")
	}
	events, ok := appendRecorded(make([]domain.Recorded, 0, r.events), &r, st.id, 0, l.types)
	if !ok {
		return nil, damaged("an append cannot be decoded")
	}
	return events, nil
}

// readRecordGuess is how much is read at once in the hope that the record ends within it.
const readRecordGuess = 2 << 10

// readRecord reads the bytes of the record at offset. The buffer is the record's own.
func readRecord(seg *segment, offset int64) ([]byte, error) {
	b := make([]byte, readRecordGuess)
	n, err := readAt(seg.file, b, offset)
	if err != nil {
		return nil, corruptError(seg.name, offset, err.Error())
	}
	want := recordBytes(b[:n])
	if want == 0 || want > recordBytesMax {
		return nil, corruptError(seg.name, offset, "an append has an impossible length")
	}
	if want <= n {
		return b[:want:want], nil
	}
	whole := make([]byte, want)
	copy(whole, b[:n])
	m, err := readAt(seg.file, whole[n:], offset+int64(n))
	if err != nil || n+m < want {
		return nil, corruptError(seg.name, offset, fmt.Sprintf("the file ends within an append (%v)", err))
	}
	return whole, nil
}

// recordBytesMax is more than any append that domain.CheckAppend accepts takes up on disk: the
// per-event overhead of the format is below the one that AppendBytes counts.
const recordBytesMax = domain.AppendBytesMax + recordHeaderBytes + domain.StreamIDBytesMax

// ReadAll implements commands.Log.
func (l *Log) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	done, err := l.begin(ctx, "read", "log", max)
	if err != nil {
		return nil, err
	}
	defer done()
	p := page{max: max}
	head := l.head()
	var c cursor
	for after < head && len(p.events) < max {
		var all bool
		if k := l.recent.after(after); k != nil {
			all = p.add(k.recorded(l.types)[after+1-k.first:])
		} else {
			events, err := l.history(ctx, &c, after, head, "", max-len(p.events), commands.ReadBytesMax)
			if err != nil {
				return nil, err
			}
			if len(events) == 0 {
				return nil, domain.E(domain.KindInternal, "read", "log", fmt.Sprintf("position %d is not in the files", after+1))
			}
			all = p.take(events)
		}
		if !all {
			break
		}
		after = p.events[len(p.events)-1].Position
	}
	return p.events, nil
}

// begin checks what every read checks and holds off Close until done is called.
func (l *Log) begin(ctx context.Context, op, subject string, max int) (done func(), err error) {
	if max < 1 {
		return nil, domain.E(domain.KindInvalid, op, subject, "max must be at least 1")
	}
	l.use.RLock()
	if l.closed {
		l.use.RUnlock()
		return nil, closedError(op)
	}
	if err := durable.ContextError(ctx, op, subject); err != nil {
		l.use.RUnlock()
		return nil, err
	}
	return l.use.RUnlock, nil
}
