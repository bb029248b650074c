// Package history serves what happened: GET /api/executions, /api/events, /api/workflows and
// /api/endpoints (contract S2, D16–D26).
//
// Two kinds of reads, which never mix:
//
//   - By id: the stream is read from the log and folded (story.go), so that such an answer is never
//     stale and never a false 404, on any node, whatever state the views are in.
//   - Lists: a page of a view (list.go), after a bounded wait for what this node has seen of the log
//     (fresh.go). Each says how far its view has come, and whether that is all this node knows of.
//
// Neither can starve the rest of the process: gates bound how many run at once, timeouts how long.
package history
