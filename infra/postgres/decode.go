package postgres

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"quipu/domain"
	"quipu/projections/view"
)

// record reads the columns of one row of a result, in their order. The first fault sticks; err tells.
type record struct {
	values [][]byte
	at     int
	fault  error
}

func (r *record) next(size int) []byte {
	if r.at >= len(r.values) {
		r.fail("has too few columns")
		return nil
	}
	v := r.values[r.at]
	r.at++
	if size >= 0 && v != nil && len(v) != size {
		r.fail(fmt.Sprintf("column %d has %d bytes instead of %d", r.at, len(v), size))
		return nil
	}
	return v
}

func (r *record) fail(what string) {
	if r.fault == nil {
		r.fault = domain.E(domain.KindCorrupt, "read", "row", what)
	}
}

func (r *record) big() int64 {
	if v := r.next(8); v != nil {
		return int64(be.Uint64(v))
	}
	return 0
}

func (r *record) position() domain.Position { return domain.Position(r.big()) }

func (r *record) int() int {
	if v := r.next(4); v != nil {
		return int(int32(be.Uint32(v)))
	}
	return 0
}

func (r *record) bool() bool {
	v := r.next(1)
	return v != nil && v[0] != 0
}

func (r *record) text() string { return string(r.next(-1)) }

// bytes copies; NULL is nil, an empty value is not.
func (r *record) bytes() []byte { return bytes.Clone(r.next(-1)) }

func (r *record) instant() time.Time {
	if v := r.next(8); v != nil {
		return time.UnixMicro(int64(be.Uint64(v)) + epoch).UTC()
	}
	return time.Time{}
}

func (r *record) uuid() (id domain.EventID) {
	copy(id[:], r.next(len(id)))
	return id
}

func (r *record) value() domain.Value {
	v := domain.Value{JSON: r.bytes()}
	var err error
	if v.Holes, err = holes(r.next(-1)); err != nil {
		r.fail(err.Error())
	}
	return v
}

func holes(b []byte) ([]domain.Hole, error) {
	if b == nil {
		return nil, nil
	}
	out := []domain.Hole{}
	for len(b) > 0 {
		var h domain.Hole
		for _, field := range []*string{&h.At, &h.Sealed, &h.FP, &h.Blob} {
			n, size := binary.Uvarint(b)
			if size <= 0 || n > uint64(len(b)-size) {
				return nil, fmt.Errorf("the holes of a value end too early")
			}
			b = b[size:]
			*field, b = string(b[:n]), b[n:]
		}
		n, size := binary.Varint(b)
		if size <= 0 {
			return nil, fmt.Errorf("the holes of a value end too early")
		}
		h.Bytes, b = n, b[size:]
		out = append(out, h)
	}
	return out, nil
}

func (r *record) failure() view.Error {
	return view.Error{Type: r.text(), Code: r.text(), Message: r.text()}
}
