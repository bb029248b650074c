package logcopy_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/wire"
	"quipu/infra/embedded"
	"quipu/infra/logcopy"
)

// runsOf fills a log with n events as 64 runs at once leave them: two events an append, 14 a run.
func runsOf(tb testing.TB, log *embedded.Log, n int) {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	type run struct {
		stream domain.StreamID
		head   wire.Head
	}
	var runs [64]run
	data := []byte(`{"task":"step1","task_id":"0190f2d4-5c1e-7cc0-8f00-000000000001/step1","attempt":1,"output":{"value":"0123456789"}}`)
	cause := wire.Cause{Actor: wire.Actor{Kind: wire.ActorSystem, ID: "executor", Via: "executor"}, CommandID: "0190f2d4-5c1e-7cc0-8f00-000000000001", CorrelationID: "0190f2d4-5c1e-7cc0-8f00-000000000002"}
	for made, begun := 0, 0; made < n; {
		var writes []commands.Write
		for range 500 {
			x := &runs[r.IntN(len(runs))]
			if x.stream == "" || x.head.Revision >= 13 {
				begun++
				*x = run{domain.StreamID(fmt.Sprintf("run-0190f2d4-5c1e-7cc0-8f00-%012d", begun)), wire.NewHead()}
			}
			w := commands.Write{Stream: x.stream, Expected: x.head.Revision}
			for range 2 {
				var e domain.Pending
				e, x.head = wire.Seal(x.stream, x.head, time.UnixMilli(1e12), cause, "run.task_completed.v1", data)
				w.Events = append(w.Events, e)
			}
			writes = append(writes, w)
			if made += 2; made >= n {
				break
			}
		}
		_, err := log.AppendBatch(tb.Context(), writes)
		require.NoError(tb, err)
	}
}

func benchCopy(b *testing.B, events int, target func(*embedded.Log) logcopy.Target) {
	source, err := embedded.Open(b.TempDir(), embedded.Options{})
	require.NoError(b, err)
	defer func() { _ = source.Close() }()
	runsOf(b, source, events)
	for b.Loop() {
		to, err := embedded.Open(b.TempDir(), embedded.Options{})
		require.NoError(b, err)
		done, err := logcopy.Copy(b.Context(), source, target(to), logcopy.Options{})
		require.NoError(b, err)
		require.Equal(b, events, done.Copied)
		require.NoError(b, to.Close())
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkCopy_Embedded1000000Events(b *testing.B) {
	benchCopy(b, 1_000_000, func(l *embedded.Log) logcopy.Target { return l })
}

func BenchmarkCopy_OneAppendAtATime20000Events(b *testing.B) {
	benchCopy(b, 20_000, func(l *embedded.Log) logcopy.Target { return noBatches{l} })
}
