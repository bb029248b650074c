package telemetry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func ok(context.Context) error { return nil }

func TestHealth_ReadyFollowsThePhase(t *testing.T) {
	h := NewHealth()
	h.AddReady("log", 0, ok)
	require.Equal(t, "the process is starting", h.Ready(t.Context()).Checks["process"].Error)
	require.False(t, h.Ready(t.Context()).OK())
	require.True(t, h.Live(t.Context()).OK(), "a slow start must not be answered with a restart")

	h.Started()
	require.Equal(t, `{"status":"ok","checks":{"log":{"status":"ok"},"process":{"status":"ok"}}}`, string(h.Ready(t.Context()).JSON()))

	h.Draining()
	require.Equal(t, "the process is stopping", h.Ready(t.Context()).Checks["process"].Error)
	h.Started()
	require.False(t, h.Ready(t.Context()).OK(), "no way back from draining")
}

func TestHealth_NamesWhatFailed(t *testing.T) {
	h := NewHealth()
	h.Started()
	h.AddLive("log", 0, func(context.Context) error { return errors.New("disk full") })
	h.AddLive("views", 0, func(context.Context) error { panic("oh") })
	h.AddLive("keys", 0, ok)
	require.Equal(t, Report{Status: StatusFailed, Checks: map[string]CheckResult{
		"log":   {StatusFailed, "disk full"},
		"views": {StatusFailed, "panic: oh"},
		"keys":  {StatusOK, ""},
	}}, h.Live(t.Context()))
	require.Equal(t, `{"status":"ok","checks":{}}`, string(NewHealth().Live(t.Context()).JSON()))
}

// What works without a part must not be taken out because of it.
func TestHealth_AdviceDegrades(t *testing.T) {
	h := NewHealth()
	h.Started()
	h.AddAdvice("views", 0, func(context.Context) error { return errors.New("database is down") })
	h.AddAdvice("fine", 0, ok)
	r := h.Ready(t.Context())
	require.True(t, r.OK())
	require.Equal(t, `{"status":"degraded","checks":{"fine":{"status":"ok"},"process":{"status":"ok"},"views":{"status":"degraded","error":"database is down"}}}`, string(r.JSON()))
	h.AddReady("log", 0, func(context.Context) error { return errors.New("gone") })
	r = h.Ready(t.Context())
	require.False(t, r.OK(), "a failure beside it counts as ever")
	require.Equal(t, StatusFailed, r.Status)
	require.Panics(t, func() { h.AddAdvice("process", 0, ok) })
}

// A check that never answers must neither hang the probe nor pile up goroutines.
func TestHealth_StuckCheckCostsOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, release, calls := NewHealth(), make(chan struct{}), new(atomic.Int32)
		h.AddLive("stuck", 2*time.Second, func(context.Context) error { calls.Add(1); <-release; return nil })
		h.AddLive("fine", 0, ok)
		for range 5 {
			begin := time.Now()
			r := h.Live(t.Context())
			require.Equal(t, 2*time.Second, time.Since(begin))
			require.Equal(t, CheckResult{StatusFailed, "did not answer within 2s"}, r.Checks["stuck"])
			require.Equal(t, StatusOK, r.Checks["fine"].Status)
		}
		require.Equal(t, int32(1), calls.Load())
		close(release)
		synctest.Wait()
		require.True(t, h.Live(t.Context()).OK(), "it recovers")
		require.Equal(t, int32(2), calls.Load())
	})
}

// Two probes at once are both answered with the truth.
func TestHealth_ConcurrentProbesShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, calls := NewHealth(), new(atomic.Int32)
		h.AddLive("slow", time.Minute, func(context.Context) error { calls.Add(1); time.Sleep(time.Second); return nil })
		hasty, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { require.False(t, h.Live(hasty).OK()) })
		synctest.Wait()
		for range 10 {
			wg.Go(func() { require.True(t, h.Live(t.Context()).OK()) })
		}
		synctest.Wait()
		cancel() // the first one gives up; the others still get their answer
		wg.Wait()
		require.Equal(t, int32(1), calls.Load())
	})
}

func TestHealth_RefusesTwoChecksOfOneName(t *testing.T) {
	h := NewHealth()
	h.AddLive("log", 0, ok)
	h.AddReady("log", 0, ok)
	require.Panics(t, func() { h.AddLive("log", 0, ok) })
	require.Panics(t, func() { h.AddReady("process", 0, ok) })
}
