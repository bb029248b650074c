// Package projections is the read side, writing: it keeps the views behind lists equal to the log.
//
// Fold is its heart, a pure function from events and the rows they change to new rows, made of one
// projector a table. Runner drives it: it follows the log, commits rows and checkpoint in one
// transaction, so that each event counts exactly once, and builds rows anew beside the ones served when
// projectors change, rows cannot be read or somebody asks. Store and its kin are the ports that
// adapters fill.
//
// Views are derived and can be thrown away: nothing on the write side reads them.
package projections
