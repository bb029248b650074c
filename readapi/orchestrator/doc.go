// Package orchestrator renders stored events in the Orchestrator dialect (contract S2, D1, D19): one
// object {event_type, data, timestamp, offset, position, id} for each event.
//
// Rendering is pure: it takes the event, what the feed or the view says about it, and Payloads, which
// fills the holes of values. It has no state and reads no log, so that the same bytes come out of
// /api/events and of a live socket.
package orchestrator
