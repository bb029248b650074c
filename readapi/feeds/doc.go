// Package feeds serves the Orchestrator's live socket (contract S2-17, D4, D19): /ws/workflows/:id and
// its aliases /api/events/ws/workflows/:id and /api/events/ws/executions/:id.
//
// A socket shows the events of a workflow, which are those of all its executions and of its own
// versions, or of one execution, in the order of the log: from the moment of connecting, or from a
// position on. Frames are those of /api/events with one member more, `prev`: the position of the
// event sent before on this socket, on the first frame the one after which it began. A client that
// holds `prev` has missed nothing and goes on with after=<position of its last frame>. With a
// filter, what the filter leaves out is left out of `prev` too.
//
// An id that names neither is answered 404 before the handshake, as elsewhere below a REST resource;
// the LAO path, whose names come before their runs, waits instead. The ids of workflows that exist by
// flow name alone (lao-<16 hex digits>) cannot be proved without the views and are always taken.
//
// Only protocol pings are sent: the known client takes every text frame for an event.
package feeds
