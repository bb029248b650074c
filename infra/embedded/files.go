package embedded

import (
	"errors"

	"quipu/domain"
	"quipu/infra/embedded/vfs"
)

// files is the writing end of the segments: the active one, and the next, which a goroutine
// prepares meanwhile. It belongs to the flusher.
type files struct {
	log      *Log
	active   *segment
	size     int64 // that the active segment was prepared with
	end      int64 // where the next frame goes
	clean    bool  // the last frame is an orderly close
	orders   chan uint64
	prepared chan preparation
	ordered  bool // a preparation is under way or lies in prepared
	pace     pace
	sealed   chan *segment // to be given a sidecar
	indexed  chan struct{} // closed when nothing more will be
}

// firstOrderBytes says when segment 2 is prepared: once so much of the first is used, so that a log
// that is hardly used does not take up a segment it may never need. Later segments are begun with
// the one before.
const firstOrderBytes = 256 << 10

type preparation struct {
	file vfs.File
	size int64
	err  error
}

func (f *files) start(l *Log) {
	f.log = l
	f.active = l.index.segments[len(l.index.segments)-1]
	f.end = f.active.end
	f.clean = l.closedInOrder
	f.size = l.activeBytes
	f.pace.start(f.end)
	f.orders = make(chan uint64, 1)
	f.prepared = make(chan preparation, 1)
	f.sealed = make(chan *segment, sealedQueueMax)
	f.indexed = make(chan struct{})
	go f.prepare()
	go func() {
		defer close(f.indexed)
		for seg := range f.sealed {
			l.buildSidecar(seg)
		}
	}()
}

// sealedQueueMax bounds the segments that wait for their sidecars; those beyond go without until
// the next Open.
const sealedQueueMax = 4

// prepare makes segments on order.
func (f *files) prepare() {
	defer close(f.prepared)
	for number := range f.orders {
		p := preparation{size: nextSegmentBytes(f.log.opts.SegmentBytes, number)}
		p.file, p.err = prepareSegment(f.log.fs, f.log.path(preparedName), p.size, f.pace.wait)
		f.prepared <- p
	}
}

func (f *files) order() {
	f.ordered = true
	f.pace.begin(f.size, nextSegmentBytes(f.log.opts.SegmentBytes, f.active.number+1))
	f.orders <- f.active.number + 1
}

// undoneError says that a write failed and left nothing behind.
type undoneError struct{ cause error }

func (e *undoneError) Error() string { return e.cause.Error() }
func (e *undoneError) Unwrap() error { return e.cause }

func isUndone(err error) bool {
	var u *undoneError
	return errors.As(err, &u)
}

// write makes one frame durable: buf is its payload behind room for the header, which write fills
// in from h.
func (f *files) write(l *Log, h *frameHeader, buf []byte) (*segment, int64, error) {
	if f.end+int64(len(buf)) > f.size && f.end > segmentHeaderBytes {
		if err := f.roll(l, h.first); err != nil {
			return nil, 0, err
		}
	}
	seg, offset := f.active, f.end
	h.payload = uint32(len(buf) - frameHeaderBytes)
	h.crc = payloadChecksum(l.seed, buf[frameHeaderBytes:])
	h.put(buf, l.seed, seg.number, offset)
	if _, err := seg.file.WriteAt(buf, offset); err != nil {
		return nil, 0, f.undo(seg, offset, err)
	}
	if err := seg.file.Datasync(); err != nil {
		// The kernel may have dropped the pages and called them clean. Nothing this process could
		// read or sync again would tell what is on disk.
		return nil, 0, err
	}
	f.end = offset + int64(len(buf))
	f.pace.used(f.end)
	if !f.ordered && h.kind == frameBatch && (seg.number > 1 || f.end > min(firstOrderBytes, f.size/2)) {
		f.order()
	}
	f.clean = h.kind == frameClosed
	return seg, offset, nil
}

// undo takes back a write that the full disk cut short, so that the log can go on. Only that: after
// any other error the file is left alone.
func (f *files) undo(seg *segment, offset int64, cause error) error {
	if !diskFull(cause) {
		return cause
	}
	err := seg.file.Truncate(offset)
	if err == nil {
		err = seg.file.Datasync()
	}
	if err != nil {
		return errors.Join(cause, err)
	}
	// What follows goes at the end of a file without prepared blocks: slower, but it needs no
	// space that is not there.
	f.size = max(f.size, offset+1)
	return &undoneError{cause}
}

// next waits for the prepared segment.
func (f *files) next() preparation {
	if !f.ordered {
		f.order()
	}
	f.pace.hurry(true)
	p := <-f.prepared
	f.pace.hurry(false)
	f.ordered = false
	return p
}

// roll makes the prepared segment the active one.
func (f *files) roll(l *Log, first domain.Position) error {
	p := f.next()
	if p.err != nil {
		p = f.next() // the first answer may be from long ago; there may be space now
	}
	if p.err != nil {
		return &undoneError{p.err}
	}
	number := f.active.number + 1
	if err := l.activate(p.file, number, first); err != nil {
		// The rename may have happened or not; only a new Open can tell.
		return errors.Join(err, p.file.Close())
	}
	seg := &segment{number: number, name: segmentName(number), file: p.file, first: first, end: segmentHeaderBytes}
	l.index.mu.Lock()
	l.index.segments = append(l.index.segments, seg)
	l.index.mu.Unlock()
	select {
	case f.sealed <- f.active:
	default:
	}
	f.active, f.size, f.end = seg, p.size, segmentHeaderBytes
	f.pace.used(f.end)
	return nil
}

// stop marks an orderly end, if the log is sound, and removes the prepared segment.
func (f *files) stop(sound bool, next domain.Position) error {
	f.pace.stop()
	close(f.orders)
	close(f.sealed)
	<-f.indexed
	var errs []error
	for p := range f.prepared {
		if p.err == nil {
			errs = append(errs, p.file.Close(), f.log.fs.Remove(f.log.path(preparedName)))
		}
	}
	if sound && !f.clean {
		h := frameHeader{kind: frameClosed, first: next}
		errs = append(errs, f.mark(&h))
	}
	return errors.Join(errs...)
}

// mark writes a frame without payload where the active segment ends. It may exceed the segment's
// prepared size, since no segment can be prepared any more.
func (f *files) mark(h *frameHeader) error {
	f.size = f.end + frameHeaderBytes
	_, _, err := f.write(f.log, h, make([]byte, frameHeaderBytes))
	return err
}
