// Package domaintest helps to test runs: Given/When/Then, seeded generators of hostile graphs, and
// the invariants of a run's history, written apart from the decider so that both must agree.
//
// History is the heart: it decides, stores what a log would store, reads it back, folds it and
// checks everything on the way. Property tests, fuzz tests and the simulator share it.
// Only tests and the simulator import this package.
package domaintest
