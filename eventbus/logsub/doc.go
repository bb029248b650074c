// Package logsub is a Watermill subscriber on our own log: it hands recorded events to handlers as
// messages, from a checkpoint on, history first and then live, and moves the checkpoint once they are
// acknowledged.
//
// At least once: what was not acknowledged when a subscription ended comes again. In order: an event is
// handed over once the one before it with the same key is acknowledged; without Options.Key that holds for
// all events of the topic. A message that is refused (Nack) comes again after a wait, and its key
// waits with it. Bounded: Options.InFlight messages are out at once, and reading stops while windowMax events
// are behind one that is not done.
//
// A second subscription under the same checkpoint, in this process or another, sees the same events: the
// checkpoint moves only from where its mover found it, and whoever finds it elsewhere goes on from
// there. Whoever needs one subscription at a time decides that by ownership.
package logsub
