// Package proctest tests the binary as users run it: built once per test run, started on a free port
// with a data folder of its own, and driven over HTTP and WebSocket only.
//
// The helpers are Start (a server as a process), Client (its HTTP side), Dial (a live socket) and
// NewStub (the world outside, which records every request it gets). The tests beside them are the
// acceptance tests of the promises in docs/guarantees.md: kill -9 at random moments, secrets, bad
// input, the first contact.
//
//	go test ./internal/proctest -run Kill -kills 500 -seed 7
//
// The number of kills and the seed also come from PROCTEST_KILLS and PROCTEST_SEED, for callers that
// cannot pass flags. The binary has the race detector if the tests have it. When a test fails, it
// prints the seed, the end of the server's log and the data folder, which is then kept.
package proctest
