package kurrentdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"quipu/commands"
	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/infra/kurrentdb"
	"quipu/infra/kurrentport"
	"quipu/infra/kurrentport/porttest"
	"quipu/infra/memory"
)

// once fails the first n appends in the way given and carries out the rest.
func failing(n int64, fault func(ctx context.Context, forward func() (*streams.AppendResp, error)) (*streams.AppendResp, error)) func(context.Context, []*streams.AppendReq, func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
	var count atomic.Int64
	return func(ctx context.Context, _ []*streams.AppendReq, forward func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
		if count.Add(1) > n {
			return forward()
		}
		return fault(ctx, forward)
	}
}

// lost carries out the append and then says something else.
func lost(code codes.Code, text string) func(context.Context, func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
	return func(_ context.Context, forward func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
		if _, err := forward(); err != nil {
			return nil, err
		}
		return nil, status.Error(code, text)
	}
}

// A server that never gets to an append says the same as one that stored it and lost the answer. Sent again
// with the same ids at the same revision it is stored once.
func TestTrap_2_1_UnknownOutcomeIsStoredOnce(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.Aborted, codes.DeadlineExceeded, codes.Unknown, codes.Internal, codes.Canceled, codes.ResourceExhausted} {
		for name, fault := range map[string]func(context.Context, func() (*streams.AppendResp, error)) (*streams.AppendResp, error){
			"stored": lost(code, "the answer is lost"),
			"not stored": func(context.Context, func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
				return nil, status.Error(code, "never looked at")
			},
		} {
			t.Run(code.String()+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := startRelay(t)
				log := open(t, options(r.url()))
				first := logtest.Events(2)
				_, err := log.Append(t.Context(), "run-1", domain.NoStream, first)
				require.NoError(t, err)
				r.set(func(r *relay) { r.onAppend = failing(1, fault) })
				second := logtest.Events(3)
				at, err := log.Append(t.Context(), "run-1", 1, second)
				require.NoError(t, err)
				page, err := log.ReadStream(t.Context(), "run-1", 0, 10)
				require.NoError(t, err)
				require.Len(t, page, 5)
				require.Equal(t, second[2].ID, page[4].ID)
				require.Equal(t, commands.Appended{Revision: 4, Position: page[4].Position}, at)
			})
		}
	}
}

// When every try ends in the dark the caller is told, and the same bytes sent later are still stored once.
func TestTrap_2_1_OutcomeThatStaysUnknownIsIndeterminate(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	events := logtest.Events(2)
	r.set(func(r *relay) { r.onAppend = failing(1<<40, lost(codes.Aborted, "operation timed out")) })
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, events)
	require.ErrorIs(t, err, domain.ErrIndeterminate)
	r.set(func(r *relay) { r.onAppend = nil })
	at, err := log.Append(t.Context(), "run-1", domain.NoStream, events)
	require.NoError(t, err)
	require.Equal(t, domain.Revision(1), at.Revision)
	page, err := log.ReadStream(t.Context(), "run-1", 0, 10)
	require.NoError(t, err)
	require.Len(t, page, 2)
}

// A server that has forgotten the ids (they are looked up, or kept in memory only) answers a repeat with
// a conflict: what is stored right after the expected revision tells.
func TestTrap_2_1_ConflictIsComparedById(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	events := logtest.Events(2)
	want, err := log.Append(t.Context(), "run-1", domain.NoStream, events)
	require.NoError(t, err)
	r.set(func(r *relay) {
		r.onAppend = failing(1<<40, func(context.Context, func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
			return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: &streams.AppendResp_WrongExpectedVersion{
				CurrentRevisionOption: &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: 1},
			}}}, nil
		})
	})
	again, err := log.Append(t.Context(), "run-1", domain.NoStream, events)
	require.NoError(t, err)
	require.Equal(t, want, again)
	_, err = log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(2))
	require.ErrorIs(t, err, domain.ErrConflict)
	_, err = log.Append(t.Context(), "run-1", 7, logtest.Events(2))
	require.ErrorIs(t, err, domain.ErrConflict)
	_, err = log.Append(t.Context(), "run-absent", 7, logtest.Events(2))
	require.ErrorIs(t, err, domain.ErrConflict)
}

// The library makes up revision 1 and position 0 when a reply leaves them out.
func TestTrap_2_1_ReplyWithoutNumbersIsReadBack(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]*streams.AppendResp{
		"no stream": {Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
			CurrentRevisionOption: &streams.AppendResp_Success_NoStream{}, PositionOption: &streams.AppendResp_Success_NoPosition{},
		}}},
		"no position": {Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
			CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: 2}, PositionOption: &streams.AppendResp_Success_NoPosition{},
		}}},
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			r := startRelay(t)
			log := open(t, options(r.url()))
			r.set(func(r *relay) {
				r.onAppend = failing(1, func(_ context.Context, forward func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
					_, err := forward()
					return reply, err
				})
			})
			at, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(3))
			require.NoError(t, err)
			page, err := log.ReadAll(t.Context(), 0, 10)
			require.NoError(t, err)
			require.Equal(t, commands.Appended{Revision: 2, Position: page[2].Position}, at)
		})
	}
}

// An append that is too large is refused before it is sent: the library turns the server's answer into
// an end of file, after which nobody knows.
func TestTrap_0_5_OversizeIsRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	log := open(t, options(r.url()))
	before := r.appends.Load()
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.SizedEvents(domain.AppendBytesMax+1))
	require.ErrorIs(t, err, domain.ErrInvalid)
	_, err = log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(domain.AppendEventsMax+1))
	require.ErrorIs(t, err, domain.ErrInvalid)
	require.Equal(t, before, r.appends.Load(), "nothing was sent")
}

// A server whose own limit is lower than ours is the operator's to mend, and the error says so.
func TestTrap_0_5_OversizeForTheServerNamesItsLimit(t *testing.T) {
	t.Parallel()
	r := startRelay(t, func(o *kurrentport.Options) { o.AppendBytesMax = kurrentport.AppendBytesMin })
	log := open(t, options(r.url()))
	for range 20 {
		_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.SizedEvents(100<<10))
		require.True(t, errors.Is(err, domain.ErrRefused) || errors.Is(err, domain.ErrIndeterminate), "%v", err)
		require.ErrorContains(t, err, "MaxAppendSize")
	}
	_, err := log.ReadStream(t.Context(), "run-1", 0, 1)
	require.ErrorIs(t, err, domain.ErrNotFound, "nothing was stored")
	_, err = log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
	require.NoError(t, err)
}

// The library asks for the leader in a header that it never sends. We send it; nothing depends on it.
func TestTrap_0_6_LeaderIsAskedFor(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	var mu sync.Mutex
	var missing []string
	look := func(ctx context.Context, what string) {
		md, _ := metadata.FromIncomingContext(ctx)
		if strings.Join(md.Get("requires-leader"), "") != "true" {
			mu.Lock()
			defer mu.Unlock()
			missing = append(missing, what)
		}
	}
	r.set(func(r *relay) {
		r.onAppend = func(ctx context.Context, _ []*streams.AppendReq, forward func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
			look(ctx, "append")
			return forward()
		}
		r.onRead = func(ctx context.Context, o *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
			look(ctx, fmt.Sprint("read ", o))
			return nil, nil
		}
	})
	log := open(t, options(r.url()))
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
	require.NoError(t, err)
	_, err = log.ReadStreamBackward(t.Context(), "run-1", 5, 5)
	require.NoError(t, err)
	sub, err := log.Subscribe(t.Context(), 0, "")
	require.NoError(t, err)
	_, err = sub.Next(t.Context())
	require.NoError(t, err)
	eventually(t, func() bool { return r.subscriptions.Load() > 0 })
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, missing)
}

// A node that has ceased to be the leader names the one that is: calls go there by themselves.
func TestTrap_0_6_FollowerNamesTheLeader(t *testing.T) {
	t.Parallel()
	server := porttest.Start(t, memory.NewLog())
	leader, follower := relayTo(t, server.Addr()), relayTo(t, server.Addr())
	log := open(t, options(follower.url()))
	host, port, _ := strings.Cut(leader.addr, ":")
	away := map[string]string{"exception": "not-leader", "leader-endpoint-host": host, "leader-endpoint-port": port}
	follower.set(func(r *relay) {
		r.onAppend = func(ctx context.Context, _ []*streams.AppendReq, _ func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
			return nil, refuseWith(ctx, status.New(codes.NotFound, "leader info available"), away)
		}
		r.onRead = func(ctx context.Context, _ *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
			return nil, refuseWith(ctx, status.New(codes.NotFound, "leader info available"), away)
		}
	})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			stream := domain.StreamID(fmt.Sprintf("run-%d", i))
			if _, err := log.Append(t.Context(), stream, domain.NoStream, logtest.Events(1)); err != nil {
				t.Errorf("append: %v", err)
			}
			if page, err := log.ReadStream(t.Context(), stream, 0, 1); err != nil || len(page) != 1 {
				t.Errorf("read: %v", err)
			}
		})
	}
	wg.Wait()
}

// What the library returns for each status, and what callers are told: by its own code, by the status
// underneath, by its text, in that order.
func TestTrap_1_4_ErrorTable(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	o := options(r.url())
	o.CallTimeout = time.Second
	log := open(t, o)
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
	require.NoError(t, err)
	for _, c := range []struct {
		code         codes.Code
		trailer      map[string]string
		append, read domain.Kind
	}{
		{code: codes.NotFound, append: domain.KindIndeterminate, read: domain.KindUnavailable},
		{code: codes.PermissionDenied, append: domain.KindUnavailable, read: domain.KindUnavailable},
		{code: codes.Unauthenticated, append: domain.KindUnavailable, read: domain.KindUnavailable},
		{code: codes.Unimplemented, append: domain.KindUnavailable, read: domain.KindInternal},
		{code: codes.DeadlineExceeded, append: domain.KindIndeterminate, read: domain.KindUnavailable},
		{code: codes.Unavailable, append: domain.KindIndeterminate, read: domain.KindUnavailable},
		{code: codes.Aborted, append: domain.KindIndeterminate, read: domain.KindUnavailable},
		{code: codes.Unknown, append: domain.KindIndeterminate, read: domain.KindUnavailable},
		{code: codes.Internal, append: domain.KindIndeterminate, read: domain.KindUnavailable},
		{code: codes.Canceled, append: domain.KindIndeterminate, read: domain.KindUnavailable},
		{code: codes.ResourceExhausted, append: domain.KindIndeterminate, read: domain.KindUnavailable},
		{code: codes.InvalidArgument, append: domain.KindRefused, read: domain.KindRefused},
		{code: codes.FailedPrecondition, append: domain.KindConflict, read: domain.KindConflict},
		{
			code: codes.FailedPrecondition, trailer: map[string]string{"exception": "stream-deleted", "stream-name": "quipu.run-1"},
			append: domain.KindCorrupt, read: domain.KindCorrupt,
		},
	} {
		var probing atomic.Bool // new connections are let in
		r.set(func(r *relay) {
			r.onAppend = func(ctx context.Context, _ []*streams.AppendReq, _ func() (*streams.AppendResp, error)) (*streams.AppendResp, error) {
				return nil, refuseWith(ctx, status.New(c.code, "as the test says"), c.trailer)
			}
			r.onRead = func(ctx context.Context, o *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
				if ofStream(o) != "quipu.run-1" || !probing.Load() {
					return nil, nil
				}
				return nil, refuseWith(ctx, status.New(c.code, "as the test says"), c.trailer)
			}
		})
		_, err := log.Append(t.Context(), "run-1", 0, logtest.Events(1))
		require.Equal(t, c.append, domain.KindOf(err), "append, %v %v: %v", c.code, c.trailer, err)
		probing.Store(true)
		_, err = log.ReadStream(t.Context(), "run-1", 0, 1)
		require.Equal(t, c.read, domain.KindOf(err), "read, %v %v: %v", c.code, c.trailer, err)
	}
}

// The library's own FromError looks at the outermost error only and finds nothing in those it wrapped.
func TestTrap_0_4_WrappedErrorsAreFound(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	r.set(func(r *relay) {
		r.onRead = func(context.Context, *streams.ReadReq_Options) (func(*streams.ReadResp) (*streams.ReadResp, error), error) {
			return nil, status.Error(codes.PermissionDenied, "no")
		}
	})
	config, err := esdb.ParseConnectionString(r.url())
	require.NoError(t, err)
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	_, err = client.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{})
	require.Error(t, err)
	seen, _ := esdb.FromError(err)
	require.Equal(t, esdb.ErrorCodeUnknown, seen.Code(), "the trap is there still")
	require.Contains(t, kurrentdb.Classify(err).Hint, "may not do this")
	require.Contains(t, kurrentdb.Classify(fmt.Errorf("around: %w", err)).Hint, "may not do this")
}

func eventually(tb testing.TB, ok func() bool, about ...any) {
	tb.Helper()
	require.Eventually(tb, ok, 20*time.Second, 2*time.Millisecond, about...)
}
