// Package relay publishes recorded events to other systems: as CloudEvents, through any Watermill
// publisher, in order for each stream, at least once.
//
// It follows the log from a checkpoint (eventbus/logsub); the write side never waits for it. Many streams
// are under way at once, each with one event: the next is sent when the target has acknowledged the one
// before, so that neither a failure nor a repeat changes the order of a stream. The checkpoint moves only past
// what the target has acknowledged. A target that is away is tried again for ever; what it misses waits in
// the log.
//
// One node relays to a target (Deps.Owns). When that moves, or a node dies, the next one begins at the
// checkpoint: events since come twice, with the same id, and the first of each still in order.
package relay
