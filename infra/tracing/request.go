package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Request is the span of one request or message from outside.
type Request struct {
	t    *Tracer
	span trace.Span
	// Traceparent is what the command passes on: of this span if it is recorded, else what the client
	// sent, if that was valid.
	Traceparent string
}

// Begin begins the span of a request that came with traceparent ("" or an invalid one: a new trace,
// recorded by Options.Ratio). name is that of an operation, from a fixed set.
func (t *Tracer) Begin(name, traceparent string) Request {
	parent, ok := parse(traceparent)
	_, span := t.start(t.base, parent, name, trace.SpanKindServer, t.now(), nil)
	if span.IsRecording() {
		return Request{t, span, format(span.SpanContext())}
	}
	if !ok {
		traceparent = ""
	}
	return Request{t, nil, traceparent}
}

// EndHTTP ends the span of a request; route is the pattern, never the path.
func (r Request) EndHTTP(method, route string, status int) {
	if r.span == nil {
		return
	}
	r.span.SetName(method + " " + route)
	r.span.SetAttributes(attribute.String("http.request.method", method), attribute.String("http.route", route), attribute.Int("http.response.status_code", status))
	if status >= 500 {
		r.span.SetStatus(codes.Error, "")
	}
	r.t.end(r.span, r.t.now())
}

// End ends the span of a message: outcome is "ok" or the error's kind.
func (r Request) End(outcome string) {
	if r.span == nil {
		return
	}
	r.span.SetAttributes(attribute.String("quipu.outcome", outcome))
	if outcome != "ok" {
		r.span.SetStatus(codes.Error, "")
	}
	r.t.end(r.span, r.t.now())
}
