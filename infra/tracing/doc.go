// Package tracing records spans of what is done for a trace and sends them by OTLP over HTTP.
//
// A trace begins with a request or a message of a socket, or is the client's own by its W3C
// traceparent. Below the command stand the append of its events, the attempts of the tasks that
// these ask for with their outbound calls, the commits of the views that hold them and their first
// frame. What connects them is the traceparent in the events' metadata, so that a trace goes on in
// another process and after a restart.
//
// Nothing here fails or slows what it watches: spans wait in a bounded queue, what does not fit is
// dropped, and a collector that is away costs one goroutine that tries again. Spans hold ids, names,
// counts and kinds of errors; no payloads, headers, paths or queries of other systems.
package tracing
