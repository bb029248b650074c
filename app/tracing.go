package app

import (
	"context"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

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
	c := s.config.Tracing
	if !c.Enabled() {
		return nil
	}
	spans := func(outcome string) func(int) {
		return func(n int) { s.metrics.TraceSpans(outcome, n) }
	}
	var err error
	s.tracer, err = tracing.New(ctx, tracing.Options{
		Endpoint: c.Endpoint, Headers: c.HeaderValues(), Ratio: float64(c.Sample) / config.OTLPSampleWhole,
		Service: "quipu", Version: s.version, Node: s.clock.NewID(), Now: s.clock.Now, Logger: s.logger,
		Ended: spans(telemetry.SpansEnded), Exported: spans(telemetry.SpansExported), Failed: spans(telemetry.SpansFailed),
	})
	return err
}

// closeTracing sends what waits. A collector that is away costs some spans and tracesGrace.
func (s *server) closeTracing() {
	if s.tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.intake), tracesGrace)
	defer cancel()
	if err := s.tracer.Shutdown(ctx); err != nil {
		s.logger.Warn("the last spans were not sent", "error", err)
	}
}

// traced makes the appends to a log spans.
func (s *server) traced(log commands.Log) commands.Log {
	if s.tracer == nil {
		return log
	}
	return s.tracer.Log(log)
}

// executorTracer is the tracer as the executor takes it: nil if there is none.
func (s *server) executorTracer() commands.Tracer {
	if s.tracer == nil {
		return nil
	}
	return s.tracer
}

// beginTrace begins the span of a request. What handlers take for the client's traceparent is that of
// the span from here on.
func (s *server) beginTrace(c *fiber.Ctx) tracing.Request {
	if s.tracer == nil || strings.HasPrefix(c.Path(), "/health/") || c.Path() == "/metrics" {
		return tracing.Request{}
	}
	r := s.tracer.Begin("request", c.Get(headerTraceparent))
	if r.Traceparent == "" {
		c.Request().Header.Del(headerTraceparent)
	} else {
		c.Request().Header.Set(headerTraceparent, r.Traceparent)
	}
	return r
}

const headerTraceparent = "Traceparent"

// traceOf is the traceparent in the metadata of a message, which a client may send where it has no
// headers; "" if there is none.
func traceOf(metadata []byte) string {
	raw, ok := rawjson.Get(metadata, "/traceparent")
	if !ok || rawjson.KindOf(raw) != rawjson.String {
		return ""
	}
	return wire.Traceparent(rawjson.Unquote(raw))
}

// beginMessage is beginTrace for a message of a socket.
func (s *server) beginMessage(name string, metadata []byte) tracing.Request {
	traceparent := traceOf(metadata)
	if s.tracer == nil {
		return tracing.Request{Traceparent: traceparent}
	}
	return s.tracer.Begin(name, traceparent)
}
