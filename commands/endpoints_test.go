package commands_test

import (
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/domain/wire"
	"quipu/infra/clock"
	"quipu/infra/faulty"
	"quipu/infra/memory"
)

func endpoints(log commands.Log) *commands.Endpoints {
	return commands.NewEndpoints(commands.EndpointDeps{Log: log, Clock: clock.System{}, IDs: clock.System{}, Secret: clock.System{}.Secret})
}

// D15: made once, known at once on every node by the key that was shown, and by no other.
func TestD15_EndpointsAndTheirKeys(t *testing.T) {
	log := memory.NewLog()
	e, other := endpoints(log), endpoints(log)
	_, err := e.Authenticate(t.Context(), "coffee-shop-00000000", "qk_x")
	require.ErrorIs(t, err, domain.ErrNotFound)
	made, err := e.Create(t.Context(), "coffee-shop", somebody)
	require.NoError(t, err)
	require.Regexp(t, `^coffee-shop-[0-9a-f]{8}$`, made.ID)
	require.Regexp(t, `^qk_[A-Za-z0-9_-]{32}$`, made.Key)
	for _, node := range []*commands.Endpoints{e, other, e, other} {
		known, err := node.Authenticate(t.Context(), made.ID, made.Key)
		require.NoError(t, err)
		require.Equal(t, made.Created, known)
		for _, wrong := range []string{"", "x", made.Key + "x", made.Key[:len(made.Key)-1], strings.ToUpper(made.Key), made.KeyHash} {
			_, err = node.Authenticate(t.Context(), made.ID, wrong)
			require.ErrorIs(t, err, domain.ErrUnauthenticated, wrong)
			require.NotContains(t, err.Error(), made.Key)
		}
	}
	for _, unknown := range []string{"", "coffee-shop", "\x00", strings.Repeat("x", 1000), made.ID + "x"} {
		_, err = e.Authenticate(t.Context(), unknown, made.Key)
		require.ErrorIs(t, err, domain.ErrNotFound, unknown)
	}
	second, err := e.Create(t.Context(), "coffee-shop", somebody)
	require.NoError(t, err)
	require.NotEqual(t, made.ID, second.ID)
	require.NotEqual(t, made.Key, second.Key)
	_, err = e.Create(t.Context(), "Coffee", somebody)
	require.ErrorIs(t, err, domain.ErrUnprocessable)

	events, err := log.ReadAll(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.Equal(t, made.Position, events[0].Position)
	require.Equal(t, endpoint.Stream(made.ID), events[0].Stream)
	require.NotContains(t, string(events[0].Data)+string(events[0].Metadata), made.Key)
	m, err := wire.DecodeMetadata(events[0].Metadata)
	require.NoError(t, err)
	require.Equal(t, somebody.Actor, m.Actor)
	require.Equal(t, made.CreatedAt, m.At)
}

// An id that is taken leads to another; what it costs is bounded.
func TestEndpoints_IDIsTaken(t *testing.T) {
	log := memory.NewLog()
	var calls uint32
	counting := func(b []byte) { // the ids of the first two endpoints are the same
		clear(b)
		if len(b) == 4 {
			calls++
			binary.BigEndian.PutUint32(b, calls/3)
		}
	}
	e := commands.NewEndpoints(commands.EndpointDeps{Log: log, Clock: clock.System{}, IDs: clock.System{}, Secret: counting})
	var ids []string
	for range 3 {
		made, err := e.Create(t.Context(), "s", somebody)
		require.NoError(t, err)
		ids = append(ids, made.ID)
	}
	require.Equal(t, []string{"s-00000000", "s-00000001", "s-00000002"}, ids)
	same := commands.NewEndpoints(commands.EndpointDeps{Log: log, Clock: clock.System{}, IDs: clock.System{}, Secret: func(b []byte) { clear(b) }})
	_, err := same.Create(t.Context(), "s", somebody)
	require.ErrorIs(t, err, domain.ErrConflict)
}

// Whatever a log answers: an endpoint that was answered exists with its key, and is there once.
func TestEndpoints_OverAFaultyLog(t *testing.T) {
	inner := memory.NewLog()
	log := faulty.NewLog(inner, faulty.Options{Seed: 7})
	log.SetRates(faulty.Rates{Refused: 10, Lost: 10, Unanswered: 10})
	e := endpoints(log)
	var made []commands.NewEndpoint
	for range 60 {
		if m, err := e.Create(t.Context(), "s", somebody); err == nil {
			made = append(made, m)
		}
	}
	require.Greater(t, len(made), 20)
	for _, m := range made {
		_, err := endpoints(inner).Authenticate(t.Context(), m.ID, m.Key)
		require.NoError(t, err)
		events, err := inner.ReadStream(t.Context(), endpoint.Stream(m.ID), 0, 10)
		require.NoError(t, err)
		require.Len(t, events, 1)
	}
}

// Beyond its bound the cache forgets, and the log is asked again.
func TestEndpoints_CacheIsBounded(t *testing.T) {
	log := &readsCounted{Log: memory.NewLog()}
	e := endpoints(log)
	var made []commands.NewEndpoint
	for range commands.EndpointsCachedMax + 1 {
		m, err := e.Create(t.Context(), "s", somebody)
		require.NoError(t, err)
		made = append(made, m)
	}
	authenticate := func(m commands.NewEndpoint) int {
		before := log.reads
		_, err := e.Authenticate(t.Context(), m.ID, m.Key)
		require.NoError(t, err)
		return log.reads - before
	}
	for _, m := range made {
		require.Equal(t, 1, authenticate(m))
	}
	require.Equal(t, 0, authenticate(made[len(made)-1]))
	require.Equal(t, 1, authenticate(made[0]))
}

type readsCounted struct {
	commands.Log
	mu    sync.Mutex
	reads int
}

func (l *readsCounted) ReadStream(ctx context.Context, stream domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	l.mu.Lock()
	l.reads++
	l.mu.Unlock()
	return l.Log.ReadStream(ctx, stream, from, max)
}

func TestActorOf(t *testing.T) {
	require.Equal(t, wire.Actor{Kind: wire.ActorAnonymous, Via: "api"}, commands.ActorOf(t.Context(), "api"))
	ctx := commands.WithActor(t.Context(), wire.Actor{Kind: wire.ActorKey, ID: "ci"})
	require.Equal(t, wire.Actor{Kind: wire.ActorKey, ID: "ci", Via: "run-dag"}, commands.ActorOf(ctx, "run-dag"))
}
