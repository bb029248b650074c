// Package kurrentdb keeps the log in KurrentDB or EventStoreDB: commands.Log over EventStore-Client-Go v4.
//
// Nothing of the server but its protocol is relied on: no projections, no version, no header. The
// client's faults are kept in here; docs/kurrentdb.md lists them with how each is handled and tested.
//
//	Log ── writes ── at most CallsMax appends ──────────────┐
//	    ── reads ─── at most CallsMax reads ────────────────┤ one client, and so one connection,
//	    ── follow ── one filtered subscription to $all ─────┘ each (role.go)
//	                   └─ ring ── the subscriptions of this process (feed.go, subscription.go)
//
// Streams of Quipu stand on the server under a prefix, everything else there is passed over. A position
// is the server's commit position plus one, so that 0 stays before everything; positions given out are
// always those of events of Quipu. The log's id is event 0 of the stream <prefix>quipu-log.
package kurrentdb
