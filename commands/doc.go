// Package commands is the write side: it turns requests and results into events.
//
// The path of a command: a handler or the executor puts it into the run's mailbox; the mailbox
// decides with the pure decider of domain/run, appends the events at the exact revision, and only
// then answers and carries out what the events ask for (effects, timers). A task's completion and
// the start of its successors are one append.
//
// Retry rules: an append whose outcome is unknown is repeated with the same bytes at the same
// revision; a conflict reloads the run and decides anew, unless the stream already holds the
// command. Effects run at least once under an idempotency key that is the same for every attempt.
//
// Step of a shard does no I/O and never waits: appends, loads, effects and timers are its outputs,
// their outcomes its inputs. Loops in executor.go drive it.
package commands
