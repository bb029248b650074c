// Package kurrentport lets a log speak the gRPC protocol of KurrentDB and EventStoreDB, so that any
// client of those can append to it, read it and subscribe to it.
//
// Quipu's own streams appear under a prefix, by default "quipu."; every other stream S is kept in
// the log as "ext-S" and belongs to whoever writes it. $all shows both. Commit and prepare position
// of an event are its position in the log.
//
// What it has: Append, BatchAppend and Read of the service Streams, with filters, checkpoints and
// caught-up; ServerFeatures; Gossip (itself, as the leader). What it refuses with a clear text:
// deletion, stream metadata (there is none: a read says stream_not_found), persistent
// subscriptions, projections, operations. docs/kurrentdb-port.md compares it with the server.
package kurrentport
