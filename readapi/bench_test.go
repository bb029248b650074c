package readapi_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	fastws "github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"quipu/domain/run"
)

// BenchmarkReplay_OneSocket is the replay of a run's history to one socket; an op is one event.
func BenchmarkReplay_OneSocket(b *testing.B) {
	w := newWorld(b)
	w.bind("flow", "run", "r1")
	w.started("r1")
	const events = 20_000
	for range events - 1 {
		w.event("r1", run.TaskSkipped{Task: "t", Reason: run.SkippedByGate})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		c := w.dial("/ws/flow/run?from=0")
		for i := 0; i < events && n < b.N; i++ {
			_, r, err := c.conn.NextReader()
			require.NoError(b, err)
			_ = r
			n++
		}
		_ = c.conn.Close()
	}
}

// BenchmarkBroadcast_200Sockets is one live event to 200 sockets on one run; an op is one event. At
// most 32 events are under way, so that the sockets are measured and not how they lag.
func BenchmarkBroadcast_200Sockets(b *testing.B) {
	w := newWorld(b)
	w.bind("flow", "run", "r1")
	w.started("r1")
	const sockets, window = 200, 32
	var wg sync.WaitGroup
	room := make(chan struct{}, window*sockets)
	for range sockets {
		c := w.dial("/ws/flow/run")
		c.next()
		require.NoError(b, c.conn.SetReadDeadline(time.Time{}))
		wg.Go(func() {
			for range b.N {
				if _, _, err := c.conn.NextReader(); err != nil {
					b.Error(err)
					return
				}
				room <- struct{}{}
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		w.event("r1", run.TaskSkipped{Task: "t", Reason: run.SkippedByGate})
		if n >= window {
			for range sockets {
				<-room
			}
		}
	}
	for range min(window, b.N) * sockets {
		<-room
	}
	wg.Wait()
}

// BenchmarkIdleSocket reports the memory of one open socket at rest, its client's included.
func BenchmarkIdleSocket_1000(b *testing.B) {
	w := newWorld(b)
	w.bind("flow", "run", "r1")
	w.started("r1")
	const sockets = 1000
	for b.Loop() {
		before := inUse()
		var conns []*fastws.Conn
		for i := range sockets {
			conn, _, err := fastws.DefaultDialer.Dial(w.url(fmt.Sprintf("/ws/flow/run%d", i)), nil)
			require.NoError(b, err)
			conns = append(conns, conn)
		}
		w.clock.awaitTimers(b, sockets)
		heap, stack := inUse()[0]-before[0], inUse()[1]-before[1]
		b.ReportMetric(float64(heap)/sockets, "heap-B/socket")
		b.ReportMetric(float64(stack)/sockets, "stack-B/socket")
		for _, c := range conns {
			_ = c.Close()
		}
		for w.live.Open() > 0 {
			runtime.Gosched()
		}
	}
}

func inUse() [2]int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return [2]int64{int64(m.HeapInuse), int64(m.StackInuse)}
}
