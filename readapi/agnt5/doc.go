// Package agnt5 speaks the AGNT5 dialect (contract S1, D1, D12, D13): it renders canonical run events
// as frames, and reads the messages that clients send.
//
// A frame is {"type", "data": {"timestamp", "details", "execution_id"}}; beside these, data holds
// offset, event_id, log, prev and, where one event makes two frames, part and parts. Everything but
// prev depends on the event alone, so a Frame is rendered once and shared by all sockets; each splices
// in its own prev.
//
// Rendering is pure apart from the outputs at a run's end, which are read from the revisions that the
// event names, and from Payloads, which fills the holes of values.
package agnt5
