package commands_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/infra/memory"
)

const keyedID = "0192f0c1-7c1e-8000-8000-000000000001"

// D20: of many equal creations under one key one workflow comes, on several nodes; whatever becomes of
// it, a repeat is answered with what was made.
func TestD20_CreateOnce(t *testing.T) {
	const secret = "sk-in-a-graph-created-once-1"
	l := newLibrary(t, newWorld())
	here, there := l.other(l.world.log), l.other(l.world.log)
	c := l.change(t, "n", `{"nodes":[],"settings":{"api_key":"`+secret+`"}}`)
	c.ID, c.Key, c.Body = keyedID, strings.Repeat("a", 64), strings.Repeat("1", 64)
	var mu sync.Mutex
	var made []commands.Workflow
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			of := here
			if i%2 == 1 {
				of = there
			}
			w, err := of.Create(t.Context(), c, somebody)
			require.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			made = append(made, w)
		})
	}
	wg.Wait()
	for _, w := range made {
		require.Equal(t, made[0], w)
		require.Equal(t, keyedID, w.ID)
		require.Equal(t, l.shown(t, made[0]), l.shown(t, w), "the masks are the same")
	}
	events, err := l.world.log.ReadStream(t.Context(), workflow.Stream(keyedID), 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 1)
	l.world.nowhere(t, secret)

	other := c
	other.Body = strings.Repeat("2", 64)
	_, err = there.Create(t.Context(), other, somebody)
	require.ErrorIs(t, err, domain.ErrUnprocessable)
	require.Equal(t, "IDEMPOTENCY_KEY_REUSED", codeOf(err))
	_, err = here.Update(t.Context(), keyedID, l.change(t, "changed", `{"nodes":[]}`), somebody)
	require.NoError(t, err)
	again, err := there.Create(t.Context(), c, somebody)
	require.NoError(t, err)
	require.Equal(t, made[0], again)
	_, err = here.Delete(t.Context(), keyedID, nil, somebody)
	require.NoError(t, err)
	again, err = there.Create(t.Context(), c, somebody)
	require.NoError(t, err)
	require.Equal(t, made[0], again)
	_, err = here.Get(t.Context(), keyedID, 0)
	require.ErrorIs(t, err, domain.ErrNotFound, "a repeat makes nothing anew")
}

// D20: a repeat of execute answers the run that is there and the version it is pinned to, also when the
// workflow has gone on, cannot run any more, or is gone.
func TestD20_ExecuteOnce(t *testing.T) {
	d := openDesk(t, newWorld(), commands.Limits{})
	w, err := d.Create(t.Context(), d.change(t, "n", graph([]string{nodeOf("out", "end", `{}`)}, "in>out")), somebody)
	require.NoError(t, err)
	in := commands.RunInput{Input: []byte(`{}`), ID: keyedID, BodySHA256: "b"}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			out, err := d.Execute(t.Context(), w.ID, in, somebody)
			require.NoError(t, err)
			require.Equal(t, keyedID, out.RunID)
			require.Equal(t, 1, out.WorkflowVersion)
			require.NotZero(t, out.Position)
		})
	}
	wg.Wait()
	d.over(t, keyedID, run.PhaseCompleted)
	require.Equal(t, 1, d.count(t, keyedID, "started"))
	repeat := func() commands.Started {
		out, err := d.Execute(t.Context(), w.ID, in, somebody)
		require.NoError(t, err)
		require.True(t, out.Repeated)
		return out
	}
	before := repeat()
	_, err = d.Update(t.Context(), w.ID, d.change(t, "m", graph([]string{asked}, "in>ask")), somebody)
	require.NoError(t, err)
	require.Equal(t, before, repeat())
	_, err = d.Delete(t.Context(), w.ID, nil, somebody)
	require.NoError(t, err)
	require.Equal(t, before, repeat())
	in.BodySHA256 = "other"
	_, err = d.Execute(t.Context(), w.ID, in, somebody)
	require.Equal(t, "IDEMPOTENCY_KEY_REUSED", codeOf(err))
}

// D15, D20: an endpoint is made once; its key is in the first answer alone.
func TestD20_EndpointOnce(t *testing.T) {
	log := memory.NewLog()
	here, there := endpoints(log), endpoints(log)
	q := commands.EndpointRequest{Slug: "shop", Key: strings.Repeat("a", 64), Body: strings.Repeat("1", 64), By: somebody}
	var mu sync.Mutex
	var keys []string
	var made commands.NewEndpoint
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			of := here
			if i%2 == 1 {
				of = there
			}
			m, err := of.CreateOnce(t.Context(), q)
			require.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			if m.Key != "" {
				keys = append(keys, m.Key)
			}
			made = m
		})
	}
	wg.Wait()
	require.Len(t, keys, 1)
	_, err := there.Authenticate(t.Context(), made.ID, keys[0])
	require.NoError(t, err)
	again, err := there.CreateOnce(t.Context(), q)
	require.NoError(t, err)
	again.Key = ""
	made.Key = ""
	require.Equal(t, made, again)
	other := q
	other.Body = strings.Repeat("2", 64)
	_, err = here.CreateOnce(t.Context(), other)
	require.Equal(t, "IDEMPOTENCY_KEY_REUSED", codeOf(err))
	other.Key, other.Slug = q.Key, "tea"
	tea, err := here.CreateOnce(t.Context(), other)
	require.NoError(t, err)
	require.NotEmpty(t, tea.Key, "another slug is another endpoint")

	// An id that stands for another key's endpoint is passed over.
	taken := endpoint.Created{ID: made.ID, Slug: "shop", KeyHash: endpoint.HashKey("x")}
	fresh := memory.NewLog()
	typ, data := wire.EncodeEndpointCreated(taken)
	event, _ := wire.Seal(endpoint.Stream(taken.ID), wire.NewHead(), made.CreatedAt, wire.Cause{Actor: somebody.Actor, CommandID: "create_endpoint:x"}, typ, data)
	_, err = fresh.Append(t.Context(), endpoint.Stream(taken.ID), domain.NoStream, []domain.Pending{event})
	require.NoError(t, err)
	moved, err := endpoints(fresh).CreateOnce(t.Context(), q)
	require.NoError(t, err)
	require.NotEqual(t, made.ID, moved.ID)
	again, err = endpoints(fresh).CreateOnce(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, moved.ID, again.ID)
}
