// Package logcopy copies one log into another, whatever keeps them: same streams, same revisions, same
// bytes, same order of all events. Start with Copy.
//
// A copy goes three ways over the events. What the target holds already is compared with the source, event
// by event, so that an interrupted copy goes on where it stopped and a target that holds anything else is
// refused. What is missing is read from the source, checked (every stream's chain, every event's id and
// data) and appended in the source's order. Then the new part is read back and compared.
//
// Order among streams is kept by having one append under way; consecutive events of a stream share one. A
// target that offers commands.Batches takes some hundred appends at once, in their order. Sending appends
// of different streams side by side was not an option: no log says in which order it takes those.
//
// Memory: three pages of the source, one of the target and chainsMax ends of streams.
package logcopy
