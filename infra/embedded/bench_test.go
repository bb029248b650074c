package embedded_test

import (
	"testing"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/infra/embedded"
)

func BenchmarkLog(b *testing.B) {
	logtest.Benchmark(b, func(tb testing.TB) commands.Log { return open(tb, tb.TempDir(), embedded.Options{}) })
}

// Nothing recent in memory: all reads come from the files.
func BenchmarkLog_FromFiles(b *testing.B) {
	logtest.Benchmark(b, func(tb testing.TB) commands.Log {
		return open(tb, tb.TempDir(), embedded.Options{RecentEventsMax: 1})
	})
}
