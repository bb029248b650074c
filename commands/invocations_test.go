package commands_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/infra/clock"
)

// directory is a view of workflows that a test keeps, as far behind as it likes.
type directory struct {
	mu   sync.Mutex
	rows map[string]string // endpoint and name -> id
	// later is what a view that has caught up knows beside rows.
	later map[string]string
	seen  domain.Position
	asked []domain.Position
	err   error
}

func (d *directory) Find(_ context.Context, e endpoint.Created, name string, since domain.Position) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, since)
	if d.err != nil {
		return "", d.err
	}
	for _, at := range []string{e.ID, e.Slug} {
		key := at + "/" + name
		if id := d.later[key]; id != "" && since >= d.seen {
			return id, nil
		}
		if id := d.rows[key]; id != "" {
			return id, nil
		}
	}
	return "", nil
}

func (d *directory) Seen() domain.Position { return d.seen }

// counter is how often the view was asked.
func (d *directory) counter() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.asked)
}

const waitGraph = `{"nodes":[{"id":"in","type":"trigger"},{"id":"out","type":"end"}],"edges":[{"source":"in","target":"out"}]}`

var shop = endpoint.Created{ID: "coffee-shop-e66b8d23", Slug: "coffee-shop"}

func newInvocations(t *testing.T) (*library, *directory, *commands.Invocations) {
	l := newLibrary(t, newWorld())
	d := &directory{rows: map[string]string{}, later: map[string]string{}, seen: 1 << 40}
	return l, d, commands.NewInvocations(commands.InvocationDeps{Definitions: l.Definitions, Workflows: d, Clock: clock.System{}})
}

// make stores a workflow of an endpoint.
func (l *library) make(t *testing.T, name, at string) string {
	t.Helper()
	c := l.change(t, name, waitGraph)
	c.Endpoint = &at
	w, err := l.Create(t.Context(), c, somebody)
	require.NoError(t, err)
	return w.ID
}

func invocation(name string) commands.Invocation {
	return commands.Invocation{
		Endpoint: shop, Name: name, Parameters: []byte(`{"q": 1e400}`), Metadata: []byte(`{"tenant":"é"}`), ConnectionID: "ws_1",
		By: commands.By{Actor: commands.InvocationActor(shop.ID)},
	}
}

func TestD12_InvocationsRunByName(t *testing.T) {
	l, d, invocations := newInvocations(t)
	id := l.make(t, "search", shop.Slug)
	d.rows["coffee-shop/search"] = id
	out, err := invocations.Start(t.Context(), invocation("search"))
	require.NoError(t, err)
	started := l.started(t, out.RunID)
	require.Equal(t, commands.SourceAGNT5, started.Source)
	require.Equal(t, id, started.WorkflowID)
	require.Equal(t, "ws_1", started.ConnectionID)
	require.JSONEq(t, `{"tenant":"é"}`, string(started.Metadata.JSON))
	require.Equal(t, `{"q": 1e400}`, string(started.Input.JSON))
	l.await(t, out.RunID)
	again, err := invocations.Start(t.Context(), invocation("search"))
	require.NoError(t, err)
	require.NotEqual(t, out.RunID, again.RunID, "without a key each message is an execution")
	require.Equal(t, 1, d.counter(), "the name is remembered")
}

func TestD15_NamesBelongToTheirEndpoint(t *testing.T) {
	l, d, invocations := newInvocations(t)
	d.rows["tea-shop/search"] = l.make(t, "search", "tea-shop")
	d.rows["coffee-shop-e66b8d23/own"] = l.make(t, "own", shop.ID)
	// A view that is behind says what is no longer so: the workflow has moved to another endpoint.
	moved := l.make(t, "moved", "tea-shop")
	d.rows["coffee-shop/moved"] = moved
	for _, name := range []string{"search", "moved", "nope"} {
		_, err := invocations.Start(t.Context(), invocation(name))
		require.ErrorIs(t, err, domain.ErrNotFound, name)
		require.ErrorContains(t, err, "names no workflow of this endpoint", name)
		require.Equal(t, d.seen, d.asked[len(d.asked)-1], "a name that is not known is asked of a view that knows all")
	}
	_, err := invocations.Start(t.Context(), invocation("own"))
	require.NoError(t, err)
}

// What has changed since it was remembered counts at once, however far the view is behind.
func TestD15_NamesAreCheckedAgainstTheWorkflow(t *testing.T) {
	l, d, invocations := newInvocations(t)
	first := l.make(t, "search", shop.ID)
	d.rows["coffee-shop-e66b8d23/search"] = first
	_, err := invocations.Start(t.Context(), invocation("search"))
	require.NoError(t, err)

	name := "renamed"
	_, err = l.Update(t.Context(), first, commands.Change{Name: &name}, somebody)
	require.NoError(t, err)
	_, err = invocations.Start(t.Context(), invocation("search"))
	require.ErrorIs(t, err, domain.ErrNotFound, "the old name is gone")
	second := l.make(t, "search", shop.ID)
	d.later["coffee-shop-e66b8d23/search"] = second
	out, err := invocations.Start(t.Context(), invocation("search"))
	require.NoError(t, err)
	require.Equal(t, second, l.started(t, out.RunID).WorkflowID)

	_, err = l.Delete(t.Context(), second, nil, somebody)
	require.NoError(t, err)
	_, err = invocations.Start(t.Context(), invocation("search"))
	require.ErrorIs(t, err, domain.ErrNotFound, "a deleted workflow is never run")
}

// Of several workflows of one name the newest runs, also when it was made a moment ago.
func TestD15_TheNewestOfAName(t *testing.T) {
	l, d, invocations := newInvocations(t)
	d.rows["coffee-shop/search"] = l.make(t, "search", shop.Slug)
	_, err := invocations.Start(t.Context(), invocation("search"))
	require.NoError(t, err)
	second := l.make(t, "search", shop.Slug)
	d.rows["coffee-shop/search"] = second
	out, err := invocations.Start(t.Context(), invocation("search"))
	require.NoError(t, err)
	require.Equal(t, second, l.started(t, out.RunID).WorkflowID)
	require.Equal(t, l.Written(), d.asked[len(d.asked)-1], "the view is asked for what was stored here")
}

// Names that are known go on without their view.
func TestD15_NamesWithoutTheirView(t *testing.T) {
	l, d, invocations := newInvocations(t)
	d.rows["coffee-shop/search"] = l.make(t, "search", shop.Slug)
	_, err := invocations.Start(t.Context(), invocation("search"))
	require.NoError(t, err)
	l.make(t, "other", shop.Slug) // or the view would not be asked
	d.err = domain.E(domain.KindUnavailable, "find", "", "down")
	_, err = invocations.Start(t.Context(), invocation("search"))
	require.NoError(t, err)
	_, err = invocations.Start(t.Context(), invocation("other"))
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func TestD12_InvocationsWithAKeyAreOneRun(t *testing.T) {
	l, d, invocations := newInvocations(t)
	id := l.make(t, "search", shop.Slug)
	d.rows["coffee-shop/search"] = id
	q := invocation("search")
	q.IdempotencyKey = "k"
	const repeats = 20
	ids := make([]string, repeats)
	var wg sync.WaitGroup
	for i := range repeats {
		wg.Go(func() {
			out, err := invocations.Start(t.Context(), q)
			if err == nil {
				ids[i] = out.RunID
			}
		})
	}
	wg.Wait()
	for _, other := range ids {
		require.NotEmpty(t, other)
		require.Equal(t, ids[0], other)
	}
	l.await(t, ids[0])
	// By another connection, with other metadata, after the end, and after the workflow is gone.
	_, err := l.Delete(t.Context(), id, nil, somebody)
	require.NoError(t, err)
	q.ConnectionID, q.Metadata = "ws_2", nil
	out, err := invocations.Start(t.Context(), q)
	require.NoError(t, err)
	require.True(t, out.Repeated)
	require.Equal(t, ids[0], out.RunID)

	other := q
	other.Parameters = []byte(`{}`)
	_, err = invocations.Start(t.Context(), other)
	require.ErrorIs(t, err, domain.ErrUnprocessable)
	require.ErrorContains(t, err, "/metadata/idempotency_key")
	other = q
	other.Endpoint = endpoint.Created{ID: "tea-shop-00000000", Slug: "tea-shop"}
	_, err = invocations.Start(t.Context(), other)
	require.ErrorIs(t, err, domain.ErrNotFound, "another endpoint's keys are its own")
}

func TestInvocations_NamesRememberedAreBounded(t *testing.T) {
	_, d, invocations := newInvocations(t)
	for i := range 100 {
		_, err := invocations.Start(t.Context(), invocation(fmt.Sprint("made-up-", i)))
		require.ErrorIs(t, err, domain.ErrNotFound)
	}
	require.Zero(t, invocations.NamesRemembered(), "names that stand for nothing take no room")
	require.Equal(t, 100, d.counter())
	for i := range commands.InvocationNamesMax + 10 {
		invocations.Remember(shop.ID, fmt.Sprint(i))
	}
	require.Equal(t, commands.InvocationNamesMax, invocations.NamesRemembered())
}
