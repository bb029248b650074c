package tracing

import (
	"context"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporter counts what becomes of spans and keeps failures to itself: the library would hand them to
// a handler that the whole process shares.
type exporter struct {
	to      sdktrace.SpanExporter
	options Options
	life    context.Context // ends with the tracer: what waits then is given up

	mu     sync.Mutex
	told   time.Time // when a failure was last logged
	silent int       // spans lost since
}

// ExportSpans implements sdktrace.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	err := e.life.Err()
	if err == nil {
		err = e.to.ExportSpans(ctx, spans)
	}
	if err != nil {
		e.options.Failed(len(spans))
		e.tell(len(spans), err)
		return nil
	}
	e.options.Exported(len(spans))
	return nil
}

func (e *exporter) tell(spans int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.silent += spans
	now := e.options.Now()
	if !e.told.IsZero() && now.Sub(e.told) < logEvery {
		return
	}
	e.options.Logger.Warn("spans were not taken by the collector and are lost", "spans", e.silent, "error", err)
	e.told, e.silent = now, 0
}

// Shutdown implements sdktrace.SpanExporter.
func (e *exporter) Shutdown(ctx context.Context) error { return e.to.Shutdown(ctx) }
