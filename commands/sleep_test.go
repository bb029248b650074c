package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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
	"quipu/infra/clock/clocktest"
)

// pause is a timer that waits for params.for.
func pause() node.Type {
	return node.Type{Name: "pause", Kind: node.Timer, Due: func(c node.Call, at time.Time) (time.Time, error) {
		var p struct{ For string }
		if err := json.Unmarshal(c.Params, &p); err != nil {
			return at, err
		}
		d, err := time.ParseDuration(p.For)
		return at.Add(d), err
	}}
}

// pausing is noop, then a wait, then noop.
func pausing(wait string) workflow.Definition {
	d := chainOf(3, "noop")
	d.Nodes[1].Type = "pause"
	d.Nodes[1].Params = domain.Raw([]byte(`{"before":{"depends":"t0"},"for":"` + wait + `"}`))
	return d
}

func eventually(t *testing.T, e *commands.Executor, want commands.Counts) {
	t.Helper()
	if !assert.Eventually(t, func() bool { return e.Counts() == want }, 20*time.Second, time.Millisecond) {
		t.Fatalf("want %+v, have %+v", want, e.Counts())
	}
}

// ended waits until the log says so, whatever the clock of the test.
func ended(t *testing.T, e *commands.Executor, id string, want run.Phase) {
	t.Helper()
	var s *run.State
	var last error
	if !assert.Eventually(t, func() bool {
		var err error
		s, err = e.State(t.Context(), id)
		last = err
		return err == nil && s.Phase.Ended()
	}, time.Minute, time.Millisecond) {
		t.Fatalf("run %s has not ended: %+v, %v; %+v", id, e.Counts(), last, s)
	}
	require.Equal(t, want, s.Phase, "%+v", s.Error)
}

// A wait of a month takes a month, whatever restarts in between, and no memory to speak of.
func TestExecutor_TimerOfAMonthFiresAtItsTime(t *testing.T) {
	w := newWorld()
	c := clocktest.New(time.Time{}, 1)
	w.clock = c
	e, stop := w.start(t, commands.Limits{}, noop("noop"), pause())
	out, err := e.StartRun(t.Context(), request("r", pausing("720h")))
	require.NoError(t, err)
	eventually(t, e, commands.Counts{Sleeping: 1})
	require.Equal(t, []string{"started", "task_started", "task_completed", "task_started", "timer_set"}, w.types(t, out.RunID))
	c.Advance(15 * 24 * time.Hour)
	require.Equal(t, commands.Counts{Sleeping: 1}, e.Counts())
	stop()

	e, stop = w.start(t, commands.Limits{}, noop("noop"), pause())
	eventually(t, e, commands.Counts{Sleeping: 1})
	c.Advance(15*24*time.Hour - time.Millisecond)
	require.Equal(t, commands.Counts{Sleeping: 1}, e.Counts())
	s, err := e.State(t.Context(), out.RunID)
	require.NoError(t, err)
	require.Equal(t, run.Running, s.Phase)
	due, ok := s.WaitsUntil()
	require.True(t, ok)
	require.Equal(t, clocktest.Start.Add(720*time.Hour), due)
	stop()

	// A process that comes too late fires at once.
	c.Advance(time.Hour)
	e, _ = w.start(t, commands.Limits{}, noop("noop"), pause())
	require.Eventually(t, func() bool { c.Advance(0); return e.Counts() == commands.Counts{} }, time.Minute, time.Millisecond)
	ended(t, e, out.RunID, run.PhaseCompleted)
	require.Equal(t, []string{
		"started", "task_started", "task_completed", "task_started", "timer_set", "task_completed", "task_started", "task_completed", "completed",
	}, w.types(t, out.RunID), "the timer is set once")
	page, err := w.log.ReadStream(t.Context(), commands.RunStream(out.RunID), 5, 1)
	require.NoError(t, err)
	require.Contains(t, string(page[0].Data), `"waited_seconds":2595599.999`)
}

// What is not in memory is found all the same: to be read, waited for, and cancelled.
func TestExecutor_SleepingRunsAnswer(t *testing.T) {
	w := newWorld()
	timers := new(atomic.Int64)
	w.clock = countingClock{timers: timers}
	e, _ := w.start(t, commands.Limits{SleepAfter: 100 * time.Millisecond}, noop("noop"), pause())
	long, err := e.StartRun(t.Context(), request("long", pausing("87600h")))
	require.NoError(t, err)
	eventually(t, e, commands.Counts{Sleeping: 1})
	require.LessOrEqual(t, timers.Load(), int64(1), "one timer for all that sleep")
	s, err := e.Await(t.Context(), long.RunID, 50*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, run.Running, s.Phase)
	_, err = e.StartRun(t.Context(), request("long", pausing("1h")))
	require.ErrorIs(t, err, domain.ErrRefused, "it holds its name")

	short, err := e.StartRun(t.Context(), request("short", pausing("300ms")))
	require.NoError(t, err)
	s, err = e.Await(t.Context(), short.RunID, 20*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase, "whoever waits is told, though it slept")

	_, err = e.Cancel(t.Context(), long.RunID, string(make([]byte, 5000)), wire.Actor{})
	require.ErrorIs(t, err, domain.ErrUnprocessable)
	require.Equal(t, commands.Counts{Sleeping: 1}, e.Counts(), "a command that was refused leaves it asleep")
	_, err = e.Cancel(t.Context(), long.RunID, "no more", wire.Actor{})
	require.NoError(t, err)
	eventually(t, e, commands.Counts{})
	_, err = e.Cancel(t.Context(), long.RunID, "again", wire.Actor{})
	require.ErrorIs(t, err, domain.ErrRefused)
	require.Equal(t, []string{"started", "task_started", "task_completed", "task_started", "timer_set", "cancelled"}, w.types(t, long.RunID))
	require.Eventually(t, func() bool { return timers.Load() == 0 }, time.Minute, time.Millisecond)
}

// A run whose next attempt is far away sleeps too; one with work beside the wait does not.
func TestExecutor_SleepsForRetriesButNotBesideWork(t *testing.T) {
	w := newWorld()
	c := clocktest.New(time.Time{}, 1)
	w.clock = c
	release := make(chan struct{})
	e, _ := w.start(t, commands.Limits{}, held(release), pause(), effectFunc("flaky", func(_ context.Context, call node.Call) (node.Reply, error) {
		if call.Attempt == 1 {
			return node.Reply{}, node.Failf("HTTPError", "HTTP_503", true, "try later")
		}
		return node.Reply{Output: json.RawMessage(`1`)}, nil
	}))
	d := chainOf(1, "flaky")
	d.Nodes[0].Retry = workflow.Retry{Attempts: 2, Initial: time.Hour, Factor: 1, Max: time.Hour}
	flaky, err := e.StartRun(t.Context(), request("flaky", d))
	require.NoError(t, err)
	eventually(t, e, commands.Counts{Sleeping: 1})
	beside := workflow.Definition{Nodes: []workflow.Node{chainOf(1, "hold").Nodes[0], {Name: "wait", Type: "pause", Params: domain.Raw([]byte(`{"for":"10m"}`))}}}
	busy, err := e.StartRun(t.Context(), request("busy", beside))
	require.NoError(t, err)
	require.Equal(t, commands.Counts{Active: 1, Sleeping: 1}, e.Counts())
	c.Advance(11 * time.Minute)
	require.Eventually(t, func() bool {
		c.Advance(0) // the timer may have been set only after the clock went on
		s, err := e.State(t.Context(), busy.RunID)
		return err == nil && s.Task(1).Phase == run.TaskCompletedPhase
	}, time.Minute, time.Millisecond, "a timer beside work fires too")
	close(release)
	eventually(t, e, commands.Counts{Sleeping: 1})
	c.Advance(time.Hour)
	require.Eventually(t, func() bool { c.Advance(0); return e.Counts() == commands.Counts{} }, time.Minute, time.Millisecond)
	ended(t, e, flaky.RunID, run.PhaseCompleted)
}

// Without a place to sleep a run waits in memory.
func TestExecutor_SleepingRunsAreBounded(t *testing.T) {
	w := newWorld()
	c := clocktest.New(time.Time{}, 1)
	w.clock = c
	e, _ := w.start(t, commands.Limits{SleepingRunsMax: 2, ActiveRunsMax: 2, PendingRunsMax: 1}, noop("noop"), pause())
	var ids []string
	for i := range 5 {
		require.Eventually(t, func() bool {
			out, err := e.StartRun(t.Context(), request(fmt.Sprint("r", i), pausing("1h")))
			if err == nil {
				ids = append(ids, out.RunID)
			}
			return err == nil
		}, time.Minute, time.Millisecond)
	}
	eventually(t, e, commands.Counts{Active: 2, Sleeping: 2, Pending: 1})
	_, err := e.StartRun(t.Context(), request("too many", pausing("1h")))
	require.ErrorIs(t, err, domain.ErrExhausted)
	_, err = e.Cancel(t.Context(), ids[0], "", wire.Actor{})
	require.NoError(t, err)
	for done := 0; done < 4; {
		c.Advance(time.Hour)
		done = 0
		for _, id := range ids[1:] {
			if s, err := e.State(t.Context(), id); err == nil && s.Phase == run.PhaseCompleted {
				done++
			}
		}
	}
	eventually(t, e, commands.Counts{})
}

// Thousands that sleep leave the few places to those that have something to do, and all come to
// their end when their time has come.
func TestExecutor_ThousandsSleepWhileOthersRun(t *testing.T) {
	const runs = 12_000
	w := newWorld()
	c := clocktest.New(time.Time{}, 1)
	w.clock = c
	limits := commands.Limits{ActiveRunsMax: 100, PendingRunsMax: 2 * runs}
	e, stop := w.start(t, limits, noop("noop"), pause())
	d := pausing("24h")
	ids := make([]string, runs)
	for i := range ids {
		out, err := e.StartRun(t.Context(), request(fmt.Sprint("r", i), d))
		require.NoError(t, err)
		ids[i] = out.RunID
	}
	eventually(t, e, commands.Counts{Sleeping: runs})
	through := func(name string) {
		out, err := e.StartRun(t.Context(), request(name, chainOf(3, "noop")))
		require.NoError(t, err)
		ended(t, e, out.RunID, run.PhaseCompleted)
	}
	through("beside")
	stop()
	limits.PendingRunsMax = 10
	e, _ = w.start(t, limits, noop("noop"), pause())
	through("after a restart, before all sleep again")
	eventually(t, e, commands.Counts{Sleeping: runs})
	c.Advance(24 * time.Hour)
	// Those that waited in line until their timer was set meanwhile are due a moment later.
	require.Eventually(t, func() bool { c.Advance(time.Minute); return e.Counts() == commands.Counts{} }, 60*time.Second, time.Millisecond)
	for _, id := range ids {
		ended(t, e, id, run.PhaseCompleted)
	}
}

// Sleepers cost a start the time to read and fold each; requests do not wait for that.
func BenchmarkExecutor_Recover20000SleepingRuns(b *testing.B) {
	const runs = 20_000
	w := newWorld()
	for i := range runs {
		w.asleep(b, fmt.Sprintf("asleep-%d", i))
	}
	registry, err := node.NewRegistry(noop("noop"), pause())
	require.NoError(b, err)
	for b.Loop() {
		e := commands.NewExecutor(commands.Deps{
			Log: w.log, Blobs: w.blobs, Secrets: commands.Secrets{Vault: w.vault, Blobs: w.blobs}, Effects: eventbus.NewEffects(64, nil),
			Registry: registry, Compute: commands.Compute{Registry: registry, Blobs: w.blobs}, Clock: clock.System{}, IDs: clock.System{},
		}, commands.Limits{ActiveRunsMax: 1000})
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		<-e.Ready()
		for e.Counts().Sleeping < runs {
			runtime.Gosched()
		}
		cancel()
		require.NoError(b, <-ended)
	}
}

// asleep stores a run that waits for a timer of a month.
func (w *world) asleep(b *testing.B, id string) {
	n := pausing("720h").Nodes[1]
	n.Params, n.Timer = domain.Raw([]byte(`{"for":"720h"}`)), true
	start := domaintest.Start(b, workflow.Definition{Nodes: []workflow.Node{n}}, `{}`)
	start.At, start.RunID = clock.System{}.Now(), id
	registry, _ := node.NewRegistry(pause())
	dec, err := run.Decide(run.New(), start, commands.Compute{Registry: registry})
	require.NoError(b, err)
	head := wire.NewHead()
	var events []domain.Pending
	for _, e := range dec.Events {
		var p domain.Pending
		typ, data := wire.EncodeRun(e)
		p, head = wire.Seal(commands.RunStream(id), head, dec.Next.LastAt, wire.Cause{CommandID: "start:" + id}, typ, data)
		events = append(events, p)
	}
	_, err = w.log.Append(b.Context(), commands.RunStream(id), domain.NoStream, events)
	require.NoError(b, err)
}

// What a sleeping run costs in memory.
func BenchmarkExecutor_SleepingRun(b *testing.B) {
	const runs = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		e := commands.NewExecutorForSleep()
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range runs {
			e.Sleep(fmt.Sprintf("0190a0b0-0000-7000-8000-%012d", i), clocktest.Start.Add(time.Duration(i*7919%runs)*time.Second))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if n := e.Sleeping(); n != runs {
			b.Fatal(n)
		}
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/runs, "bytes/run")
		e.Stop()
	}
}
