package kurrentdb_test

import (
	"os"
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
// the real server has; and over a real server, if QUIPU_TEST_KURRENTDB_URL names one, where each log has a
// prefix of its own.
func TestLog_Contract(t *testing.T) {
	servers := map[string]func(tb testing.TB) kurrentdb.Options{
		"port": func(tb testing.TB) kurrentdb.Options { return options(porttest.Start(tb, memory.NewLog()).URL()) },
	}
	if url := os.Getenv("QUIPU_TEST_KURRENTDB_URL"); url != "" {
		servers["server"] = func(testing.TB) kurrentdb.Options {
			o := options(url)
			o.Prefix, o.CallTimeout, o.OpenTimeout = "quipu-test-"+clock.System{}.NewID()+".", 20*time.Second, time.Minute
			return o
		}
	}
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opened sync.Map // options of each log
			logtest.Run(t, func(tb testing.TB) commands.Log {
				o := server(tb)
				log := open(tb, o)
				opened.Store(log, o)
				return log
			}, logtest.Capabilities{Durable: true, SlowOpen: name != "port", Reopen: func(tb testing.TB, log commands.Log) commands.Log {
				require.NoError(tb, log.Close())
				o, _ := opened.Load(log)
				again := open(tb, o.(kurrentdb.Options))
				opened.Store(again, o)
				return again
			}})
		})
	}
}
