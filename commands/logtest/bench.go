package logtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
)

// Sizes of the benchmarks: an append holds two events of 350 bytes of data, a stream is continued
// for six appends, as a short run is.
const (
	benchEvents        = 2
	benchDataBytes     = 350
	benchStreamAppends = 6
	benchHistory       = 10_000 // appends before the read benchmarks
)

// Benchmark runs the benchmarks of a log; open returns an empty one.
func Benchmark(b *testing.B, open func(testing.TB) commands.Log) {
	for _, appenders := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("Append_%dAppenders", appenders), func(b *testing.B) { benchAppend(b, open(b), appenders) })
	}
	b.Run("ReadStream_12Events", func(b *testing.B) { benchReadStream(b, open(b)) })
	b.Run("ReadAll_500Events", func(b *testing.B) { benchReadAll(b, open(b)) })
}

// benchAppend lets each appender append b.N/appenders times.
func benchAppend(b *testing.B, log commands.Log, appenders int) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for a := range appenders {
		wg.Go(func() {
			for i := 0; left.Add(-1) >= 0; i++ {
				if err := benchOne(b, log, a, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	require.NoError(b, log.Close())
}

func benchOne(b *testing.B, log commands.Log, appender, i int) error {
	stream := domain.StreamID(fmt.Sprintf("run-%08d-%08d", appender, i/benchStreamAppends))
	var events [benchEvents]domain.Pending
	for j := range events {
		events[j] = domain.Pending{ID: newID(), Type: "run.task_started.v1", Data: benchData[:]}
	}
	_, err := log.Append(b.Context(), stream, domain.Revision(i%benchStreamAppends*benchEvents)-1, events[:])
	return err
}

var benchData [benchDataBytes]byte

func benchFill(b *testing.B, log commands.Log) {
	var wg sync.WaitGroup
	const appenders = 64
	for a := range appenders {
		wg.Go(func() {
			for i := range benchHistory / appenders {
				if err := benchOne(b, log, a, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func benchReadStream(b *testing.B, log commands.Log) {
	benchFill(b, log)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		page, err := log.ReadStream(b.Context(), domain.StreamID(fmt.Sprintf("run-%08d-%08d", i%64, i/64%10)), 0, 500)
		if err != nil || len(page) != benchStreamAppends*benchEvents {
			b.Fatal(len(page), err)
		}
	}
	require.NoError(b, log.Close())
}

func benchReadAll(b *testing.B, log commands.Log) {
	benchFill(b, log)
	b.ReportAllocs()
	events := 0
	for after := domain.Position(0); b.Loop(); {
		page, err := log.ReadAll(b.Context(), after, 500)
		if err != nil {
			b.Fatal(err)
		}
		events += len(page)
		if len(page) == 0 {
			after = 0
			continue
		}
		after = page[len(page)-1].Position
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	require.NoError(b, log.Close())
}
