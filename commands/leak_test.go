package commands_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/domaintest"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/eventbus"
	"quipu/infra/clock"
)

// countingClock counts the timers that are set and neither stopped nor over.
type countingClock struct {
	clock.System
	timers *atomic.Int64
}

func (c countingClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.timers.Add(1)
	stop := c.System.AfterFunc(d, func() { f(); c.timers.Add(-1) })
	return func() bool {
		stopped := stop()
		if stopped {
			c.timers.Add(-1)
		}
		return stopped
	}
}

// A retry may be a day away; its timer must not hold on to a run that has ended, nor to a process
// that stops.
func TestExecutor_TimersEndWithTheirRun(t *testing.T) {
	w := newWorld()
	timers := new(atomic.Int64)
	w.clock = countingClock{timers: timers}
	e, stop := w.start(t, commands.Limits{}, effectFunc("flaky", func(context.Context, node.Call) (node.Reply, error) {
		return node.Reply{}, node.Failf("HTTPError", "HTTP_503", true, "try later")
	}))
	d := chainOf(1, "flaky")
	d.Nodes[0].Retry = workflow.Retry{Attempts: 3, Initial: time.Hour, Factor: 1, Max: time.Hour}
	inBackoff := func(name string) string {
		before := timers.Load()
		out, err := e.StartRun(t.Context(), request(name, d))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return timers.Load() == before+1 }, time.Minute, time.Millisecond)
		return out.RunID
	}
	id := inBackoff("cancelled")
	_, err := e.Cancel(t.Context(), id, "test", wire.Actor{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return timers.Load() == 0 }, time.Minute, time.Millisecond)
	inBackoff("stopped")
	stop()
	require.Zero(t, timers.Load())
}

// What 100,000 unfinished runs cost a start: time until ready, and memory.
func BenchmarkExecutor_Recover100000OpenRuns(b *testing.B) {
	const runs = 100_000
	w := newWorld()
	d := domaintest.Start(b, chainOf(3, "bench_noop"), `{}`)
	for i := range runs {
		id := fmt.Sprintf("open-%d", i)
		typ, data := wire.EncodeRun(run.Started{RunID: id, FlowName: "flow", RunName: id, Definition: d.Definition, Input: d.Input})
		p, _ := wire.Seal(commands.RunStream(id), wire.NewHead(), domaintest.At(i), wire.Cause{CommandID: "start:" + id}, typ, data)
		if _, err := w.log.Append(b.Context(), commands.RunStream(id), domain.NoStream, []domain.Pending{p}); err != nil {
			b.Fatal(err)
		}
	}
	hold := effectFunc("bench_noop", func(ctx context.Context, _ node.Call) (node.Reply, error) {
		<-ctx.Done()
		return node.Reply{}, ctx.Err()
	})
	registry, _ := node.NewRegistry(hold)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		effects := eventbus.NewEffects(256, nil)
		e := commands.NewExecutor(commands.Deps{
			Log: w.log, Blobs: w.blobs, Secrets: commands.Secrets{Vault: w.vault, Blobs: w.blobs}, Effects: effects,
			Registry: registry, Compute: commands.Compute{Registry: registry, Blobs: w.blobs}, Clock: clock.System{}, IDs: clock.System{},
		}, commands.Limits{ActiveRunsMax: 1000})
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		<-e.Ready()
		if c := e.Counts(); c.Active+c.Pending != runs {
			b.Fatalf("%+v", c)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20), "MiB-held")
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
		effects.Wait()
	}
}
