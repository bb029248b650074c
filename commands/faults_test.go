package commands_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/faulty"
)

// held is a node type whose attempts wait until release is closed.
func held(release <-chan struct{}) node.Type {
	return effectFunc("hold", func(ctx context.Context, _ node.Call) (node.Reply, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return node.Reply{Output: json.RawMessage(`1`)}, ctx.Err()
	})
}

// checkStream reads a run back: revisions without a gap, an unbroken chain, one end per task, one end
// of the run and nothing after it.
func (w *world) checkStream(t *testing.T, runID string) {
	t.Helper()
	page, err := w.log.ReadStream(t.Context(), commands.RunStream(runID), 0, 500)
	require.NoError(t, err)
	ends := map[string]int{}
	prev := ""
	for i := range page {
		r := &page[i]
		require.Equal(t, domain.Revision(i), r.Revision)
		m, err := wire.DecodeMetadata(r.Metadata)
		require.NoError(t, err)
		require.Equal(t, prev, m.Prev)
		prev = r.Hash().String()
		e, err := wire.DecodeRun(r.Type, r.Data)
		require.NoError(t, err)
		switch e := e.(type) {
		case run.TaskCompleted:
			ends[e.Task]++
		case run.TaskFailed:
			ends[e.Task]++
		}
		require.Equal(t, i == len(page)-1, wire.EndsRun(r.Type), "revision %d: %s", i, r.Type)
	}
	for task, n := range ends {
		require.Equal(t, 1, n, "ends of %s", task)
	}
}

// overtake is another process that cancels the run an append is for, once per run at most.
func overtake() func(context.Context, commands.Log, domain.StreamID, domain.Revision) {
	var done sync.Map
	return func(ctx context.Context, log commands.Log, stream domain.StreamID, expected domain.Revision) {
		if _, again := done.LoadOrStore(stream, nil); again || expected < 1 || !strings.HasPrefix(string(stream), commands.RunStreamPrefix) {
			return
		}
		page, err := log.ReadStreamBackward(ctx, stream, expected, 1)
		if err != nil || len(page) == 0 || wire.EndsRun(page[0].Type) {
			return
		}
		at, _ := wire.DecodeAt(page[0].Metadata)
		typ, data := wire.EncodeRun(run.Cancelled{StartedAt: at, Reason: "elsewhere", Results: domain.Raw([]byte(`{}`))})
		p, _ := wire.Seal(stream, wire.Head{Revision: expected, Hash: page[0].Hash(), At: at}, at, wire.Cause{CommandID: "elsewhere"}, typ, data)
		_, _ = log.Append(ctx, stream, expected, []domain.Pending{p})
	}
}

// Whatever the log answers, a caller is told the truth and every run that exists ends.
func TestExecutor_FaultyLog(t *testing.T) {
	for _, rates := range []faulty.Rates{
		{Refused: 30},
		{Lost: 30},
		{Unanswered: 30},
		{Overtaken: 10},
		{Repeated: 50, Unread: 20},
		{Refused: 10, Lost: 10, Unanswered: 10, Overtaken: 5, Repeated: 10, Unread: 20},
	} {
		t.Run(fmt.Sprintf("%+v", rates), func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.through = func(l commands.Log) commands.Log {
				return faulty.NewLog(l, faulty.Options{Seed: 1, Rates: rates, Overtake: overtake()})
			}
			e, _ := w.start(t, commands.Limits{ActiveRunsMax: 5, AppendRetryMax: 20 * time.Millisecond}, noop("noop"))
			const runs = 40
			var wg sync.WaitGroup
			var begun atomic.Int64
			for i := range runs {
				wg.Go(func() {
					out, err := e.StartRun(t.Context(), request(fmt.Sprint("r", i), chainOf(3, "noop")))
					if err != nil {
						if domain.KindOf(err) != domain.KindUnavailable {
							t.Errorf("start: %v", err)
						}
						return
					}
					begun.Add(1)
					if i%4 == 0 {
						_, _ = e.Cancel(t.Context(), out.RunID, "test", wire.Actor{})
					}
				})
			}
			wg.Wait()
			eventually(t, e, commands.Counts{})
			all, err := w.log.ReadAll(t.Context(), 0, 10_000)
			require.NoError(t, err)
			found := int64(0)
			for _, r := range all {
				if id, ok := strings.CutPrefix(string(r.Stream), commands.RunStreamPrefix); ok && r.Revision == 0 {
					found++
					w.checkStream(t, id)
				}
			}
			require.Equal(t, begun.Load(), found, "a refused start leaves nothing")
			require.Positive(t, found)
		})
	}
}

// An append that may be stored must not be called refused because its repeat was.
func TestStartRun_UnansweredThenRefusedIsNotRefused(t *testing.T) {
	w := newWorld()
	var tries atomic.Int64
	w.through = func(l commands.Log) commands.Log {
		return appendFunc{l, func(ctx context.Context, s domain.StreamID, r domain.Revision, events []domain.Pending) (commands.Appended, error) {
			if !strings.HasPrefix(string(s), commands.RunStreamPrefix) || r != domain.NoStream {
				return l.Append(ctx, s, r, events)
			}
			switch tries.Add(1) {
			case 1:
				_, _ = l.Append(ctx, s, r, events)
				return commands.Appended{}, domain.E(domain.KindIndeterminate, "append", string(s), "test")
			case 2:
				return commands.Appended{}, domain.E(domain.KindUnavailable, "append", string(s), "test")
			}
			return l.Append(ctx, s, r, events)
		}}
	}
	e, _ := w.start(t, commands.Limits{}, noop("noop"))
	out, err := e.StartRun(t.Context(), request("r", chainOf(1, "noop")))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), out.RunID, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase)
}

type appendFunc struct {
	commands.Log
	f func(context.Context, domain.StreamID, domain.Revision, []domain.Pending) (commands.Appended, error)
}

func (a appendFunc) Append(ctx context.Context, s domain.StreamID, r domain.Revision, events []domain.Pending) (commands.Appended, error) {
	return a.f(ctx, s, r, events)
}

// A caller whose time runs out while its append is on the way gets "perhaps", and the run goes on.
func TestStartRun_GivesUpWhileTheAppendIsUnderWay(t *testing.T) {
	for _, places := range []int{1, 0} {
		t.Run(fmt.Sprint("free places: ", places), func(t *testing.T) {
			w := newWorld()
			release, entered := make(chan struct{}), make(chan struct{}, 1)
			var slow atomic.Bool
			w.through = func(l commands.Log) commands.Log {
				return appendFunc{l, func(ctx context.Context, s domain.StreamID, r domain.Revision, events []domain.Pending) (commands.Appended, error) {
					if slow.Load() && strings.HasPrefix(string(s), commands.RunStreamPrefix) && r == domain.NoStream {
						entered <- struct{}{}
						<-release
					}
					return l.Append(ctx, s, r, events)
				}}
			}
			free := make(chan struct{})
			e, _ := w.start(t, commands.Limits{ActiveRunsMax: 1}, held(free), noop("noop"))
			if places == 0 {
				_, err := e.StartRun(t.Context(), request("first", chainOf(1, "hold")))
				require.NoError(t, err)
			}
			slow.Store(true)
			ctx, cancel := context.WithCancel(t.Context())
			answered := make(chan error, 1)
			go func() {
				_, err := e.StartRun(ctx, request("r", chainOf(1, "noop")))
				answered <- err
			}()
			<-entered
			cancel()
			require.ErrorIs(t, <-answered, domain.ErrIndeterminate)
			slow.Store(false)
			close(release)
			close(free)
			require.Eventually(t, func() bool {
				_, err := e.StartRun(t.Context(), request("r", chainOf(1, "noop")))
				return err == nil
			}, time.Minute, time.Millisecond, "the run never ends and holds its name")
		})
	}
}

// A run that cannot be read is put aside; the others go on and the process is ready.
func TestExecutor_QuarantinesWhatItCannotRead(t *testing.T) {
	w := newWorld()
	release := make(chan struct{})
	e, stop := w.start(t, commands.Limits{}, held(release))
	big := request("big", chainOf(1, "hold"))
	big.Input = []byte(`{"x":"` + strings.Repeat("x", 100_000) + `"}`)
	ids := map[string]string{}
	for _, q := range []commands.StartRequest{request("fine", chainOf(1, "hold")), request("type", chainOf(1, "hold")), request("data", chainOf(1, "hold")), big} {
		out, err := e.StartRun(t.Context(), q)
		require.NoError(t, err)
		ids[q.RunName] = out.RunID
	}
	stop()
	spoil := func(name, typ, data string) {
		stream := commands.RunStream(ids[name])
		page, err := w.log.ReadStreamBackward(t.Context(), stream, 1<<40, 1)
		require.NoError(t, err)
		at, _ := wire.DecodeAt(page[0].Metadata)
		p, _ := wire.Seal(stream, wire.Head{Revision: page[0].Revision, Hash: page[0].Hash(), At: at}, at, wire.Cause{}, typ, []byte(data))
		_, err = w.log.Append(t.Context(), stream, page[0].Revision, []domain.Pending{p})
		require.NoError(t, err)
	}
	spoil("type", "run.from_the_future.v9", `{}`)
	spoil("data", "run.task_completed.v1", `{"task":`)
	w.blobs = newWorld().blobs // big's input is gone
	close(release)
	e, _ = w.start(t, commands.Limits{}, held(release))
	s, err := e.Await(t.Context(), ids["fine"], 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase)
	require.Eventually(t, func() bool { return e.Counts() == commands.Counts{Quarantined: 3} }, time.Minute, time.Millisecond)
	for _, name := range []string{"type", "data", "big"} {
		_, err = e.Await(t.Context(), ids[name], time.Minute)
		require.ErrorIs(t, err, domain.ErrCorrupt, name)
		_, err = e.Cancel(t.Context(), ids[name], "test", wire.Actor{})
		require.ErrorIs(t, err, domain.ErrCorrupt, name)
	}
	require.Equal(t, commands.Counts{Quarantined: 3}, e.Counts(), "looking at them changes nothing")
}

// A bug in one node's code, here a pure one within a decision, takes one run out; whoever waits for
// that run is told, and nothing else is touched.
func TestExecutor_PanicWhileDeciding(t *testing.T) {
	const secret = "what it panicked with"
	w := newWorld()
	var logged atomic.Value
	w.quarantined = func(err error) { logged.Store(err.Error()) }
	e, _ := w.start(t, commands.Limits{}, noop("noop"), node.Type{Name: "bug", Kind: node.Pure, Compute: func(node.Call) (node.Reply, error) { panic(secret) }})
	pure := func(n int) workflow.Definition {
		d := chainOf(n, "noop")
		d.Nodes[n-1].Type, d.Nodes[n-1].Pure = "bug", true
		return d
	}
	_, err := e.StartRun(t.Context(), request("at once", pure(1)))
	require.Equal(t, domain.KindInternal, domain.KindOf(err))
	require.NotContains(t, err.Error(), secret)
	require.NotContains(t, err.Error(), "goroutine")

	out, err := e.StartRun(t.Context(), request("later", pure(2)))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return e.Counts() == commands.Counts{Quarantined: 2} }, time.Minute, time.Millisecond)
	require.NoError(t, e.Drain(t.Context()), "the result that led to the panic still counts as running")
	require.Contains(t, logged.Load(), "panic")
	require.NotContains(t, logged.Load(), secret)
	require.Equal(t, []string{"started", "task_started"}, w.types(t, out.RunID))
	_, err = e.Cancel(t.Context(), out.RunID, "give it up", wire.Actor{})
	require.NoError(t, err, "a run that was put aside can be ended")
}

// A run in line is cancelled like any other, and its place in line is free again.
func TestExecutor_CancelOfARunInLine(t *testing.T) {
	w := newWorld()
	release := make(chan struct{})
	e, _ := w.start(t, commands.Limits{ActiveRunsMax: 1, PendingRunsMax: 2}, held(release))
	var ids []string
	for i := range 3 {
		out, err := e.StartRun(t.Context(), request(fmt.Sprint("r", i), chainOf(1, "hold")))
		require.NoError(t, err)
		ids = append(ids, out.RunID)
	}
	require.Eventually(t, func() bool { return e.Counts() == commands.Counts{Active: 1, Pending: 2} }, time.Minute, time.Millisecond)
	out, err := e.Cancel(t.Context(), ids[1], "no more", wire.Actor{})
	require.NoError(t, err)
	require.Equal(t, domain.Revision(1), out.Revision)
	require.NotZero(t, out.Position)
	require.Equal(t, []string{"started", "cancelled"}, w.types(t, ids[1]))
	_, err = e.Cancel(t.Context(), ids[1], "again", wire.Actor{})
	require.ErrorIs(t, err, domain.ErrRefused)
	require.Eventually(t, func() bool { return e.Counts() == commands.Counts{Active: 1, Pending: 1} }, time.Minute, time.Millisecond)
	_, err = e.StartRun(t.Context(), request("r3", chainOf(1, "hold")))
	require.NoError(t, err)
	s, err := e.Await(t.Context(), ids[1], time.Minute)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCancelled, s.Phase)
	_, err = e.Cancel(t.Context(), "nobody", "", wire.Actor{})
	require.ErrorIs(t, err, domain.ErrNotFound)
	close(release)
	s, err = e.Await(t.Context(), ids[2], 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, run.PhaseCompleted, s.Phase)
}

// Await tells apart what can still come to an end by waiting and what cannot.
func TestAwait(t *testing.T) {
	w := newWorld()
	release := make(chan struct{})
	e, stop := w.start(t, commands.Limits{ActiveRunsMax: 1}, held(release))
	active, err := e.StartRun(t.Context(), request("active", chainOf(1, "hold")))
	require.NoError(t, err)
	inLine, err := e.StartRun(t.Context(), request("in line", chainOf(1, "hold")))
	require.NoError(t, err)

	_, err = e.Await(t.Context(), "nobody", time.Hour)
	require.ErrorIs(t, err, domain.ErrNotFound)
	for _, id := range []string{active.RunID, inLine.RunID} {
		s, err := e.Await(t.Context(), id, 0)
		require.NoError(t, err)
		require.Equal(t, run.Running, s.Phase)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = e.Await(ctx, active.RunID, time.Hour)
	require.Error(t, err)

	close(release)
	for _, id := range []string{inLine.RunID, active.RunID} {
		s, err := e.Await(t.Context(), id, time.Hour)
		require.NoError(t, err)
		require.Equal(t, run.PhaseCompleted, s.Phase)
	}
	stop()
	s, err := e.Await(t.Context(), active.RunID, time.Hour)
	require.NoError(t, err, "the log still knows")
	require.Equal(t, run.PhaseCompleted, s.Phase)
	_, err = e.StartRun(t.Context(), request("too late", chainOf(1, "hold")))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = e.Cancel(t.Context(), active.RunID, "too late", wire.Actor{})
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

// More commands than a run takes are refused, and the ones it took are answered.
func TestExecutor_MailboxIsBounded(t *testing.T) {
	w := newWorld()
	blocked, entered := make(chan struct{}), make(chan struct{}, 1)
	w.through = func(l commands.Log) commands.Log {
		return appendFunc{l, func(ctx context.Context, s domain.StreamID, r domain.Revision, events []domain.Pending) (commands.Appended, error) {
			if strings.HasPrefix(string(s), commands.RunStreamPrefix) && r >= 0 {
				entered <- struct{}{}
				<-blocked
			}
			return l.Append(ctx, s, r, events)
		}}
	}
	release := make(chan struct{})
	e, _ := w.start(t, commands.Limits{MailboxMax: 3}, held(release))
	out, err := e.StartRun(t.Context(), request("r", chainOf(1, "hold")))
	require.NoError(t, err)
	answers := make(chan error, 10)
	cancel := func() {
		_, err := e.Cancel(t.Context(), out.RunID, "test", wire.Actor{})
		answers <- err
	}
	go cancel()
	<-entered
	for range 9 {
		go cancel()
	}
	for range 7 {
		require.ErrorIs(t, <-answers, domain.ErrExhausted)
	}
	close(blocked)
	done := 0
	for range 3 {
		if err := <-answers; err == nil {
			done++
		} else {
			require.ErrorIs(t, err, domain.ErrRefused)
		}
	}
	require.Equal(t, 1, done)
	require.Equal(t, []string{"started", "task_started", "cancelled"}, w.types(t, out.RunID))
}

// A log that is not there when the process starts is waited for.
func TestExecutor_WaitsForTheLogAtStart(t *testing.T) {
	w := newWorld()
	var reads atomic.Int64
	w.through = func(l commands.Log) commands.Log { return unreadAtFirst{l, &reads} }
	e, _ := w.start(t, commands.Limits{AppendRetryMax: time.Millisecond}, noop("noop"))
	require.Greater(t, reads.Load(), int64(3))
	_, err := e.StartRun(t.Context(), request("r", chainOf(1, "noop")))
	require.NoError(t, err)
}

type unreadAtFirst struct {
	commands.Log
	reads *atomic.Int64
}

func (l unreadAtFirst) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	if l.reads.Add(1) < 4 {
		return nil, domain.E(domain.KindUnavailable, "read", "log", "not there yet")
	}
	return l.Log.ReadAll(ctx, after, max)
}

// A timer that is due while the log takes nothing, or does not say whether it did, ends its task once,
// at the instant it was due or after.
func TestExecutor_TimerWhileTheLogFails(t *testing.T) {
	w := newWorld()
	var down atomic.Bool
	var tries atomic.Int64
	w.through = func(l commands.Log) commands.Log {
		return appendFunc{l, func(ctx context.Context, s domain.StreamID, r domain.Revision, events []domain.Pending) (commands.Appended, error) {
			if !down.Load() || !strings.HasPrefix(string(s), commands.RunStreamPrefix) {
				return l.Append(ctx, s, r, events)
			}
			switch tries.Add(1) % 3 {
			case 0:
				_, _ = l.Append(ctx, s, r, events)
				return commands.Appended{}, domain.E(domain.KindIndeterminate, "append", string(s), "test")
			case 1:
				return commands.Appended{}, domain.E(domain.KindUnavailable, "append", string(s), "test")
			}
			return commands.Appended{}, domain.E(domain.KindIndeterminate, "append", string(s), "test")
		}}
	}
	e, _ := w.start(t, commands.Limits{SleepAfter: 50 * time.Millisecond, AppendRetryMax: time.Millisecond}, noop("noop"), pause())
	var ids []string
	for i, wait := range []string{"800ms", "20ms", "0s"} {
		out, err := e.StartRun(t.Context(), request(fmt.Sprint("r", i), pausing(wait)))
		require.NoError(t, err)
		ids = append(ids, out.RunID)
	}
	down.Store(true)
	require.Eventually(t, func() bool { return tries.Load() >= 9 }, time.Minute, time.Millisecond)
	down.Store(false)
	for _, id := range ids {
		s, err := e.Await(t.Context(), id, 20*time.Second)
		require.NoError(t, err)
		require.Equal(t, run.PhaseCompleted, s.Phase)
		require.Equal(t, []string{
			"started", "task_started", "task_completed", "task_started", "timer_set", "task_completed", "task_started", "task_completed", "completed",
		}, w.types(t, id))
	}
	eventually(t, e, commands.Counts{})
}
