package kurrentport_test

import (
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/stretchr/testify/require"
)

func TestOfficialClient_AppendsAndReads(t *testing.T) {
	p := start(t)
	c := official(t, p.URL())
	ctx := deadline(t)
	before := time.Now().Add(-time.Second)
	for stream, n := range map[string]int{"orders-1": 5, "quipu.run-1": 3} {
		for i := range n {
			opts := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
			if i > 0 {
				opts.ExpectedRevision = esdb.Revision(uint64(i - 1))
			}
			_, err := c.AppendToStream(ctx, stream, opts, event("made", stream+string(rune('0'+i))))
			require.NoError(t, err)
		}
	}
	all := func(o esdb.ReadStreamOptions, count uint64) []string {
		s, err := c.ReadStream(ctx, "orders-1", o, count)
		events, err := drain(t, s, err)
		require.NoError(t, err)
		return datas(events)
	}
	require.Equal(t, []string{"orders-10", "orders-11", "orders-12", "orders-13", "orders-14"}, all(esdb.ReadStreamOptions{From: esdb.Start{}}, 100))
	require.Equal(t, []string{"orders-12", "orders-13"}, all(esdb.ReadStreamOptions{From: esdb.Revision(2)}, 2), "from is inclusive")
	require.Equal(t, []string{"orders-12", "orders-11", "orders-10"}, all(esdb.ReadStreamOptions{From: esdb.Revision(2), Direction: esdb.Backwards}, 100))
	require.Equal(t, []string{"orders-14"}, all(esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1))
	require.Empty(t, all(esdb.ReadStreamOptions{From: esdb.Revision(5)}, 1), "beyond the head there is nothing, which is not the same as no stream")

	s, err := c.ReadStream(ctx, "orders-1", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	events, err := drain(t, s, err)
	require.NoError(t, err)
	require.Equal(t, "made", events[0].EventType)
	require.Equal(t, "application/json", events[0].ContentType)
	require.Equal(t, "orders-1", events[0].StreamID)
	require.JSONEq(t, `{"by":"test"}`, string(events[0].UserMetadata))
	require.WithinRange(t, events[0].CreatedDate, before, time.Now().Add(time.Second))
	require.Equal(t, events[0].Position.Commit, events[0].Position.Prepare)

	s, err = c.ReadStream(ctx, "orders-2", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	_, err = drain(t, s, err)
	require.Equal(t, esdb.ErrorCodeResourceNotFound, code(t, err))

	a, err := c.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.Start{}}, 100)
	everything, err := drain(t, a, err)
	require.NoError(t, err)
	require.Len(t, everything, 8)
	a, err = c.ReadAll(ctx, esdb.ReadAllOptions{From: everything[3].Position}, 100)
	rest, err := drain(t, a, err)
	require.NoError(t, err)
	require.Equal(t, datas(everything[3:]), datas(rest), "forwards a position is inclusive")
	a, err = c.ReadAll(ctx, esdb.ReadAllOptions{From: everything[3].Position, Direction: esdb.Backwards}, 100)
	rest, err = drain(t, a, err)
	require.NoError(t, err)
	require.Equal(t, []string{string(everything[2].Data), string(everything[1].Data), string(everything[0].Data)}, datas(rest), "backwards it is exclusive")
	a, err = c.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 2)
	rest, err = drain(t, a, err)
	require.NoError(t, err)
	require.Equal(t, []string{string(everything[7].Data), string(everything[6].Data)}, datas(rest))
}

func TestOfficialClient_Subscribes(t *testing.T) {
	p := start(t)
	c := official(t, p.URL())
	ctx := deadline(t)
	write := func(stream, data string) {
		_, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, event("made", data))
		require.NoError(t, err)
	}
	write("orders-1", "a")
	write("quipu.run-1", "x")
	write("orders-1", "b")
	toStream, err := c.SubscribeToStream(ctx, "orders-1", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	require.NoError(t, err)
	defer toStream.Close()
	filtered, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
		From: esdb.Start{}, MaxSearchWindow: 2, CheckpointInterval: 1,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"quipu."}},
	})
	require.NoError(t, err)
	defer filtered.Close()
	require.Equal(t, []string{"event a", "event b", "live"}, take(t, toStream, 3))
	require.Equal(t, []string{"event x", "checkpoint 2", "checkpoint 3", "live"}, take(t, filtered, 4))
	write("orders-1", "c")
	write("quipu.run-1", "y")
	require.Equal(t, []string{"event c"}, take(t, toStream, 1))
	require.Equal(t, []string{"event y", "checkpoint 5"}, take(t, filtered, 2))
}
