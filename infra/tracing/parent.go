package tracing

import (
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"

	"quipu/domain"
	"quipu/domain/wire"
)

// parse reads a traceparent; ok is false for none and for an invalid one.
func parse(traceparent string) (_ trace.SpanContext, ok bool) {
	if wire.Traceparent(traceparent) == "" {
		return trace.SpanContext{}, false
	}
	var c trace.SpanContextConfig
	var flags [1]byte
	_, err1 := hex.Decode(c.TraceID[:], []byte(traceparent[3:35]))
	_, err2 := hex.Decode(c.SpanID[:], []byte(traceparent[36:52]))
	_, err3 := hex.Decode(flags[:], []byte(traceparent[53:55]))
	if err1 != nil || err2 != nil || err3 != nil {
		return trace.SpanContext{}, false
	}
	c.TraceFlags, c.Remote = trace.TraceFlags(flags[0])&trace.FlagsSampled, true
	return trace.NewSpanContext(c), true
}

// sampled reads a traceparent of a trace that is recorded.
func sampled(traceparent string) (trace.SpanContext, bool) {
	c, ok := parse(traceparent)
	return c, ok && c.IsSampled()
}

// format writes a traceparent of version 00.
func format(c trace.SpanContext) string {
	b := make([]byte, 0, wire.TraceparentBytes)
	id, span := c.TraceID(), c.SpanID()
	b = hex.AppendEncode(append(b, "00-"...), id[:])
	b = hex.AppendEncode(append(b, '-'), span[:])
	return string(hex.AppendEncode(append(b, '-'), []byte{byte(c.TraceFlags() & trace.FlagsSampled)}))
}

// parents are the contexts of the recorded traces that events belong to, the last one of each trace,
// at most TracesPerStepMax, in the order the traces first come in.
func parents[E any](events []E, metadata func(*E) []byte) []trace.SpanContext {
	var found []trace.SpanContext
	last := ""
	for i := range events {
		s := wire.DecodeTraceparent(metadata(&events[i]))
		if s == "" || s == last {
			continue // one command's events stand together
		}
		last = s
		c, ok := sampled(s)
		if !ok {
			continue
		}
		known := false
		for j := range found {
			if found[j].TraceID() == c.TraceID() {
				found[j], known = c, true
			}
		}
		if !known && len(found) < TracesPerStepMax {
			found = append(found, c)
		}
	}
	return found
}

func recordedMetadata(e *domain.Recorded) []byte { return e.Metadata }
func pendingMetadata(e *domain.Pending) []byte   { return e.Metadata }
