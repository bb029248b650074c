package eventbus_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/eventbus"
	"quipu/infra/memory"
)

func TestHub_EphemeralReachesFollowersOnly(t *testing.T) {
	log := memory.NewLog()
	h := eventbus.New(log, following(log), newManualClock(), eventbus.Options{QueueEvents: 1})
	woken := 0
	s := h.Subscribe(func() { woken++ }, "run-a")
	other := h.Subscribe(nil, "run-b")
	h.PublishEphemeral("run-a", 1)
	h.PublishEphemeral("run-a", 2)
	late := h.Subscribe(nil, "run-a")
	require.Equal(t, 2, woken)
	require.Equal(t, []any{1, 2}, s.TakeEphemeral())
	require.Empty(t, s.TakeEphemeral())
	require.Empty(t, other.TakeEphemeral())
	require.Empty(t, late.TakeEphemeral())
	events, lagging := s.Take()
	require.Empty(t, events)
	require.False(t, lagging, "what is ephemeral never costs an event")
	s.Close()
	h.PublishEphemeral("run-a", 3)
	require.Empty(t, s.TakeEphemeral())
}

func TestHub_FollowedIsWhoHasReaders(t *testing.T) {
	log := memory.NewLog()
	h := eventbus.New(log, following(log), newManualClock(), eventbus.Options{})
	require.False(t, h.Followed("run-a"))
	s := h.Subscribe(nil, "run-a")
	require.True(t, h.Followed("run-a"))
	require.False(t, h.Followed("run-b"))
	s.Close()
	require.False(t, h.Followed("run-a"))
}

func TestHub_EphemeralIsBounded(t *testing.T) {
	log := memory.NewLog()
	h := eventbus.New(log, following(log), newManualClock(), eventbus.Options{})
	s := h.Subscribe(nil, "run-a")
	for i := range eventbus.EphemeralMax + 10 {
		h.PublishEphemeral("run-a", i)
	}
	got := s.TakeEphemeral()
	require.Len(t, got, eventbus.EphemeralMax)
	require.Equal(t, 10, got[0], "the oldest go first")
	require.Equal(t, eventbus.EphemeralMax+9, got[len(got)-1])
}

func TestHub_EphemeralFromManyAtOnce(t *testing.T) {
	log := memory.NewLog()
	h := eventbus.New(log, following(log), newManualClock(), eventbus.Options{})
	r := h.Reader("run-a", 0, func() {})
	defer r.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				h.PublishEphemeral("run-a", i)
			}
		})
	}
	wg.Wait()
	require.Len(t, r.Ephemeral(), 200)
}
