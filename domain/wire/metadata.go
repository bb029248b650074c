package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"quipu/domain"
)

// Actor says who caused an event.
type Actor struct {
	Kind string // anonymous, system, key or user
	ID   string
	Via  string // door it came in by: "run-dag", "executor", "recovery", …
}

// The kinds of actors.
const (
	ActorAnonymous = "anonymous"
	ActorSystem    = "system"
	ActorKey       = "key"
	ActorUser      = "user"
)

// Metadata is what every event of Quipu's own carries beside its data, with exactly these keys.
// CausationID, Traceparent and Prev are left out when empty; Prev is empty at revision 0 only.
type Metadata struct {
	At            time.Time
	Actor         Actor
	CommandID     string
	CorrelationID string
	CausationID   string
	Traceparent   string
	Prev          string
	DataSHA256    string
}

// Cause is the part of the metadata that a command brings along.
type Cause struct {
	Actor         Actor
	CommandID     string
	CorrelationID string
	CausationID   string
	Traceparent   string
}

// Head is the end of a stream as far as its next event needs to know it.
type Head struct {
	Revision domain.Revision // NoStream if the stream has no event
	Hash     domain.Hash     // of the event at Revision
	At       time.Time       // of the event at Revision
}

// NewHead is the head of a stream without events.
func NewHead() Head { return Head{Revision: domain.NoStream} }

// Instant is the instant of a stream's next event: now, but never before its last one.
func (h Head) Instant(now time.Time) time.Time {
	now = domain.Instant(now)
	if now.Before(h.At) {
		return h.At
	}
	return now
}

// Seal makes the pending event that follows head, chains it, and returns the head after it.
func Seal(stream domain.StreamID, head Head, at time.Time, cause Cause, typ string, data []byte) (domain.Pending, Head) {
	sum := sha256.Sum256(data)
	next := head.Revision + 1
	o := newObject(make([]byte, 0, 512))
	o.instantOpt("at", at)
	actor := newObject(o.startField("actor"))
	actor.str("kind", cause.Actor.Kind)
	actor.str("id", cause.Actor.ID)
	actor.str("via", cause.Actor.Via)
	o.b = actor.done()
	o.str("command_id", cause.CommandID)
	o.str("$correlationId", cause.CorrelationID)
	o.strOpt("$causationId", cause.CausationID)
	o.strOpt("traceparent", cause.Traceparent)
	if next > 0 {
		o.hex("prev", head.Hash[:])
	}
	o.hex("data_sha256", sum[:])
	metadata := o.done()
	hash := domain.HashEvent(stream, next, typ, metadata)
	return domain.Pending{ID: domain.UUIDv8(hash), Type: typ, Metadata: metadata, Data: data},
		Head{Revision: next, Hash: hash, At: at}
}

func (o *object) hex(k string, v []byte) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = hex.AppendEncode(o.b, v)
	o.b = append(o.b, '"')
}

// DecodeMetadata reads what Seal wrote. Keys it does not know are passed over: what others add to an
// event's metadata changes nothing of what the event says. Errors: ErrCorrupt.
func DecodeMetadata(b []byte) (Metadata, error) {
	var r reader
	r.reset(b)
	var m Metadata
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "at":
			m.At = r.instant()
		case "actor":
			m.Actor = r.actor()
		case "command_id":
			m.CommandID = r.Text()
		case "$correlationId":
			m.CorrelationID = r.Text()
		case "$causationId":
			m.CausationID = r.Text()
		case "traceparent":
			m.Traceparent = r.Text()
		case "prev":
			m.Prev = r.Text()
		case "data_sha256":
			m.DataSHA256 = r.Text()
		default:
			r.Ignore()
		}
	}
	if err := r.done("decode metadata", ""); err != nil {
		return Metadata{}, err
	}
	return m, nil
}

func (r *reader) actor() (a Actor) {
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "kind":
			a.Kind = r.Text()
		case "id":
			a.ID = r.Text()
		case "via":
			a.Via = r.Text()
		default:
			r.Ignore()
		}
	}
	return a
}

// DecodeAt reads the instant alone, without decoding the rest: Seal always writes it first.
// Errors: ErrCorrupt.
func DecodeAt(metadata []byte) (time.Time, error) {
	const prefix = `{"at":"`
	if n := len(prefix) + len(domain.TimeLayout); len(metadata) > n && string(metadata[:len(prefix)]) == prefix && metadata[n] == '"' {
		if at, ok := parseInstant(metadata[len(prefix):n]); ok {
			return at, nil
		}
	}
	m, err := DecodeMetadata(metadata)
	return m.At, err
}
