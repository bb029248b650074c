package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"quipu/domain"
	"quipu/infra/embedded/vfs"
)

// recover reads every segment, checks it, builds the index, and repairs the end of the last one.
func (l *Log) recover() error {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return fileError("open", l.dir, err)
	}
	numbers, err := segmentNumbers(names)
	if err != nil {
		return err
	}
	if slices.Contains(names, preparedName) {
		if err := l.fs.Remove(l.path(preparedName)); err != nil {
			return fileError("open", preparedName, err)
		}
	}
	next := domain.Position(1)
	for i, number := range numbers {
		seg, err := openSegment(l.fs, l.dir, number, true)
		if err != nil {
			return err
		}
		l.index.segments = append(l.index.segments, seg)
		last := i == len(numbers)-1
		if !last {
			next, err = l.loadSealed(seg, next)
		} else {
			next, err = l.loadSegment(seg, next, true, nil)
		}
		if err != nil {
			return err
		}
	}
	l.tail.position.Store(uint64(next - 1))
	for _, st := range l.index.streams {
		st.next = st.head
	}
	return nil
}

// segmentNumbers returns the numbers of the segments among names, which must be 1..n.
func segmentNumbers(names []string) ([]uint64, error) {
	var numbers []uint64
	for _, name := range names {
		if n, ok := parseSegmentName(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != uint64(i+1) {
			return nil, corruptError(segmentName(uint64(i+1)), 0, "the segment is missing")
		}
	}
	if len(numbers) == 0 {
		return nil, corruptError(segmentName(1), 0, "the segment is missing")
	}
	return numbers, nil
}

func openSegment(fsys vfs.FS, dir string, number uint64, writable bool) (*segment, error) {
	name := segmentName(number)
	f, err := fsys.Open(dir+"/"+name, writable)
	if err != nil {
		return nil, fileError("open", name, err)
	}
	return &segment{number: number, name: name, file: f}, nil
}

// loadSegment checks one segment, reading all of it, and adds it to the index and to b, if that is
// set. next is the position its first event must have; the result is the one after its last.
func (l *Log) loadSegment(seg *segment, next domain.Position, last bool, b *sidecarBuilder) (domain.Position, error) {
	s := scanner{seed: l.seed, seg: seg, next: next, batch: l.indexBatch}
	if b != nil {
		s.batch = func(seg *segment, h *frameHeader, offset int64, payload []byte) error {
			if err := l.indexBatch(seg, h, offset, payload); err != nil {
				return err
			}
			b.batch(h, offset, payload)
			return nil
		}
	}
	if err := s.run(); err != nil {
		return 0, err
	}
	seg.end, seg.first = s.end, next
	l.closedInOrder, l.activeBytes = s.closed, s.size
	if s.torn == s.end {
		if last {
			return s.next, l.assureTail(seg, &s)
		}
		if c, ok := b.finish(&s); ok {
			l.writeSidecar(c)
		}
		return s.next, nil
	}
	if !last {
		return 0, corruptError(seg.name, s.end, s.problem+", and a later segment follows")
	}
	later, err := laterFrame(seg, l.seed, s.end, s.torn)
	if err != nil {
		return 0, corruptError(seg.name, s.end, err.Error())
	}
	if later > 0 {
		return 0, corruptError(seg.name, s.end, fmt.Sprintf("%s, and a complete frame follows at offset %d", s.problem, later))
	}
	if err := l.assureTail(seg, &s); err != nil {
		return 0, err
	}
	return s.next, l.cut(seg, s.end, s.torn)
}

// indexBatch adds one verified frame to the index.
func (l *Log) indexBatch(seg *segment, h *frameHeader, offset int64, payload []byte) error {
	seg.mark(h.first, offset)
	at := offset + frameHeaderBytes
	for len(payload) > 0 {
		r, _ := decodeRecord(payload) // the scanner checked it
		st := l.index.streams[domain.StreamID(r.stream)]
		if st == nil {
			st = l.index.add(domain.StreamID(r.stream))
		}
		if r.revision != st.head+1 {
			return corruptError(seg.name, at, fmt.Sprintf("stream %q goes on at revision %d after %d", r.stream, r.revision, st.head))
		}
		last, ok := lastType(&r)
		if !ok {
			return corruptError(seg.name, at, "an append cannot be decoded")
		}
		st.last = l.types.intern(last)
		st.head += domain.Revision(r.events)
		st.appends = append(st.appends, place{revision: r.revision, segment: uint32(seg.number), offset: uint32(at)})
		payload = payload[r.bytes:]
		at += int64(r.bytes)
	}
	return nil
}

// assureTail makes the last frame durable once more unless an orderly close stands behind it. The
// process that wrote it may have died between write and fdatasync, or after an fdatasync that
// failed and left the pages marked clean; what is about to be served must be on disk.
func (l *Log) assureTail(seg *segment, s *scanner) error {
	if s.closed || s.lastFrame == 0 {
		return nil
	}
	b := make([]byte, s.end-s.lastFrame)
	if _, err := readAt(seg.file, b, s.lastFrame); err != nil {
		return fileError("open", seg.name, err)
	}
	if _, err := seg.file.WriteAt(b, s.lastFrame); err != nil {
		return fileError("open", seg.name, err)
	}
	if err := seg.file.Datasync(); err != nil {
		return fileError("open", seg.name, err)
	}
	return nil
}

// cut saves the bytes [from, to) of a segment in the folder cut/ and zeroes them.
func (l *Log) cut(seg *segment, from, to int64) error {
	b := make([]byte, to-from)
	if _, err := readAt(seg.file, b, from); err != nil {
		return fileError("open", seg.name, err)
	}
	dir := l.path(cutName)
	name := fmt.Sprintf("%s-%d-%d", seg.name, from, l.opts.Clock().UnixNano())
	err := l.fs.MkdirAll(dir)
	if err == nil {
		err = errors.Join(replaceFile(l.fs, dir, name, b), l.fs.SyncDir(l.dir))
	}
	if err == nil {
		_, err = seg.file.WriteAt(make([]byte, len(b)), from)
	}
	if err == nil {
		err = seg.file.Datasync()
	}
	if err != nil {
		return fileError("open", seg.name, err)
	}
	l.logger.Warn("cut off an incomplete batch behind the end of the log; nothing in it was acknowledged",
		slog.String("file", seg.name), slog.Int64("offset", from), slog.Int("bytes", len(b)), slog.String("saved", cutName+"/"+name))
	return nil
}

// scanner reads a segment's frames in order and checks header, checksum and continuity.
type scanner struct {
	seed  uint32
	seg   *segment
	next  domain.Position // of the next event
	batch func(seg *segment, h *frameHeader, offset int64, payload []byte) error
	raw   func(b []byte, offset int64) error // if set, is given header and frames, byte for byte

	size      int64  // of the file
	end       int64  // behind the last complete frame
	torn      int64  // behind the last byte that is not zero; equals end if nothing is left over
	problem   string // of what stands at end
	lastFrame int64  // offset of the last batch, 0 if there is none
	lastCRC   uint32 // of its header
	closed    bool   // the last frame is an orderly close
}

const scanWindowBytes = 1 << 20

func (s *scanner) run() error {
	w, err := s.window()
	if err == nil {
		err = s.header(w)
	}
	if err != nil {
		return err
	}
	return s.frames(w)
}

// header checks the segment's header and stands behind it.
func (s *scanner) header(w *window) error {
	b, err := w.peek(0, segmentHeaderBytes)
	if err != nil {
		return fileError("open", s.seg.name, err)
	}
	first, reason := decodeSegmentHeader(s.seed, s.seg.number, b)
	if reason != "" {
		return corruptError(s.seg.name, 0, reason)
	}
	if first != s.next {
		return corruptError(s.seg.name, 0, fmt.Sprintf("starts at position %d, the segment before ends at %d", first, s.next-1))
	}
	s.end = segmentHeaderBytes
	if s.raw != nil {
		return s.raw(b, 0)
	}
	return nil
}

// window returns a fresh look at the file as long as it is now.
func (s *scanner) window() (*window, error) {
	size, err := s.seg.file.Size()
	if err != nil {
		return nil, fileError("open", s.seg.name, err)
	}
	s.size = size
	return &window{file: s.seg.file, size: scanWindowBytes, end: size, reuse: true}, nil
}

// frames reads on from s.end to the last complete frame, and looks at what stands behind it.
func (s *scanner) frames(w *window) error {
	for {
		n, err := s.frame(w)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		s.end += n
	}
	var err error
	if s.torn, err = lastNonZero(s.seg.file, s.end); err != nil {
		return fileError("open", s.seg.name, err)
	}
	return nil
}

// frame checks the frame at s.end and returns its length, 0 if there is none.
func (s *scanner) frame(w *window) (int64, error) {
	b, err := w.peek(s.end, frameHeaderBytes)
	if err != nil {
		return 0, fileError("open", s.seg.name, err)
	}
	h, ok := decodeFrameHeader(b, s.seed, s.seg.number, s.end)
	if !ok {
		s.problem = "a frame has a wrong header checksum"
		return 0, nil
	}
	size := frameHeaderBytes + int64(h.payload)
	if b, err = w.peek(s.end, int(size)); err != nil {
		return 0, fileError("open", s.seg.name, err)
	}
	if int64(len(b)) < size || payloadChecksum(s.seed, b[frameHeaderBytes:]) != h.crc {
		s.problem = "a batch has a wrong checksum"
		return 0, nil
	}
	if what := checkBatch(&h, b[frameHeaderBytes:], s.next); what != "" {
		return 0, corruptError(s.seg.name, s.end, what)
	}
	s.closed = h.kind == frameClosed
	if h.kind == frameBatch {
		s.lastFrame, s.lastCRC = s.end, le.Uint32(b[36:])
		if err := s.batch(s.seg, &h, s.end, b[frameHeaderBytes:]); err != nil {
			return 0, err
		}
		s.next += domain.Position(h.events)
	}
	if s.raw != nil {
		if err := s.raw(b, s.end); err != nil {
			return 0, err
		}
	}
	return size, nil
}

// checkBatch reports what is wrong in a frame whose checksums are right: a bug or a forgery.
func checkBatch(h *frameHeader, payload []byte, next domain.Position) string {
	if h.kind != frameBatch && h.kind != frameClosed {
		return fmt.Sprintf("a frame is of unknown kind %d", h.kind)
	}
	if h.first != next {
		return fmt.Sprintf("a frame starts at position %d instead of %d", h.first, next)
	}
	events, records := 0, 0
	for len(payload) > 0 {
		r, ok := decodeRecord(payload)
		if !ok {
			return "an append cannot be decoded"
		}
		if r.first != next+domain.Position(events) {
			return fmt.Sprintf("an append starts at position %d instead of %d", r.first, next+domain.Position(events))
		}
		events += r.events
		records++
		payload = payload[r.bytes:]
	}
	if uint32(events) != h.events || uint32(records) != h.records {
		return "a batch holds another number of events than it says"
	}
	return ""
}

// laterFrame looks for a frame with a right header behind `from`, where the last byte that is not
// zero stands before `last`, and returns its offset, 0 if there is none.
func laterFrame(seg *segment, seed uint32, from, last int64) (int64, error) {
	size, err := seg.file.Size()
	if err != nil {
		return 0, err
	}
	to := min(size, last+frameHeaderBytes) // a checksum may end in zeros
	w := window{file: seg.file, size: scanWindowBytes, end: to, reuse: true}
	for offset := from + 1; offset+frameHeaderBytes <= to; {
		b, err := w.peek(offset, int(min(to-offset, scanWindowBytes)))
		if err != nil || len(b) < frameHeaderBytes {
			return 0, err
		}
		// Only starts whose whole header is in b are tried; the next piece begins behind them.
		tried := len(b) - frameHeaderBytes + 1
		for i := 0; i < tried; i++ {
			j := bytes.Index(b[i:tried+len(frameMagic)-1], frameMagic[:])
			if j < 0 {
				break
			}
			i += j
			if _, ok := decodeFrameHeader(b[i:], seed, seg.number, offset+int64(i)); ok {
				return offset + int64(i), nil
			}
		}
		offset += int64(tried)
	}
	return 0, nil
}
