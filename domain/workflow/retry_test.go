package workflow_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain/workflow"
)

// Contract D8: 0.5 s doubling, capped at 10 s, 20 % jitter.
func TestDelay_DefaultPolicy(t *testing.T) {
	r := workflow.DefaultRetry()
	for failures, want := range map[int]time.Duration{
		1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 4: 4 * time.Second, 5: 8 * time.Second, 6: 10 * time.Second, 99: 10 * time.Second,
	} {
		require.Equal(t, want, r.Delay(failures, 0.5, 0), failures)
		require.Equal(t, want*8/10, r.Delay(failures, 0, 0), failures)
		require.InDelta(t, float64(want)*1.2, float64(r.Delay(failures, 0.999999, 0)), float64(2*time.Millisecond), failures)
	}
}

func TestDelay_HonoursTheFarSide(t *testing.T) {
	r := workflow.DefaultRetry()
	require.Equal(t, 7*time.Second, r.Delay(1, 0.5, 7*time.Second))
	require.Equal(t, 500*time.Millisecond, r.Delay(1, 0.5, 100*time.Millisecond), "a short wish does not shorten the policy")
	require.Equal(t, workflow.RetryDelayMax, r.Delay(1, 0.5, 1000*time.Hour))
	require.Equal(t, 1235*time.Millisecond, r.Delay(1, 0.5, 1234*time.Millisecond+time.Microsecond), "stored in ms: rounded up, never shortened")
	require.Equal(t, 500*time.Millisecond, r.Delay(1, 0.5, -time.Hour))
}

func TestDelay_StaysWithinThePolicy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := workflow.Retry{
			Attempts: 1, Initial: time.Duration(rapid.Int64Range(0, int64(workflow.RetryDelayMax)).Draw(t, "initial")),
			Factor: rapid.Float64Range(1, 1e6).Draw(t, "factor"), Max: time.Duration(rapid.Int64Range(0, int64(workflow.RetryDelayMax)).Draw(t, "max")),
			Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter part"),
		}
		jitter := rapid.Float64Range(0, 0.9999999).Draw(t, "jitter")
		after := time.Duration(rapid.Int64Range(0, int64(workflow.RetryDelayMax)).Draw(t, "retry after"))
		failures := rapid.IntRange(1, 200).Draw(t, "failures")
		d := r.Delay(failures, jitter, 0)
		cap := float64(r.Max) * (1 + r.Jitter)
		if d < 0 || float64(d) > cap+1 || d%time.Millisecond != 0 {
			t.Fatalf("delay %s, cap %s", d, time.Duration(cap))
		}
		least := min(float64(r.Initial), float64(r.Max)) * (1 - r.Jitter)
		if float64(d) < least-float64(time.Millisecond) {
			t.Fatalf("delay %s, least %s", d, time.Duration(least))
		}
		if next := r.Delay(failures+1, jitter, 0); next < d {
			t.Fatalf("shrinks from %s to %s", d, next)
		}
		if w := r.Delay(failures, jitter, after); w < after || w < d || w > max(after+time.Millisecond, d) {
			t.Fatalf("asked for %s, policy %s, got %s", after, d, w)
		}
	})
}

// The default's delays grow whatever the jitter of each, until the cap.
func TestDelay_DefaultNeverShrinksBeforeTheCap(t *testing.T) {
	r := workflow.DefaultRetry()
	for failures := 1; failures < 5; failures++ {
		require.Less(t, r.Delay(failures, 0.9999999, 0), r.Delay(failures+1, 0, 0))
	}
}

// Compile refuses such policies; a stored one must still not stop or spin a run.
func TestDelay_IsTotal(t *testing.T) {
	for _, r := range []workflow.Retry{
		{Initial: time.Second, Max: time.Second, Factor: math.NaN()},
		{Initial: time.Second, Max: time.Second, Factor: math.Inf(1), Jitter: math.NaN()},
		{Initial: time.Second, Max: time.Second, Factor: -3, Jitter: math.Inf(1)},
		{Initial: math.MaxInt64, Max: math.MaxInt64, Factor: 1e300, Jitter: 1},
		{Initial: -1, Max: -1, Factor: 0, Jitter: -1},
	} {
		for _, failures := range []int{-1, 0, 1, 3, math.MaxInt} {
			d := r.Delay(failures, 0.999, 0)
			require.GreaterOrEqual(t, d, time.Duration(0))
			require.LessOrEqual(t, d, 2*workflow.RetryDelayMax)
		}
	}
	require.GreaterOrEqual(t, workflow.Retry{Initial: time.Second, Max: time.Second, Factor: math.NaN()}.Delay(3, 0.5, 0), time.Second)
}
