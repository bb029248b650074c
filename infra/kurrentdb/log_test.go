package kurrentdb_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/infra/clock"
	"quipu/infra/kurrentdb"
	"quipu/infra/kurrentport/porttest"
	"quipu/infra/memory"
)

// options are those of tests: everything that is waited for comes soon.
func options(url string) kurrentdb.Options {
	return kurrentdb.Options{
		URL: url, CallTimeout: 5 * time.Second, OpenTimeout: 20 * time.Second, Liveness: 400 * time.Millisecond,
		BackoffMin: 5 * time.Millisecond, BackoffMax: 100 * time.Millisecond, Random: clock.System{}.Jitter,
	}
}

func open(tb testing.TB, o kurrentdb.Options) *kurrentdb.Log {
	tb.Helper()
	log, err := kurrentdb.Open(tb.Context(), o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, log.Close()) })
	return log
}

// The contract of logs, over a socket to the port that speaks the protocol, with the limit of streams that
// the real server has.
func TestLog_Contract(t *testing.T) {
	var urls sync.Map // of each log
	logtest.Run(t, func(tb testing.TB) commands.Log {
		port := porttest.Start(tb, memory.NewLog())
		log := open(tb, options(port.URL()))
		urls.Store(log, port.URL())
		return log
	}, logtest.Capabilities{Durable: true, Reopen: func(tb testing.TB, log commands.Log) commands.Log {
		require.NoError(tb, log.Close())
		url, _ := urls.Load(log)
		again := open(tb, options(url.(string)))
		urls.Store(again, url)
		return again
	}})
}
