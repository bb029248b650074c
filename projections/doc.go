// Package projections is the read side, writing: it will keep the views behind the GET endpoints.
//
// The rules of the room, before its first resident moves in: a projector reads the feed in order, in
// batches; its rows and its checkpoint are committed in one transaction, so that each event counts
// exactly once; a new version is built beside the old one and swapped in; an event a view cannot
// store is parked with an alarm and never stops the view. Views are derived and can be thrown away:
// nothing on the write side reads them.
package projections
