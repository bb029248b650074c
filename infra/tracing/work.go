package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"quipu/commands"
	"quipu/domain"
)

var _ commands.Tracer = (*Tracer)(nil)

// Attempt implements commands.Tracer.
func (t *Tracer) Attempt(ctx context.Context, parent string, a commands.TracedAttempt) (context.Context, string, func(outcome string)) {
	above, ok := sampled(parent)
	if !ok {
		return ctx, parent, func(string) {}
	}
	ctx, span := t.start(ctx, above, "attempt "+a.Function, trace.SpanKindInternal, t.now(), nil,
		attribute.String("quipu.run_id", a.RunID), attribute.String("quipu.task", a.Task),
		attribute.String("quipu.function", a.Function), attribute.Int("quipu.attempt", a.Number))
	return ctx, format(span.SpanContext()), func(outcome string) {
		span.SetAttributes(attribute.String("quipu.outcome", outcome))
		if outcome == "failed" {
			span.SetStatus(codes.Error, "")
		}
		t.end(span, t.now())
	}
}

// runKey is the key in a context of the trace that the run of an append began with.
type runKey struct{}

// Appending implements commands.Tracer.
func (t *Tracer) Appending(ctx context.Context, traceparent string) context.Context {
	if c, ok := sampled(traceparent); ok {
		return context.WithValue(ctx, runKey{}, c)
	}
	return ctx
}

// Log is a log whose appends are recorded: a span in each trace that one of the events belongs to.
// A command with a trace of its own on a run gets a link to the run's.
type Log struct {
	commands.Log
	tracer *Tracer
}

// Log wraps a log.
func (t *Tracer) Log(log commands.Log) *Log { return &Log{log, t} }

// Append implements commands.Log.
func (l *Log) Append(ctx context.Context, stream domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	of := parents(events, pendingMetadata)
	if len(of) == 0 {
		return l.Log.Append(ctx, stream, expected, events)
	}
	began := l.tracer.now()
	at, err := l.Log.Append(ctx, stream, expected, events)
	ended := l.tracer.now()
	outcome := "ok"
	if err != nil {
		outcome = domain.KindOf(err).String()
	}
	run, _ := ctx.Value(runKey{}).(trace.SpanContext)
	for _, parent := range of {
		var links []trace.Link
		if run.IsValid() && run.TraceID() != parent.TraceID() {
			links = []trace.Link{{SpanContext: run}}
		}
		l.tracer.record(parent, "append", began, ended, links,
			attribute.String("quipu.stream", string(stream)), attribute.Int64("quipu.revision", int64(expected)+1),
			attribute.Int("quipu.events", len(events)), attribute.String("quipu.outcome", outcome))
	}
	return at, err
}
