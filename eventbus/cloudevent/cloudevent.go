// Package cloudevent writes recorded events as CloudEvents 1.0 in structured mode: one JSON object
// that any reader of that format takes, whatever brought it.
package cloudevent

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/wire"
)

const (
	// ContentType is the media type of what Append writes.
	ContentType = "application/cloudevents+json"
	// TypePrefix stands before the stored type of an event.
	TypePrefix = "quipu."
	// runStreamPrefix starts the streams of runs.
	runStreamPrefix = "run-"
	// OverheadBytesMax is the most bytes by which what Append writes is larger than its data, for events
	// of Quipu's own.
	OverheadBytesMax = 8 << 10
)

// Append appends e as a CloudEvent to dst. data stands in place of the event's own; nil takes that, as it is in
// the log: raw JSON, with null where a secret or a large payload was taken out and "holes" that say which.
//
// Attributes: id the event's id, source the log's, type TypePrefix and the stored type, subject the
// stream, time its instant. Extensions, all strings: position the place in the log's order as 16
// hex digits, which sort; revision the index in the stream; partitionkey what keeps its order (PartitionKey);
// correlation, and traceparent if there is one.
// Data that is not JSON is written as data_base64 without a datacontenttype.
// Errors: ErrCorrupt if the metadata is not that of an event of Quipu's own.
func Append(dst []byte, log domain.LogID, e *domain.Recorded, data []byte) ([]byte, error) {
	m, err := wire.DecodeMetadata(e.Metadata)
	if err != nil {
		return dst, err
	}
	if data == nil {
		data = e.Data
	}
	b := append(dst, `{"specversion":"1.0","id":"`...)
	b = append(b, e.ID.String()...)
	text := func(key, value string) {
		b = append(b, `,"`...)
		b = append(b, key...)
		b = append(b, `":`...)
		b = rawjson.AppendString(b, value)
	}
	b = append(b, '"')
	text("source", string(log))
	text("type", TypePrefix+e.Type)
	text("subject", string(e.Stream))
	b = append(b, `,"time":"`...)
	b = m.At.UTC().AppendFormat(b, domain.TimeLayout)
	b = append(b, `","position":"`...)
	b = fmt.Appendf(b, "%016x", uint64(e.Position))
	b = append(b, `","revision":"`...)
	b = strconv.AppendInt(b, int64(e.Revision), 10)
	b = append(b, '"')
	text("partitionkey", PartitionKey(e.Stream))
	if m.CorrelationID != "" { // an empty attribute is none
		text("correlation", m.CorrelationID)
	}
	if m.Traceparent != "" {
		text("traceparent", m.Traceparent)
	}
	if rawjson.Check(data, domain.JSONDepthMax+16) != nil {
		b = append(b, `,"data_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, data)
		return append(b, `"}`...), nil
	}
	b = append(b, `,"datacontenttype":"application/json","data":`...)
	b = append(b, data...)
	return append(b, '}'), nil
}

// PartitionKey says which events keep their order: of a run its id, of any other stream its name.
func PartitionKey(stream domain.StreamID) string {
	if id, ok := strings.CutPrefix(string(stream), runStreamPrefix); ok && id != "" {
		return id
	}
	return string(stream)
}
