package logtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/infra/memory"
	"quipu/internal/faultytest"
)

// keeping is a memory log that survives Close, for the cases that reopen.
func keeping(_ testing.TB, l commands.Log) commands.Log { return l }

// The suite accepts a right log; without this, failing for every log would look like proof.
func TestSuite_AcceptsARightLog(t *testing.T) {
	failures := runSuite(t, func(testing.TB) commands.Log { return memory.NewLog() },
		logtest.Capabilities{Durable: true, Reopen: keeping})
	require.Empty(t, failures)
}

func TestSuite_RejectsFaultyLogs(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failures := runSuite(t, func(testing.TB) commands.Log {
				f := &faulty{Log: memory.NewLog()}
				fault(f)
				return f
			}, logtest.Capabilities{Wait: 2 * time.Second, SlowOpen: true})
			require.NotEmpty(t, failures, "the suite accepted a log that %s", name)
		})
	}
	for name, reopen := range reopenFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failures := runSuite(t, func(testing.TB) commands.Log { return memory.NewLog() },
				logtest.Capabilities{Durable: true, Reopen: reopen, Wait: 2 * time.Second})
			require.NotEmpty(t, failures, "the suite accepted a log that %s", name)
		})
	}
}

// runSuite runs every case until one fails and returns the names that failed.
func runSuite(t *testing.T, open func(testing.TB) commands.Log, caps logtest.Capabilities) (failed []string) {
	for _, c := range logtest.Cases() {
		if c.Durable != caps.Durable && c.Durable {
			continue
		}
		if faultytest.Fails(t, func(t testing.TB) { logtest.RunCase(t, c, open, caps) }) {
			return append(failed, c.Name)
		}
	}
	return nil
}
