package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"quipu/domain"
)

// Actor says who caused an event.
type Actor struct {
	Kind string `json:"kind"` // anonymous, system, key or user
	ID   string `json:"id"`
	Via  string `json:"via"` // door it came in by: "run-dag", "executor", "recovery", …
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

type metadataJSON struct {
	At            instant `json:"at"`
	Actor         Actor   `json:"actor"`
	CommandID     string  `json:"command_id"`
	CorrelationID string  `json:"$correlationId"`
	CausationID   string  `json:"$causationId"`
	Traceparent   string  `json:"traceparent"`
	Prev          string  `json:"prev"`
	DataSHA256    string  `json:"data_sha256"`
}

// DecodeMetadata reads what Seal wrote. Errors: ErrCorrupt.
func DecodeMetadata(b []byte) (Metadata, error) {
	var m metadataJSON
	if err := json.Unmarshal(b, &m); err != nil {
		return Metadata{}, domain.Wrap(domain.KindCorrupt, "decode metadata", "", err)
	}
	return Metadata{
		At: m.At.Time, Actor: m.Actor, CommandID: m.CommandID, CorrelationID: m.CorrelationID,
		CausationID: m.CausationID, Traceparent: m.Traceparent, Prev: m.Prev, DataSHA256: m.DataSHA256,
	}, nil
}

// DecodeAt reads the instant alone, without decoding the rest: Seal always writes it first.
// Errors: ErrCorrupt.
func DecodeAt(metadata []byte) (time.Time, error) {
	const prefix = `{"at":"`
	if n := len(prefix) + len(domain.TimeLayout); len(metadata) > n && string(metadata[:len(prefix)]) == prefix && metadata[n] == '"' {
		if at, err := time.Parse(domain.TimeLayout, string(metadata[len(prefix):n])); err == nil {
			return at, nil
		}
	}
	m, err := DecodeMetadata(metadata)
	return m.At, err
}
