package embedded

import (
	"context"
	"errors"
	"io"
	"strings"

	"quipu/domain"
	"quipu/infra/durable"
	"quipu/infra/embedded/vfs"
)

// readAt is ReadAt for which the end of the file is no error: n says how much there was.
func readAt(f vfs.File, b []byte, offset int64) (int, error) {
	n, err := f.ReadAt(b, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// window reads a file from front to back in large pieces. The bytes it hands out stay valid and
// are never overwritten, every piece being a buffer of its own, unless reuse says otherwise.
type window struct {
	file  vfs.File
	reuse bool
	size  int   // of a piece
	end   int64 // nothing is read from here on
	start int64 // offset of b[0]
	b     []byte
}

// peek returns the n bytes at offset, fewer if the file or the window's end comes first.
func (w *window) peek(offset int64, n int) ([]byte, error) {
	if offset >= w.start && offset+int64(n) <= w.start+int64(len(w.b)) {
		i := int(offset - w.start)
		return w.b[i : i+n : i+n], nil
	}
	size := min(int64(max(n, w.size)), w.end-offset)
	if size <= 0 {
		return nil, nil
	}
	b := w.b[:cap(w.b)]
	if !w.reuse || int64(len(b)) < size {
		b = make([]byte, size)
	}
	b = b[:size]
	got, err := readAt(w.file, b, offset)
	if err != nil {
		return nil, err
	}
	w.start, w.b = offset, b[:got]
	n = min(n, got)
	return w.b[:n:n], nil
}

// cursor remembers where a reader of history stands, so that the next page starts there.
type cursor struct {
	valid   bool
	segment int             // in index.segments
	offset  int64           // of a frame, or of a record within one
	left    int64           // bytes of the frame from offset on; 0 at the start of a frame
	last    domain.Position // everything up to here was read
	window  window
}

const (
	historyWindowBytes    = 256 << 10
	historyWindowBytesMin = 32 << 10

	pageEventsGuess = 4096 // the most that a page is made for before it is known to be that large
)

// history reads events after a position from the files, in order, at most eventsMax of them and
// about bytesMax of their bytes, none beyond head. Events of streams without the prefix are left
// out; c.last says how far it came. Only what fits a page is decoded, but whole appends only: the
// last one may exceed eventsMax.
func (l *Log) history(ctx context.Context, c *cursor, after, head domain.Position, prefix string, eventsMax, bytesMax int) ([]domain.Recorded, error) {
	if !c.valid || c.last != after {
		*c = cursor{valid: true, last: after}
		c.segment, c.offset = l.index.locate(after)
	}
	c.window.size = historyWindowBytes
	if eventsMax < 64 {
		c.window.size = historyWindowBytesMin
	}
	var events []domain.Recorded
	for records, bytes := 0, 0; c.last < head && len(events) < eventsMax && bytes < bytesMax; records++ {
		if records%256 == 0 {
			if err := durable.ContextError(ctx, "read", "log"); err != nil {
				return nil, err
			}
		}
		b, r, err := l.nextRecord(c)
		if err != nil {
			c.valid = false
			return nil, err
		}
		if b == nil {
			break
		}
		last := r.first + domain.Position(r.events) - 1
		if last <= after {
			continue
		}
		c.last = last
		bytes += len(r.body)
		if !strings.HasPrefix(string(r.stream), prefix) {
			continue
		}
		if events == nil {
			// Grown step by step a page is copied several times over.
			events = make([]domain.Recorded, 0, min(int64(eventsMax), int64(head-last)+int64(r.events), pageEventsGuess)+domain.AppendEventsMax/4)
		}
		var ok bool
		if events, ok = appendRecorded(events, &r, l.index.intern(r.stream), after, l.types); !ok {
			c.valid = false
			return nil, corruptError(l.segmentName(c), c.offset-int64(r.bytes), "an append cannot be decoded")
		}
	}
	return events, nil
}

func (l *Log) segmentName(c *cursor) string {
	seg, _ := l.index.at(c.segment)
	return seg.name
}

// nextRecord reads the record at the cursor, checks it and moves behind it; nil at the end of
// what is committed.
func (l *Log) nextRecord(c *cursor) ([]byte, record, error) {
	for {
		seg, end := l.index.at(c.segment)
		if seg == nil {
			return nil, record{}, nil
		}
		if c.window.file != seg.file {
			c.window = window{file: seg.file, size: c.window.size}
		}
		c.window.end = end
		if c.left > 0 {
			b, r, err := l.recordAt(c, seg)
			if err != nil {
				return nil, record{}, err
			}
			c.offset += int64(r.bytes)
			c.left -= int64(r.bytes)
			return b, r, nil
		}
		if c.offset >= end {
			if next, _ := l.index.at(c.segment + 1); next == nil {
				return nil, record{}, nil
			}
			// A segment that has a successor does not grow any more, but it may have grown
			// between the two looks at the index.
			if _, now := l.index.at(c.segment); now > end {
				continue
			}
			c.segment++
			c.offset = segmentHeaderBytes
			continue
		}
		b, err := c.window.peek(c.offset, frameHeaderBytes)
		if err != nil {
			return nil, record{}, corruptError(seg.name, c.offset, err.Error())
		}
		h, ok := decodeFrameHeader(b, l.seed, seg.number, c.offset)
		if !ok {
			return nil, record{}, corruptError(seg.name, c.offset, "a frame has a wrong header checksum")
		}
		c.offset += frameHeaderBytes
		c.left = int64(h.payload)
	}
}

func (l *Log) recordAt(c *cursor, seg *segment) ([]byte, record, error) {
	damaged := func(what string) ([]byte, record, error) {
		return nil, record{}, corruptError(seg.name, c.offset, what)
	}
	b, err := c.window.peek(c.offset, recordHeaderBytes)
	if err != nil {
		return damaged(err.Error())
	}
	n := recordBytes(b)
	if n == 0 || int64(n) > c.left {
		return damaged("an append has an impossible length")
	}
	if b, err = c.window.peek(c.offset, n); err != nil {
		return damaged(err.Error())
	}
	r, ok := decodeRecord(b)
	if !ok || !recordChecksumOK(b, n, l.seed) {
		return damaged("an append has a wrong checksum")
	}
	return b, r, nil
}
