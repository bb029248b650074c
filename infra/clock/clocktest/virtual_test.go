package clocktest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestVirtual_TimersFireInOrderAtTheirOwnTime(t *testing.T) {
	v := New(time.Time{}, 1)
	var fired []string
	note := func(name string) func() {
		return func() { fired = append(fired, fmt.Sprintf("%s@%s", name, v.Now().Sub(Start))) }
	}
	v.AfterFunc(3*time.Second, note("c"))
	v.AfterFunc(time.Second, func() {
		note("a")()
		v.AfterFunc(time.Second, note("a2"))
	})
	v.AfterFunc(time.Second, note("b"))
	stop := v.AfterFunc(2*time.Second, note("stopped"))
	next, ok := v.Next()
	require.True(t, ok)
	require.Equal(t, Start.Add(time.Second), next)
	require.True(t, stop())
	require.False(t, stop())

	v.Advance(999 * time.Millisecond)
	require.Empty(t, fired)
	v.Advance(4 * time.Second)
	require.Equal(t, []string{"a@1s", "b@1s", "a2@2s", "c@3s"}, fired)
	require.Equal(t, Start.Add(4999*time.Millisecond), v.Now())
	_, ok = v.Next()
	require.False(t, ok)
}

// Clocks of real machines are corrected backwards; nothing may fire early or twice for it.
func TestVirtual_GoesBackWithoutFiring(t *testing.T) {
	v := New(time.Time{}, 1)
	fired := 0
	v.AfterFunc(time.Second, func() { fired++ })
	v.Set(Start.Add(-time.Hour))
	require.Equal(t, Start.Add(-time.Hour), v.Now())
	v.Advance(time.Hour)
	require.Zero(t, fired)
	v.Advance(time.Second)
	require.Equal(t, 1, fired)
	require.Equal(t, time.Hour+time.Second, v.Monotonic())
	require.Panics(t, func() { v.Advance(-1) })
}

func TestVirtual_StopOfAFiredTimerSaysSo(t *testing.T) {
	v := New(time.Time{}, 1)
	stop := v.AfterFunc(-time.Second, func() {})
	v.Advance(0)
	require.False(t, stop())
}

func TestVirtual_EqualSeedsGiveEqualRuns(t *testing.T) {
	a, b, other := New(time.Time{}, 7), New(time.Time{}, 7), New(time.Time{}, 8)
	for range 100 {
		require.Equal(t, a.NewID(), b.NewID())
		j := a.Jitter()
		require.Equal(t, j, b.Jitter())
		require.NotEqual(t, j, other.Jitter())
	}
	at := time.UnixMilli(0x0123456789ab)
	require.Equal(t, "01234567-89ab-7000-8000-000000000001", New(at, 0).NewID())
}
