// Package contracttest tests the binary statement by statement: what clients that exist rely on, and our
// decisions where they are silent. Each test has the numbers of the statements it shows in its name,
// S0 for LAO, S1 for AGNT5, S2 for the Orchestrator, D for decisions: TestS0_26_27_… shows S0-26 and
// S0-27, TestS1_24_D13_… shows S1-24 and D13. The tests speak HTTP and WebSocket only.
//
// statements.go has the statements in our words. From them and from the names of all tests of the
// module docs/contract-tests.md is made; a statement that no test shows over the wire fails:
//
//	go test ./internal/contracttest -run Table -update
package contracttest
