package app

import (
	"context"
	"time"

	"quipu/commands"
	"quipu/domain/rawjson"
	"quipu/domain/wire"
	"quipu/infra/config"
	"quipu/infra/telemetry"
	"quipu/infra/tracing"
)

// tracesGrace is how long the end of the process waits for a collector to take the last spans.
const tracesGrace = 3 * time.Second

// buildTracing makes the tracer if there is a collector; otherwise it stays nil, and nothing below
// costs more than looking at that.
func (s *server) buildTracing(ctx context.Context) error {
	c := s.Config.Tracing
	if !c.Enabled() {
		return nil
	}
	spans := func(outcome string) func(int) {
		return func(n int) { s.Metrics.TraceSpans(outcome, n) }
	}
	var err error
	s.Tracer, err = tracing.New(ctx, tracing.Options{
		Endpoint: c.Endpoint, Headers: c.HeaderValues(), Ratio: float64(c.Sample) / config.OTLPSampleWhole,
		Service: "quipu", Version: s.Version, Node: s.Clock.NewID(), Now: s.Clock.Now, Logger: s.Logger,
		Ended: spans(telemetry.SpansEnded), Exported: spans(telemetry.SpansExported), Failed: spans(telemetry.SpansFailed),
	})
	return err
}

// closeTracing sends what waits. A collector that is away costs some spans and tracesGrace.
func (s *server) closeTracing() {
	if s.Tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.intake), tracesGrace)
	defer cancel()
	if err := s.Tracer.Shutdown(ctx); err != nil {
		s.Logger.Warn("the last spans were not sent", "error", err)
	}
}

// traced makes the appends to a log spans.
func (s *server) traced(log commands.Log) commands.Log {
	if s.Tracer == nil {
		return log
	}
	return s.Tracer.Log(log)
}

// executorTracer is the tracer as the executor takes it: nil if there is none.
func (s *server) executorTracer() commands.Tracer {
	if s.Tracer == nil {
		return nil
	}
	return s.Tracer
}

// traceOf is the traceparent in the metadata of a message, which a client may send where it has no
// headers; "" if there is none.
func traceOf(metadata []byte) string {
	raw, ok := rawjson.Get(metadata, "/traceparent")
	if !ok || rawjson.KindOf(raw) != rawjson.String {
		return ""
	}
	return wire.Traceparent(rawjson.Unquote(raw))
}

// beginMessage begins the span of a message of a socket.
func (s *server) beginMessage(name string, metadata []byte) tracing.Request {
	traceparent := traceOf(metadata)
	if s.Tracer == nil {
		return tracing.Request{Traceparent: traceparent}
	}
	return s.Tracer.Begin(name, traceparent)
}
