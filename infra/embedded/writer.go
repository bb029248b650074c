package embedded

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/durable"
)

// writer is the one place that writes. Appenders put their record into the open batch themselves,
// under mu: they check the expected revision, take the next positions and copy. One goroutine
// (run) takes the batch whenever the disk is free, writes and syncs it, publishes it and answers
// all of its appenders at once. So the next batch fills, checked and encoded, while the last one
// is being flushed, and nobody waits for a timer.
//
// A loser never fails the batch: it is turned away before it gets in.
type writer struct {
	mu       sync.Mutex
	open     *batch // what appenders add to
	flushing *batch // what is on its way to the disk; nil when idle
	next     domain.Position
	closing  bool
	failure  error // why nothing is accepted any more

	wake    chan struct{} // holds a token when open has something or closing is set
	stopped chan struct{}
	files   files
	teller  teller
}

// batch is one group commit in the making.
type batch struct {
	seq   uint64
	buf   []byte // room for the frame header, then records
	first domain.Position
	at    int64
	items []committed

	events int
	taken  chan struct{} // closed when the flusher takes it: there is room again
	done   chan struct{} // closed when it is durable or has failed
	err    error         // set before done is closed
}

func (w *writer) newBatch(seq uint64, buf []byte, items int) *batch {
	return &batch{
		seq:   seq,
		buf:   append(buf[:0], make([]byte, frameHeaderBytes)...),
		items: make([]committed, 0, items),
		taken: make(chan struct{}),
		done:  make(chan struct{}),
	}
}

func (w *writer) start(l *Log) {
	w.next = l.head() + 1
	w.wake = make(chan struct{}, 1)
	w.stopped = make(chan struct{})
	w.open = w.newBatch(1, nil, 16)
	w.files.start(l)
	go w.run(l)
}

// Append implements commands.Log.
func (l *Log) Append(ctx context.Context, id domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	if err := domain.CheckAppend(id, expected, events); err != nil {
		return commands.Appended{}, err
	}
	rec, partial := newRecord(l.seed, id, expected+1, events)
	for {
		b, result, err := l.enter(ctx, id, expected, events, rec, partial)
		if err != nil {
			return commands.Appended{}, err
		}
		if b == nil {
			return result, nil
		}
		if b.seq == 0 {
			continue // waited for another batch: look again
		}
		if ctx.Done() == nil {
			<-b.done
		} else {
			select {
			case <-b.done:
			case <-ctx.Done():
				return commands.Appended{}, domain.Wrap(domain.KindIndeterminate, "append to", string(id), context.Cause(ctx))
			}
		}
		if b.err != nil {
			return commands.Appended{}, b.err
		}
		return result, nil
	}
}

// again is what enter returns when the situation has changed and must be looked at anew.
var again = &batch{}

// enter adds the record to the open batch and returns that with the result to come, or returns an
// earlier result (no batch), or `again`.
func (l *Log) enter(ctx context.Context, id domain.StreamID, expected domain.Revision, events []domain.Pending, rec []byte, partial uint32) (*batch, commands.Appended, error) {
	w := &l.writer
	if err := durable.ContextError(ctx, "append to", string(id)); err != nil {
		return nil, commands.Appended{}, err
	}
	w.mu.Lock()
	st := l.index.streams[id]
	if err := w.refusal(st); err != nil {
		w.mu.Unlock()
		return nil, commands.Appended{}, err
	}
	next := domain.NoStream
	if st != nil {
		next = st.next
	}
	if next != expected {
		pending := w.pending(st)
		w.mu.Unlock()
		if pending != nil {
			// What decides the answer is not durable yet.
			select {
			case <-pending.done:
				return again, commands.Appended{}, nil
			case <-ctx.Done():
				return nil, commands.Appended{}, domain.Wrap(domain.KindIndeterminate, "append to", string(id), context.Cause(ctx))
			}
		}
		result, err := l.repeat(ctx, id, expected, events)
		return nil, result, err
	}
	b := w.open
	if len(b.items) > 0 && (len(b.items) >= l.opts.BatchAppendsMax || len(b.buf)+len(rec) > l.opts.BatchBytesMax) {
		w.mu.Unlock()
		select {
		case <-b.taken:
			return again, commands.Appended{}, nil
		case <-ctx.Done():
			return nil, commands.Appended{}, durable.ContextError(ctx, "append to", string(id))
		}
	}
	defer w.mu.Unlock()
	return b, l.join(st, id, events, rec, partial), nil
}

// join adds a record to the open batch and returns what its append will be answered with; st is nil for a
// new stream. The caller holds mu and has checked the expected revision and the room.
func (l *Log) join(st *stream, id domain.StreamID, events []domain.Pending, rec []byte, partial uint32) commands.Appended {
	w := &l.writer
	b := w.open
	last := l.types.internString(events[len(events)-1].Type)
	if st == nil {
		l.index.mu.Lock()
		st = l.index.add(id)
		l.index.mu.Unlock()
	}
	if len(b.items) == 0 {
		b.first, b.at = w.next, l.opts.Clock().UnixMilli()
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	sealRecord(rec, partial, w.next, b.at)
	b.items = append(b.items, committed{stream: st, record: rec, offset: uint32(len(b.buf)), before: b.events, events: len(events), last: last})
	b.buf = append(b.buf, rec...)
	b.events += len(events)
	w.next += domain.Position(len(events))
	st.next += domain.Revision(len(events))
	st.pendSeq = b.seq
	return commands.Appended{Revision: st.next, Position: w.next - 1}
}

// refusal says why nothing is accepted, nil if it is. The caller holds mu.
func (w *writer) refusal(st *stream) error {
	switch {
	case w.closing:
		return closedError("append to")
	case w.failure != nil && st != nil && st.inflight:
		return domain.Wrap(domain.KindIndeterminate, "append to", string(st.id), w.failure)
	case w.failure != nil:
		return &domain.Error{
			Kind: domain.KindUnavailable, Code: "LOG_FAILED", Op: "append to", Subject: "log",
			Message: "refused until the log is reopened, since a write failed", Cause: w.failure,
		}
	}
	return nil
}

// pending returns the unfinished batch that holds st's newest append, nil if all are durable. The
// caller holds mu.
func (w *writer) pending(st *stream) *batch {
	switch {
	case st == nil:
		return nil
	case st.pendSeq == w.open.seq:
		return w.open
	case w.flushing == nil || st.pendSeq != w.flushing.seq:
		return nil
	}
	select {
	case <-w.flushing.done: // published, and not yet replaced by the next
		return nil
	default:
		return w.flushing
	}
}

// repeat answers an append whose expected revision is not the head: with the earlier outcome if
// the stored events carry these ids, else with a conflict.
func (l *Log) repeat(ctx context.Context, id domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	_, head, _, ok := l.index.lookup(id)
	if !ok {
		head = domain.NoStream
	}
	last := expected + domain.Revision(len(events))
	if !ok || last > head {
		return commands.Appended{}, conflictError(id, expected, head)
	}
	for n := 0; n < len(events); {
		stored, err := l.ReadStream(ctx, id, expected+1+domain.Revision(n), len(events)-n)
		if err != nil {
			return commands.Appended{}, err
		}
		for i := range stored {
			if stored[i].ID != events[n].ID {
				return commands.Appended{}, conflictError(id, expected, head)
			}
			if n++; n == len(events) {
				return commands.Appended{Revision: stored[i].Revision, Position: stored[i].Position}, nil
			}
		}
	}
	return commands.Appended{}, conflictError(id, expected, head) // not reached: events is not empty
}

// run flushes one batch after the other until stop.
func (w *writer) run(l *Log) {
	defer close(w.stopped)
	var spare []byte
	for range w.wake {
		for {
			w.gather()
			b, closing := w.take(spare)
			if b == nil {
				if closing {
					return
				}
				break
			}
			w.flush(l, b)
			spare = b.buf
		}
	}
}

// gatherYieldsMax bounds how often gather steps aside.
const gatherYieldsMax = 64

// gather lets appenders who can run now join the open batch. Whoever the last batch answered has
// just become runnable; without this their next appends would miss this flush and the one of the
// others would be half empty, for ever in turns. It steps aside for as long as that brings in
// more, which costs a lone appender well below a microsecond.
func (w *writer) gather() {
	for before, i := -1, 0; i < gatherYieldsMax; i++ {
		runtime.Gosched()
		w.mu.Lock()
		now := len(w.open.items)
		w.mu.Unlock()
		if now == before {
			return
		}
		before = now
	}
}

// take moves the open batch to flushing, nil if it is empty.
func (w *writer) take(spare []byte) (b *batch, closing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushing = nil
	if len(w.open.items) == 0 || w.failure != nil {
		return nil, w.closing
	}
	b = w.open
	w.flushing = b
	w.open = w.newBatch(b.seq+1, spare, len(b.items)+len(b.items)/4+1)
	close(b.taken)
	return b, w.closing
}

// flush makes b durable, publishes it and answers its appenders.
func (w *writer) flush(l *Log, b *batch) {
	h := frameHeader{kind: frameBatch, records: uint32(len(b.items)), events: uint32(b.events), first: b.first}
	began := l.opts.Clock()
	seg, offset, err := w.files.write(l, &h, b.buf)
	if err != nil {
		w.fail(l, b, err)
		return
	}
	if l.opts.Flushed != nil {
		l.opts.Flushed(len(b.items), b.events, len(b.buf), l.opts.Clock().Sub(began))
	}
	l.publish(b, seg, offset)
	close(b.done)
}

// publish adds a durable batch to the index and to memory, then moves the head.
func (l *Log) publish(b *batch, seg *segment, offset int64) {
	c := &commit{segment: uint32(seg.number), first: b.first, events: b.events, bytes: len(b.buf), appends: b.items}
	l.index.mu.Lock()
	for i := range c.appends {
		a := &c.appends[i]
		a.offset += uint32(offset)
		st := a.stream
		st.appends = append(st.appends, place{revision: st.head + 1, segment: c.segment, offset: a.offset})
		st.head += domain.Revision(a.events)
		st.last = a.last
	}
	seg.mark(b.first, offset)
	seg.end = offset + int64(len(b.buf))
	l.index.mu.Unlock()
	l.recent.push(c)
	l.tail.move(c.last())
}

// fail answers a batch that could not be written, and everything that waits behind it.
func (w *writer) fail(l *Log, b *batch, err error) {
	kind, message := domain.KindIndeterminate, "the write failed; the events may be stored or not"
	undone := isUndone(err)
	if undone {
		kind, message = domain.KindUnavailable, "nothing was written"
		if diskFull(err) {
			message = "the disk is full; nothing was written"
		}
	}
	w.teller.failed(l, err, undone)
	w.mu.Lock()
	behind := w.open
	for _, failed := range []*batch{behind, b} {
		for i := range failed.items {
			st := failed.items[i].stream
			st.next -= domain.Revision(failed.items[i].events)
			st.inflight = st.inflight || failed == b && !undone
		}
	}
	w.next = b.first
	b.err = &domain.Error{Kind: kind, Op: "append to", Subject: "log", Message: message, Cause: err}
	behind.err = &domain.Error{
		Kind: domain.KindUnavailable, Op: "append to", Subject: "log",
		Message: "nothing was written, since the batch before could not be", Cause: err,
	}
	if undone && diskFull(err) {
		b.err.(*domain.Error).Code, behind.err.(*domain.Error).Code = "DISK_FULL", "DISK_FULL"
	}
	if !undone {
		w.failure = err
	}
	w.flushing = nil
	w.open = w.newBatch(behind.seq+1, nil, 16)
	w.mu.Unlock()
	close(b.done)
	close(behind.taken)
	close(behind.done)
}

// stop refuses further appends, waits until those accepted are answered, and ends the log in
// order.
func (w *writer) stop() error {
	w.mu.Lock()
	w.closing = true
	failed := w.failure
	select {
	case w.wake <- struct{}{}:
	default:
	}
	w.mu.Unlock()
	<-w.stopped
	if err := w.files.stop(failed == nil && w.failure == nil, w.next); err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}
