package embedded

import (
	"hash/crc32"
	"slices"

	"quipu/domain"
)

// A sidecar is the index of one sealed segment, in a file beside it, so that Open need not read the
// segment. It is derived and never trusted more than the segment: one that is missing, damaged or of
// other bytes is made anew from the segment. It is not synced: after a crash its checksums tell.
//
//	00000001.idx    header, marks, streams
//	header          sidecarHeaderBytes:
//	                 0 magic[8]  8 version u32  12 zero u32  16 segment number u64  24 first position u64
//	                32 next position u64  40 end of the frames u64  48 offset of the last batch u64
//	                56 crc of that frame's header u32  60 marks u32  64 streams u32  68 zero u32
//	                72 body crc u32 over salt and body  76 crc u32 over salt and [0:76)
//	mark            first position u64, offset of the frame u64
//	stream          id bytes u16, type bytes u8, appends u32, revision of the last event u64, id, type of the
//	                last event, appends
//	append          revision u64, offset of the record u32
//
// The crc of the last frame's header covers that of its payload and its place, and positions have no
// gap, so a sidecar of another segment, or of another life of this one, is noticed.
const (
	sidecarMagic       = "QUIPUIDX"
	sidecarExt         = ".idx"
	sidecarHeaderBytes = 80

	markBytes          = 16
	sidecarStreamBytes = 15
	sidecarAppendBytes = 12
)

func sidecarName(number uint64) string { return segmentName(number)[:8] + sidecarExt }

// sidecar is the content of the file, without checksums.
type sidecar struct {
	number    uint64
	first     domain.Position
	next      domain.Position
	end       int64
	lastFrame int64
	lastCRC   uint32
	marks     []mark
	streams   []*sidecarStream // by first append
}

type sidecarStream struct {
	id      string
	last    string // type of the last event
	head    domain.Revision
	appends []place
}

// sidecarBuilder collects a sidecar from the frames of a segment.
type sidecarBuilder struct {
	sidecar
	byID map[string]*sidecarStream
	seg  segment // collects the marks
}

func newSidecarBuilder(number uint64, first domain.Position) *sidecarBuilder {
	return &sidecarBuilder{sidecar: sidecar{number: number, first: first}, byID: map[string]*sidecarStream{}}
}

// batch takes a frame that the scanner has checked.
func (b *sidecarBuilder) batch(h *frameHeader, offset int64, payload []byte) {
	b.seg.mark(h.first, offset)
	at := offset + frameHeaderBytes
	for len(payload) > 0 {
		r, _ := decodeRecord(payload) // the scanner checked it
		st := b.byID[string(r.stream)]
		if st == nil {
			st = &sidecarStream{id: string(r.stream)}
			b.byID[st.id] = st
			b.streams = append(b.streams, st)
		}
		last, _ := lastType(&r)
		if st.last != string(last) {
			st.last = string(last)
		}
		st.head = r.revision + domain.Revision(r.events) - 1
		st.appends = append(st.appends, place{revision: r.revision, segment: uint32(b.number), offset: uint32(at)})
		payload = payload[r.bytes:]
		at += int64(r.bytes)
	}
}

// finish completes the sidecar from a scanner that has read the whole segment; !ok if there is
// nothing in it.
func (b *sidecarBuilder) finish(s *scanner) (*sidecar, bool) {
	b.marks = b.seg.marks
	b.next, b.end, b.lastFrame, b.lastCRC = s.next, s.end, s.lastFrame, s.lastCRC
	return &b.sidecar, s.lastFrame > 0
}

func (c *sidecar) encode(seed uint32) []byte {
	size := sidecarHeaderBytes + markBytes*len(c.marks)
	for _, st := range c.streams {
		size += sidecarStreamBytes + len(st.id) + len(st.last) + sidecarAppendBytes*len(st.appends)
	}
	b := make([]byte, sidecarHeaderBytes, size)
	for _, m := range c.marks {
		b = le.AppendUint64(b, uint64(m.first))
		b = le.AppendUint64(b, uint64(m.offset))
	}
	for _, st := range c.streams {
		b = le.AppendUint16(b, uint16(len(st.id)))
		b = append(b, byte(len(st.last)))
		b = le.AppendUint32(b, uint32(len(st.appends)))
		b = le.AppendUint64(b, uint64(st.head))
		b = append(b, st.id...)
		b = append(b, st.last...)
		for _, p := range st.appends {
			b = le.AppendUint64(b, uint64(p.revision))
			b = le.AppendUint32(b, p.offset)
		}
	}
	copy(b, sidecarMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint64(b[16:], c.number)
	le.PutUint64(b[24:], uint64(c.first))
	le.PutUint64(b[32:], uint64(c.next))
	le.PutUint64(b[40:], uint64(c.end))
	le.PutUint64(b[48:], uint64(c.lastFrame))
	le.PutUint32(b[56:], c.lastCRC)
	le.PutUint32(b[60:], uint32(len(c.marks)))
	le.PutUint32(b[64:], uint32(len(c.streams)))
	le.PutUint32(b[72:], crc32.Update(seed, castagnoli, b[sidecarHeaderBytes:]))
	le.PutUint32(b[76:], crc32.Update(seed, castagnoli, b[:76]))
	return b
}

// decodeSidecar is total: whatever b holds, it returns a sidecar or !ok.
func decodeSidecar(seed uint32, b []byte) (c *sidecar, ok bool) {
	if len(b) < sidecarHeaderBytes || string(b[:8]) != sidecarMagic || le.Uint32(b[8:]) != formatVersion ||
		le.Uint32(b[76:]) != crc32.Update(seed, castagnoli, b[:76]) ||
		le.Uint32(b[72:]) != crc32.Update(seed, castagnoli, b[sidecarHeaderBytes:]) {
		return nil, false
	}
	c = &sidecar{
		number: le.Uint64(b[16:]), first: domain.Position(le.Uint64(b[24:])), next: domain.Position(le.Uint64(b[32:])),
		end: int64(le.Uint64(b[40:])), lastFrame: int64(le.Uint64(b[48:])), lastCRC: le.Uint32(b[56:]),
	}
	marks, streams := uint64(le.Uint32(b[60:])), uint64(le.Uint32(b[64:]))
	body := b[sidecarHeaderBytes:]
	if uint64(len(body)) < marks*markBytes {
		return nil, false
	}
	c.marks = make([]mark, marks)
	for i := range c.marks {
		c.marks[i] = mark{domain.Position(le.Uint64(body)), int64(le.Uint64(body[8:]))}
		body = body[markBytes:]
	}
	if uint64(len(body)) < streams*sidecarStreamBytes {
		return nil, false
	}
	c.streams = make([]*sidecarStream, streams)
	for i := range c.streams {
		if c.streams[i], body, ok = decodeSidecarStream(body, uint32(c.number)); !ok {
			return nil, false
		}
	}
	return c, len(body) == 0
}

func decodeSidecarStream(b []byte, number uint32) (st *sidecarStream, rest []byte, ok bool) {
	if len(b) < sidecarStreamBytes {
		return nil, nil, false
	}
	id, typ, appends := int(le.Uint16(b)), int(b[2]), uint64(le.Uint32(b[3:]))
	st = &sidecarStream{head: domain.Revision(le.Uint64(b[7:]))}
	b = b[sidecarStreamBytes:]
	if appends == 0 || uint64(len(b)) < uint64(id)+uint64(typ)+appends*sidecarAppendBytes {
		return nil, nil, false
	}
	st.id, st.last = string(b[:id]), string(b[id:id+typ])
	b = b[id+typ:]
	st.appends = make([]place, appends)
	for i := range st.appends {
		st.appends[i] = place{domain.Revision(le.Uint64(b)), number, le.Uint32(b[8:])}
		b = b[sidecarAppendBytes:]
	}
	return st, b, true
}

// fits reports whether c is the index of this sealed segment, which begins at position first.
func (c *sidecar) fits(seed uint32, seg *segment, first domain.Position) bool {
	if c.number != seg.number || c.first != first {
		return false
	}
	size, err := seg.file.Size()
	if err != nil || size < c.end {
		return false
	}
	b := make([]byte, frameHeaderBytes)
	if n, err := readAt(seg.file, b, c.lastFrame); err != nil || n < len(b) || le.Uint32(b[36:]) != c.lastCRC {
		return false
	}
	h, ok := decodeFrameHeader(b, seed, seg.number, c.lastFrame)
	return ok && h.kind == frameBatch && h.first+domain.Position(h.events) == c.next
}

// continues reports whether every stream goes on where the index has it.
func (x *index) continues(c *sidecar) bool {
	return !slices.ContainsFunc(c.streams, func(s *sidecarStream) bool {
		head := domain.NoStream
		if st := x.streams[domain.StreamID(s.id)]; st != nil {
			head = st.head
		}
		return s.appends[0].revision != head+1
	})
}
