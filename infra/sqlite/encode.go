package sqlite

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"time"

	"quipu/domain"
	"quipu/projections/view"
)

// at64 is a position as SQLite takes it. Positions beyond are in no log.
func at64(p domain.Position) int64 { return int64(min(p, math.MaxInt64)) }

func millis(t time.Time) int64 { return t.UnixMilli() }

func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// idOf is how an id is stored: a UUID in its usual writing as 16 bytes, anything else as text.
func idOf(s string) any {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return s
	}
	b := make([]byte, 16)
	n := 0
	for i := 0; i < len(s); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			continue
		}
		d := nibble(s[i])
		if d > 15 {
			return s
		}
		b[n/2] = b[n/2]<<4 | d
		n++
	}
	return b
}

// nibble is the value of a lower-case hex digit, 16 for anything else.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 16
}

// idText is the id that idOf stored.
func idText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		if len(v) == 16 {
			return domain.EventID(v).String()
		}
		return hex.EncodeToString(v) // nothing of ours
	}
	return ""
}

// blob is JSON as a column takes it: NULL for absent.
func blob(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// text is a column that is NULL most of the time.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// holes writes the holes of a value: their number, then of each its texts, length first, and its size.
func holes(list []domain.Hole) any {
	if len(list) == 0 {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(len(list)))
	for _, h := range list {
		for _, s := range [...]string{h.At, h.Sealed, h.FP, h.Blob} {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
		b = binary.AppendVarint(b, h.Bytes)
	}
	return b
}

var errHoles = errors.New("the holes of a value cannot be read")

// valueOf is what blob and holes stored.
func valueOf(json, list []byte) (domain.Value, error) {
	v := domain.Value{JSON: json}
	if len(list) == 0 {
		return v, nil
	}
	n, used := binary.Uvarint(list)
	if used <= 0 || n > uint64(len(list)) {
		return v, errHoles
	}
	list = list[used:]
	for range n {
		var h domain.Hole
		for _, s := range [...]*string{&h.At, &h.Sealed, &h.FP, &h.Blob} {
			size, used := binary.Uvarint(list)
			if used <= 0 || size > uint64(len(list)-used) {
				return v, errHoles
			}
			*s = string(list[used : used+int(size)])
			list = list[used+int(size):]
		}
		h.Bytes, used = binary.Varint(list)
		if used <= 0 {
			return v, errHoles
		}
		list = list[used:]
		v.Holes = append(v.Holes, h)
	}
	return v, nil
}

// statuses are stored by their index; the order is for ever.
var statuses = [...]view.Status{"", view.Running, view.Completed, view.Failed, view.Cancelled, view.Skipped, view.Retrying, view.Paused, view.Waiting}

// waits and approvalStatuses are stored in the same way.
var (
	waits            = [...]view.WaitKind{"", view.WaitApproval, view.WaitEvent, view.WaitTimer}
	approvalStatuses = [...]view.ApprovalStatus{
		"", view.ApprovalPending, view.ApprovalApproved, view.ApprovalRejected, view.ApprovalExpired, view.ApprovalCancelled,
	}
)

// codeOf is the place of a word among those that are known, -1 if it is none of them.
func codeOf[Word comparable](known []Word, w Word) int64 { return int64(slices.Index(known, w)) }

// wordOf is the word at a place, "" if there is none.
func wordOf[Word ~string](known []Word, code int64) Word {
	if code < 0 || code >= int64(len(known)) {
		return ""
	}
	return known[code]
}

// statusCode is the number of s, -1 if it is none.
func statusCode(s view.Status) int64 { return codeOf(statuses[:], s) }

func statusOf(code int64) view.Status { return wordOf(statuses[:], code) }
