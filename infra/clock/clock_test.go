package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/infra/clock"
	"quipu/infra/clock/clocktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything is what consumers ask of a clock, each a part of it.
type everything interface {
	Now() time.Time
	Monotonic() time.Duration
	NewID() string
	Jitter() float64
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

var _, _ everything = clock.System{}, (*clocktest.Virtual)(nil)

func TestClocks_KeepTheCommonContract(t *testing.T) {
	for name, c := range map[string]everything{"system": clock.System{}, "virtual": clocktest.New(time.Time{}, 1)} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, time.UTC, c.Now().Location())
			last, reading := "", c.Monotonic()
			require.GreaterOrEqual(t, reading, time.Duration(0))
			for range 10_000 {
				id := c.NewID()
				parsed, err := uuid.Parse(id)
				require.NoError(t, err)
				require.Equal(t, uuid.Version(7), parsed.Version())
				require.Equal(t, uuid.RFC4122, parsed.Variant())
				require.Equal(t, parsed.String(), id)
				require.Less(t, last, id, "ids sort by creation")
				last = id
				require.GreaterOrEqual(t, c.Monotonic(), reading)
				reading = c.Monotonic()
				j := c.Jitter()
				require.True(t, j >= 0 && j < 1, "%v", j)
			}
		})
	}
}

func TestSystem_AfterFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, fired := time.Now(), make(chan time.Duration, 1)
		clock.System{}.AfterFunc(time.Hour, func() { fired <- time.Since(begin) })
		stop := clock.System{}.AfterFunc(time.Minute, func() { t.Error("stopped timer fired") })
		require.True(t, stop())
		require.False(t, stop())
		require.Equal(t, time.Hour, <-fired)
	})
}
