// Package lao renders canonical run events as frames of the LAO dialect (contract S0, D1).
//
// A frame is one flat JSON object: the fields that LAO documents, then offset, execution_id,
// event_id, log and prev. Everything but prev depends on the event alone, so a Frame is rendered
// once and shared by all sockets; each splices in its own prev.
//
// Rendering is pure apart from flow_completed and flow_error, whose output and partial_results are
// read from the revisions that the event names, and from Payloads, which fills the holes of values.
package lao
