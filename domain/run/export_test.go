package run

// EventSize is for tests: the estimate must never be too small.
var EventSize = eventSize
