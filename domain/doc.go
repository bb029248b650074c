// Package domain is the pure core of Quipu: streams, events, their hash chain, payload values
// and error kinds.
//
// Everything below domain/ promises three things: it is total (no input makes it panic, other
// than a programmer's error stated in a doc comment), deterministic (equal inputs give equal
// results, byte for byte) and free of I/O, clocks, randomness and goroutines. It imports the
// standard library only; internal/archtest checks that.
//
// Start reading at event.go (what is stored), then run/ (the decider that makes the events).
package domain
