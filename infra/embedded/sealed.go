package embedded

import (
	"errors"
	"io/fs"
	"log/slog"

	"quipu/domain"
)

// loadSealed adds a segment that has a successor to the index: from its sidecar if that fits, else
// by reading it. The result is the position after its last event.
func (l *Log) loadSealed(seg *segment, next domain.Position) (domain.Position, error) {
	b := make([]byte, segmentHeaderBytes)
	n, err := readAt(seg.file, b, 0)
	if err != nil {
		return 0, fileError("open", seg.name, err)
	}
	first, reason := decodeSegmentHeader(l.seed, seg.number, b[:n])
	if reason == "" && first == next { // else reading it says what is wrong
		if c := l.readSidecar(seg, next); c != nil && l.index.continues(c) {
			l.adopt(seg, c)
			return c.next, nil
		}
	}
	return l.loadSegment(seg, next, false, newSidecarBuilder(seg.number, next))
}

// readSidecar returns the sidecar of a segment, nil if there is none that fits.
func (l *Log) readSidecar(seg *segment, next domain.Position) *sidecar {
	f, err := l.fs.Open(l.path(sidecarName(seg.number)), false)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.logger.Warn("the index of a segment cannot be read; the segment is", slog.String("file", seg.name), slog.Any("error", err))
		}
		return nil
	}
	defer func() { _ = f.Close() }() // was only read
	size, err := f.Size()
	if err != nil || size > SegmentBytesMax {
		return nil
	}
	b := make([]byte, size)
	if n, err := readAt(f, b, 0); err != nil || int64(n) < size {
		return nil
	}
	c, ok := decodeSidecar(l.seed, b)
	if !ok || !c.fits(l.seed, seg, next) {
		l.logger.Warn("the index of a segment does not fit and is made anew", slog.String("file", sidecarName(seg.number)))
		return nil
	}
	return c
}

// adopt adds what a sidecar says to the index.
func (l *Log) adopt(seg *segment, c *sidecar) {
	seg.first, seg.end, seg.marks = c.first, c.end, c.marks
	for _, s := range c.streams {
		st := l.index.streams[domain.StreamID(s.id)]
		if st == nil {
			st = l.index.add(domain.StreamID(s.id))
		}
		st.head, st.last = s.head, l.types.internString(s.last)
		if st.appends == nil {
			st.appends = s.appends
		} else {
			st.appends = append(st.appends, s.appends...)
		}
	}
}

// buildSidecar gives a segment that is no longer written to its sidecar. Nothing depends on it.
func (l *Log) buildSidecar(seg *segment) {
	s := scanner{seed: l.seed, seg: seg, next: seg.first}
	b := newSidecarBuilder(seg.number, seg.first)
	s.batch = func(_ *segment, h *frameHeader, offset int64, payload []byte) error {
		b.batch(h, offset, payload)
		return nil
	}
	if err := s.run(); err != nil {
		l.logger.Error("a segment that was just completed cannot be read back", slog.String("file", seg.name), slog.Any("error", err))
		return
	}
	if c, ok := b.finish(&s); ok && s.torn == s.end {
		l.writeSidecar(c)
	}
}

// writeSidecar writes the file under another name first, so that a process that dies leaves none or a
// whole one. It is not synced, for the disk has more urgent work.
func (l *Log) writeSidecar(c *sidecar) {
	name := l.path(sidecarName(c.number))
	f, err := l.fs.Create(name + ".tmp")
	if err == nil {
		_, err = f.WriteAt(c.encode(l.seed), 0)
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = l.fs.Rename(name+".tmp", name)
	}
	if err != nil {
		l.logger.Warn("the index of a segment could not be written; the next start reads the segment", slog.String("file", sidecarName(c.number)), slog.Any("error", err))
	}
}
