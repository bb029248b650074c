// Package embedded is the log that Quipu keeps itself: append-only segment files in one folder, and
// an index in memory that is rebuilt from them.
//
// Start with Open. What is promised is commands.Log; how the bytes look is format.go and
// docs/log-format.md; why own files and not a database is ADR 0002. The way of an append:
// Log.Append (writer.go) encodes it and puts it into the open batch; writer.run hands the batch to
// files.write, which writes and syncs it; Log.publish makes it visible to the index (index.go), to
// the memory of newest commits (recent.go) and to whoever waits for the head (log.go).
package embedded
