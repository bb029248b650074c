package embedded_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/infra/embedded"
)

// folder remembers where a log was opened, for Reopen.
type folder struct {
	*embedded.Log
	dir  string
	opts embedded.Options
}

func open(tb testing.TB, dir string, opts embedded.Options) commands.Log {
	tb.Helper()
	l, err := embedded.Open(dir, opts)
	require.NoError(tb, err)
	return folder{Log: l, dir: dir, opts: opts}
}

func reopen(tb testing.TB, log commands.Log) commands.Log {
	tb.Helper()
	f := log.(folder)
	require.NoError(tb, f.Close())
	return open(tb, f.dir, f.opts)
}

func contract(t *testing.T, opts embedded.Options) {
	logtest.Run(t,
		func(tb testing.TB) commands.Log { return open(tb, tb.TempDir(), opts) },
		logtest.Capabilities{Durable: true, Reopen: reopen})
}

func TestLog_Contract(t *testing.T) { contract(t, embedded.Options{SegmentBytes: 1 << 20}) }

// Tiny segments and next to no memory: every read goes to many files.
func TestLog_Contract_ManySegments(t *testing.T) {
	contract(t, embedded.Options{SegmentBytes: embedded.SegmentBytesMin, RecentEventsMax: 1, BatchAppendsMax: 2})
}
