package kurrentdb_test

import (
	"testing"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/infra/embedded"
	"quipu/infra/kurrentport/porttest"
)

// BenchmarkLog measures the adapter and the port together, over a socket, on a log that flushes to disk.
func BenchmarkLog(b *testing.B) {
	logtest.Benchmark(b, func(tb testing.TB) commands.Log {
		log, err := embedded.Open(tb.TempDir(), embedded.Options{})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = log.Close() }) // nothing reads it any more
		return open(tb, options(porttest.Start(tb, log).URL()))
	})
}
