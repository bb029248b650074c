package kurrentport

import (
	"bytes"
	"encoding/binary"
	"time"

	"quipu/domain"
)

// How an external event is kept. Its id, type and data are those of the stored event; what the
// protocol has besides goes into the stored metadata, which docs/log-format.md describes too:
//
//	0 version u8 (1)  1 flags u8 (1: the data is JSON)  2 created i64, 100 ns since 1970
//	10 the client's own metadata
//
// All of it is little-endian. The first byte keeps it from passing for the JSON of Quipu's metadata,
// so that a check of hash chains leaves it alone whatever a client sends.
const (
	storedVersion  = 1
	storedJSON     = 1
	storedOverhead = 10
)

// proposed is an event as a client sends it.
type proposed struct {
	id     domain.EventID
	typ    string
	json   bool
	custom []byte
	data   []byte
}

// bytes is the event's size as the server counts it.
func (p *proposed) bytes() int { return len(p.data) + len(p.custom) + 2*len(p.typ) }

// pending makes events to be appended to a stream of the log.
func pending(events []proposed, id domain.StreamID, now time.Time) []domain.Pending {
	out := make([]domain.Pending, len(events))
	created := ticks(now)
	for i := range events {
		p := &events[i]
		out[i] = domain.Pending{ID: p.id, Type: p.typ, Data: p.data, Metadata: p.custom}
		if id.External() {
			out[i].Metadata = seal(p, created)
		}
	}
	return out
}

func seal(p *proposed, created int64) []byte {
	b := make([]byte, storedOverhead, storedOverhead+len(p.custom))
	b[0] = storedVersion
	if p.json {
		b[1] = storedJSON
	}
	binary.LittleEndian.PutUint64(b[2:], uint64(created))
	return append(b, p.custom...)
}

// unseal splits the stored metadata of an event. What an external stream holds in another form came
// by another way than this port; it is shown as it is.
func unseal(e *domain.Recorded) (json bool, created int64, custom []byte) {
	b := e.Metadata
	if !e.Stream.External() {
		return true, createdOf(b), b
	}
	if len(b) < storedOverhead || b[0] != storedVersion {
		return false, 0, b
	}
	return b[1]&storedJSON != 0, int64(binary.LittleEndian.Uint64(b[2:])), b[storedOverhead:]
}

var atKey = []byte(`"at":"`)

// createdOf returns the instant in the metadata of one of Quipu's own events, 0 if there is none. A
// quote within a JSON string is escaped, so the key cannot be met inside of one.
func createdOf(metadata []byte) int64 {
	_, rest, found := bytes.Cut(metadata, atKey)
	if !found || len(rest) < len(domain.TimeLayout) {
		return 0
	}
	at, err := time.Parse(domain.TimeLayout, string(rest[:len(domain.TimeLayout)]))
	if err != nil {
		return 0
	}
	return ticks(at)
}

// ticks are what clients take for the created date: 100 ns since 1970. One that cannot parse it ends
// its process, so it is never anything but a decimal number.
func ticks(t time.Time) int64 { return t.Unix()*1e7 + int64(t.Nanosecond())/100 }
