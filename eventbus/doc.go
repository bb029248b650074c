// Package eventbus is how recorded events travel inside a process: from the log, once, to
// everyone who follows live.
//
// A Hub keeps one supervised subscription to the log and fans its events out in memory by stream.
// It never waits for anyone: a follower whose bounded queue is full loses the queue and is marked
// as lagging; its Reader then goes back to the log and rejoins. The log, not the hub, is the truth,
// so losing what stands in a queue loses nothing.
//
// Order and completeness per stream: a Reader yields every event of its stream from its cursor on,
// in order, once each, whatever the moment it was opened and however often it lagged
// (TestReader_YieldsExactlyTheLog).
//
// A Feed is the same for a workflow with all its runs, in the order of the log by position. The hub
// tells by a run's first event which workflow it is of.
package eventbus
