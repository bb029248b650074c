// Package run is the decider for runs, the heart of Quipu.
//
// A run is one execution of a definition: one stream of events, from run.started to exactly one of
// run.completed, run.failed or run.cancelled. Decide turns a command into events without touching
// the world; Fold applies events to the state; replay never re-runs old decisions.
//
// The life of a task: waiting for its predecessors; ready; running (task_started, maybe several
// attempts with backoff between them); completed, failed or skipped. A completion and the starts
// it makes possible are one append. A final failure ends the run in the same append.
//
//	Start ──► started, task_started…
//	CompleteTask ──► task_completed, task_started…/task_skipped…/completed
//	FailTask ──► task_retry_scheduled | task_failed + failed
//	StartAttempt, Recover ──► task_attempt_started
//	Cancel ──► cancelled          Abandon ──► abandoned (only in place of a start)
//
// Time, ids and jitter arrive inside the commands (contract of package domain).
package run
