package kurrentdb_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/infra/kurrentdb"
	"quipu/infra/kurrentport/porttest"
	"quipu/infra/memory"
)

// stranger is another client of the same server, with streams of its own.
func stranger(tb testing.TB, url string) func(stream string, n int) {
	tb.Helper()
	config, err := esdb.ParseConnectionString(url)
	require.NoError(tb, err)
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, client.Close()) })
	return func(stream string, n int) {
		tb.Helper()
		for n > 0 {
			batch := make([]esdb.EventData, min(n, 400))
			for i := range batch {
				batch[i] = esdb.EventData{EventID: uuid.New(), EventType: "noise", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)}
			}
			_, err := client.AppendToStream(tb.Context(), stream, esdb.AppendToStreamOptions{}, batch...)
			require.NoError(tb, err)
			n -= len(batch)
		}
	}
}

// changeEvents changes the events of readings that end, in the streams of ours.
func changeEvents(change func(*streams.ReadResp_ReadEvent) *streams.ReadResp_ReadEvent) func(context.Context, *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
	return func(_ context.Context, o *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
		if ofStream(o) != "quipu.run-1" {
			return nil, nil
		}
		return func(m *streams.ReadResp) (*streams.ReadResp, error) {
			if e := m.GetEvent(); e != nil {
				if e = change(e); e == nil {
					return nil, nil
				}
				return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: e}}, nil
			}
			return m, nil
		}, nil
	}
}

// The library ends the process when an event's time of creation is no number. A server that sends one makes
// a reading fail, and nothing else.
func TestTrap_0_10_GarbageInCreatedFailsTheReadingAlone(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	for _, s := range []domain.StreamID{"run-1", "run-2"} {
		_, err := log.Append(t.Context(), s, domain.NoStream, logtest.Events(2))
		require.NoError(t, err)
	}
	for _, created := range []string{"soon", "", "12e3", "99999999999999999999999"} {
		r.set(func(r *relay) {
			r.onRead = changeEvents(func(e *streams.ReadResp_ReadEvent) *streams.ReadResp_ReadEvent {
				e.Event.Metadata["created"] = created
				return e
			})
		})
		_, err := log.ReadStream(t.Context(), "run-1", 0, 10)
		require.ErrorIs(t, err, domain.ErrCorrupt, "created %q", created)
		require.ErrorContains(t, err, "time of creation")
		page, err := log.ReadStream(t.Context(), "run-2", 0, 10)
		require.NoError(t, err)
		require.Len(t, page, 2)
	}
}

// The library panics on messages of a reading that it does not know, which newer servers send.
func TestTrap_1_2_UnknownContentFailsTheReadingAlone(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(2))
	require.NoError(t, err)
	r.set(func(r *relay) {
		r.onRead = func(_ context.Context, o *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
			if ofStream(o) != "quipu.run-1" {
				return nil, nil
			}
			return func(*streams.ReadResp) (*streams.ReadResp, error) {
				return &streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: 7}}, nil
			}, nil
		}
	})
	_, err = log.ReadStream(t.Context(), "run-1", 0, 10)
	require.ErrorIs(t, err, domain.ErrCorrupt)
	r.set(func(r *relay) { r.onRead = nil })
	page, err := log.ReadStream(t.Context(), "run-1", 0, 10)
	require.NoError(t, err)
	require.Len(t, page, 2)
}

// Readings of $all begin with the event at their position, subscriptions behind it; events of others stand in
// between; and a position names no event but ours.
func TestTrap_2_2_PositionsAreOfOurEventsAlone(t *testing.T) {
	t.Parallel()
	port := porttest.Start(t, memory.NewLog())
	noise := stranger(t, port.URL())
	noise("before", 5)
	log := open(t, options(port.URL()))
	head, err := log.Head(t.Context())
	require.NoError(t, err)
	require.Zero(t, head, "nothing of ours yet")
	var want []domain.EventID
	for i := range 4 {
		events := logtest.Events(3)
		at, err := log.Append(t.Context(), "run-1", domain.Revision(i*3)-1, events)
		require.NoError(t, err)
		for _, e := range events {
			want = append(want, e.ID)
		}
		noise(fmt.Sprintf("between-%d", i), 700)
		head, err := log.Head(t.Context())
		require.NoError(t, err)
		require.Equal(t, at.Position, head, "others do not move the head")
	}
	for _, max := range []int{1, 2, 5, 100} {
		var got []domain.EventID
		var starts []domain.Position
		for at := domain.Position(0); ; {
			page, err := log.ReadAll(t.Context(), at, max)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				require.Greater(t, r.Position, at)
				at, got, starts = r.Position, append(got, r.ID), append(starts, r.Position)
			}
		}
		require.Equal(t, want, got)
		for i, at := range starts {
			sub, err := log.Subscribe(t.Context(), at, "")
			require.NoError(t, err)
			for n := i + 1; n < len(want); {
				b, err := sub.Next(t.Context())
				require.NoError(t, err)
				require.Equal(t, want[n], b.Events[0].ID)
				n += len(b.Events)
				require.Equal(t, starts[n-1], b.Position)
				require.Equal(t, n == len(want), b.CaughtUp)
			}
		}
	}
	// A new process finds the same head, whatever stands behind it.
	noise("behind", 6000)
	again := open(t, options(port.URL()))
	at, err := again.Head(t.Context())
	require.NoError(t, err)
	head, err = log.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, at)
	_, err = again.Subscribe(t.Context(), head+1, "")
	require.ErrorIs(t, err, domain.ErrInvalid)
}

// Truncation ($maxCount, $tb), deletion and scavenging happen on the server and are never asked for: what is
// missing then is told, and never looks like a shorter stream.
func TestTrap_2_3_MissingEventsAreToldOf(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(5))
	require.NoError(t, err)
	for place, gone := range []func(revision uint64) bool{
		func(revision uint64) bool { return revision < 2 },
		func(revision uint64) bool { return revision == 2 },
	} {
		r.set(func(r *relay) {
			r.onRead = changeEvents(func(e *streams.ReadResp_ReadEvent) *streams.ReadResp_ReadEvent {
				if gone(e.Event.StreamRevision) {
					return nil
				}
				return e
			})
		})
		_, err = log.ReadStream(t.Context(), "run-1", 0, 10)
		require.ErrorIs(t, err, domain.ErrCorrupt, "place %d", place)
	}
	_, err = log.ReadStreamBackward(t.Context(), "run-1", 10, 10)
	require.ErrorIs(t, err, domain.ErrCorrupt)
	page, err := log.ReadStreamBackward(t.Context(), "run-1", 10, 2)
	require.NoError(t, err, "what is asked for is there")
	require.Len(t, page, 2)
}

// A link whose target is gone has no event; it is passed over.
func TestTrap_2_3_LinksWithoutTargetArePassedOver(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	events := logtest.Events(1)
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, events)
	require.NoError(t, err)
	r.set(func(r *relay) {
		r.onRead = func(_ context.Context, o *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
			if o.GetAll() == nil {
				return nil, nil
			}
			return func(m *streams.ReadResp) (*streams.ReadResp, error) {
				if e := m.GetEvent(); e.GetEvent() != nil && string(e.Event.StreamIdentifier.StreamName) != "quipu.run-1" {
					e.Event = nil
				}
				return m, nil
			}, nil
		}
	})
	page, err := log.ReadAll(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, events[0].ID, page[0].ID)
}

// A reading that is left before its end keeps its place on the connection unless it is closed.
func TestTrap_3_2_ReadingsAreClosed(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	for i := range 4 {
		_, err := log.Append(t.Context(), "run-1", domain.Revision(i*400)-1, logtest.Events(400))
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 40 {
				if page, err := log.ReadStream(t.Context(), "run-1", 0, 1); err != nil || len(page) != 1 {
					t.Errorf("%d events, %v", len(page), err)
				}
				if page, err := log.ReadAll(t.Context(), 0, 1); err != nil || len(page) != 1 {
					t.Errorf("%d events, %v", len(page), err)
				}
			}
		})
	}
	wg.Wait()
	eventually(t, func() bool { return r.openReads.now.Load() == 0 }, "a reading was left open")
}

// Two nodes that meet a new server at once agree on the log's id; and it is never handed to readers.
func TestLog_OneIDForAll(t *testing.T) {
	t.Parallel()
	port := porttest.Start(t, memory.NewLog())
	const nodes = 8
	logs := make([]*kurrentdb.Log, nodes)
	errs := make([]error, nodes)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() { logs[i], errs[i] = kurrentdb.Open(t.Context(), options(port.URL())) })
	}
	wg.Wait()
	for i := range nodes {
		require.NoError(t, errs[i])
		require.Equal(t, logs[0].ID(), logs[i].ID())
	}
	page, err := logs[0].ReadAll(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, page)
	_, err = logs[0].ReadStream(t.Context(), kurrentdb.IDStream, 0, 1)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = logs[0].Append(t.Context(), kurrentdb.IDStream, 0, logtest.Events(1))
	require.ErrorIs(t, err, domain.ErrInvalid)
	// Another prefix is another log on the same server.
	o := options(port.URL())
	o.Prefix = "other-"
	other := open(t, o)
	require.NotEqual(t, logs[0].ID(), other.ID())
	_, err = other.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
	require.NoError(t, err)
	for i := range nodes {
		head, err := logs[i].Head(t.Context())
		require.NoError(t, err)
		require.Zero(t, head)
		require.NoError(t, logs[i].Close())
	}
}

// A stream of that name that is none of ours is not taken for a log.
func TestLog_ForeignIDIsRefused(t *testing.T) {
	t.Parallel()
	port := porttest.Start(t, memory.NewLog())
	stranger(t, port.URL())("theirs.quipu-log", 1)
	o := options(port.URL())
	o.Prefix = "theirs."
	_, err := kurrentdb.Open(t.Context(), o)
	require.ErrorIs(t, err, domain.ErrCorrupt)
	require.ErrorContains(t, err, "--log-prefix")
	for _, prefix := range []string{"$x", "a\nb", fmt.Sprintf("%65d", 1)} {
		o.Prefix = prefix
		_, err = kurrentdb.Open(t.Context(), o)
		require.ErrorIs(t, err, domain.ErrInvalid)
	}
}
