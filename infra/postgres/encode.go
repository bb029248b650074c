package postgres

import (
	"encoding/binary"
	"slices"
	"time"

	"quipu/domain"
)

// kind is the type of a column: its object ids in the server, fixed since its first versions.
type kind struct{ oid, array uint32 }

var (
	kindBool    = kind{16, 1000}
	kindBytes   = kind{17, 1001}
	kindBig     = kind{20, 1016}
	kindInt     = kind{23, 1007}
	kindText    = kind{25, 1009}
	kindInstant = kind{1184, 1185}
	kindUUID    = kind{2950, 2951}
)

func (k kind) name() string {
	switch k {
	case kindBool:
		return "boolean"
	case kindBytes:
		return "bytea"
	case kindBig:
		return "bigint"
	case kindInt:
		return "integer"
	case kindText:
		return "text"
	case kindInstant:
		return "timestamptz"
	default:
		return "uuid"
	}
}

// epoch is where the server counts its microseconds from: 2000-01-01 UTC, in Unix microseconds.
const epoch = 946_684_800_000_000

var be = binary.BigEndian

// rows collects rows in the server's binary form: either row by row, as COPY takes them, or column by
// column, as parameters of one statement. A field looks the same in both: four bytes of length, and the
// value.
type rows struct {
	kinds []kind
	copy  bool
	count int
	bufs  [][]byte // one for COPY, else one for each column
	at    int      // column of the next field
}

const arrayHeaderBytes = 20

func newRows(kinds []kind, copying bool) *rows {
	r := &rows{kinds: kinds, copy: copying, bufs: make([][]byte, 1)}
	if copying {
		r.bufs[0] = append(make([]byte, 0, 512), "PGCOPY\n\xff\r\n\x00"...)
		r.bufs[0] = append(r.bufs[0], 0, 0, 0, 0, 0, 0, 0, 0) // flags, length of the extension
		return r
	}
	r.bufs = make([][]byte, len(kinds))
	for i := range r.bufs {
		r.bufs[i] = make([]byte, arrayHeaderBytes, 64)
	}
	return r
}

func (r *rows) begin() {
	r.count++
	r.at = 0
	if r.copy {
		r.bufs[0] = be.AppendUint16(r.bufs[0], uint16(len(r.kinds)))
	}
}

func (r *rows) next() *[]byte {
	if r.copy {
		return &r.bufs[0]
	}
	b := &r.bufs[r.at]
	r.at++
	return b
}

func (r *rows) null() {
	b := r.next()
	*b = be.AppendUint32(*b, 1<<32-1)
}

func (r *rows) big(v int64) {
	b := r.next()
	*b = be.AppendUint64(be.AppendUint32(*b, 8), uint64(v))
}

func (r *rows) position(p domain.Position) { r.big(int64(p)) }

func (r *rows) int(v int) {
	b := r.next()
	*b = be.AppendUint32(be.AppendUint32(*b, 4), uint32(int32(v)))
}

func (r *rows) bool(v bool) {
	b := r.next()
	*b = append(be.AppendUint32(*b, 1), 0)
	if v {
		(*b)[len(*b)-1] = 1
	}
}

func (r *rows) text(s string) {
	b := r.next()
	*b = append(be.AppendUint32(*b, uint32(len(s))), s...)
}

// bytes writes nil as NULL.
func (r *rows) bytes(v []byte) {
	if v == nil {
		r.null()
		return
	}
	b := r.next()
	*b = append(be.AppendUint32(*b, uint32(len(v))), v...)
}

func (r *rows) instant(t time.Time) { r.big(micros(domain.Instant(t))) }

// end writes the zero time as NULL: there is no end yet.
func (r *rows) end(t time.Time) {
	if t.IsZero() {
		r.null()
		return
	}
	r.instant(t)
}

func micros(t time.Time) int64 { return t.UnixMicro() - epoch }

func (r *rows) uuid(id domain.EventID) {
	b := r.next()
	*b = append(be.AppendUint32(*b, uint32(len(id))), id[:]...)
}

// value writes a Value as two columns: its JSON, and its holes.
func (r *rows) value(v domain.Value) {
	r.bytes(v.JSON)
	r.bytes(appendHoles(v.Holes))
}

// reserveMax bounds what is reserved for rows on the word of the first one.
const reserveMax = 8 << 20

// reserve makes room for n rows like the first, which is written.
func (r *rows) reserve(n int) {
	for i := range r.bufs {
		r.bufs[i] = slices.Grow(r.bufs[i], min(len(r.bufs[i])*n/8*9, reserveMax))
	}
}

// stream ends a COPY and returns what to send.
func (r *rows) stream() []byte { return be.AppendUint16(r.bufs[0], 1<<16-1) }

// params ends the columns and returns them as arrays.
func (r *rows) params() (values [][]byte, oids []uint32) {
	oids = make([]uint32, len(r.kinds))
	for i, b := range r.bufs {
		be.PutUint32(b[0:], 1) // dimensions
		be.PutUint32(b[4:], 1) // there may be NULLs
		be.PutUint32(b[8:], r.kinds[i].oid)
		be.PutUint32(b[12:], uint32(r.count))
		be.PutUint32(b[16:], 1) // first index
		oids[i] = r.kinds[i].array
	}
	return r.bufs, oids
}

// appendHoles encodes holes as their fields, each behind its length; nil gives nil.
func appendHoles(holes []domain.Hole) []byte {
	if holes == nil {
		return nil
	}
	out := []byte{}
	field := func(s string) { out = append(binary.AppendUvarint(out, uint64(len(s))), s...) }
	for i := range holes {
		h := &holes[i]
		field(h.At)
		field(h.Sealed)
		field(h.FP)
		field(h.Blob)
		out = binary.AppendVarint(out, h.Bytes)
	}
	return out
}
