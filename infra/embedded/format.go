package embedded

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"quipu/domain"
)

// This file is the byte format, version 1; docs/log-format.md says the same in prose and
// testdata/ keeps bytes written by every version for ever. All integers are little-endian. Every
// checksum is CRC-32C and starts from the log's salt, a random secret of the folder that no
// reader of events ever sees, so bytes chosen by a user cannot pass for a frame.
//
//	META            metaBytes: identity of the log
//	00000001.seg    segmentHeader, frames, zeros
//	frame           frameHeader, payload
//	payload         records, one per append
//	record          recordHeader, stream id, events
//	event           id[16], type length u8, metadata length u32, data length u32, type, metadata, data
const (
	formatVersion = 1

	metaMagic    = "QUIPULOG"
	metaBytes    = 64
	segmentMagic = "QUIPUSEG"

	segmentHeaderBytes = 64
	frameHeaderBytes   = 40
	recordHeaderBytes  = 40
	eventHeaderBytes   = 25
)

// frameMagic holds bytes that cannot occur in UTF-8, so text never looks like the start of a frame.
var frameMagic = [4]byte{0xff, 0xc0, 0xf5, 0xfe}

// Kinds of frames.
const (
	frameBatch  = 1 // a group commit: one or more appends
	frameClosed = 2 // an orderly Close; no payload
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type salt [16]byte

// seed is the state all of a log's checksums start from.
func (s salt) seed() uint32 { return crc32.Checksum(s[:], castagnoli) }

var le = binary.LittleEndian

// meta is the content of META:
//
//	 0 magic[8]  8 version u32  12 flags u32  16 log id[16]  32 salt[16]  48 created, unix ms i64
//	56 zero u32  60 crc u32 over [0:60), not salted
type meta struct {
	id      [16]byte
	salt    salt
	created int64
	copied  bool // flagCopied
}

// flagCopied says that this is a copy under the id of its source: whoever first opens it to
// write gives it an id of its own.
const flagCopied = 1

func (m *meta) encode() []byte {
	b := make([]byte, metaBytes)
	copy(b, metaMagic)
	le.PutUint32(b[8:], formatVersion)
	if m.copied {
		le.PutUint32(b[12:], flagCopied)
	}
	copy(b[16:], m.id[:])
	copy(b[32:], m.salt[:])
	le.PutUint64(b[48:], uint64(m.created))
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// decodeMeta returns a reason instead of an error; "" means that b is good.
func decodeMeta(b []byte) (m meta, reason string) {
	switch {
	case len(b) != metaBytes || string(b[:8]) != metaMagic:
		return m, "is not a Quipu log"
	case le.Uint32(b[8:]) != formatVersion:
		return m, "is of another format version"
	case le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli):
		return m, "has a wrong checksum"
	case le.Uint32(b[12:])&^flagCopied != 0:
		return m, "has flags that this version does not know"
	}
	m.copied = le.Uint32(b[12:])&flagCopied != 0
	copy(m.id[:], b[16:])
	copy(m.salt[:], b[32:])
	m.created = int64(le.Uint64(b[48:]))
	return m, ""
}

// encodeSegmentHeader makes the first bytes of a segment file:
//
//	0 magic[8]  8 version u32  12 zero u32  16 number u64  24 first position u64  32 zero[28]
//	60 crc u32 over salt and [0:60)
func encodeSegmentHeader(seed uint32, number uint64, first domain.Position) []byte {
	b := make([]byte, segmentHeaderBytes)
	copy(b, segmentMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint64(b[16:], number)
	le.PutUint64(b[24:], uint64(first))
	le.PutUint32(b[60:], crc32.Update(seed, castagnoli, b[:60]))
	return b
}

func decodeSegmentHeader(seed uint32, number uint64, b []byte) (first domain.Position, reason string) {
	switch {
	case len(b) < segmentHeaderBytes || string(b[:8]) != segmentMagic:
		return 0, "is not a segment"
	case le.Uint32(b[8:]) != formatVersion:
		return 0, "is of another format version"
	case le.Uint32(b[60:]) != crc32.Update(seed, castagnoli, b[:60]):
		return 0, "has a wrong header checksum, or belongs to another log"
	case le.Uint64(b[16:]) != number:
		return 0, "carries another number than its name"
	}
	return domain.Position(le.Uint64(b[24:])), ""
}

// frameHeader stands before every payload:
//
//	 0 magic[4]  4 kind u8  5 zero[3]  8 payload bytes u32  12 records u32  16 events u32
//	20 payload crc u32 over salt and payload  24 first position u64  32 zero u32
//	36 crc u32 over salt, segment number u64, offset of the frame in its file u64, [0:36)
//
// The place is part of the checksum, so a frame is good only where it was written.
type frameHeader struct {
	kind    byte
	payload uint32
	records uint32
	events  uint32
	crc     uint32
	first   domain.Position
}

// put writes h at the start of b, for a frame at offset of segment number.
func (h *frameHeader) put(b []byte, seed uint32, number uint64, offset int64) {
	copy(b, frameMagic[:])
	le.PutUint32(b[4:], uint32(h.kind))
	le.PutUint32(b[8:], h.payload)
	le.PutUint32(b[12:], h.records)
	le.PutUint32(b[16:], h.events)
	le.PutUint32(b[20:], h.crc)
	le.PutUint64(b[24:], uint64(h.first))
	le.PutUint32(b[32:], 0)
	le.PutUint32(b[36:], frameChecksum(b, seed, number, offset))
}

func frameChecksum(b []byte, seed uint32, number uint64, offset int64) uint32 {
	var place [16]byte
	le.PutUint64(place[:], number)
	le.PutUint64(place[8:], uint64(offset))
	return crc32.Update(crc32.Update(seed, castagnoli, place[:]), castagnoli, b[:36])
}

// decodeFrameHeader reads a frame's header; !ok means that no frame starts here.
func decodeFrameHeader(b []byte, seed uint32, number uint64, offset int64) (h frameHeader, ok bool) {
	if len(b) < frameHeaderBytes || [4]byte(b[:4]) != frameMagic ||
		le.Uint32(b[36:]) != frameChecksum(b, seed, number, offset) {
		return h, false
	}
	return frameHeader{
		kind:    b[4],
		payload: le.Uint32(b[8:]),
		records: le.Uint32(b[12:]),
		events:  le.Uint32(b[16:]),
		crc:     le.Uint32(b[20:]),
		first:   domain.Position(le.Uint64(b[24:])),
	}, true
}

func payloadChecksum(seed uint32, payload []byte) uint32 {
	return crc32.Update(seed, castagnoli, payload)
}

// A record is one append:
//
//	 0 bytes u32, this header included   4 crc u32   8 first position u64   16 recorded, unix ms i64
//	24 first revision u64  32 events u32  36 stream bytes u16  38 zero u16  40 stream, events
//
// The crc covers salt, [24:bytes), [8:24), [0:4), in this order: an appender computes the long part
// before its position is known (newRecord), the writer adds the rest (sealRecord).
type record struct {
	bytes    int
	first    domain.Position
	at       int64
	revision domain.Revision
	events   int
	stream   []byte
	body     []byte // the encoded events
}

// newRecord encodes an append that passed domain.CheckAppend. The result lacks position, time and
// checksum; partial is the checksum so far.
func newRecord(seed uint32, stream domain.StreamID, first domain.Revision, events []domain.Pending) (b []byte, partial uint32) {
	size := recordHeaderBytes + len(stream)
	for i := range events {
		e := &events[i]
		size += eventHeaderBytes + len(e.Type) + len(e.Metadata) + len(e.Data)
	}
	b = make([]byte, recordHeaderBytes, size)
	le.PutUint32(b, uint32(size))
	le.PutUint64(b[24:], uint64(first))
	le.PutUint32(b[32:], uint32(len(events)))
	le.PutUint16(b[36:], uint16(len(stream)))
	b = append(b, stream...)
	for i := range events {
		e := &events[i]
		b = append(b, e.ID[:]...)
		b = append(b, byte(len(e.Type)))
		b = le.AppendUint32(b, uint32(len(e.Metadata)))
		b = le.AppendUint32(b, uint32(len(e.Data)))
		b = append(b, e.Type...)
		b = append(b, e.Metadata...)
		b = append(b, e.Data...)
	}
	return b, crc32.Update(seed, castagnoli, b[24:])
}

// sealRecord completes what newRecord began.
func sealRecord(b []byte, partial uint32, first domain.Position, at int64) {
	le.PutUint64(b[8:], uint64(first))
	le.PutUint64(b[16:], uint64(at))
	crc := crc32.Update(partial, castagnoli, b[8:24])
	le.PutUint32(b[4:], crc32.Update(crc, castagnoli, b[:4]))
}

// recordBytes returns the length a record claims, 0 if b is too short or the claim absurd.
func recordBytes(b []byte) int {
	if len(b) < recordHeaderBytes {
		return 0
	}
	n := le.Uint32(b)
	if n < recordHeaderBytes || n > math.MaxInt32 {
		return 0
	}
	return int(n)
}

// decodeRecord takes the record at the start of b apart without checking its checksum; !ok means
// that its lengths do not fit.
func decodeRecord(b []byte) (r record, ok bool) {
	n := recordBytes(b)
	if n == 0 || n > len(b) {
		return r, false
	}
	end := recordHeaderBytes + int(le.Uint16(b[36:]))
	r = record{
		bytes:    n,
		first:    domain.Position(le.Uint64(b[8:])),
		at:       int64(le.Uint64(b[16:])),
		revision: domain.Revision(le.Uint64(b[24:])),
		events:   int(le.Uint32(b[32:])),
	}
	if end > n || r.events < 1 || r.events > domain.AppendEventsMax || r.revision < 0 {
		return r, false
	}
	r.stream, r.body = b[recordHeaderBytes:end:end], b[end:n:n]
	return r, true
}

// recordChecksumOK checks the whole record that decodeRecord found in b.
func recordChecksumOK(b []byte, n int, seed uint32) bool {
	crc := crc32.Update(seed, castagnoli, b[24:n])
	crc = crc32.Update(crc, castagnoli, b[8:24])
	return le.Uint32(b[4:]) == crc32.Update(crc, castagnoli, b[:4])
}

// event is one event of a record; its slices point into the record.
type event struct {
	id             domain.EventID
	typ            []byte
	metadata, data []byte
}

// nextEvent splits the first event off body; !ok means that its lengths do not fit.
func nextEvent(body []byte) (e event, rest []byte, ok bool) {
	if len(body) < eventHeaderBytes {
		return e, nil, false
	}
	typ, metadata, data := int(body[16]), uint64(le.Uint32(body[17:])), uint64(le.Uint32(body[21:]))
	if uint64(len(body)-eventHeaderBytes) < uint64(typ)+metadata+data {
		return e, nil, false
	}
	e.id = domain.EventID(body[:16])
	b := body[eventHeaderBytes:]
	e.typ, b = b[:typ:typ], b[typ:]
	e.metadata, b = b[:metadata:metadata], b[metadata:]
	e.data, b = b[:data:data], b[data:]
	return e, b, true
}

// lastType is the type of a record's last event; !ok means that lengths do not fit.
func lastType(r *record) (typ []byte, ok bool) {
	body := r.body
	for range r.events {
		var e event
		if e, body, ok = nextEvent(body); !ok {
			return nil, false
		}
		typ = e.typ
	}
	return typ, len(body) == 0
}
