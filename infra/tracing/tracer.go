package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes spans and sends them. All methods are safe for concurrent use and never block, but
// for Shutdown.
type Tracer struct {
	now      func() time.Time
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	ended    func(int)
	giveUp   func() // ends what is still being sent
	frames   *seen
	base     context.Context // of spans whose makers have none; it never ends
}

// New makes a tracer; it does not ask whether the collector is there. Errors: those of
// Options.Validate.
func New(ctx context.Context, o Options) (*Tracer, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	headers := map[string]string{} // given even if empty: the library would look into the environment
	for k, v := range o.Headers {
		headers[k] = v
	}
	client, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(o.url()), otlptracehttp.WithHeaders(headers),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression), otlptracehttp.WithTimeout(exportTimeout),
		otlptracehttp.WithMaxResponseSize(responseMax),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: exportTimeout}),
	)
	if err != nil {
		return nil, err
	}
	base := context.WithoutCancel(ctx)
	life, giveUp := context.WithCancel(base)
	queue := sdktrace.NewBatchSpanProcessor(&exporter{to: client, options: o, life: life},
		sdktrace.WithMaxQueueSize(QueueSpansMax), sdktrace.WithMaxExportBatchSize(BatchSpansMax),
		sdktrace.WithBatchTimeout(batchEvery), sdktrace.WithExportTimeout(exportTimeout))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(queue),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.Ratio))),
		sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{
			AttributeValueLengthLimit: ValueBytesMax, AttributeCountLimit: attributesMax,
			LinkCountLimit: TracesPerStepMax, AttributePerLinkCountLimit: 4,
		}),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", o.Service), attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", o.Node),
		)),
	)
	return &Tracer{now: o.Now, provider: provider, tracer: provider.Tracer("quipu"), ended: o.Ended, frames: newSeen(FramesSeenMax), base: base, giveUp: giveUp}, nil
}

// Shutdown sends what waits, as long as ctx allows, and ends the exporter; the rest is dropped, and so
// is what ends later.
func (t *Tracer) Shutdown(ctx context.Context) error {
	defer t.giveUp()
	return t.provider.Shutdown(ctx)
}

// start begins a span below parent, a context of another place.
func (t *Tracer) start(ctx context.Context, parent trace.SpanContext, name string, kind trace.SpanKind, at time.Time, links []trace.Link, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	return t.tracer.Start(trace.ContextWithRemoteSpanContext(ctx, parent), name,
		trace.WithSpanKind(kind), trace.WithTimestamp(at), trace.WithLinks(links...), trace.WithAttributes(attributes...))
}

// end ends a span at an instant that is not before its beginning.
func (t *Tracer) end(span trace.Span, at time.Time) {
	if span.IsRecording() {
		t.ended(1)
	}
	span.End(trace.WithTimestamp(at))
}

// record makes a span of something that is over.
func (t *Tracer) record(parent trace.SpanContext, name string, began, ended time.Time, links []trace.Link, attributes ...attribute.KeyValue) trace.SpanContext {
	if ended.Before(began) {
		began = ended
	}
	_, span := t.start(t.base, parent, name, trace.SpanKindInternal, began, links, attributes...)
	t.end(span, ended)
	return span.SpanContext()
}
