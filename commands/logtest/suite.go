// Package logtest states the contract of commands.Log in tests and runs it over any adapter.
//
// An adapter's test calls Run. logtest_test.go proves the suite itself: each of a row of faulty
// logs must fail it.
package logtest

import (
	"context"
	"testing"
	"time"

	"quipu/commands"
)

// Capabilities says what an adapter promises beyond the common contract. Every log that open
// returns must be empty and nobody else's.
type Capabilities struct {
	// Durable says that content survives Close and Reopen.
	Durable bool
	// Reopen closes log and opens the same content again. Required if Durable.
	Reopen func(tb testing.TB, log commands.Log) commands.Log
	// Wait bounds every single call in the suite; a call that takes longer fails. Default two minutes.
	Wait time.Duration
	// SlowOpen says that open is costly: the differential case then runs its scripts on one log
	// and does not reopen within them.
	SlowOpen bool
}

// Case is one test of the contract.
type Case struct {
	Name    string
	Durable bool // needs Capabilities.Durable
	Run     func(e *Env)
}

// Env is what a case works with.
type Env struct {
	testing.TB
	Caps Capabilities
	open func(testing.TB) commands.Log
}

// Open returns a new, empty log, closed at the end of the case.
func (e *Env) Open() commands.Log {
	log := e.open(e.TB)
	e.Cleanup(func() { _ = log.Close() }) // closing is a case of its own
	return log
}

// Context is over after Capabilities.Wait.
func (e *Env) Context() context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.TB.Context()), e.Caps.Wait)
	e.Cleanup(cancel)
	return ctx
}

// Run runs every case as a parallel subtest. A case whose capability is missing logs that.
func Run(t *testing.T, open func(testing.TB) commands.Log, caps Capabilities) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if c.Durable && !caps.Durable {
				t.Log("not run: the log is not durable")
				return
			}
			RunCase(t, c, open, caps)
		})
	}
}

// RunCase runs one case on tb.
func RunCase(tb testing.TB, c Case, open func(testing.TB) commands.Log, caps Capabilities) {
	if caps.Wait == 0 {
		caps.Wait = 2 * time.Minute
	}
	c.Run(&Env{TB: tb, Caps: caps, open: open})
}

// Cases lists the suite.
func Cases() []Case {
	var all []Case
	all = append(all, appendCases...)
	all = append(all, readCases...)
	all = append(all, subscribeCases...)
	all = append(all, closeCases...)
	return append(all, Case{Name: "Differential_EqualsMemoryModel", Run: differential})
}
