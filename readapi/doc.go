// Package readapi serves what the log and the views hold: live sockets, queries, and the one table
// of errors.
//
// # Sockets
//
// Sockets is the machinery, one for the process and shared by all dialects. A dialect adds a route
// with Sockets.Handle and gives three things:
//
//   - an admit function: it checks a request before the handshake, where a refusal can still be JSON
//     with a status (any error, answered by WriteProblem), and returns an Upgrade: the group that the
//     socket is counted in, its bound, the subprotocol to echo, what to do last before the handshake,
//     and how to make the session. Origins, shutdown and the bound on all sockets are checked around
//     it. Whoever needs authentication does it here.
//   - a Session: it appends frames when polled (AppendText), says when it has to be polled again, and
//     is given what the client sends, message by message, within the bounds of inbound.go. It wakes
//     its socket through a Handle, may end it, and never sees the connection.
//   - a name of the dialect, for metrics.
//
// What a dialect need not care for: protocol pings every 30 s and answers to the client's; a silent
// client (75 s) or one with nothing to follow (10 min); slow readers (credit.go: a stalled write is
// continued where it stopped, closed with 1013 below 1 KiB/s over 30 s), during which the session is
// not polled and has nothing to queue; oversized messages (1009) and too many (dropped, then 1008);
// fragments; panics (1011, nothing said); shutdown (1012); compression (deflate.go).
//
// The path of one socket: upgrade.go checks the request; sockets.go keeps the registry, the limits
// and the shutdown; socket.go owns the connection with one reader (the handler, inbound.go) and one
// writer, which is joined before the handler returns, since the connection is pooled and the next
// client's.
//
// Live is the LAO dialect at /ws/:flow/:run (contract S0, D2–D5, D27): query.go reads the request,
// session.go and binding.go decide which run is shown and from where, package lao renders. Package
// feeds serves the Orchestrator's /ws/workflows/:id.
//
// Nothing here writes to the log.
package readapi
