package telemetry

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A part that is away is named, and the process goes on serving without it.
func TestPart_SaysWhatIsWrong(t *testing.T) {
	h := NewHealth()
	h.Started()
	h.Part("relay").Set(errors.New("nats: no servers available"))
	h.Part("members").Set(nil)
	r := h.Ready(t.Context())
	require.True(t, r.OK())
	require.Equal(t, `{"status":"degraded","checks":{"members":{"status":"ok"},"process":{"status":"ok"},"relay":{"status":"degraded","error":"nats: no servers available"}}}`, string(r.JSON()))
	require.ErrorContains(t, h.Part("relay").Err(), "no servers")

	h.Part("relay").Set(nil)
	require.Equal(t, StatusOK, h.Ready(t.Context()).Status)
	require.NoError(t, h.Part("relay").Err())
}

func TestPart_LongErrorsAreClipped(t *testing.T) {
	h := NewHealth()
	h.Part("relay").Set(errors.New(strings.Repeat("é", PartErrorBytesMax)))
	require.Equal(t, strings.Repeat("é", PartErrorBytesMax/2)+"…", h.Part("relay").Err().Error())
}

func TestPart_TakesNoNameOfACheck(t *testing.T) {
	h := NewHealth()
	h.AddReady("log", 0, ok)
	require.Panics(t, func() { h.Part("log") })
	require.Panics(t, func() { h.Part("process") })
	h.Part("relay")
	require.Panics(t, func() { h.AddReady("relay", 0, ok) })
}

// Two who ask for a part at the same time get the same one.
func TestPart_IsOneForAll(t *testing.T) {
	h := NewHealth()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			h.Part("relay").Set(errors.New("away"))
			_ = h.Ready(t.Context())
		})
	}
	wg.Wait()
	require.Equal(t, "away", h.Ready(t.Context()).Checks["relay"].Error)
}
