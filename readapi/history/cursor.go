package history

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"quipu/domain"
)

// list says which list a cursor belongs to. The numbers are in cursors that clients keep.
type list byte

const (
	listExecutions list = 1
	listEvents     list = 2
	listWorkflows  list = 3
	listVersions   list = 4
	listEndpoints  list = 5
	listApprovals  list = 6
)

// cursor is a place in a list: after the row with Key, in the order and with the filters it was made
// for. Clients see one opaque word.
type cursor struct {
	list      list
	ascending bool
	filters   filterHash
	key       domain.Position
	asOf      domain.Position // the list as it was then; 0 if that does not matter to it
	log       domain.LogID
}

// filterHash tells apart lists with different filters.
type filterHash [8]byte

// hashFilters is over every filter, in a fixed order, empty ones included. A list's filters are part
// of its cursor: continuing it with others would lose rows in silence.
func hashFilters(parts ...string) (out filterHash) {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	copy(out[:], h.Sum(nil))
	return out
}

// instantKey renders an instant for hashFilters.
func instantKey(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

const (
	cursorVersion  = 1
	cursorFixed    = 3 + 8 + 8 + 8
	cursorSumBytes = 6
	cursorBytesMax = 512 // of the word
)

// String is base64url of: version, list, order, filters, key, asOf (big-endian), the log's id, and the
// first bytes of a SHA-256 over all that, which tells damage from another list's cursor.
func (c cursor) String() string {
	b := make([]byte, 0, cursorFixed+len(c.log)+cursorSumBytes)
	order := byte(0)
	if c.ascending {
		order = 1
	}
	b = append(b, cursorVersion, byte(c.list), order)
	b = append(b, c.filters[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.key))
	b = binary.BigEndian.AppendUint64(b, uint64(c.asOf))
	b = append(b, c.log...)
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:cursorSumBytes]...))
}

// parseCursor reads what String made. ok is false for anything else.
func parseCursor(s string) (c cursor, ok bool) {
	if len(s) > cursorBytesMax {
		return cursor{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < cursorFixed+cursorSumBytes {
		return cursor{}, false
	}
	body := b[:len(b)-cursorSumBytes]
	sum := sha256.Sum256(body)
	if string(sum[:cursorSumBytes]) != string(b[len(body):]) || body[0] != cursorVersion || body[2] > 1 {
		return cursor{}, false
	}
	c = cursor{list: list(body[1]), ascending: body[2] == 1, log: domain.LogID(body[cursorFixed:])}
	copy(c.filters[:], body[3:])
	c.key = domain.Position(binary.BigEndian.Uint64(body[11:]))
	c.asOf = domain.Position(binary.BigEndian.Uint64(body[19:]))
	return c, true
}
