package tracing

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Transport records the calls of attempts and sends the call's own traceparent with each. A call
// outside of a recorded attempt passes through as it is, and so does a traceparent that a definition
// wrote itself.
func (t *Tracer) Transport(next http.RoundTripper) http.RoundTripper { return &transport{t, next} }

type transport struct {
	t    *Tracer
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (r *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	attempt := trace.SpanContextFromContext(request.Context())
	if !attempt.IsSampled() {
		return r.next.RoundTrip(request)
	}
	_, span := r.t.tracer.Start(request.Context(), "call", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(r.t.now()), trace.WithAttributes(
		attribute.String("http.request.method", request.Method), attribute.String("server.address", request.URL.Hostname())))
	if port, err := strconv.Atoi(request.URL.Port()); err == nil {
		span.SetAttributes(attribute.Int("server.port", port))
	}
	if sent := request.Header.Get("Traceparent"); sent == "" || sent == format(attempt) {
		header := request.Header.Clone()
		header.Set("Traceparent", format(span.SpanContext()))
		clone := *request // the caller's own is not to be changed
		clone.Header = header
		request = &clone
	}
	response, err := r.next.RoundTrip(request)
	if err != nil {
		span.SetAttributes(attribute.String("error.type", errorType(err)))
		span.SetStatus(codes.Error, "")
		r.t.end(span, r.t.now())
		return response, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", response.StatusCode))
	if response.StatusCode >= 400 {
		span.SetStatus(codes.Error, "")
	}
	response.Body = &body{ReadCloser: response.Body, end: sync.OnceFunc(func() { r.t.end(span, r.t.now()) })}
	return response, nil
}

// CloseIdleConnections passes on what http.Client asks of its transport.
func (r *transport) CloseIdleConnections() {
	if c, ok := r.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// body ends the span with the reply.
type body struct {
	io.ReadCloser
	end func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *body) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

// errorType is a word for an error; its text may hold addresses.
func errorType(err error) string {
	var blocked interface{ Blocked() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &blocked):
		return "blocked"
	}
	return "connection"
}
