package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"time"
)

// Hash is the SHA-256 that chains a stream's events (see HashEvent).
type Hash [32]byte

// String renders h in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// EventID is a UUID. Quipu's own events carry the UUIDv8 of their hash.
type EventID [16]byte

// String renders the usual 8-4-4-4-12 form in lower case.
func (id EventID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return string(b[:])
}

// UUIDv8 makes a UUID of version 8 from the first 16 bytes of h (RFC 9562 section 5.8).
func UUIDv8(h Hash) EventID {
	var id EventID
	copy(id[:], h[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Pending is an event ready to be appended. Data and Metadata are stored as they are.
type Pending struct {
	ID       EventID
	Type     string
	Metadata []byte
	Data     []byte
}

// Recorded is an event as a log returns it. Its byte slices are shared: never write to them.
type Recorded struct {
	Stream   StreamID
	Revision Revision
	Position Position
	ID       EventID
	Type     string
	Metadata []byte
	Data     []byte
}

// Hash returns the event's hash in its chain.
func (r *Recorded) Hash() Hash { return HashEvent(r.Stream, r.Revision, r.Type, r.Metadata) }

const hashDomain = "quipu1"

// HashEvent is the hash of one event: SHA-256 over the fields "quipu1", stream, revision, type
// and metadata, each preceded by its length as 4 bytes big-endian; the revision is 8 bytes
// big-endian. The data is covered through metadata's data_sha256, the past through its prev.
func HashEvent(stream StreamID, revision Revision, typ string, metadata []byte) Hash {
	// One buffer on the stack for the short fields keeps the hot path free of allocations.
	var small [768]byte
	b := small[:0]
	b = appendField(b, hashDomain)
	b = appendField(b, string(stream))
	b = binary.BigEndian.AppendUint32(b, 8)
	b = binary.BigEndian.AppendUint64(b, uint64(revision))
	b = appendField(b, typ)
	b = binary.BigEndian.AppendUint32(b, uint32(len(metadata)))
	if len(b)+len(metadata) <= cap(b) {
		return sha256.Sum256(append(b, metadata...))
	}
	h := sha256.New()
	write(h, b)
	write(h, metadata)
	var out Hash
	h.Sum(out[:0])
	return out
}

func appendField(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

func write(h hash.Hash, b []byte) { _, _ = h.Write(b) } // a hash never fails to write

// eventOverheadBytes is what each event is counted with beside its own bytes, so that a limit on
// bytes also bounds many tiny events in every adapter's encoding.
const eventOverheadBytes = 64

// AppendBytes is the size by which AppendBytesMax counts: data, metadata and twice the type of
// each event, as KurrentDB counts, plus a fixed overhead per event.
func AppendBytes(events []Pending) int {
	n := 0
	for i := range events {
		n += EventBytes(&events[i])
	}
	return n
}

// EventBytes is one event's share of AppendBytes.
func EventBytes(e *Pending) int {
	return len(e.Data) + len(e.Metadata) + 2*len(e.Type) + eventOverheadBytes
}

// CheckAppend reports why an append cannot be accepted by any log: a bad stream id, no event,
// more than AppendEventsMax or AppendBytesMax, a bad type, or an id of zeros. Errors: ErrInvalid.
func CheckAppend(stream StreamID, expected Revision, events []Pending) error {
	if err := stream.Check(); err != nil {
		return err
	}
	bad := func(format string, args ...any) error {
		return E(KindInvalid, "append to", string(stream), fmt.Sprintf(format, args...))
	}
	if expected < NoStream {
		return bad("expected revision %d is below %d", expected, NoStream)
	}
	if len(events) == 0 {
		return bad("holds no event")
	}
	if len(events) > AppendEventsMax {
		return bad("holds %d events, at most %d are allowed", len(events), AppendEventsMax)
	}
	if n := AppendBytes(events); n > AppendBytesMax {
		return bad("holds %d bytes, at most %d are allowed", n, AppendBytesMax)
	}
	for i := range events {
		e := &events[i]
		if e.Type == "" || len(e.Type) > EventTypeBytesMax {
			return bad("event %d: type has %d bytes, 1..%d are allowed", i, len(e.Type), EventTypeBytesMax)
		}
		if e.ID == (EventID{}) {
			return bad("event %d: id is all zeros", i)
		}
	}
	return nil
}

// TimeLayout is how every instant is stored: RFC 3339, UTC, three decimals.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Instant rounds t down to the stored precision, in UTC.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
